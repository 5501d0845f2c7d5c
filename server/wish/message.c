#include "wish/message.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

/* One object being read strictly: each field is taken by name, and at the end nothing may be left over. `why` is the first
 * complaint. */
struct fields {
    const json_t *object;
    size_t taken;
    const char *why;
};

static struct fields fields_of(const json_t *o)
{
    return (struct fields){.object = o, .why = json_is_object(o) ? NULL : "not an object"};
}

static const json_t *take(struct fields *f, const char *name)
{
    if (f->why)
        return NULL;
    const json_t *v = json_object_get(f->object, name);
    if (!v)
        f->why = "a field is missing";
    f->taken++;
    return v;
}

static uint32_t take_number(struct fields *f, const char *name, uint32_t min, uint32_t max)
{
    const json_t *v = take(f, name);
    if (!v)
        return 0;
    json_int_t n = json_integer_value(v);
    if (!json_is_integer(v) || n < (json_int_t)min || n > (json_int_t)max) {
        f->why = "a number is out of range";
        return 0;
    }
    return (uint32_t)n;
}

static bool take_bool(struct fields *f, const char *name)
{
    const json_t *v = take(f, name);
    if (v && !json_is_boolean(v))
        f->why = "a boolean is none";
    return json_is_true(v);
}

static void take_id(struct fields *f, const char *name, char ret[WISH_ID_MAX])
{
    const json_t *v = take(f, name);
    if (!v)
        return;
    const char *s = json_string_value(v);
    if (!s || json_string_length(v) != strlen(s) || !wish_id_valid(s)) {
        f->why = "an id is not valid";
        return;
    }
    memcpy(ret, s, strlen(s) + 1);
}

/* `ret` gets the array's `n` integers, each 0 … 65535. */
static void numbers_of(struct fields *f, const json_t *array, uint16_t *ret, size_t n)
{
    if (f->why)
        return;
    if (!json_is_array(array) || json_array_size(array) != n) {
        f->why = "an array has the wrong length";
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(array, i);
        json_int_t x = json_integer_value(v);
        if (!json_is_integer(v) || x < 0 || x > UINT16_MAX) {
            f->why = "a number is out of range";
            return;
        }
        ret[i] = (uint16_t)x;
    }
}

static struct wish_size take_size(struct fields *f, const char *name)
{
    uint16_t n[2] = {0};
    numbers_of(f, take(f, name), n, 2);
    return (struct wish_size){.width = n[0], .height = n[1]};
}

static void take_tiles(struct fields *f, struct wish_endpoint *e)
{
    const json_t *array = take(f, "tiles");
    if (!array)
        return;
    if (!json_is_array(array) || json_array_size(array) > WISH_TILES_MAX) {
        f->why = "too many tiles";
        return;
    }
    e->n_tiles = (uint8_t)json_array_size(array);
    for (size_t i = 0; i < e->n_tiles; i++) {
        uint16_t n[3] = {0};
        numbers_of(f, json_array_get(array, i), n, 3);
        if (n[0] > WISH_ENDPOINT_NUMBER_MAX)
            f->why = "a number is out of range";
        e->tiles[i] = (struct wish_tile){.endpoint = n[0], .size = {.width = n[1], .height = n[2]}};
    }
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

/* Fields of the message around are counted when they are there. */
static int fields_end(struct fields *f, const char *const *around, const char **ret_why)
{
    for (; !f->why && *around; around++) {
        if (json_object_get(f->object, *around))
            f->taken++;
    }
    if (!f->why && f->taken != json_object_size(f->object))
        f->why = "an unknown field";
    if (!f->why)
        return 0;
    if (ret_why)
        *ret_why = f->why;
    return ERR_MALFORMED;
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

json_t *wish_endpoint_to_json(const struct wish_endpoint *e)
{
    return json_pack("{ss sI sI si si sb sI sI so so so}", "id", e->id, "number", (json_int_t)e->number, "incarnation",
                     (json_int_t)e->incarnation, "worker", e->worker, "may_send", e->may_send, "hears", e->hears, "stage",
                     (json_int_t)e->stage, "screen", (json_int_t)e->screen, "stage_size", size_to_json(e->stage_size),
                     "screen_size", size_to_json(e->screen_size), "tiles", tiles_to_json(e));
}

int wish_endpoint_from_json(const json_t *o, struct wish_endpoint *ret, const char **ret_why)
{
    const unsigned all_kinds = WISH_BIT(WISH_MICROPHONE) | WISH_BIT(WISH_CAMERA) | WISH_BIT(WISH_SCREEN);
    struct fields f = fields_of(o);
    struct wish_endpoint e = {0};
    take_id(&f, "id", e.id);
    e.number = take_number(&f, "number", 1, WISH_ENDPOINT_NUMBER_MAX);
    e.incarnation = take_number(&f, "incarnation", 0, UINT32_MAX);
    e.worker = (uint8_t)take_number(&f, "worker", 0, UINT8_MAX);
    e.may_send = (uint8_t)take_number(&f, "may_send", 0, all_kinds);
    e.hears = take_bool(&f, "hears");
    e.stage = take_number(&f, "stage", 0, WISH_ENDPOINT_NUMBER_MAX);
    e.screen = take_number(&f, "screen", 0, WISH_ENDPOINT_NUMBER_MAX);
    e.stage_size = take_size(&f, "stage_size");
    e.screen_size = take_size(&f, "screen_size");
    take_tiles(&f, &e);
    if (!f.why && (e.may_send & ~all_kinds))
        f.why = "may_send names an unknown kind";
    if (!f.why && slots_repeat(&e))
        f.why = "a source in two slots";
    int err = fields_end(&f, (const char *const[]){"m", NULL}, ret_why);
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
    struct fields f = fields_of(o);
    struct wish_briefing b = {0};
    take_id(&f, "briefing", b.id);
    b.record = take_bool(&f, "record");
    b.record_cameras = take_bool(&f, "record_cameras");
    b.stage = take_number(&f, "stage", 0, WISH_ENDPOINT_NUMBER_MAX);
    b.screen = take_number(&f, "screen", 0, WISH_ENDPOINT_NUMBER_MAX);
    b.floor = take_number(&f, "floor", 0, WISH_ENDPOINT_NUMBER_MAX);
    int err = fields_end(&f, (const char *const[]){"m", "epoch", "version", "base", "endpoints", "gone", NULL}, ret_why);
    if (!err)
        *ret = b;
    return err;
}
