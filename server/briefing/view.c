/* What others see of a state: the snapshot, the summary, the wish. */
#include "base/err.h"
#include "briefing/internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- JSON ---- */

static json_t *endpoint_json(const struct briefing_endpoint *e)
{
    struct briefing_seat seat = {.unit = e->unit, .role = e->role, .kind = e->kind};
    memcpy(seat.id, e->id, sizeof(seat.id));
    memcpy(seat.name, e->name, sizeof(seat.name));
    json_t *o = briefing_seat_json(&seat, e->number, e->hears);
    if (!o || json_object_set_new(o, "connected", json_boolean(e->connected)) ||
        json_object_set_new(o, "microphone", json_boolean(e->microphone)) ||
        json_object_set_new(o, "camera", json_boolean(e->camera)) ||
        json_object_set_new(o, "screen", json_boolean(e->screen))) {
        json_decref(o);
        return NULL;
    }
    return o;
}

static json_t *endpoints_json(const struct briefing *b)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < b->n; i++) {
        if (!b->endpoints[i].removed && json_array_append_new(list, endpoint_json(&b->endpoints[i]))) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* The raised hand that comes behind `seq` in the queue. */
static const struct briefing_endpoint *next_hand(const struct briefing *b, uint64_t seq)
{
    const struct briefing_endpoint *next = NULL;
    for (size_t i = 0; i < b->n; i++) {
        const struct briefing_endpoint *e = &b->endpoints[i];
        if (e->hand_seq > seq && (!next || e->hand_seq < next->hand_seq))
            next = e;
    }
    return next;
}

static json_t *hands_json(const struct briefing *b)
{
    json_t *list = json_array();
    const struct briefing_endpoint *e = next_hand(b, 0);
    for (; list && e; e = next_hand(b, e->hand_seq)) {
        json_t *hand = json_pack("{sI sI}", "number", (json_int_t)e->number, "since_ms", (json_int_t)e->hand_ms);
        if (json_array_append_new(list, hand)) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *time_json(int64_t ms)
{
    return ms ? json_integer((json_int_t)ms) : json_null();
}

json_t *briefing_state(const struct briefing *b, enum role role)
{
    (void)role; /* nothing in it is secret from any role yet */
    return json_pack("{ss ss ss so sI so sI sI sb sb so so}", "id", briefing_id(b), "title", briefing_title(b), "state",
                     briefing_phase_name(b->phase), "opened_ms", time_json(b->opened_ms), "floor", (json_int_t)b->floor,
                     "floor_since_ms", time_json(b->floor_ms), "spotlight", (json_int_t)b->spotlight, "screen",
                     (json_int_t)b->screen, "locked", b->locked, "recording", b->recording, "hands", hands_json(b),
                     "endpoints", endpoints_json(b));
}

json_t *briefing_summary(const struct briefing *b, enum role role)
{
    return json_pack("{ss ss sI ss sI sI sb ss}", "id", briefing_id(b), "title", briefing_title(b), "starts_ms",
                     (json_int_t)(b->schedule ? b->schedule->starts_ms : 0), "state", briefing_phase_name(b->phase), "units",
                     (json_int_t)(b->schedule ? b->schedule->n_units : 0), "endpoints", (json_int_t)briefing_connected(b),
                     "recording", b->recording, "role", role_name(role));
}

static int add_unit(json_t *units, const struct briefing_unit *u)
{
    if (!u->id[0] || json_object_get(units, u->id))
        return 0;
    return json_object_set_new(units, u->id, json_pack("{ss ss}", "name", u->name, "short", u->short_name));
}

json_t *briefing_export_head(const struct briefing *b)
{
    json_t *units = json_object();
    int err = !units;
    for (size_t i = 0; !err && b->schedule && i < b->schedule->n_units; i++)
        err = add_unit(units, &b->schedule->units[i]);
    for (size_t i = 0; !err && i < b->n; i++)
        err = add_unit(units, &b->endpoints[i].unit);
    if (err) {
        json_decref(units);
        return NULL;
    }
    return json_pack("{s{ss ss so}}", "briefing", "id", briefing_id(b), "title", briefing_title(b), "units", units);
}

/* ---- wish ---- */

/* The first of `n` candidates that is connected and not `self`. */
static uint32_t first_connected(const struct briefing *b, const uint32_t *candidates, size_t n, uint32_t self)
{
    for (size_t i = 0; i < n; i++) {
        if (candidates[i] != self && briefing_is_connected(b, candidates[i]))
            return candidates[i];
    }
    return 0;
}

static uint32_t programme_stage(const struct briefing *b)
{
    return first_connected(b, (const uint32_t[]){b->spotlight, b->floor, briefing_chair(b)}, 3, 0);
}

static uint32_t stage_for(const struct briefing *b, uint32_t stage, uint32_t self)
{
    if (stage != self)
        return stage;
    return first_connected(b, (const uint32_t[]){briefing_chair(b), b->floor, b->former}, 3, self);
}

static bool tile_is_free(const struct briefing *b, const struct wish_endpoint *w, uint32_t number)
{
    if (number == w->number || number == w->stage || !briefing_is_connected(b, number))
        return false;
    for (unsigned i = 0; i < w->n_tiles; i++) {
        if (w->tiles[i].endpoint == number)
            return false;
    }
    return true;
}

/* A tile keeps its place; what cannot be shown in it leaves it empty. */
static void fill_tiles(const struct briefing *b, const struct briefing_layout *layout, struct wish_endpoint *w)
{
    for (unsigned i = 0; i < layout->n_tiles; i++) {
        struct wish_tile t = layout->tiles[i];
        if (!tile_is_free(b, w, t.endpoint))
            t.endpoint = 0;
        w->tiles[i] = t;
        w->n_tiles = (uint8_t)(i + 1);
    }
}

static uint8_t may_send(const struct briefing_endpoint *e)
{
    if (e->role == ROLE_OBSERVER)
        return 0;
    unsigned mask = WISH_BIT(WISH_CAMERA); /* what the camera shows is its own room's choice */
    if (e->microphone)
        mask |= WISH_BIT(WISH_MICROPHONE);
    if (e->screen)
        mask |= WISH_BIT(WISH_SCREEN);
    return (uint8_t)mask;
}

static void fill_endpoint(const struct briefing *b, const struct briefing_endpoint *e, uint32_t stage, uint32_t screen,
                          struct wish_endpoint *w)
{
    const struct briefing_place *place = &b->places[e->number - 1];
    memcpy(w->id, e->id, sizeof(w->id));
    w->number = e->number;
    w->incarnation = place->incarnation;
    w->worker = place->worker;
    w->may_send = may_send(e);
    w->hears = e->hears;
    w->stage = stage_for(b, stage, e->number);
    w->screen = screen == e->number ? 0 : screen;
    w->stage_size = place->layout.stage;
    w->screen_size = place->layout.screen;
    fill_tiles(b, &place->layout, w);
}

int briefing_wish(const struct briefing *b, struct wish_briefing *ret)
{
    struct wish_endpoint *endpoints = calloc(b->n + 1, sizeof(*endpoints));
    if (!endpoints)
        return ERR_NOMEM;
    struct wish_briefing w = {.record = b->recording,
                              .record_cameras = b->record_cameras,
                              .stage = programme_stage(b),
                              .screen = briefing_is_connected(b, b->screen) ? b->screen : 0,
                              .floor = briefing_is_connected(b, b->floor) ? b->floor : 0,
                              .endpoints = endpoints};
    memcpy(w.id, briefing_id(b), strlen(briefing_id(b)) + 1);
    for (size_t i = 0; i < b->n; i++) {
        if (b->endpoints[i].connected)
            fill_endpoint(b, &b->endpoints[i], w.stage, w.screen, &endpoints[w.n_endpoints++]);
    }
    *ret = w;
    return 0;
}
