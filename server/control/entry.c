/* Coming in, coming back, being away: which socket speaks for which endpoint. */
#include "control/control.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "control/turn.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* ---- hello's answer ---- */

static json_t *events_since(const struct meeting *m, enum role role, uint64_t last)
{
    const struct briefing_events *l = &m->recent;
    uint64_t first = l->n ? l->items[0].seq : 1, prev = last;
    if (last + 1 < first || last > briefing_seq(m->settled))
        return NULL;
    json_t *events = json_array();
    for (size_t i = 0; i < l->n; i++) {
        if (l->items[i].seq <= last || !briefing_event_visible(l->items[i].kind, role))
            continue;
        json_array_append_new(events, briefing_event_message(&l->items[i], prev));
        prev = l->items[i].seq;
    }
    if (json_array_size(events) <= RECENT_MAX)
        return events;
    json_decref(events);
    return NULL;
}

static json_t *welcome(struct meeting *m, const struct briefing_endpoint *e, struct ws_peer *peer, const char *secret,
                       uint64_t last)
{
    const struct control *c = m->control;
    int64_t now_ms = meeting_now_ms(m);
    json_t *events = last ? events_since(m, e->role, last) : NULL;
    json_t *ice = turn_servers(&c->config, c->turn_secret, e->id, now_ms / 1000);
    bool has_turn = json_array_size(ice) > 0;
    json_t *result = json_pack("{s:I, s:s, s:I, s:s, s:s, s:o, s:I, s:b, s:o, s:{s:I, s:o, s:s}}", "server_ms",
                               (json_int_t)now_ms, "endpoint", e->id, "number", (json_int_t)e->number, "secret", secret,
                               "role", role_name(e->role), "unit", e->unit.id[0] ? json_string(e->unit.id) : json_null(),
                               "last", (json_int_t)briefing_last_visible(m->settled, e->role), "hears", e->hears, "note",
                               e->hears ? json_null() : json_string("second-endpoint"), "media", "max_bitrate_bps",
                               (json_int_t)c->config.endpoint_bps, "ice_servers", ice, "address", ws_peer_address(peer));
    if (has_turn)
        json_object_set_new(json_object_get(result, "media"), "ice_lifetime_s", json_integer(c->config.turn_lifetime_s));
    if (events)
        json_object_set_new(result, "events", events);
    else
        json_object_set_new(result, "state", briefing_state(m->settled, e->role));
    return result;
}

/* What it would have been told had it been there. */
static void catch_up(struct meeting *m, uint32_t number)
{
    struct seat *seat = &m->seats[number];
    if (seat->slots)
        peer_notice(seat->peer, "slots", json_pack("{s:O}", "slots", seat->slots));
    if (seat->send)
        peer_notice(seat->peer, "send", json_incref(seat->send));
    if (seat->incarnation && seat->worker == WISH_UNPLACED) /* its worker died while it was away */
        peer_notice(seat->peer, "rejoin", json_pack("{s:s}", "reason", "worker-gone"));
}

static void attach(struct meeting *m, uint32_t number, struct ws_peer *peer)
{
    struct seat *seat = &m->seats[number];
    struct visitor *v = ws_peer_user(peer);
    struct ws_peer *former = seat->peer;
    seat->peer = peer;
    seat->absent_us = 0;
    v->meeting = m;
    v->number = number;
    v->entering = false;
    seat_find_site(m, number);
    if (former && former != peer)
        entry_dismiss(m->control, former, "taken-over");
}

void entry_dismiss(struct control *c, struct ws_peer *peer, const char *notice)
{
    struct visitor *v = ws_peer_user(peer);
    if (v)
        v->meeting = NULL; /* its closing is nobody's absence */
    meeting_forget_peer(c, peer);
    offer_forget_peer(c, peer);
    checks_forget_peer(c, peer);
    peer_notice(peer, notice, NULL);
    signaling_close(peer, notice);
}

/* ---- hello ---- */

static void make_secret(char secret[2 * SECRET_BYTES + 1], uint8_t hash[STORE_HASH_BYTES])
{
    uint8_t bytes[SECRET_BYTES];
    randombytes_buf(bytes, sizeof bytes);
    sodium_bin2hex(secret, 2 * SECRET_BYTES + 1, bytes, sizeof bytes);
    crypto_hash_sha256(hash, (const uint8_t *)secret, strlen(secret));
}

static bool secret_is_right(struct control *c, const char *briefing, const char *endpoint, const char *secret)
{
    uint8_t stored[STORE_HASH_BYTES], hash[STORE_HASH_BYTES];
    if (store_secret_get(c->store, briefing, endpoint, stored))
        return false;
    crypto_hash_sha256(hash, (const uint8_t *)secret, strlen(secret));
    return sodium_memcmp(stored, hash, sizeof hash) == 0;
}

static void fill_unit(struct control *c, const struct meeting *m, const char *id, struct briefing_unit *ret)
{
    const struct briefing_schedule *s = briefing_schedule_of(m->settled);
    for (size_t i = 0; s && i < s->n_units; i++) {
        if (strcmp(s->units[i].id, id) == 0) {
            *ret = s->units[i];
            return;
        }
    }
    const struct store_unit *u = store_unit_find(c->store, id);
    snprintf(ret->id, sizeof ret->id, "%s", id);
    snprintf(ret->name, sizeof ret->name, "%s", u ? u->name : id);
    snprintf(ret->short_name, sizeof ret->short_name, "%s", u ? u->short_name : id);
}

/* An administrator without a unit sits with the first one invited. */
static const char *unit_of(struct control *c, const struct meeting *m, const struct identity *who)
{
    const struct briefing_schedule *s = briefing_schedule_of(m->settled);
    return who->unit[0] ? who->unit : s && s->n_units ? s->units[0].id : "";
}

static void fill_seat(struct control *c, const struct meeting *m, const struct identity *who, const char *kind,
                      const char *id, struct briefing_seat *ret)
{
    *ret = (struct briefing_seat){.role = who->role, .kind = ENDPOINT_DESK};
    fill_unit(c, m, unit_of(c, m, who), &ret->unit);
    snprintf(ret->name, sizeof ret->name, "%s", who->name);
    snprintf(ret->key, sizeof ret->key, "%s:%s", who->login[0] ? "login" : "link", who->login[0] ? who->login : who->link);
    endpoint_kind_parse(kind, &ret->kind); /* the schema has checked it */
    if (id)
        snprintf(ret->id, sizeof ret->id, "%s", id);
    else
        new_id("e", ret->id, sizeof ret->id);
}

/* Endpoints are counted over the briefing's whole life, for their numbers are: one link handed round must not use them up,
 * nor keep the chair out. */
static const struct refusal *room_for(struct meeting *m, const struct briefing_seat *seat)
{
    size_t n, same_unit = 0;
    const struct briefing_endpoint *all = briefing_endpoints(m->ahead, &n);
    for (size_t i = 0; i < n && !role_is_staff(seat->role); i++)
        same_unit += strcmp(all[i].unit.id, seat->unit.id) == 0;
    bool full = n >= m->control->config.endpoints_briefing, unit_full = same_unit >= m->control->config.endpoints_unit;
    m->control->joins_full += full || unit_full;
    return full ? refusal_find("briefing-full") : unit_full ? refusal_find("unit-full") : NULL;
}

static void join(struct meeting *m, struct ws_peer *peer, int64_t id, const char *kind, const char *endpoint,
                 const char *secret)
{
    struct control *c = m->control;
    struct visitor *v = ws_peer_user(peer);
    struct briefing_seat seat;
    struct commit asker = {.peer = peer, .id = id, .has_joined = true};
    uint8_t hash[STORE_HASH_BYTES];
    fill_seat(c, m, ws_peer_identity(peer), kind, endpoint, &seat);
    if (secret)
        snprintf(asker.secret, sizeof asker.secret, "%s", secret);
    else
        make_secret(asker.secret, hash);
    struct briefing_command command = {.kind = COMMAND_JOIN, .role = seat.role, .seat = &seat};
    const struct refusal *why = endpoint ? NULL : room_for(m, &seat);
    v->entering = true;
    c->joins++;
    if (!why)
        why = meeting_command(m, &command, &asker);
    if (why) {
        v->entering = false;
        signaling_refuse(peer, id, why);
    } else if (!secret) { /* once it is decided, and still in the same commit as `joined` */
        store_secret_put(c->store, briefing_id(m->settled), seat.id, hash, NULL, NULL);
    }
}

void entry_joined(struct commit *commit, int err)
{
    struct meeting *m = commit->meeting;
    uint32_t number = 0;
    for (size_t i = 0; i < commit->events.n; i++)
        if (commit->events.items[i].kind == EVENT_JOINED)
            number = commit->events.items[i].number;
    if (!commit->peer) { /* gone before it was in: like any other who loses the line */
        if (!err && number && !m->seats[number].peer)
            m->seats[number].absent_us = clock_now_us();
        return;
    }
    struct visitor *v = ws_peer_user(commit->peer);
    v->entering = false;
    const struct briefing_endpoint *e = err ? NULL : briefing_endpoint(m->settled, number);
    if (!e) {
        signaling_refuse(commit->peer, commit->id,
                         refusal_find(store_disk_full(m->control->store) ? "disk-full" : "not-saved"));
        return;
    }
    attach(m, number, commit->peer);
    signaling_reply(commit->peer, commit->id, welcome(m, e, commit->peer, commit->secret, 0));
    catch_up(m, number); /* one that had left has lost its place */
    log_info("entry", "briefing=%s endpoint=%u unit=%s role=%s joined from=%s site=%s", briefing_id(m->settled), number,
             e->unit.id, role_name(e->role), ws_peer_address(commit->peer), site_name(m, number));
}

/* The endpoint that `resume` speaks of, if its secret is right and it may still be here. */
static const struct briefing_endpoint *resumed(struct meeting *m, const json_t *resume, const char **ret_secret)
{
    const char *endpoint = json_string_value(json_object_get(resume, "endpoint"));
    const char *secret = json_string_value(json_object_get(resume, "secret"));
    if (!endpoint || !secret || strlen(secret) != 2 * SECRET_BYTES)
        return NULL;
    const struct briefing_endpoint *e = briefing_endpoint_by_id(m->settled, endpoint);
    if (!e || e->removed || !secret_is_right(m->control, briefing_id(m->settled), endpoint, secret))
        return NULL;
    *ret_secret = secret;
    return e;
}

static void come_back(struct meeting *m, const struct briefing_endpoint *e, struct ws_peer *peer, int64_t id, uint64_t last,
                      const char *secret)
{
    attach(m, e->number, peer);
    signaling_reply(peer, id, welcome(m, e, peer, secret, last));
    catch_up(m, e->number);
}

static void enter(struct control *c, struct meeting *m, struct ws_peer *peer, int64_t id, const json_t *params,
                  bool admitted)
{
    struct visitor *v = ws_peer_user(peer);
    const json_t *resume = json_object_get(params, "resume");
    const char *kind = json_string_value(json_object_get(params, "kind")), *secret = NULL;
    /* A forgotten or foreign secret is no reason to stay out: it joins as a new endpoint. */
    const struct briefing_endpoint *e = json_is_object(resume) ? resumed(m, resume, &secret) : NULL;
    const struct briefing_endpoint *ahead = e ? briefing_endpoint(m->ahead, e->number) : NULL;
    uint64_t last = (uint64_t)json_integer_value(json_object_get(resume, "last"));
    if (e && e->connected && ahead && ahead->connected)
        come_back(m, e, peer, id, last, secret);
    else if (ahead && ahead->connected) /* another socket of it is coming in at this moment */
        signaling_refuse(peer, id, refusal_find("busy"));
    else if (admitted || admission_take(c, clock_now_us()))
        join(m, peer, id, kind, e ? e->id : NULL, secret);
    else if (admission_wait(c, peer, id, params) == 0)
        v->entering = true;
    else
        signaling_refuse(peer, id, refusal_find("internal"));
}

/* Again from the beginning when it has waited: much may have changed. */
static void hello(struct control *c, struct ws_peer *peer, int64_t id, const json_t *params, bool admitted)
{
    const struct visitor *v = ws_peer_user(peer);
    const char *briefing = json_string_value(json_object_get(params, "briefing"));
    struct meeting *m = meeting_find(c, briefing);
    if (!m) {
        bool over = store_briefing_find(c->store, briefing);
        signaling_refuse(peer, id, refusal_find(over ? "already-closed" : "unknown-briefing"));
        return;
    }
    const struct refusal *why = v->entering ? refusal_find("busy") : briefing_may_enter(m->settled, ws_peer_identity(peer));
    if (!why && briefing_phase(m->ahead) == BRIEFING_CLOSED)
        why = refusal_find("already-closed");
    if (why)
        signaling_refuse(peer, id, why);
    else
        enter(c, m, peer, id, params, admitted);
}

void entry_hello(struct control *c, struct ws_peer *peer, int64_t id, const json_t *params)
{
    struct visitor *v = ws_peer_user(peer);
    if (!v && !(v = calloc(1, sizeof *v))) {
        signaling_refuse(peer, id, refusal_find("internal"));
        return;
    }
    ws_peer_set_user(peer, v);
    hello(c, peer, id, params, false);
}

void entry_admitted(struct control *c, struct ws_peer *peer, int64_t id, const json_t *params)
{
    struct visitor *v = ws_peer_user(peer);
    v->entering = false;
    hello(c, peer, id, params, true);
}

/* ---- absence ---- */

void entry_closed(struct control *c, struct ws_peer *peer)
{
    struct visitor *v = ws_peer_user(peer);
    meeting_forget_peer(c, peer);
    offer_forget_peer(c, peer);
    admission_forget_peer(c, peer);
    checks_forget_peer(c, peer);
    if (!v)
        return;
    struct seat *seat = v->meeting ? &v->meeting->seats[v->number] : NULL;
    if (seat && seat->peer == peer) {
        seat->peer = NULL;
        seat->absent_us = clock_now_us();
    }
    ws_peer_set_user(peer, NULL);
    free(v);
}

/* Connected before our restart, and on no worker now: its worker died while we were away. */
static void call_back(struct control *c, struct seat *seat)
{
    if (!seat->peer && seat->worker == WISH_UNPLACED)
        return;
    if (seat->worker != WISH_UNPLACED) {
        seat->expected = false;
    } else if (workers_known(c)) {
        seat->expected = false;
        peer_notice(seat->peer, "rejoin", json_pack("{s:s}", "reason", "worker-gone"));
    }
}

void entries_tick(struct control *c, int64_t now_us)
{
    for (struct meeting *m = c->meetings; m; m = m->next) {
        for (uint32_t n = 1; n < SEATS_MAX; n++) {
            struct seat *seat = &m->seats[n];
            if (seat->expected)
                call_back(c, seat);
            if (!seat->absent_us || now_us - seat->absent_us < ABSENCE_US)
                continue;
            struct briefing_command lost = {.kind = COMMAND_LOST, .role = ROLE_ADMINISTRATOR, .endpoint = n};
            seat->absent_us = 0;
            const struct refusal *why = meeting_command(m, &lost, NULL);
            if (why && strcmp(why->code, "not-saved") == 0)
                seat->absent_us = now_us; /* again in 15 s */
        }
    }
}
