/* Any JSON as an endpoint, a header, a delta: what is accepted comes back equal from its own encoding. */
#include "wish/message.h"
#include "require.h"

#include <stdint.h>
#include <stdlib.h>

static void try_endpoint(const json_t *o)
{
    struct wish_endpoint e, back;
    if (wish_endpoint_from_json(o, &e, NULL))
        return;
    json_t *again = wish_endpoint_to_json(&e);
    require(!wish_endpoint_from_json(again, &back, NULL) && wish_endpoint_equal(&e, &back));
    json_decref(again);
}

static void try_delta(const json_t *o)
{
    struct wish_briefing b = {.id = "b"}, before;
    struct wish_endpoint one = {.id = "one", .number = 1};
    const char *why;
    bool same;
    require(!wish_put(&b, &one) && !wish_briefing_copy(&before, &b));
    if (!wish_apply_delta(&b, o, &why)) {
        json_t *delta = wish_delta(&before, &b, 1, 1, 2, &same);
        require(same || (delta && !wish_apply_delta(&before, delta, &why)));
        json_decref(delta);
    }
    require(wish_briefing_equal(&before, &b));
    wish_briefing_free(&b);
    wish_briefing_free(&before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *o = json_loadb((const char *)data, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (!o)
        return 0;
    struct wish_briefing header;
    wish_briefing_from_json(o, &header, NULL);
    try_endpoint(o);
    try_delta(o);
    json_decref(o);
    return 0;
}
