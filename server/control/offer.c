/* Offers: a place for the endpoint, the worker's answer back to its socket.
 *
 * A worker has at most OFFERS_IN_HAND at a time, so that 200 at once neither fill its link nor are all blamed for its death;
 * the others wait here in the order they came. A place is chosen when the offer leaves. */
#include "control/control.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "control/slots.h"

#include <stdlib.h>
#include <string.h>

struct offer {
    struct offer *next;
    struct meeting *meeting;
    uint32_t number, incarnation;
    unsigned worker;
    int64_t req, due_us;
    bool in_hand; /* sent to `worker` */
    json_t *sdp;
    struct ws_peer *peer;
    int64_t id;
    uint8_t former_worker; /* what holds again if this one is refused */
    uint32_t former_incarnation;
};

/* ---- placement ---- */

/* `may` is worker_stays(), or worker_lives() when no other is left. */
static uint8_t least_loaded(const struct control *c, bool (*may)(const struct control *, unsigned))
{
    uint8_t best = WISH_UNPLACED;
    for (unsigned w = 0; w < WORKERS_MAX; w++)
        if (may(c, w) && (best == WISH_UNPLACED || worker_load(c, w) < worker_load(c, best)))
            best = (uint8_t)w;
    return best;
}

static uint8_t next_in_turn(struct meeting *m)
{
    for (unsigned i = 0; i < WORKERS_MAX; i++) {
        unsigned w = m->turn++ % WORKERS_MAX;
        if (worker_stays(m->control, w))
            return (uint8_t)w;
    }
    return least_loaded(m->control, worker_lives);
}

uint8_t placement_choose(struct meeting *m, uint32_t number)
{
    struct control *c = m->control;
    uint8_t now = m->seats[number].worker;
    if (now != WISH_UNPLACED && worker_stays(c, now))
        return now;
    if (c->config.placement == PLACEMENT_SPREAD)
        return next_in_turn(m);
    if (m->home == WISH_UNPLACED || !worker_stays(c, m->home)) {
        uint8_t home = least_loaded(c, worker_stays);
        m->home = home != WISH_UNPLACED ? home : least_loaded(c, worker_lives);
    }
    return m->home;
}

static void place(struct meeting *m, uint32_t number, uint8_t worker, uint32_t incarnation)
{
    struct seat *seat = &m->seats[number];
    bool same = seat->worker == worker && seat->incarnation == incarnation;
    seat->connected = seat->connected && same;
    if (!same) { /* a new connection sends everything until it is told */
        json_decref(seat->send);
        seat->send = NULL;
    }
    seat->worker = worker;
    seat->incarnation = incarnation;
    briefing_set_placement(m->settled, number, worker, incarnation);
    m->dirty = true;
}

void seat_unplace(struct meeting *m, uint32_t number)
{
    struct seat *seat = &m->seats[number];
    seat->connected = false;
    json_decref(seat->slots);
    json_decref(seat->send);
    seat->slots = seat->send = NULL;
    seat->paused = 0;
    if (seat->worker != WISH_UNPLACED)
        place(m, number, WISH_UNPLACED, seat->incarnation);
}

/* ---- sending, in order ---- */

static void offer_free(struct offer *o)
{
    json_decref(o->sdp);
    free(o);
}

static void send_offer(struct control *c, struct offer *o, uint8_t worker)
{
    struct meeting *m = o->meeting;
    const struct seat *seat = &m->seats[o->number];
    o->in_hand = true;
    o->worker = worker;
    o->req = c->next_req++;
    o->due_us = clock_now_us() + OFFER_US;
    o->former_worker = seat->worker;
    o->former_incarnation = seat->incarnation;
    place(m, o->number, worker, o->incarnation);
    meeting_flush(m); /* the worker must know the endpoint first */
    worker_send(c, worker,
                json_pack("{s:s, s:I, s:s, s:I, s:I, s:O}", "m", "offer", "req", (json_int_t)o->req, "briefing",
                          briefing_id(m->settled), "endpoint", (json_int_t)o->number, "incarnation",
                          (json_int_t)o->incarnation, "sdp", o->sdp),
                NULL, 0);
    json_decref(o->sdp);
    o->sdp = NULL;
}

/* Nobody waits for its answer any more, or what it was for is over. */
static bool is_void(const struct offer *o)
{
    return !o->peer || briefing_phase(o->meeting->settled) == BRIEFING_CLOSED;
}

/* While no worker lives they wait: it is being started. */
static void send_waiting(struct control *c)
{
    unsigned in_hand[WORKERS_MAX] = {0};
    if (wishes_held(c)) /* the wish goes ahead of the offer */
        return;
    for (const struct offer *o = c->offers_open; o; o = o->next)
        in_hand[o->worker] += o->in_hand;
    for (struct offer **at = &c->offers_open; *at;) {
        struct offer *o = *at;
        if (!o->in_hand && is_void(o)) {
            *at = o->next;
            c->offers_refused++;
            if (o->peer)
                signaling_refuse(o->peer, o->id, refusal_find("already-closed"));
            offer_free(o);
            continue;
        }
        uint8_t worker = o->in_hand ? WISH_UNPLACED : placement_choose(o->meeting, o->number);
        if (worker != WISH_UNPLACED && in_hand[worker] < OFFERS_IN_HAND) {
            send_offer(c, o, worker);
            in_hand[worker]++;
        }
        at = &o->next;
    }
}

unsigned offers_waiting(const struct control *c)
{
    unsigned n = 0;
    for (const struct offer *o = c->offers_open; o; o = o->next)
        n += !o->in_hand;
    return n;
}

/* ---- requests ---- */

static void append(struct control *c, struct offer *o)
{
    struct offer **end = &c->offers_open;
    while (*end)
        end = &(*end)->next;
    *end = o;
}

/* An endpoint that offers again does not wait for its former offer. */
static void supersede(struct meeting *m, uint32_t number)
{
    for (struct offer **at = &m->control->offers_open; *at;) {
        struct offer *o = *at;
        if (o->in_hand || o->meeting != m || o->number != number) {
            at = &o->next;
            continue;
        }
        *at = o->next;
        m->control->offers_refused++;
        if (o->peer)
            signaling_refuse(o->peer, o->id, refusal_find("old-incarnation"));
        offer_free(o);
    }
}

void offer_request(struct meeting *m, uint32_t number, struct ws_peer *peer, int64_t id, const json_t *params)
{
    struct control *c = m->control;
    const struct seat *seat = &m->seats[number];
    uint32_t incarnation = (uint32_t)json_integer_value(json_object_get(params, "incarnation"));
    const char *code = NULL;
    struct offer *o = NULL;
    c->offers++;
    if (briefing_phase(m->settled) == BRIEFING_CLOSED)
        code = "already-closed";
    else if (incarnation < seat->incarnation)
        code = "old-incarnation";
    else if (clock_now_us() < seat->quarantined_until_us)
        code = "quarantined";
    else if (!(o = calloc(1, sizeof *o)))
        code = "internal";
    if (code) {
        c->offers_refused++;
        signaling_refuse(peer, id, refusal_find(code));
        return;
    }
    supersede(m, number);
    *o = (struct offer){.meeting = m,
                        .number = number,
                        .incarnation = incarnation,
                        .due_us = clock_now_us() + OFFER_WAIT_US,
                        .peer = peer,
                        .id = id,
                        .sdp = json_incref(json_object_get(params, "sdp"))};
    append(c, o);
    send_waiting(c);
    for (const struct offer *w = c->offers_open; w; w = w->next)
        c->offers_waited += w == o && !w->in_hand; /* it may be gone already: refused */
}

static uint16_t pixels(const json_t *o, const char *key)
{
    return (uint16_t)json_integer_value(json_object_get(o, key));
}

static struct wish_size size_of(const json_t *o)
{
    return (struct wish_size){.width = pixels(o, "width"), .height = pixels(o, "height")};
}

void offer_layout(struct meeting *m, uint32_t number, struct ws_peer *peer, int64_t id, const json_t *params)
{
    struct briefing_layout layout = {.stage = size_of(json_object_get(params, "stage")),
                                     .screen = size_of(json_object_get(params, "screen"))};
    const json_t *tile;
    size_t i;
    json_array_foreach(json_object_get(params, "tiles"), i, tile) {
        if (i >= WISH_TILES_MAX)
            break;
        layout.tiles[layout.n_tiles++] = (struct wish_tile){
            .endpoint = (uint32_t)json_integer_value(json_object_get(tile, "endpoint")), .size = size_of(tile)};
    }
    if (briefing_set_layout(m->settled, number, &layout)) {
        signaling_refuse(peer, id, refusal_find("not-joined"));
        return;
    }
    m->seats[number].layout_known = true;
    m->dirty = true;
    signaling_reply(peer, id, json_object());
}

/* ---- answers ---- */

static struct offer *take_offer(struct control *c, int64_t req, unsigned worker)
{
    for (struct offer **at = &c->offers_open; *at; at = &(*at)->next) {
        struct offer *o = *at;
        if (o->req == req && o->worker == worker) {
            *at = o->next;
            return o;
        }
    }
    return NULL;
}

/* The endpoint keeps what it had, if it had something. */
static void refuse(struct offer *o, const char *code)
{
    struct meeting *m = o->meeting;
    struct seat *seat = &m->seats[o->number];
    m->control->offers_refused++;
    if (o->in_hand && seat->incarnation == o->incarnation && seat->worker == o->worker)
        place(m, o->number, o->former_worker, o->former_incarnation);
    if (o->peer)
        signaling_refuse(o->peer, o->id, refusal_find(code));
}

/* The worker's reasons are finer than what a person can act on: the log has them, people get the nearest refusal. */
static const char *refusal_for_people(const char *code)
{
    bool known = code && strcmp(refusal_find(code)->code, code) == 0;
    return !code ? "internal" : known ? code : "bad-sdp";
}

void offer_answered(struct control *c, unsigned worker, const json_t *message)
{
    struct offer *o = take_offer(c, json_integer_value(json_object_get(message, "req")), worker);
    const char *sdp = json_string_value(json_object_get(message, "sdp"));
    if (!o)
        return;
    if (!sdp) {
        const char *code = json_string_value(json_object_get(message, "code"));
        const char *why = json_string_value(json_object_get(message, "why"));
        log_info("offer", "briefing=%s endpoint=%u refused code=%s why=\"%s\"", briefing_id(o->meeting->settled), o->number,
                 code ? code : "", why ? why : "");
        refuse(o, refusal_for_people(code));
    } else if (o->peer) {
        signaling_reply(o->peer, o->id, json_pack("{s:s, s:o}", "sdp", sdp, "slots", answer_slots(sdp)));
    }
    offer_free(o);
    send_waiting(c);
}

void offer_forget_peer(struct control *c, const struct ws_peer *peer)
{
    for (struct offer *o = c->offers_open; o; o = o->next)
        if (o->peer == peer)
            o->peer = NULL;
}

static void refuse_where(struct control *c, bool (*match)(const struct offer *, int64_t), int64_t value, const char *code)
{
    for (struct offer **at = &c->offers_open; *at;) {
        struct offer *o = *at;
        if (!match(o, value)) {
            at = &o->next;
            continue;
        }
        *at = o->next;
        refuse(o, code);
        offer_free(o);
    }
}

static bool on_worker(const struct offer *o, int64_t worker)
{
    return o->in_hand && o->worker == worker;
}

static bool overdue(const struct offer *o, int64_t now_us)
{
    return o->in_hand && o->due_us < now_us;
}

static bool waited_long(const struct offer *o, int64_t now_us)
{
    return !o->in_hand && o->due_us < now_us;
}

/* One crafted offer must not kill worker after worker. */
static void count_crash(struct offer *o, int64_t now_us)
{
    struct seat *seat = &o->meeting->seats[o->number];
    if (now_us - seat->crash_us > CRASH_WINDOW_US)
        seat->crashes = 0;
    if (seat->crashes++ == 0)
        seat->crash_us = now_us;
    if (seat->crashes < CRASHES_MAX)
        return;
    seat->crashes = 0;
    seat->quarantined_until_us = now_us + (int64_t)o->meeting->control->config.quarantine_seconds * 1000000;
    log_error("offer", "briefing=%s endpoint=%u quarantined: %d workers died on its offers",
              briefing_id(o->meeting->settled), o->number, CRASHES_MAX);
}

bool offers_pending(const struct control *c, const struct meeting *m)
{
    for (const struct offer *o = c->offers_open; o; o = o->next)
        if (o->meeting == m)
            return true;
    return false;
}

bool offers_pending_at(const struct control *c, unsigned worker)
{
    for (const struct offer *o = c->offers_open; o; o = o->next)
        if (o->in_hand && o->worker == worker)
            return true;
    return false;
}

void offers_of_worker_gone(struct control *c, unsigned worker)
{
    for (struct offer *o = c->offers_open; o; o = o->next)
        if (o->in_hand && o->worker == worker)
            count_crash(o, clock_now_us());
    refuse_where(c, on_worker, worker, "no-worker");
}

void offers_tick(struct control *c, int64_t now_us)
{
    refuse_where(c, overdue, now_us, "busy");
    refuse_where(c, waited_long, now_us, "no-worker");
    send_waiting(c);
}
