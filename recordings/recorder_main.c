/* giaoban-recorder: records a briefing (--link), composes its programme (--compose), or looks into a programme (--check). */
#include "recordings/check.h"
#include "recordings/compose.h"
#include "recordings/element.h"
#include "recordings/link_loop.h"

#include "base/log.h"
#include "box/box.h"

#include <jansson.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int usage(void)
{
    fprintf(stderr, "giaoban-recorder --link --dir DIR [--sandbox enforce|log|off] [--shared]\n"
                    "giaoban-recorder --compose DIR --format mp4|webm [--sandbox enforce|log|off] [--shared]\n"
                    "giaoban-recorder --check FILE\n");
    return 2;
}

/* Decoders see what strangers have sent. Pango has a thread of its own for fonts: it comes after the box. */
static int compose_in_box(const char *dir, enum programme_format format, enum box_mode mode)
{
    const struct box_place places[] = {
        {dir, true},
        {"/usr/share/fonts", false},
        {"/usr/local/share/fonts", false},
        {"/usr/share/fontconfig", false},
        {"/etc/fonts", false},
        {"/var/cache/fontconfig", false},
    };
    return box_enter(BOX_COMPOSER, mode, places, sizeof places / sizeof *places) ? 1 : compose_run(dir, format);
}

static int check_in_box(const char *path, enum box_mode mode)
{
    char *copy = strdup(path);
    struct box_place place = {copy ? dirname(copy) : path, false};
    int err = box_enter(BOX_COMPOSER, mode, &place, 1);
    free(copy);
    return err ? 1 : check_run(path);
}

int main(int argc, char **argv)
{
    char why[300];
    enum box_mode mode = box_mode(argc, argv);
    bool shared = strcmp(argv[argc - 1], "--shared") == 0; /* giaoband has another user and the same group */
    argc -= shared;
    if (argc > 2 && strcmp(argv[argc - 2], "--sandbox") == 0)
        argc -= 2;
    umask(shared ? 007 : 077);
    log_setup("giaoban-recorder", LOG_LEVEL_INFO);
    json_object_seed(0); /* reads /dev/urandom, which is outside the box */
    if (gst_setup(why, sizeof why)) {
        log_error("recorder", "%s", why);
        return 1;
    }
    if (argc == 4 && strcmp(argv[1], "--link") == 0 && strcmp(argv[2], "--dir") == 0)
        return link_loop_run(argv[3], mode);
    enum programme_format format;
    if (argc == 5 && strcmp(argv[1], "--compose") == 0 && strcmp(argv[3], "--format") == 0 &&
        programme_format_parse(argv[4], &format) == 0)
        return compose_in_box(argv[2], format, mode);
    if (argc == 3 && strcmp(argv[1], "--check") == 0)
        return check_in_box(argv[2], mode);
    return usage();
}
