/* giaobanctl upgrade: begins it and prints its steps until it is over. giaoband itself is replaced meanwhile, so that no
 * answer for some seconds is no failure. */
#include "control/ctl/ctl.h"

#include "base/clock.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define LOOK_US 200000
#define SILENT_US 40000000

static void print(const json_t *state, char said[300])
{
    char line[300];
    json_int_t moving = json_integer_value(json_object_get(state, "moving"));
    const char *text = json_string_value(json_object_get(state, "text")) ?: "";
    if (moving && strcmp(json_string_value(json_object_get(state, "step")) ?: "", "move") == 0)
        snprintf(line, sizeof line, "%.200s: %" JSON_INTEGER_FORMAT " to go", text, moving);
    else
        snprintf(line, sizeof line, "%.200s", text);
    if (*line && strcmp(line, said) != 0) {
        puts(line);
        fflush(stdout);
    }
    snprintf(said, 300, "%s", line);
}

int upgrade_run(struct ctl *c)
{
    char said[300] = "", step[16] = "";
    json_t *begun = ctl_call(c, "POST", "upgrade", NULL, false);
    int64_t heard_us = clock_now_us(), begun_us = heard_us;
    if (!begun)
        return 1;
    json_decref(begun);
    while (clock_now_us() - heard_us < SILENT_US) {
        usleep(LOOK_US);
        json_t *state = ctl_call(c, "GET", "upgrade", NULL, true);
        if (!state)
            continue;
        heard_us = clock_now_us();
        snprintf(step, sizeof step, "%s", json_string_value(json_object_get(state, "step")) ?: "");
        print(state, said);
        json_decref(state);
        if (strcmp(step, "done") == 0) {
            printf("everything that runs is new, after %.1f s\n", (double)(heard_us - begun_us) / 1e6);
            return 0;
        }
        if (strcmp(step, "failed") == 0)
            return 1;
    }
    fprintf(stderr, "giaobanctl: no answer from %s for %d s; the log says what happened\n", c->server,
            (int)(SILENT_US / 1000000));
    return 1;
}
