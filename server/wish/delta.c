/* The difference between two wishes, and its application: all of it or nothing. */
#include "base/err.h"
#include "wish/message.h"

#include <string.h>

static bool header_equal(const struct wish_briefing *a, const struct wish_briefing *b)
{
    return !strcmp(a->id, b->id) && a->record == b->record && a->record_cameras == b->record_cameras &&
           a->stage == b->stage && a->screen == b->screen && a->floor == b->floor;
}

static int add_changed(json_t *list, const struct wish_briefing *base, const struct wish_briefing *next)
{
    for (size_t i = 0; i < next->n_endpoints; i++) {
        const struct wish_endpoint *e = &next->endpoints[i], *old = wish_find(base, e->number);
        if (old && wish_endpoint_equal(old, e))
            continue;
        if (json_array_append_new(list, old ? wish_endpoint_change_to_json(old, e) : wish_endpoint_to_json(e)))
            return ERR_NOMEM;
    }
    return 0;
}

static int add_gone(json_t *list, const struct wish_briefing *base, const struct wish_briefing *next)
{
    for (size_t i = 0; i < base->n_endpoints; i++) {
        uint32_t number = base->endpoints[i].number;
        if (!wish_find(next, number) && json_array_append_new(list, json_integer(number)))
            return ERR_NOMEM;
    }
    return 0;
}

json_t *wish_delta(const struct wish_briefing *base, const struct wish_briefing *next, uint64_t epoch, uint64_t base_version,
                   uint64_t version, bool *ret_same)
{
    *ret_same = false;
    json_t *delta = wish_briefing_to_json(next), *changed = json_array(), *gone = json_array();
    if (!delta || !changed || !gone || add_changed(changed, base, next) || add_gone(gone, base, next))
        goto fail;
    if (!json_array_size(changed) && !json_array_size(gone) && header_equal(base, next)) {
        *ret_same = true;
        goto fail;
    }
    if (json_object_set_new(delta, "m", json_string("wish-delta")) ||
        json_object_set_new(delta, "epoch", json_integer((json_int_t)epoch)) ||
        json_object_set_new(delta, "base", json_integer((json_int_t)base_version)) ||
        json_object_set_new(delta, "version", json_integer((json_int_t)version)) ||
        json_object_set(delta, "endpoints", changed) || json_object_set(delta, "gone", gone))
        goto fail;
    json_decref(changed);
    json_decref(gone);
    return delta;
fail:
    json_decref(delta);
    json_decref(changed);
    json_decref(gone);
    return NULL;
}

static int refuse(const char **ret_why, const char *why)
{
    if (ret_why)
        *ret_why = why;
    return ERR_MALFORMED;
}

static int drop_gone(struct wish_briefing *b, const json_t *gone, const char **ret_why)
{
    size_t i;
    json_t *v;
    if (!json_is_array(gone))
        return refuse(ret_why, "gone is not an array");
    json_array_foreach(gone, i, v) {
        json_int_t n = json_integer_value(v);
        if (!json_is_integer(v) || n < 1 || n > WISH_ENDPOINT_NUMBER_MAX || !wish_drop(b, (uint32_t)n))
            return refuse(ret_why, "an endpoint is gone that was not there");
    }
    return 0;
}

/* Each number at most once in `endpoints` and `gone`: a bit for each. */
struct named {
    uint64_t bits[WISH_ENDPOINT_NUMBER_MAX / 64 + 1];
};

static bool name_once(struct named *n, json_int_t number)
{
    if (number < 1 || number > WISH_ENDPOINT_NUMBER_MAX)
        return false;
    uint64_t bit = 1ull << (number % 64), *word = &n->bits[number / 64];
    bool first = !(*word & bit);
    *word |= bit;
    return first;
}

static int put_one(struct wish_briefing *b, const json_t *o, json_int_t number, const char **ret_why)
{
    struct wish_endpoint *known = wish_find(b, (uint32_t)number), e;
    if (known)
        return wish_endpoint_change_from_json(o, known, ret_why);
    int err = wish_endpoint_from_json(o, &e, ret_why);
    return err ? err : wish_put(b, &e);
}

static int put_changed(struct wish_briefing *b, const json_t *list, const json_t *gone, const char **ret_why)
{
    struct named named = {0};
    size_t i;
    json_t *v;
    if (!json_is_array(list))
        return refuse(ret_why, "endpoints is not an array");
    json_array_foreach(gone, i, v) {
        name_once(&named, json_integer_value(v));
    }
    json_array_foreach(list, i, v) {
        json_int_t number = json_integer_value(json_object_get(v, "number"));
        if (!name_once(&named, number))
            return refuse(ret_why, "an endpoint is named twice, or has no number");
        int err = put_one(b, v, number, ret_why);
        if (err)
            return err;
    }
    return 0;
}

int wish_apply_delta(struct wish_briefing *b, const json_t *delta, const char **ret_why)
{
    struct wish_briefing header, next;
    int err = wish_briefing_from_json(delta, &header, ret_why);
    if (err)
        return err;
    if (strcmp(header.id, b->id) != 0)
        return refuse(ret_why, "another briefing");
    err = wish_briefing_copy(&next, b);
    if (err)
        return err;
    const json_t *gone = json_object_get(delta, "gone");
    err = drop_gone(&next, gone, ret_why);
    if (!err)
        err = put_changed(&next, json_object_get(delta, "endpoints"), gone, ret_why);
    if (err) {
        wish_briefing_free(&next);
        return err;
    }
    header.endpoints = next.endpoints;
    header.n_endpoints = next.n_endpoints;
    wish_briefing_free(b);
    *b = header;
    return 0;
}
