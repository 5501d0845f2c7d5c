/* Requests of the protocol as commands. */
#include "briefing/briefing.h"
#include "wish/fields.h"

#include <string.h>

enum { TAKES_NOTHING, TAKES_ENDPOINT, TAKES_SELF_OR_ENDPOINT, TAKES_NOBODY_OR_ENDPOINT, TAKES_ON, TAKES_SWITCHES };

static const struct {
    const char *name;
    enum briefing_command_kind kind;
    int takes;
    const char *on;
} methods[] = {
    {"open", COMMAND_OPEN, TAKES_NOTHING},
    {"close", COMMAND_CLOSE, TAKES_NOTHING},
    {"leave", COMMAND_LEAVE, TAKES_NOTHING},
    {"media", COMMAND_MEDIA, TAKES_SWITCHES},
    {"raise-hand", COMMAND_RAISE_HAND, TAKES_SELF_OR_ENDPOINT},
    {"lower-hand", COMMAND_LOWER_HAND, TAKES_SELF_OR_ENDPOINT},
    {"grant", COMMAND_GRANT, TAKES_ENDPOINT},
    {"revoke", COMMAND_REVOKE, TAKES_NOTHING},
    {"mute", COMMAND_MUTE, TAKES_ENDPOINT},
    {"mute-all", COMMAND_MUTE_ALL, TAKES_NOTHING},
    {"lock-microphones", COMMAND_LOCK_MICROPHONES, TAKES_ON, "locked"},
    {"spotlight", COMMAND_SPOTLIGHT, TAKES_NOBODY_OR_ENDPOINT},
    {"remove", COMMAND_REMOVE, TAKES_ENDPOINT},
    {"record", COMMAND_RECORD, TAKES_ON, "on"},
};

const struct refusal *briefing_command_parse(const char *method, const json_t *params, struct briefing_command *ret_command)
{
    const size_t n = sizeof(methods) / sizeof(methods[0]);
    size_t i = 0;
    while (i < n && strcmp(methods[i].name, method) != 0)
        i++;
    if (i == n)
        return refusal_find("unknown-method");
    struct briefing_command c = {.kind = methods[i].kind};
    struct fields f = fields_begin(params);
    int takes = methods[i].takes;
    if (takes == TAKES_ENDPOINT || (takes == TAKES_SELF_OR_ENDPOINT && fields_has(&f, "endpoint")))
        c.endpoint = (uint32_t)fields_integer(&f, "endpoint", 1, WISH_ENDPOINT_NUMBER_MAX);
    if (takes == TAKES_NOBODY_OR_ENDPOINT)
        c.endpoint = (uint32_t)fields_integer(&f, "endpoint", 0, WISH_ENDPOINT_NUMBER_MAX);
    if (takes == TAKES_ON)
        c.on = fields_bool(&f, methods[i].on);
    if (takes == TAKES_SWITCHES) {
        c.microphone = fields_bool(&f, "microphone");
        c.camera = fields_bool(&f, "camera");
        c.screen = fields_bool(&f, "screen");
    }
    if (fields_end(&f, NULL, NULL))
        return refusal_find("bad-params");
    *ret_command = c;
    return NULL;
}
