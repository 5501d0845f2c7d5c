/* The fold: one event, a few assignments. No rule is decided here; what cannot follow the state means a broken log. */
#include "base/err.h"
#include "briefing/internal.h"

#include <stdlib.h>
#include <string.h>

static const struct briefing_layout first_layout = {.stage = {1280, 720}, .screen = {1920, 1080}};

/* Does the event name an endpoint that must be there? */
static bool needs_member(enum briefing_event_kind kind)
{
    return kind == EVENT_LEFT || kind == EVENT_MEDIA || kind == EVENT_HAND_RAISED || kind == EVENT_HAND_LOWERED ||
           kind == EVENT_FLOOR_GRANTED || kind == EVENT_FLOOR_REVOKED || kind == EVENT_MUTED || kind == EVENT_REMOVED;
}

static bool joins_well(const struct briefing *b, const struct briefing_event *e)
{
    const struct briefing_endpoint *known = briefing_endpoint_by_id(b, e->seat.id);
    if (known)
        return known->number == e->number && !known->removed && !known->connected;
    return e->number == b->n + 1 && e->number <= WISH_ENDPOINT_NUMBER_MAX && wish_id_valid(e->seat.id);
}

static bool follows(const struct briefing *b, const struct briefing_event *e)
{
    if ((unsigned)e->kind >= EVENT_KINDS || e->seq != b->seq + 1)
        return false;
    if (e->kind == EVENT_SCHEDULED)
        return !b->schedule && e->schedule;
    if (!b->schedule || b->phase == BRIEFING_CLOSED)
        return false;
    if (needs_member(e->kind) && !briefing_endpoint(b, e->number))
        return false;
    switch (e->kind) {
    case EVENT_OPENED: return b->phase == BRIEFING_SCHEDULED;
    case EVENT_JOINED: return joins_well(b, e);
    case EVENT_LEFT:
    case EVENT_MEDIA: return briefing_is_connected(b, e->number);
    case EVENT_FLOOR_REVOKED: return b->floor == e->number;
    case EVENT_SPOTLIGHTED:
    case EVENT_SCREEN_SHOWN: return e->number == 0 || briefing_endpoint(b, e->number);
    default: return true;
    }
}

static int apply_joined(struct briefing *b, const struct briefing_event *e)
{
    struct briefing_endpoint *m = briefing_member(b, e->number);
    if (!m) {
        struct briefing_endpoint *endpoints = realloc(b->endpoints, (b->n + 1) * sizeof(*endpoints));
        if (endpoints)
            b->endpoints = endpoints;
        struct briefing_place *places = realloc(b->places, (b->n + 1) * sizeof(*places));
        if (places)
            b->places = places;
        if (!endpoints || !places)
            return ERR_NOMEM;
        m = &endpoints[b->n];
        *m = (struct briefing_endpoint){.number = e->number};
        memcpy(m->id, e->seat.id, sizeof(m->id));
        b->n++;
    }
    b->places[e->number - 1] = (struct briefing_place){.layout = first_layout, .worker = WISH_UNPLACED};
    m->unit = e->seat.unit;
    memcpy(m->name, e->seat.name, sizeof(m->name));
    memcpy(m->key, e->seat.key, sizeof(m->key));
    m->role = e->seat.role;
    m->kind = e->seat.kind;
    m->hears = e->hears;
    m->connected = true;
    m->microphone = m->camera = m->screen = false;
    return 0;
}

static void switch_off(struct briefing_endpoint *m)
{
    m->connected = m->microphone = m->camera = m->screen = false;
}

static void apply_closed(struct briefing *b, int64_t at_ms)
{
    b->phase = BRIEFING_CLOSED;
    b->closed_ms = at_ms;
    b->floor = b->spotlight = b->screen = 0;
    b->floor_ms = 0;
    b->recording = false;
    for (size_t i = 0; i < b->n; i++) {
        switch_off(&b->endpoints[i]);
        b->endpoints[i].hand_ms = 0;
        b->endpoints[i].hand_seq = 0;
    }
}

static void apply_all_muted(struct briefing *b, const struct briefing_event *e)
{
    for (size_t i = 0; i < b->n; i++) {
        bool spared = false;
        for (size_t k = 0; k < e->n_except; k++)
            spared |= e->except[k] == b->endpoints[i].number;
        if (!spared)
            b->endpoints[i].microphone = false;
    }
}

static void set_floor(struct briefing *b, uint32_t number, int64_t at_ms)
{
    if (b->floor && b->floor != number)
        b->former = b->floor;
    b->floor = number;
    b->floor_ms = number ? at_ms : 0;
}

/* Events about one endpoint, `m`. */
static void apply_member(struct briefing *b, const struct briefing_event *e, struct briefing_endpoint *m)
{
    switch (e->kind) {
    case EVENT_LEFT: switch_off(m); break;
    case EVENT_MEDIA:
        m->microphone = e->microphone;
        m->camera = e->camera;
        m->screen = e->screen;
        break;
    case EVENT_HAND_RAISED:
        m->hand_ms = e->at_ms;
        m->hand_seq = e->seq;
        break;
    case EVENT_HAND_LOWERED: m->hand_ms = 0, m->hand_seq = 0; break;
    case EVENT_FLOOR_GRANTED: set_floor(b, e->number, e->at_ms); break;
    case EVENT_FLOOR_REVOKED: set_floor(b, 0, e->at_ms); break;
    case EVENT_MUTED: m->microphone = false; break;
    case EVENT_REMOVED:
        switch_off(m);
        m->removed = true;
        break;
    default: break;
    }
}

int briefing_apply(struct briefing *b, const struct briefing_event *e)
{
    if (!follows(b, e))
        return ERR_STATE;
    switch (e->kind) {
    case EVENT_SCHEDULED:
        b->schedule = briefing_schedule_copy(e->schedule);
        if (!b->schedule)
            return ERR_NOMEM;
        break;
    case EVENT_JOINED: {
        int err = apply_joined(b, e);
        if (err)
            return err;
        break;
    }
    case EVENT_OPENED:
        b->phase = BRIEFING_OPEN;
        b->opened_ms = e->at_ms;
        break;
    case EVENT_CLOSED: apply_closed(b, e->at_ms); break;
    case EVENT_ALL_MUTED: apply_all_muted(b, e); break;
    case EVENT_MICROPHONES_LOCKED: b->locked = e->on; break;
    case EVENT_SPOTLIGHTED: b->spotlight = e->number; break;
    case EVENT_SCREEN_SHOWN: b->screen = e->number; break;
    case EVENT_RECORDING: b->recording = e->on; break;
    default: apply_member(b, e, briefing_member(b, e->number)); break;
    }
    b->seq = e->seq;
    for (unsigned role = 0; role < ROLE_COUNT; role++) {
        if (briefing_event_visible(e->kind, (enum role)role))
            b->visible[role] = e->seq;
    }
    return 0;
}
