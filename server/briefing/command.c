/* Decisions: a command against the state, events out. The state is not changed here; what an event does is apply.c's. */
#include "base/err.h"
#include "briefing/internal.h"
#include "briefing/rights.h"

#include <stdlib.h>
#include <string.h>

/* One command being decided. A refusal or a lack of memory stays; later steps then do nothing. */
struct decision {
    const struct briefing *b;
    const struct briefing_command *c;
    struct briefing_events *events;
    size_t first;                   /* events that were there before */
    struct briefing_endpoint *self; /* who acts, NULL: not an endpoint */
    enum role role;
    const struct refusal *refusal;
    struct briefing_event spare; /* written to when memory is short */
};

static void refuse(struct decision *d, const char *code)
{
    if (!d->refusal)
        d->refusal = refusal_find(code);
}

static struct briefing_event *emit(struct decision *d, enum briefing_event_kind kind, uint32_t number)
{
    struct briefing_events *l = d->events;
    struct briefing_event e = {.kind = kind, .number = number, .at_ms = d->c->at_ms, .at_us = d->c->at_us};
    d->spare = e;
    if (d->refusal)
        return &d->spare;
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 4;
        struct briefing_event *grown = realloc(l->items, cap * sizeof(*grown));
        if (!grown) {
            refuse(d, "internal");
            return &d->spare;
        }
        l->items = grown;
        l->cap = cap;
    }
    e.seq = d->b->seq + 1 + (l->n - d->first);
    l->items[l->n] = e;
    return &l->items[l->n++];
}

static bool conducts(enum role role)
{
    return role == ROLE_CHAIR || role == ROLE_SECRETARY || role == ROLE_ADMINISTRATOR;
}

static void emit_media(struct decision *d, const struct briefing_endpoint *e, bool microphone, bool camera, bool screen)
{
    struct briefing_event *event = emit(d, EVENT_MEDIA, e->number);
    event->microphone = microphone;
    event->camera = camera;
    event->screen = screen;
}

/* The endpoint the command is about, or NULL and a refusal. */
static struct briefing_endpoint *target(struct decision *d)
{
    struct briefing_endpoint *e = briefing_member(d->b, d->c->endpoint);
    if (e && !e->removed)
        return e;
    refuse(d, "unknown-endpoint");
    return NULL;
}

/* ---- schedule, open, close, record ---- */

/* Bytes of the UTF-8 sequence at `s` (RFC 3629), 0: there is none. */
static size_t utf8_step(const uint8_t *s)
{
    size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
    bool surrogate = s[0] == 0xed && s[1] >= 0xa0, beyond = s[0] == 0xf4 && s[1] >= 0x90;
    return overlong || surrogate || beyond ? 0 : n;
}

/* What is stored is JSON. Nothing is allocated for the look, so that a want of memory is not taken for a broken text. */
static bool text_valid(const char *s, size_t cap)
{
    if (strnlen(s, cap) == cap)
        return false;
    for (const uint8_t *at = (const uint8_t *)s; *at;) {
        size_t n = utf8_step(at);
        if (n == 0)
            return false;
        at += n;
    }
    return true;
}

static bool unit_valid(const struct briefing_unit *u)
{
    return text_valid(u->id, sizeof(u->id)) && (!u->id[0] || wish_id_valid(u->id)) && text_valid(u->name, sizeof(u->name)) &&
           text_valid(u->short_name, sizeof(u->short_name));
}

static bool schedule_valid(const struct briefing_schedule *s)
{
    if (!s || strnlen(s->id, sizeof(s->id)) == sizeof(s->id) || !wish_id_valid(s->id) || !s->title[0] ||
        !text_valid(s->title, sizeof(s->title)) || s->starts_ms < 0 || s->n_units > BRIEFING_UNITS_MAX)
        return false;
    for (size_t i = 0; i < s->n_units; i++) {
        if (!s->units[i].id[0] || !unit_valid(&s->units[i]))
            return false;
        for (size_t k = 0; k < i; k++) {
            if (!strcmp(s->units[i].id, s->units[k].id))
                return false;
        }
    }
    return true;
}

static void decide_schedule(struct decision *d)
{
    if (d->b->schedule)
        return refuse(d, "already-scheduled");
    if (!schedule_valid(d->c->schedule))
        return refuse(d, "bad-params");
    struct briefing_schedule *copy = briefing_schedule_copy(d->c->schedule);
    if (!copy)
        return refuse(d, "internal");
    emit(d, EVENT_SCHEDULED, 0)->schedule = copy;
    if (d->refusal)
        briefing_schedule_free(copy);
}

static void decide_open(struct decision *d)
{
    if (d->b->phase == BRIEFING_OPEN)
        return refuse(d, "already-open");
    emit(d, EVENT_OPENED, 0);
    if (d->b->schedule->record && !d->c->unrecorded)
        emit(d, EVENT_RECORDING, 0)->on = true;
}

static void decide_close(struct decision *d)
{
    if (d->b->recording)
        emit(d, EVENT_RECORDING, 0)->on = false;
    if (d->b->floor)
        emit(d, EVENT_FLOOR_REVOKED, d->b->floor);
    emit(d, EVENT_CLOSED, 0);
}

static void decide_record(struct decision *d)
{
    if (d->b->recording != d->c->on)
        emit(d, EVENT_RECORDING, 0)->on = d->c->on;
}

/* ---- joining and leaving ---- */

/* Roles that sit in their unit's room, where a second loudspeaker would howl. */
static bool sits_in_unit(enum role role)
{
    return role == ROLE_DELEGATE || role == ROLE_OBSERVER;
}

static bool is_second(const struct briefing *b, const struct briefing_seat *seat)
{
    if (!sits_in_unit(seat->role) || !seat->unit.id[0])
        return false;
    for (size_t i = 0; i < b->n; i++) {
        const struct briefing_endpoint *e = &b->endpoints[i];
        if (e->connected && e->hears && sits_in_unit(e->role) && !strcmp(e->unit.id, seat->unit.id) &&
            strcmp(e->id, seat->id) != 0)
            return true;
    }
    return false;
}

static bool was_removed(const struct briefing *b, const struct briefing_seat *seat)
{
    for (size_t i = 0; i < b->n; i++) {
        const struct briefing_endpoint *e = &b->endpoints[i];
        if (e->removed && (!strcmp(e->id, seat->id) || (seat->key[0] && !strcmp(e->key, seat->key))))
            return true;
    }
    return false;
}

static bool seat_valid(const struct briefing_seat *s)
{
    return s && strnlen(s->id, sizeof(s->id)) < sizeof(s->id) && wish_id_valid(s->id) && unit_valid(&s->unit) &&
           text_valid(s->name, sizeof(s->name)) && text_valid(s->key, sizeof(s->key)) && (unsigned)s->role < ROLE_COUNT;
}

static const struct refusal *entry(const struct briefing *b, const struct briefing_seat *seat)
{
    struct identity who = {.role = seat->role};
    memcpy(who.unit, seat->unit.id, sizeof(who.unit));
    return briefing_may_enter(b, &who);
}

static void decide_join(struct decision *d)
{
    const struct briefing_seat *seat = d->c->seat;
    if (!seat_valid(seat))
        return refuse(d, "bad-params");
    d->refusal = entry(d->b, seat);
    if (was_removed(d->b, seat))
        refuse(d, "removed");
    const struct briefing_endpoint *known = briefing_endpoint_by_id(d->b, seat->id);
    if (known && strcmp(known->unit.id, seat->unit.id) != 0)
        refuse(d, "foreign-endpoint");
    if (!known && d->b->n >= WISH_ENDPOINT_NUMBER_MAX)
        refuse(d, "briefing-full");
    if (d->refusal || (known && known->connected))
        return;
    struct briefing_event *e = emit(d, EVENT_JOINED, known ? known->number : (uint32_t)d->b->n + 1);
    e->seat = *seat;
    e->hears = !is_second(d->b, seat);
    if (known && seat->role == ROLE_OBSERVER) { /* it went as one who may speak */
        if (known->hand_seq)
            emit(d, EVENT_HAND_LOWERED, known->number);
        if (d->b->floor == known->number)
            emit(d, EVENT_FLOOR_REVOKED, known->number);
    }
}

/* What an endpoint gives up when it goes for good. */
static void give_up(struct decision *d, const struct briefing_endpoint *e)
{
    if (d->b->screen == e->number)
        emit(d, EVENT_SCREEN_SHOWN, 0);
    if (d->b->spotlight == e->number)
        emit(d, EVENT_SPOTLIGHTED, 0);
    if (e->hand_seq)
        emit(d, EVENT_HAND_LOWERED, e->number);
    if (d->b->floor == e->number)
        emit(d, EVENT_FLOOR_REVOKED, e->number);
}

static void decide_leave(struct decision *d)
{
    give_up(d, d->self);
    emit(d, EVENT_LEFT, d->self->number);
}

static void decide_lost(struct decision *d)
{
    const struct briefing_endpoint *e = target(d);
    if (!e || !e->connected)
        return;
    if (d->b->screen == e->number)
        emit(d, EVENT_SCREEN_SHOWN, 0);
    emit(d, EVENT_LEFT, e->number);
}

static void decide_remove(struct decision *d)
{
    const struct briefing_endpoint *e = target(d);
    if (!e)
        return;
    if (e->role == ROLE_CHAIR)
        return refuse(d, "chair-stays");
    if (e == d->self)
        return refuse(d, "bad-params");
    give_up(d, e);
    emit(d, EVENT_REMOVED, e->number)->by = d->c->by;
}

/* ---- microphones and screens ---- */

static bool may_open_microphone(const struct decision *d)
{
    return !d->b->locked || d->b->floor == d->self->number || conducts(d->role);
}

static bool may_share(const struct decision *d)
{
    return d->b->floor == d->self->number || conducts(d->role);
}

static void decide_media(struct decision *d)
{
    const struct briefing_command *c = d->c;
    const struct briefing_endpoint *e = d->self;
    if (d->role == ROLE_OBSERVER && (c->microphone || c->camera || c->screen))
        return refuse(d, "observer");
    if (c->microphone && !e->microphone && !may_open_microphone(d))
        return refuse(d, "microphones-locked");
    if (c->screen && !e->screen && !may_share(d))
        return refuse(d, "not-holder");
    if (c->microphone == e->microphone && c->camera == e->camera && c->screen == e->screen)
        return;
    const struct briefing_endpoint *shown = briefing_member(d->b, d->b->screen);
    if (c->screen && !e->screen && shown)
        emit_media(d, shown, shown->microphone, shown->camera, false);
    emit_media(d, e, c->microphone, c->camera, c->screen);
    if (c->screen != e->screen)
        emit(d, EVENT_SCREEN_SHOWN, c->screen ? e->number : 0);
}

static void decide_mute(struct decision *d)
{
    const struct briefing_endpoint *e = target(d);
    if (e && e->microphone)
        emit(d, EVENT_MUTED, e->number)->by = d->c->by;
}

static void decide_mute_all(struct decision *d)
{
    uint32_t except[BRIEFING_EXCEPT_MAX];
    size_t n = 0, open = 0;
    for (size_t i = 0; i < d->b->n; i++) {
        const struct briefing_endpoint *e = &d->b->endpoints[i];
        bool spared = e->number == d->b->floor || (e->connected && e->role == ROLE_CHAIR);
        if (spared && n < BRIEFING_EXCEPT_MAX)
            except[n++] = e->number;
        else
            open += e->microphone;
    }
    if (!open)
        return;
    struct briefing_event *event = emit(d, EVENT_ALL_MUTED, 0);
    memcpy(event->except, except, n * sizeof(except[0]));
    event->n_except = n;
}

static void decide_lock(struct decision *d)
{
    if (d->b->locked != d->c->on)
        emit(d, EVENT_MICROPHONES_LOCKED, 0)->on = d->c->on;
}

/* ---- hands, floor, spotlight ---- */

/* Hands: the acting endpoint's own when the command names none. */
static const struct briefing_endpoint *hand_of(struct decision *d)
{
    if (d->c->endpoint)
        return target(d);
    if (!d->self)
        refuse(d, "bad-params");
    return d->self;
}

static void decide_raise(struct decision *d)
{
    const struct briefing_endpoint *e = hand_of(d);
    if (!e || e->hand_seq || d->b->floor == e->number)
        return;
    if (!e->connected)
        return refuse(d, "not-connected");
    if (e->role == ROLE_OBSERVER)
        return refuse(d, "observer");
    emit(d, EVENT_HAND_RAISED, e->number);
}

static void decide_lower(struct decision *d)
{
    const struct briefing_endpoint *e = hand_of(d);
    if (e && e->hand_seq)
        emit(d, EVENT_HAND_LOWERED, e->number);
}

/* Who had the floor falls silent and its screen goes; the chair, who conducts, keeps both, a secretary its screen. */
static void close_holder(struct decision *d)
{
    const struct briefing_endpoint *e = briefing_member(d->b, d->b->floor);
    if (!e || e->role == ROLE_CHAIR)
        return;
    bool screen = e->screen && conducts(e->role);
    if (e->microphone || e->screen != screen)
        emit_media(d, e, false, e->camera, screen);
    if (e->screen && !screen)
        emit(d, EVENT_SCREEN_SHOWN, 0);
}

static void decide_grant(struct decision *d)
{
    const struct briefing_endpoint *e = target(d);
    if (!e)
        return;
    if (!e->connected)
        return refuse(d, "not-connected");
    if (e->role == ROLE_OBSERVER)
        return refuse(d, "observer");
    if (d->b->floor != e->number) {
        close_holder(d);
        if (d->b->spotlight)
            emit(d, EVENT_SPOTLIGHTED, 0);
        if (e->hand_seq)
            emit(d, EVENT_HAND_LOWERED, e->number);
        emit(d, EVENT_FLOOR_GRANTED, e->number);
    }
    if (!e->microphone)
        emit_media(d, e, true, e->camera, e->screen);
}

static void decide_revoke(struct decision *d)
{
    if (!d->b->floor)
        return;
    close_holder(d);
    emit(d, EVENT_FLOOR_REVOKED, d->b->floor);
}

static void decide_spotlight(struct decision *d)
{
    if (d->c->endpoint) {
        const struct briefing_endpoint *e = target(d);
        if (!e)
            return;
        if (!e->connected)
            return refuse(d, "not-connected");
    }
    if (d->b->spotlight != d->c->endpoint)
        emit(d, EVENT_SPOTLIGHTED, d->c->endpoint);
}

/* ---- the command ---- */

static void (*const deciders[COMMAND_KINDS])(struct decision *d) = {
    [COMMAND_SCHEDULE] = decide_schedule,   [COMMAND_OPEN] = decide_open,
    [COMMAND_CLOSE] = decide_close,         [COMMAND_JOIN] = decide_join,
    [COMMAND_LOST] = decide_lost,           [COMMAND_LEAVE] = decide_leave,
    [COMMAND_MEDIA] = decide_media,         [COMMAND_RAISE_HAND] = decide_raise,
    [COMMAND_LOWER_HAND] = decide_lower,    [COMMAND_GRANT] = decide_grant,
    [COMMAND_REVOKE] = decide_revoke,       [COMMAND_MUTE] = decide_mute,
    [COMMAND_MUTE_ALL] = decide_mute_all,   [COMMAND_LOCK_MICROPHONES] = decide_lock,
    [COMMAND_SPOTLIGHT] = decide_spotlight, [COMMAND_REMOVE] = decide_remove,
    [COMMAND_RECORD] = decide_record,
};

/* Is the command about the acting endpoint itself? */
static bool about_itself(const struct decision *d)
{
    const struct briefing_command *c = d->c;
    switch (c->kind) {
    case COMMAND_LEAVE:
    case COMMAND_MEDIA: return true;
    case COMMAND_RAISE_HAND:
    case COMMAND_LOWER_HAND: return c->by && (!c->endpoint || c->endpoint == c->by);
    case COMMAND_REVOKE: return c->by && c->by == d->b->floor;
    default: return false;
    }
}

/* Who acts; false with a refusal when nobody does. */
static bool find_actor(struct decision *d)
{
    const struct briefing_command *c = d->c;
    d->role = c->role;
    if (c->kind == COMMAND_JOIN || c->kind == COMMAND_LOST)
        d->role = ROLE_ADMINISTRATOR; /* control's own commands: the seat's right is asked by entry() */
    else if (c->by) {
        d->self = briefing_member(d->b, c->by);
        if (!d->self || !d->self->connected)
            refuse(d, "not-joined");
        else
            d->role = d->self->role;
    } else if (c->kind == COMMAND_LEAVE || c->kind == COMMAND_MEDIA) {
        refuse(d, "bad-params");
    }
    return !d->refusal;
}

const struct refusal *briefing_command(const struct briefing *b, const struct briefing_command *c,
                                       struct briefing_events *events)
{
    struct decision d = {.b = b, .c = c, .events = events, .first = events->n};
    if ((unsigned)c->kind >= COMMAND_KINDS)
        return refusal_find("unknown-method");
    if (!b->schedule && c->kind != COMMAND_SCHEDULE)
        return refusal_find("unknown-briefing");
    if (b->phase == BRIEFING_CLOSED && (c->kind == COMMAND_LOST || c->kind == COMMAND_LEAVE))
        return NULL;
    if (b->phase == BRIEFING_CLOSED && c->kind != COMMAND_SCHEDULE)
        return refusal_find("already-closed");
    if (find_actor(&d)) {
        d.refusal = briefing_right(c->kind, d.role, about_itself(&d), b->phase);
        if (!d.refusal)
            deciders[c->kind](&d);
    }
    while (d.refusal && events->n > d.first)
        briefing_event_clear(&events->items[--events->n]);
    return d.refusal;
}

bool briefing_command_restricts(enum briefing_command_kind kind)
{
    return kind == COMMAND_MUTE || kind == COMMAND_MUTE_ALL || kind == COMMAND_REMOVE || kind == COMMAND_REVOKE;
}
