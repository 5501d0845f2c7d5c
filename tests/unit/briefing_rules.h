/* What must hold in every state of a briefing, whatever was commanded: shared by the property test and the fuzz target. */
#pragma once

#include "base/err.h"
#include "briefing/briefing.h"
#include "wish/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOLDS(condition)                                                                                                    \
    do {                                                                                                                    \
        if (!(condition)) {                                                                                                 \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);                                  \
            abort();                                                                                                        \
        }                                                                                                                   \
    } while (0)

/* ---- a client: it folds the messages, and nothing else, into the snapshot it got ---- */

static inline json_t *client_endpoint(json_t *state, json_int_t number, size_t *ret_index)
{
    json_t *list = json_object_get(state, "endpoints");
    for (*ret_index = 0; *ret_index < json_array_size(list); ++*ret_index) {
        json_t *e = json_array_get(list, *ret_index);
        if (json_integer_value(json_object_get(e, "number")) == number)
            return e;
    }
    return NULL;
}

static inline void client_switch_off(json_t *e)
{
    static const char *const names[] = {"connected", "microphone", "camera", "screen"};
    for (size_t i = 0; i < 4; i++)
        json_object_set_new(e, names[i], json_false());
}

static inline void client_lower(json_t *state, json_int_t number)
{
    json_t *hands = json_object_get(state, "hands");
    for (size_t i = json_array_size(hands); i-- > 0;) {
        if (json_integer_value(json_object_get(json_array_get(hands, i), "number")) == number)
            json_array_remove(hands, i);
    }
}

static inline void client_joined(json_t *state, json_t *endpoint)
{
    size_t at;
    if (client_endpoint(state, json_integer_value(json_object_get(endpoint, "number")), &at))
        json_array_set(json_object_get(state, "endpoints"), at, endpoint);
    else
        json_array_append(json_object_get(state, "endpoints"), endpoint);
}

static inline void client_all_muted(json_t *state, const json_t *except)
{
    size_t i, k;
    json_t *e, *spared;
    json_array_foreach(json_object_get(state, "endpoints"), i, e) {
        bool keeps = false;
        json_array_foreach(except, k, spared) {
            keeps |= json_equal(spared, json_object_get(e, "number"));
        }
        if (!keeps)
            json_object_set_new(e, "microphone", json_false());
    }
}

static inline void client_closed(json_t *state)
{
    size_t i;
    json_t *e;
    json_object_set_new(state, "state", json_string("closed"));
    json_object_set_new(state, "spotlight", json_integer(0));
    json_object_set_new(state, "screen", json_integer(0));
    json_array_clear(json_object_get(state, "hands"));
    json_array_foreach(json_object_get(state, "endpoints"), i, e) {
        client_switch_off(e);
    }
}

static inline void client_fold(json_t *state, const json_t *message)
{
    const char *name = json_string_value(json_object_get(message, "event"));
    json_t *data = json_object_get(message, "data"), *at_ms = json_object_get(message, "at_ms");
    json_t *number = json_object_get(data, "number");
    size_t index;
    json_t *e = client_endpoint(state, json_integer_value(number), &index);
    if (!strcmp(name, "opened")) {
        json_object_set_new(state, "state", json_string("open"));
        json_object_set(state, "opened_ms", at_ms);
    } else if (!strcmp(name, "closed")) {
        client_closed(state);
    } else if (!strcmp(name, "joined")) {
        client_joined(state, json_object_get(data, "endpoint"));
    } else if (!strcmp(name, "left")) {
        client_switch_off(e);
    } else if (!strcmp(name, "media")) {
        json_object_update(e, data);
    } else if (!strcmp(name, "hand-raised")) {
        json_array_append_new(json_object_get(state, "hands"), json_pack("{sO sO}", "number", number, "since_ms", at_ms));
    } else if (!strcmp(name, "hand-lowered")) {
        client_lower(state, json_integer_value(number));
    } else if (!strcmp(name, "floor-granted")) {
        json_object_set(state, "floor", number);
        json_object_set(state, "floor_since_ms", at_ms);
    } else if (!strcmp(name, "floor-revoked")) {
        json_object_set_new(state, "floor", json_integer(0));
        json_object_set_new(state, "floor_since_ms", json_null());
    } else if (!strcmp(name, "muted")) {
        json_object_set_new(e, "microphone", json_false());
    } else if (!strcmp(name, "all-muted")) {
        client_all_muted(state, json_object_get(data, "except"));
    } else if (!strcmp(name, "microphones-locked")) {
        json_object_set(state, "locked", json_object_get(data, "locked"));
    } else if (!strcmp(name, "spotlighted")) {
        json_object_set(state, "spotlight", number);
    } else if (!strcmp(name, "removed")) {
        json_array_remove(json_object_get(state, "endpoints"), index);
    } else if (!strcmp(name, "screen-shown")) {
        json_object_set(state, "screen", number);
    } else if (!strcmp(name, "recording")) {
        json_object_set(state, "recording", json_object_get(data, "on"));
    } else {
        HOLDS(!"an event that clients know");
    }
}

struct watched {
    struct briefing *live, *replayed; /* folds its events; folds their stored bytes */
    json_t *client;                   /* a client's state, NULL before the first snapshot */
    uint64_t client_last;
    struct wish_briefing wish; /* as last checked */
    FILE *record;              /* NULL, or where what the client gets is written, a line each */
};

/* ---- rules ---- */

static inline bool counts_as_room(const struct briefing_endpoint *e)
{
    return e->connected && e->hears && e->unit.id[0] && (e->role == ROLE_DELEGATE || e->role == ROLE_OBSERVER);
}

static inline void check_endpoints(const struct briefing *b, uint32_t screen)
{
    size_t n;
    const struct briefing_endpoint *all = briefing_endpoints(b, &n);
    for (size_t i = 0; i < n; i++) {
        const struct briefing_endpoint *e = &all[i];
        HOLDS(e->number == i + 1);
        HOLDS(!e->removed || (!e->connected && !e->hand_seq));
        HOLDS(e->connected || (!e->microphone && !e->camera && !e->screen));
        HOLDS(e->role != ROLE_OBSERVER || (!e->microphone && !e->camera && !e->screen && !e->hand_seq));
        HOLDS(e->role != ROLE_OBSERVER || briefing_floor(b) != e->number);
        HOLDS(e->screen == (screen == e->number));
        HOLDS((e->hand_seq == 0) == (e->hand_ms == 0) && (!e->hand_seq || briefing_floor(b) != e->number));
        for (size_t k = 0; k < i; k++) {
            HOLDS(strcmp(all[k].id, e->id));
            HOLDS(!counts_as_room(e) || !counts_as_room(&all[k]) || strcmp(all[k].unit.id, e->unit.id));
        }
    }
}

/* The codec refuses a source in two slots, and itself on stage. */
static inline void check_wish_codec(const struct wish_endpoint *x)
{
    struct wish_endpoint back;
    json_t *o = wish_endpoint_to_json(x);
    HOLDS(!wish_endpoint_from_json(o, &back, NULL) && wish_endpoint_equal(x, &back));
    json_decref(o);
}

static inline void check_wish(struct watched *watched)
{
    const struct briefing *b = watched->live;
    struct wish_briefing w;
    HOLDS(!briefing_wish(b, &w));
    HOLDS(w.n_endpoints == briefing_connected(b));
    for (size_t i = 0; i < w.n_endpoints; i++) {
        const struct wish_endpoint *x = &w.endpoints[i];
        const struct briefing_endpoint *e = briefing_endpoint(b, x->number);
        const struct wish_endpoint *before = wish_find(&watched->wish, x->number);
        HOLDS(e && e->connected && !strcmp(e->id, x->id) && x->hears == e->hears);
        HOLDS(!!(x->may_send & WISH_BIT(WISH_MICROPHONE)) == e->microphone);
        HOLDS(!!(x->may_send & WISH_BIT(WISH_SCREEN)) == e->screen);
        HOLDS(e->role != ROLE_OBSERVER || !x->may_send);
        HOLDS(!x->stage || wish_find(&w, x->stage));
        HOLDS(!x->screen || wish_find(&w, x->screen));
        HOLDS(x->stage == w.stage || x->number == w.stage);
        if (!before || !wish_endpoint_equal(x, before))
            check_wish_codec(x);
    }
    HOLDS(!w.floor || w.floor == briefing_floor(b));
    HOLDS(briefing_phase(b) != BRIEFING_CLOSED || (!w.n_endpoints && !w.record && !w.floor && !w.stage && !w.screen));
    wish_briefing_free(&watched->wish);
    watched->wish = w;
}

static inline void check_rules(struct watched *w, const json_t *state)
{
    const struct briefing *b = w->live;
    uint32_t screen = (uint32_t)json_integer_value(json_object_get(state, "screen"));
    uint32_t spotlight = (uint32_t)json_integer_value(json_object_get(state, "spotlight"));
    HOLDS(!briefing_floor(b) || (briefing_endpoint(b, briefing_floor(b)) && briefing_phase(b) == BRIEFING_OPEN));
    HOLDS(!screen || briefing_endpoint(b, screen));
    HOLDS(!spotlight || briefing_endpoint(b, spotlight));
    HOLDS(!briefing_recording(b) || briefing_phase(b) == BRIEFING_OPEN);
    check_endpoints(b, screen);
    check_wish(w);
}

/* ---- one step, watched by everybody ---- */

static inline void watched_record(struct watched *w, const json_t *o)
{
    char *text = w->record ? json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    if (text)
        fprintf(w->record, "%s\n", text);
    free(text);
}

static inline void watched_fold(struct watched *w, const struct briefing_event *e)
{
    size_t len;
    uint64_t prev = briefing_last_visible(w->live, ROLE_DELEGATE);
    char *bytes = briefing_event_encode(e, &len), *again;
    struct briefing_event decoded;
    HOLDS(bytes && !briefing_event_decode(bytes, len, &decoded));
    again = briefing_event_encode(&decoded, &len);
    HOLDS(again && !strcmp(bytes, again));
    HOLDS(!briefing_apply(w->live, e));
    HOLDS(!briefing_apply(w->replayed, &decoded));
    HOLDS(briefing_apply(w->replayed, &decoded) == ERR_STATE); /* never twice */
    if (w->client && briefing_event_visible(e->kind, ROLE_DELEGATE)) {
        json_t *message = briefing_event_message(e, prev);
        HOLDS(message && prev <= w->client_last); /* no hole */
        client_fold(w->client, message);
        watched_record(w, message);
        w->client_last = e->seq;
        json_decref(message);
    }
    briefing_event_clear(&decoded);
    free(bytes);
    free(again);
}

static inline const struct refusal *watched_command(struct watched *w, const struct briefing_command *c)
{
    struct briefing_events events = {0};
    const struct refusal *no = briefing_command(w->live, c, &events);
    HOLDS(!no || events.n == 0);
    HOLDS(!no || strcmp(no->code, "internal"));
    for (size_t i = 0; i < events.n; i++)
        watched_fold(w, &events.items[i]);
    briefing_events_free(&events);
    HOLDS(briefing_equal(w->live, w->replayed));
    json_t *state = briefing_state(w->live, ROLE_DELEGATE);
    HOLDS(state);
    check_rules(w, state);
    HOLDS(!w->client || json_equal(w->client, state));
    if (!w->client && briefing_schedule_of(w->live)) {
        w->client = json_incref(state);
        w->client_last = briefing_seq(w->live);
    }
    json_decref(state);
    return no;
}

static inline struct watched watched_new(void)
{
    return (struct watched){.live = briefing_new(), .replayed = briefing_new()};
}

static inline void watched_free(struct watched *w)
{
    briefing_free(w->live);
    briefing_free(w->replayed);
    wish_briefing_free(&w->wish);
    json_decref(w->client);
}

/* ---- commands from numbers: whoever gives them, a seed or a fuzzer ---- */

static inline struct briefing_seat seat_from(uint32_t (*number)(void *ctx), void *ctx)
{
    static const struct briefing_unit units[] = {
        {"h-a", "Huyện A", "A"}, {"h-b", "Huyện B", "B"}, {"h-c", "Huyện C", "C"}, {""}};
    static const enum role roles[] = {ROLE_DELEGATE, ROLE_DELEGATE,  ROLE_DELEGATE,   ROLE_OBSERVER,
                                      ROLE_CHAIR,    ROLE_SECRETARY, ROLE_TECHNICIAN, ROLE_ADMINISTRATOR};
    uint32_t id = number(ctx) % 12;
    struct briefing_seat s = {.role = roles[number(ctx) % 8], .kind = (enum endpoint_kind)(number(ctx) % 4)};
    s.unit = units[id % 4];
    snprintf(s.id, sizeof(s.id), "e%u", id);
    snprintf(s.name, sizeof(s.name), "Phòng họp %u", id);
    if (number(ctx) % 3)
        snprintf(s.key, sizeof(s.key), "link:%u", id);
    return s;
}

static inline void layout_from(struct watched *w, uint32_t (*number)(void *ctx), void *ctx)
{
    struct briefing_layout l = {.stage = {640, 360}, .n_tiles = (uint8_t)(number(ctx) % 8)};
    for (unsigned i = 0; i < l.n_tiles; i++)
        l.tiles[i] = (struct wish_tile){.endpoint = number(ctx) % 16, .size = {160, 90}};
    briefing_set_layout(w->live, number(ctx) % 16, &l);
    briefing_set_placement(w->live, number(ctx) % 16, (uint8_t)(number(ctx) % 3), number(ctx) % 5);
}

static inline void command_from(struct watched *w, uint32_t (*number)(void *ctx), void *ctx, int64_t at)
{
    static const enum briefing_command_kind often[] = {COMMAND_JOIN,  COMMAND_JOIN,       COMMAND_GRANT,      COMMAND_MEDIA,
                                                       COMMAND_MEDIA, COMMAND_RAISE_HAND, COMMAND_RAISE_HAND, COMMAND_LOST};
    uint32_t kind = number(ctx) % (COMMAND_KINDS + 8);
    struct briefing_command c = {.kind =
                                     kind < COMMAND_KINDS ? (enum briefing_command_kind)kind : often[kind - COMMAND_KINDS],
                                 .by = number(ctx) % 14,
                                 .role = (enum role)(number(ctx) % ROLE_COUNT),
                                 .endpoint = number(ctx) % 14,
                                 .at_ms = at,
                                 .at_us = at * 1000};
    uint32_t bits = number(ctx);
    c.on = bits & 1;
    c.microphone = bits & 2;
    c.camera = bits & 4;
    c.screen = bits & 8;
    if (c.kind == COMMAND_CLOSE && number(ctx) % 8)
        c.kind = COMMAND_OPEN; /* else most runs would be over soon */
    struct briefing_seat seat = seat_from(number, ctx);
    c.seat = &seat;
    static const struct briefing_schedule schedule = {.id = "again", .title = "x"};
    c.schedule = &schedule;
    if (bits & 16)
        layout_from(w, number, ctx);
    watched_command(w, &c);
}

static inline void schedule_watched(struct watched *w)
{
    static struct briefing_unit units[] = {{"h-a", "Huyện A", "A"}, {"h-b", "Huyện B", "B"}};
    const struct briefing_schedule s = {.id = "b1", .title = "Giao ban", .record = true, .units = units, .n_units = 2};
    const struct briefing_command c = {.kind = COMMAND_SCHEDULE, .role = ROLE_SECRETARY, .schedule = &s, .at_ms = 1};
    HOLDS(!watched_command(w, &c));
}
