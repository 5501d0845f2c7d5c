/* giaoban-recorder: records a briefing (--link), composes its programme (--compose), or looks into a programme (--check). */
#include "recordings/check.h"
#include "recordings/compose.h"
#include "recordings/element.h"
#include "recordings/link_loop.h"

#include "base/log.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int usage(void)
{
    fprintf(stderr, "giaoban-recorder --link --dir DIR\n"
                    "giaoban-recorder --compose DIR --format mp4|webm\n"
                    "giaoban-recorder --check FILE\n");
    return 2;
}

int main(int argc, char **argv)
{
    char why[300];
    umask(077);
    log_setup("giaoban-recorder", LOG_LEVEL_INFO);
    if (gst_setup(why, sizeof why)) {
        log_error("recorder", "%s", why);
        return 1;
    }
    if (argc == 4 && strcmp(argv[1], "--link") == 0 && strcmp(argv[2], "--dir") == 0)
        return link_loop_run(argv[3]);
    enum programme_format format;
    if (argc == 5 && strcmp(argv[1], "--compose") == 0 && strcmp(argv[3], "--format") == 0 &&
        programme_format_parse(argv[4], &format) == 0)
        return compose_run(argv[2], format);
    if (argc == 3 && strcmp(argv[1], "--check") == 0)
        return check_run(argv[2]);
    return usage();
}
