#include "control/control.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void new_id(const char *prefix, char *ret, size_t cap)
{
    uint8_t bytes[8];
    if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes) /* never short for 8 bytes once the pool is ready */
        abort();
    int n = snprintf(ret, cap, "%s", prefix);
    for (size_t i = 0; i < sizeof bytes; i++)
        n += snprintf(ret + n, cap - (size_t)n, "%02x", bytes[i]);
}

bool role_is_staff(enum role role)
{
    return role >= ROLE_TECHNICIAN;
}

/* ---- table ---- */

struct meeting *meeting_find(struct control *c, const char *id)
{
    for (struct meeting *m = c->meetings; m; m = m->next)
        if (strcmp(briefing_id(m->settled), id) == 0)
            return m;
    return NULL;
}

static void meeting_free(struct meeting *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < SEATS_MAX; i++) {
        json_decref(m->seats[i].slots);
        json_decref(m->seats[i].send);
    }
    briefing_events_free(&m->recent);
    wish_briefing_free(&m->wish);
    briefing_free(m->ahead);
    briefing_free(m->settled);
    free(m);
}

struct meeting *meeting_new(struct control *c)
{
    struct meeting *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    m->control = c;
    m->home = WISH_UNPLACED;
    for (size_t i = 0; i < SEATS_MAX; i++)
        m->seats[i].worker = WISH_UNPLACED;
    m->ahead = briefing_new();
    m->settled = briefing_new();
    if (!m->ahead || !m->settled) {
        meeting_free(m);
        return NULL;
    }
    m->next = c->meetings;
    c->meetings = m;
    return m;
}

void meeting_remove(struct meeting *m)
{
    for (struct meeting **at = &m->control->meetings; *at; at = &(*at)->next) {
        if (*at == m) {
            *at = m->next;
            break;
        }
    }
    meeting_free(m);
}

int64_t meeting_now_ms(const struct meeting *m)
{
    return m && m->clock.set ? (clock_now_us() + m->clock.offset_us) / 1000 : clock_wall_us() / 1000;
}

/* ---- replay ---- */

/* What a returning client may be told again. The list keeps RECENT_MAX to twice as many. */
static int remember(struct meeting *m, const struct briefing_event *e)
{
    struct briefing_events *l = &m->recent;
    if (e->kind == EVENT_RECORDING && e->on && !m->recorded_from_us)
        m->recorded_from_us = e->at_us;
    if (e->kind == EVENT_RECORDING && !e->on)
        m->recorded_to_us = e->at_us;
    if (l->n == 2 * RECENT_MAX) {
        memmove(l->items, l->items + RECENT_MAX, RECENT_MAX * sizeof *l->items); /* none of them owns anything: see below */
        l->n = RECENT_MAX;
    }
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 16;
        struct briefing_event *items = realloc(l->items, cap * sizeof *items);
        if (!items)
            return ERR_NOMEM;
        l->items = items;
        l->cap = cap;
    }
    l->items[l->n] = *e;
    l->items[l->n].schedule = NULL; /* no client is told of `scheduled` */
    l->n++;
    return 0;
}

static int replay(void *ctx, const struct briefing_event *e)
{
    struct meeting *m = ctx;
    int err = briefing_apply(m->settled, e);
    people_follow(&m->clock, e->at_ms);
    return err ? err : remember(m, e);
}

/* Our own restart is nobody's absence: the endpoints that the log calls connected get as long as others to come back. */
static void expect_back(struct meeting *m, int64_t now_us)
{
    size_t n;
    const struct briefing_endpoint *all = briefing_endpoints(m->settled, &n);
    for (size_t i = 0; i < n; i++)
        if (all[i].connected) {
            m->seats[all[i].number].absent_us = now_us;
            m->seats[all[i].number].expected = true;
            m->control->hold_until_us = m->control->expect_until_us = now_us + HOLD_US;
        }
}

static int load(struct control *c, const char *id)
{
    struct meeting *m = meeting_new(c);
    if (!m)
        return ERR_NOMEM;
    int err = store_read(c->store, id, 1, replay, m);
    if (!err) {
        briefing_free(m->ahead);
        m->ahead = briefing_copy(m->settled);
        err = m->ahead ? 0 : ERR_NOMEM;
    }
    if (err) {
        meeting_remove(m);
        return err;
    }
    briefing_set_record_cameras(m->settled, c->config.recording_cameras);
    expect_back(m, clock_now_us());
    m->dirty = true;
    return 0;
}

struct id_list {
    char (*ids)[WISH_ID_MAX];
    size_t n;
    bool failed;
};

static bool collect(void *ctx, const struct store_briefing *b)
{
    struct id_list *l = ctx;
    if (b->phase == BRIEFING_CLOSED)
        return true;
    void *ids = realloc(l->ids, (l->n + 1) * sizeof *l->ids);
    if (!ids) {
        l->failed = true;
        return false;
    }
    l->ids = ids;
    snprintf(l->ids[l->n++], WISH_ID_MAX, "%s", b->id);
    return true;
}

int meetings_load(struct control *c, const char **ret_why)
{
    struct id_list l = {0};
    store_briefings(c->store, INT64_MIN, INT64_MAX, collect, &l);
    int err = l.failed ? ERR_NOMEM : 0;
    for (size_t i = 0; !err && i < l.n; i++) {
        err = load(c, l.ids[i]);
        if (err) {
            log_error("meeting", "briefing=%s can't be replayed: %s", l.ids[i], err_str(err));
            *ret_why = "the log of a briefing is damaged: restore the database from its backup";
        }
    }
    free(l.ids);
    return err;
}

void meetings_free(struct control *c)
{
    while (c->meetings)
        meeting_remove(c->meetings);
}

/* ---- messages to clients ---- */

void peer_notice(struct ws_peer *peer, const char *name, json_t *data)
{
    json_t *message = json_pack("{s:s, s:o*}", "notice", name, "data", data);
    struct ws_text *text = message ? ws_text_new(message) : NULL;
    json_decref(message);
    if (text)
        signaling_send(peer, text);
    ws_text_unref(text);
}

void meeting_notice(struct meeting *m, bool staff_only, const char *name, json_t *data)
{
    json_t *message = json_pack("{s:s, s:o*}", "notice", name, "data", data);
    struct ws_text *text = message ? ws_text_new(message) : NULL;
    json_decref(message);
    for (uint32_t n = 1; text && n < SEATS_MAX; n++) {
        const struct briefing_endpoint *e = m->seats[n].peer ? briefing_endpoint(m->settled, n) : NULL;
        if (e && (!staff_only || role_is_staff(e->role)))
            signaling_send(m->seats[n].peer, text);
    }
    ws_text_unref(text);
}

/* Everybody with the same role hears the same bytes. `prev` is computed before the event is applied. */
static void broadcast(struct meeting *m, const struct briefing_event *e, const uint64_t prev[ROLE_COUNT])
{
    struct ws_text *texts[ROLE_COUNT] = {0};
    for (uint32_t n = 1; n < SEATS_MAX; n++) {
        const struct briefing_endpoint *to = m->seats[n].peer ? briefing_endpoint(m->settled, n) : NULL;
        if (!to || !briefing_event_visible(e->kind, to->role))
            continue;
        if (!texts[to->role]) {
            json_t *message = briefing_event_message(e, prev[to->role]);
            texts[to->role] = message ? ws_text_new(message) : NULL;
            json_decref(message);
        }
        if (texts[to->role])
            signaling_send(m->seats[n].peer, texts[to->role]);
    }
    for (size_t i = 0; i < ROLE_COUNT; i++)
        ws_text_unref(texts[i]);
}

/* ---- commits ---- */

static void answer(struct commit *commit, const struct refusal *why)
{
    if (commit->call && why)
        signaling_http_refuse(commit->call, 503, why);
    else if (commit->call)
        signaling_http_reply(commit->call, commit->events.n && commit->events.items[0].kind == EVENT_SCHEDULED ? 201 : 200,
                             briefing_summary(commit->meeting->settled, ROLE_ADMINISTRATOR));
    else if (commit->peer && why)
        signaling_refuse(commit->peer, commit->id, why);
    else if (commit->peer)
        signaling_reply(commit->peer, commit->id, json_object());
}

static void after_event(struct meeting *m, const struct briefing_event *e)
{
    struct seat *seat = e->number < SEATS_MAX ? &m->seats[e->number] : NULL;
    if (e->kind == EVENT_REMOVED && seat && seat->peer) {
        struct ws_peer *peer = seat->peer;
        seat->peer = NULL;
        entry_dismiss(m->control, peer, "removed");
    }
    if ((e->kind == EVENT_LEFT || e->kind == EVENT_REMOVED) && seat) {
        seat_unplace(m, e->number);
        seat->absent_us = 0;
        seat->expected = false;
    }
    if (e->kind == EVENT_CLOSED) {
        m->closed_us = clock_now_us();
        for (uint32_t n = 1; n < SEATS_MAX; n++)
            seat_unplace(m, n); /* media ends here */
    }
    recording_follow(m, e);
}

static void settle(struct commit *commit)
{
    struct meeting *m = commit->meeting;
    for (size_t i = 0; i < commit->events.n; i++) {
        const struct briefing_event *e = &commit->events.items[i];
        uint64_t prev[ROLE_COUNT];
        for (int role = 0; role < ROLE_COUNT; role++)
            prev[role] = briefing_last_visible(m->settled, (enum role)role);
        int err = briefing_apply(m->settled, e);
        if (err) { /* `ahead` took it: both folds are the same function */
            log_error("meeting", "briefing=%s seq=%" PRIu64 " does not fold: %s", briefing_id(m->settled), e->seq,
                      err_str(err));
            abort();
        }
        remember(m, e);
        broadcast(m, e, prev);
        after_event(m, e);
        m->control->events_appended++;
    }
    if (commit->events.n && commit->events.items[0].kind == EVENT_SCHEDULED)
        briefing_set_record_cameras(m->settled, m->control->config.recording_cameras);
    m->dirty = true;
}

static void send_settled(struct commit *commit)
{
    struct meeting *m = commit->meeting;
    if (commit->n_acts == 0)
        return;
    meeting_flush(m); /* the wish that carries them goes first */
    for (unsigned w = 0; w < WORKERS_MAX; w++)
        for (size_t i = 0; worker_lives(m->control, w) && i < commit->n_acts; i++)
            worker_send(m->control, w, json_pack("{s:s, s:I}", "m", "settled", "act", (json_int_t)commit->acts[i]), NULL, 0);
    m->lift = m->dirty = true;
}

static void unlink_commit(struct control *c, struct commit *commit)
{
    for (struct commit **at = &c->commits; *at; at = &(*at)->next) {
        if (*at == commit) {
            *at = commit->next;
            return;
        }
    }
}

/* The log did not take it: what was decided on top of it is void too. */
static void throw_away(struct commit *commit)
{
    struct meeting *m = commit->meeting;
    m->control->commits_failed++;
    if (commit->fold != m->fold)
        return;
    struct briefing *again = briefing_copy(m->settled);
    if (!again)
        return; /* the next append fails by its number and comes here again */
    briefing_free(m->ahead);
    m->ahead = again;
    m->fold++;
}

/* Nobody asked for a `left` and would ask again. Who was to be removed is cut off from media already, but still here: it
 * joins again, once the restriction is lifted. */
static void try_again(struct meeting *m, const struct briefing_events *l)
{
    for (size_t i = 0; i < l->n; i++) {
        struct seat *seat = l->items[i].number < SEATS_MAX ? &m->seats[l->items[i].number] : NULL;
        if (l->items[i].kind == EVENT_LEFT && seat && !seat->peer)
            seat->absent_us = clock_now_us();
        if (l->items[i].kind == EVENT_REMOVED && seat && seat->peer)
            peer_notice(seat->peer, "rejoin", json_pack("{s:s}", "reason", "worker-gone"));
    }
}

static void committed(void *ctx, int err)
{
    struct commit *commit = ctx;
    struct meeting *m = commit->meeting;
    struct control *c = m->control;
    unlink_commit(c, commit);
    if (err == ERR_STALE) {
        log_error("meeting", "another giaoband has taken over: this one ends");
        exit(1);
    }
    if (err) {
        log_error("meeting", "briefing=%s append failed: %s", briefing_id(m->ahead), err_str(err));
        throw_away(commit);
        try_again(m, &commit->events);
    } else {
        settle(commit);
    }
    send_settled(commit);
    const struct refusal *why = err ? refusal_find(store_disk_full(c->store) ? "disk-full" : "not-saved") : NULL;
    if (commit->has_joined)
        entry_joined(commit, err);
    else
        answer(commit, why);
    if (briefing_seq(m->settled) == 0) /* never scheduled */
        meeting_remove(m);
    briefing_events_free(&commit->events);
    free(commit);
}

void meeting_forget_peer(struct control *c, const struct ws_peer *peer)
{
    for (struct commit *commit = c->commits; commit; commit = commit->next)
        if (commit->peer == peer)
            commit->peer = NULL;
}

static bool commits_pending(const struct control *c, const struct meeting *m)
{
    for (const struct commit *commit = c->commits; commit; commit = commit->next)
        if (commit->meeting == m)
            return true;
    return false;
}

static void dismiss_all(struct meeting *m)
{
    for (uint32_t n = 1; n < SEATS_MAX; n++) {
        struct ws_peer *peer = m->seats[n].peer;
        m->seats[n].peer = NULL;
        if (peer)
            entry_dismiss(m->control, peer, "closing");
    }
}

void meetings_tick(struct control *c, int64_t now_us)
{
    for (struct meeting *m = c->meetings, *next; m; m = next) {
        next = m->next;
        if (!m->closed_us || now_us - m->closed_us < CLOSED_LINGER_US || commits_pending(c, m) || offers_pending(c, m))
            continue;
        dismiss_all(m);
        meeting_flush(m); /* the workers are told that it is gone */
        meeting_remove(m);
    }
}

/* ---- commands ---- */

static uint64_t restrict_media(struct meeting *m, uint32_t number, unsigned kinds, bool remove)
{
    struct control *c = m->control;
    uint64_t act = c->next_act++;
    uint8_t worker = m->seats[number].worker;
    if (worker == WISH_UNPLACED)
        return act;
    worker_send(c, worker,
                json_pack("{s:s, s:s, s:I, s:I, s:I, s:b}", "m", "restrict", "briefing", briefing_id(m->settled), "act",
                          (json_int_t)act, "endpoint", (json_int_t)number, "kinds", (json_int_t)kinds, "remove", remove),
                NULL, 0);
    return act;
}

/* Microphones that the events close and endpoints that they remove. Asked before they are applied to `ahead`. */
static void restrict_now(struct meeting *m, struct commit *commit)
{
    const struct briefing_events *l = &commit->events;
    for (size_t i = 0; i < l->n && commit->n_acts < sizeof commit->acts / sizeof *commit->acts; i++) {
        const struct briefing_event *e = &l->items[i];
        bool closes = e->kind == EVENT_MUTED || (e->kind == EVENT_MEDIA && !e->microphone);
        if (closes)
            commit->acts[commit->n_acts++] = restrict_media(m, e->number, WISH_BIT(WISH_MICROPHONE), false);
        else if (e->kind == EVENT_REMOVED)
            commit->acts[commit->n_acts++] = restrict_media(
                m, e->number, WISH_BIT(WISH_MICROPHONE) | WISH_BIT(WISH_CAMERA) | WISH_BIT(WISH_SCREEN), true);
    }
}

static bool excepted(const struct briefing_event *e, uint32_t number)
{
    for (size_t i = 0; i < e->n_except; i++)
        if (e->except[i] == number)
            return true;
    return false;
}

static void restrict_all(struct meeting *m, struct commit *commit, const struct briefing_event *e)
{
    size_t n;
    const struct briefing_endpoint *all = briefing_endpoints(m->ahead, &n);
    for (size_t i = 0; i < n && commit->n_acts < sizeof commit->acts / sizeof *commit->acts; i++)
        if (all[i].microphone && !all[i].removed && !excepted(e, all[i].number))
            commit->acts[commit->n_acts++] = restrict_media(m, all[i].number, WISH_BIT(WISH_MICROPHONE), false);
}

static int apply_ahead(struct meeting *m, const struct briefing_events *l)
{
    for (size_t i = 0; i < l->n; i++) {
        int err = briefing_apply(m->ahead, &l->items[i]);
        if (err)
            return err;
    }
    return 0;
}

static int queue_append(struct meeting *m, struct commit *commit)
{
    struct control *c = m->control;
    /* A new meeting has its id from the event. */
    int err = apply_ahead(m, &commit->events);
    if (!err)
        err = store_append(c->store, briefing_id(m->ahead), c->epoch, commit->events.items, commit->events.n, committed,
                           commit);
    if (err)
        throw_away(commit);
    return err;
}

const struct refusal *meeting_command(struct meeting *m, struct briefing_command *command, const struct commit *asker)
{
    struct control *c = m->control;
    struct commit *commit = calloc(1, sizeof *commit);
    if (!commit)
        return refusal_find("internal");
    if (asker)
        *commit = *asker;
    commit->meeting = m;
    commit->fold = m->fold;
    command->at_us = clock_now_us();
    people_look(&m->clock, briefing_phase(m->settled) == BRIEFING_OPEN, command->at_us, clock_wall_us());
    command->at_ms = people_ms(&m->clock, command->at_us);
    const struct refusal *why =
        c->stopping ? refusal_find("shutting-down") : briefing_command(m->ahead, command, &commit->events);
    if (why) {
        free(commit);
        return why;
    }
    if (commit->events.n == 0) {
        if (!commit->has_joined)
            answer(commit, NULL);
        briefing_events_free(&commit->events);
        free(commit);
        return NULL;
    }
    if (briefing_command_restricts(command->kind)) {
        restrict_now(m, commit);
        for (size_t i = 0; i < commit->events.n; i++)
            if (commit->events.items[i].kind == EVENT_ALL_MUTED)
                restrict_all(m, commit, &commit->events.items[i]);
    }
    if (queue_append(m, commit)) {
        briefing_events_free(&commit->events);
        free(commit);
        return refusal_find("not-saved");
    }
    commit->next = c->commits;
    c->commits = commit;
    return NULL;
}
