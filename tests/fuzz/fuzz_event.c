/* Any bytes as a stored event: what is read is written back as itself, and folds or is refused. */
#include "../unit/briefing_rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct briefing_event e, back;
    struct briefing_command c;
    json_t *params = json_loadb((const char *)data, size, 0, NULL);
    if (params && !briefing_command_parse("media", params, &c))
        HOLDS(c.kind == COMMAND_MEDIA);
    json_decref(params);
    if (briefing_event_decode((const char *)data, size, &e))
        return 0;
    size_t len;
    char *bytes = briefing_event_encode(&e, &len);
    HOLDS(bytes && !briefing_event_decode(bytes, len, &back));
    struct watched w = watched_new();
    schedule_watched(&w);
    if (!briefing_apply(w.live, &e))
        check_endpoints(w.live, 0);
    briefing_event_clear(&e);
    briefing_event_clear(&back);
    watched_free(&w);
    free(bytes);
    return 0;
}
