/* Any sequence of commands: the rules of tests/unit/briefing_rules.h hold, a replay and a client's fold stay equal. */
#include "../unit/briefing_rules.h"

struct input {
    const uint8_t *at, *end;
};

static uint32_t next_number(void *ctx)
{
    struct input *in = ctx;
    return in->at < in->end ? *in->at++ : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, data + size};
    struct watched w = watched_new();
    schedule_watched(&w);
    for (int64_t at = 2; in.at < in.end && at < 400; at++)
        command_from(&w, next_number, &in, at);
    watched_free(&w);
    return 0;
}
