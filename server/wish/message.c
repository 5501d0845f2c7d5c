#include "wish/message.h"

#include "base/err.h"
#include "wish/fields.h"

#include <stdlib.h>
#include <string.h>

static struct wish_size take_size(struct fields *f, const char *name)
{
    uint16_t n[2] = {0};
    fields_numbers(f, fields_take(f, name), n, 2);
    return (struct wish_size){.width = n[0], .height = n[1]};
}

static void take_tiles(struct fields *f, struct wish_endpoint *e)
{
    const json_t *array = fields_take(f, "tiles");
    if (!array)
        return;
    if (!json_is_array(array) || json_array_size(array) > WISH_TILES_MAX) {
        f->why = "too many tiles";
        return;
    }
    e->n_tiles = (uint8_t)json_array_size(array);
    memset(e->tiles, 0, sizeof(e->tiles));
    for (size_t i = 0; i < e->n_tiles; i++) {
        uint16_t n[3] = {0};
        fields_numbers(f, json_array_get(array, i), n, 3);
        if (n[0] > WISH_ENDPOINT_NUMBER_MAX)
            f->why = "a number is out of range";
        e->tiles[i] = (struct wish_tile){.endpoint = n[0], .size = {.width = n[1], .height = n[2]}};
    }
}

/* [0,0,0,0]: none any more. */
static struct wish_site take_site(struct fields *f)
{
    uint16_t n[4] = {0};
    fields_numbers(f, fields_take(f, "site"), n, 4);
    if (!f->why && (n[0] ? !n[2] || !n[3] : n[1] || n[2] || n[3]))
        f->why = "a site has no line, or a line no site";
    return (struct wish_site){.number = n[0], .elsewhere = n[1], .down_kbps = n[2], .up_kbps = n[3]};
}

/* A worker puts one source into one slot: a wish that asks for two is not ours. */
static bool slots_repeat(const struct wish_endpoint *e)
{
    for (unsigned i = 0; i < e->n_tiles; i++) {
        uint32_t n = e->tiles[i].endpoint;
        if (!n)
            continue;
        if (n == e->stage || n == e->number)
            return true;
        for (unsigned k = 0; k < i; k++) {
            if (e->tiles[k].endpoint == n)
                return true;
        }
    }
    return e->stage == e->number || e->screen == e->number;
}

static json_t *size_to_json(struct wish_size s)
{
    return json_pack("[ii]", s.width, s.height);
}

static json_t *tiles_to_json(const struct wish_endpoint *e)
{
    json_t *tiles = json_array();
    for (unsigned i = 0; tiles && i < e->n_tiles; i++) {
        const struct wish_tile *t = &e->tiles[i];
        if (json_array_append_new(tiles, json_pack("[iii]", (int)t->endpoint, t->size.width, t->size.height))) {
            json_decref(tiles);
            return NULL;
        }
    }
    return tiles;
}

static json_t *site_to_json(struct wish_site s)
{
    return json_pack("[iiii]", s.number, s.elsewhere, s.down_kbps, s.up_kbps);
}

json_t *wish_endpoint_to_json(const struct wish_endpoint *e)
{
    return json_pack("{ss sI sI si si sb sI sI so so so so*}", "id", e->id, "number", (json_int_t)e->number, "incarnation",
                     (json_int_t)e->incarnation, "worker", e->worker, "may_send", e->may_send, "hears", e->hears, "stage",
                     (json_int_t)e->stage, "screen", (json_int_t)e->screen, "stage_size", size_to_json(e->stage_size),
                     "screen_size", size_to_json(e->screen_size), "tiles", tiles_to_json(e), "site",
                     e->site.number ? site_to_json(e->site) : NULL);
}

static int add(json_t *o, const char *name, json_t *taken)
{
    return json_object_set_new(o, name, taken);
}

json_t *wish_endpoint_change_to_json(const struct wish_endpoint *old, const struct wish_endpoint *e)
{
    json_t *o = json_pack("{sI}", "number", (json_int_t)e->number);
    int bad = !o;
    if (!bad && strcmp(old->id, e->id) != 0)
        bad = add(o, "id", json_string(e->id));
    if (!bad && old->incarnation != e->incarnation)
        bad = add(o, "incarnation", json_integer(e->incarnation));
    if (!bad && old->worker != e->worker)
        bad = add(o, "worker", json_integer(e->worker));
    if (!bad && old->may_send != e->may_send)
        bad = add(o, "may_send", json_integer(e->may_send));
    if (!bad && old->hears != e->hears)
        bad = add(o, "hears", json_boolean(e->hears));
    if (!bad && old->stage != e->stage)
        bad = add(o, "stage", json_integer(e->stage));
    if (!bad && old->screen != e->screen)
        bad = add(o, "screen", json_integer(e->screen));
    if (!bad && !wish_size_equal(old->stage_size, e->stage_size))
        bad = add(o, "stage_size", size_to_json(e->stage_size));
    if (!bad && !wish_size_equal(old->screen_size, e->screen_size))
        bad = add(o, "screen_size", size_to_json(e->screen_size));
    if (!bad && !wish_tiles_equal(old, e))
        bad = add(o, "tiles", tiles_to_json(e));
    if (!bad && !wish_site_equal(old->site, e->site))
        bad = add(o, "site", site_to_json(e->site));
    if (bad) {
        json_decref(o);
        return NULL;
    }
    return o;
}

/* Into `e`; with `partial`, fields that are missing leave it as it is. */
static int read_endpoint(const json_t *o, bool partial, struct wish_endpoint *e, const char **ret_why)
{
    const unsigned all_kinds = WISH_BIT(WISH_MICROPHONE) | WISH_BIT(WISH_CAMERA) | WISH_BIT(WISH_SCREEN);
    struct fields f = fields_begin(o);
    e->number = (uint32_t)fields_integer(&f, "number", 1, WISH_ENDPOINT_NUMBER_MAX);
#define HAS(name) (!partial || fields_has(&f, name))
    if (HAS("id"))
        fields_id(&f, "id", e->id);
    if (HAS("incarnation"))
        e->incarnation = (uint32_t)fields_integer(&f, "incarnation", 0, UINT32_MAX);
    if (HAS("worker"))
        e->worker = (uint8_t)fields_integer(&f, "worker", 0, UINT8_MAX);
    if (HAS("may_send"))
        e->may_send = (uint8_t)fields_integer(&f, "may_send", 0, all_kinds);
    if (HAS("hears"))
        e->hears = fields_bool(&f, "hears");
    if (HAS("stage"))
        e->stage = (uint32_t)fields_integer(&f, "stage", 0, WISH_ENDPOINT_NUMBER_MAX);
    if (HAS("screen"))
        e->screen = (uint32_t)fields_integer(&f, "screen", 0, WISH_ENDPOINT_NUMBER_MAX);
    if (HAS("stage_size"))
        e->stage_size = take_size(&f, "stage_size");
    if (HAS("screen_size"))
        e->screen_size = take_size(&f, "screen_size");
    if (HAS("tiles"))
        take_tiles(&f, e);
    if (fields_has(&f, "site")) /* whoever has none does without the field */
        e->site = take_site(&f);
#undef HAS
    if (!f.why && (e->may_send & ~all_kinds))
        f.why = "may_send names an unknown kind";
    if (!f.why && slots_repeat(e))
        f.why = "a source in two slots";
    return fields_end(&f, (const char *const[]){"m", NULL}, ret_why);
}

int wish_endpoint_from_json(const json_t *o, struct wish_endpoint *ret, const char **ret_why)
{
    struct wish_endpoint e = {0};
    int err = read_endpoint(o, false, &e, ret_why);
    if (!err)
        *ret = e;
    return err;
}

int wish_endpoint_change_from_json(const json_t *o, struct wish_endpoint *e, const char **ret_why)
{
    struct wish_endpoint next = *e;
    int err = read_endpoint(o, true, &next, ret_why);
    if (!err && next.number != e->number) {
        if (ret_why)
            *ret_why = "the change of another endpoint";
        return ERR_MALFORMED;
    }
    if (!err)
        *e = next;
    return err;
}

json_t *wish_layout_to_json(const struct wish_endpoint *e)
{
    return json_pack("{so so so}", "stage_size", size_to_json(e->stage_size), "screen_size", size_to_json(e->screen_size),
                     "tiles", tiles_to_json(e));
}

int wish_layout_from_json(const json_t *o, struct wish_endpoint *ret, const char **ret_why)
{
    struct fields f = fields_begin(o);
    struct wish_endpoint e = *ret;
    e.stage_size = take_size(&f, "stage_size");
    e.screen_size = take_size(&f, "screen_size");
    take_tiles(&f, &e);
    int err = fields_end(&f, NULL, ret_why);
    if (!err)
        *ret = e;
    return err;
}

json_t *wish_briefing_to_json(const struct wish_briefing *b)
{
    return json_pack("{ss sb sb sI sI sI}", "briefing", b->id, "record", b->record, "record_cameras", b->record_cameras,
                     "stage", (json_int_t)b->stage, "screen", (json_int_t)b->screen, "floor", (json_int_t)b->floor);
}

int wish_briefing_from_json(const json_t *o, struct wish_briefing *ret, const char **ret_why)
{
    struct fields f = fields_begin(o);
    struct wish_briefing b = {0};
    fields_id(&f, "briefing", b.id);
    b.record = fields_bool(&f, "record");
    b.record_cameras = fields_bool(&f, "record_cameras");
    b.stage = (uint32_t)fields_integer(&f, "stage", 0, WISH_ENDPOINT_NUMBER_MAX);
    b.screen = (uint32_t)fields_integer(&f, "screen", 0, WISH_ENDPOINT_NUMBER_MAX);
    b.floor = (uint32_t)fields_integer(&f, "floor", 0, WISH_ENDPOINT_NUMBER_MAX);
    int err = fields_end(&f, (const char *const[]){"m", "epoch", "version", "base", "endpoints", "gone", NULL}, ret_why);
    if (!err)
        *ret = b;
    return err;
}
