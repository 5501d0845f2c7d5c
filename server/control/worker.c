/* Wish links: one SOCK_SEQPACKET a worker, JSON objects. What a worker holds is told it by wishes alone; a link that broke
 * starts over with full ones. */
#include "control/control.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MESSAGE_FDS_MAX = 4 };

struct queued {
    struct queued *next;
    char *text;
    size_t len;
    int fds[MESSAGE_FDS_MAX];
    size_t n_fds;
};

struct worker {
    struct control *control;
    unsigned index;
    uint32_t generation;
    int fd;       /* −1: no link */
    bool greeted; /* its HELLO has come */
    bool leaving; /* an upgrade: its endpoints move to others */
    bool gone;    /* the supervisor has said that this generation is dead */
    struct queued *first, **last;
    size_t queued_bytes;
    bool overflowed;
    json_t *counters;
};

static struct worker *worker_at(const struct control *c, unsigned index)
{
    return index < WORKERS_MAX ? c->workers[index] : NULL;
}

bool worker_lives(const struct control *c, unsigned index)
{
    const struct worker *w = worker_at(c, index);
    return w && w->fd >= 0 && w->greeted;
}

bool worker_leaves(const struct control *c, unsigned index)
{
    return worker_lives(c, index) && worker_at(c, index)->leaving;
}

bool worker_stays(const struct control *c, unsigned index)
{
    return worker_lives(c, index) && !worker_at(c, index)->leaving;
}

bool worker_awaited(const struct control *c)
{
    for (unsigned i = 0; i < WORKERS_MAX; i++) {
        const struct worker *w = c->workers[i];
        if (w && !w->gone && !w->leaving && !w->greeted)
            return true;
    }
    return false;
}

uint32_t worker_generation(const struct control *c, unsigned index)
{
    const struct worker *w = worker_at(c, index);
    return w ? w->generation : 0;
}

static bool all_greeted(const struct control *c)
{
    unsigned greeted = 0;
    for (unsigned i = 0; i < WORKERS_MAX; i++)
        greeted += worker_lives(c, i);
    return greeted >= c->workers_expected;
}

bool wishes_held(struct control *c)
{
    if (c->hold_until_us && (clock_now_us() >= c->hold_until_us || (c->feeds_known && all_greeted(c))))
        c->hold_until_us = 0;
    return c->hold_until_us != 0;
}

bool workers_known(const struct control *c)
{
    return clock_now_us() >= c->expect_until_us || (c->feeds_known && all_greeted(c));
}

unsigned worker_load(const struct control *c, unsigned index)
{
    unsigned n = 0;
    for (const struct meeting *m = c->meetings; m; m = m->next)
        for (uint32_t s = 1; s < SEATS_MAX; s++)
            n += m->seats[s].worker == index;
    return n;
}

const json_t *worker_counters(const struct control *c, unsigned index)
{
    const struct worker *w = worker_at(c, index);
    return w ? w->counters : NULL;
}

/* ---- sending ---- */

static void queued_free(struct queued *q)
{
    for (size_t i = 0; i < q->n_fds; i++)
        close(q->fds[i]);
    free(q->text);
    free(q);
}

static void drop_queue(struct worker *w)
{
    while (w->first) {
        struct queued *q = w->first;
        w->first = q->next;
        queued_free(q);
    }
    w->last = &w->first;
    w->queued_bytes = 0;
}

static void enqueue(struct worker *w, char *text, size_t len, const int *fds, size_t n_fds)
{
    struct queued *q = calloc(1, sizeof *q);
    if (!q || w->queued_bytes + len > w->control->config.worker_queue_bytes || n_fds > MESSAGE_FDS_MAX) {
        free(q);
        free(text);
        w->overflowed = true; /* full wishes follow when it reads again */
        return;
    }
    q->text = text;
    q->len = len;
    for (size_t i = 0; i < n_fds; i++)
        q->fds[q->n_fds++] = fcntl(fds[i], F_DUPFD_CLOEXEC, 10);
    *w->last = q;
    w->last = &q->next;
    w->queued_bytes += len;
}

static void forget_sent(struct control *c, unsigned index)
{
    for (struct meeting *m = c->meetings; m; m = m->next) {
        m->sent[index] = 0;
        m->dirty = true;
    }
}

static void drain(struct worker *w)
{
    while (w->fd >= 0 && w->first) {
        struct queued *q = w->first;
        int err = link_send_body(w->fd, q->text, q->len, q->fds, q->n_fds);
        if (err == ERR_AGAIN)
            return;
        if (err)
            log_warn("worker", "worker=%u message of %zu bytes not sent: %s", w->index, q->len, err_str(err));
        w->first = q->next;
        if (!w->first)
            w->last = &w->first;
        w->queued_bytes -= q->len;
        queued_free(q);
    }
    if (w->overflowed) { /* whatever was said meanwhile is lost: both begin anew */
        w->overflowed = false;
        forget_sent(w->control, w->index);
        worker_send(w->control, w->index, json_pack("{s:s}", "m", "again"), NULL, 0);
    }
}

void worker_send(struct control *c, unsigned index, json_t *message, const int *fds, size_t n_fds)
{
    struct worker *w = worker_at(c, index);
    char *text = message && w && w->fd >= 0 && !w->overflowed ? json_dumps(message, JSON_COMPACT) : NULL;
    json_decref(message);
    if (!text)
        return;
    enqueue(w, text, strlen(text), fds, n_fds);
    drain(w);
}

void workers_drain(struct control *c)
{
    for (unsigned i = 0; i < WORKERS_MAX; i++)
        if (c->workers[i])
            drain(c->workers[i]);
}

bool workers_waiting(const struct control *c)
{
    for (unsigned i = 0; i < WORKERS_MAX; i++)
        if (c->workers[i] && c->workers[i]->first)
            return true;
    return false;
}

/* ---- its HELLO ---- */

/* What a worker kept while we were away: who sits on it. */
static void take_places(struct worker *w, const json_t *endpoints)
{
    const json_t *o;
    size_t i;
    json_array_foreach(endpoints, i, o) {
        struct meeting *m = meeting_find(w->control, json_string_value(json_object_get(o, "briefing")) ?: "");
        uint32_t number = (uint32_t)json_integer_value(json_object_get(o, "number"));
        uint32_t incarnation = (uint32_t)json_integer_value(json_object_get(o, "incarnation"));
        if (!m || !briefing_endpoint(m->settled, number) || !briefing_endpoint(m->settled, number)->connected)
            continue;
        struct seat *seat = &m->seats[number];
        bool here = seat->worker == w->index;
        if (seat->worker != WISH_UNPLACED &&
            (seat->incarnation > incarnation || (!here && seat->incarnation == incarnation)))
            continue; /* it has moved on meanwhile, or its next offer waits beside it */
        seat->worker = (uint8_t)w->index;
        seat->incarnation = incarnation;
        seat->connected = json_is_true(json_object_get(o, "connected"));
        briefing_set_placement(m->settled, number, seat->worker, incarnation);
        m->home = m->home == WISH_UNPLACED ? (uint8_t)w->index : m->home;
        m->dirty = true;
    }
}

/* What its endpoints show, until their clients say so themselves: our own memory of it ended with the last control. */
static void take_layouts(struct control *c, const json_t *endpoints)
{
    const json_t *o;
    size_t i;
    json_array_foreach(endpoints, i, o) {
        struct meeting *m = meeting_find(c, json_string_value(json_object_get(o, "briefing")) ?: "");
        json_int_t number = json_integer_value(json_object_get(o, "number"));
        struct wish_endpoint shown = {0};
        const char *why = "";
        if (!m || number < 1 || number >= SEATS_MAX || m->seats[number].layout_known)
            continue;
        if (wish_layout_from_json(json_object_get(o, "layout"), &shown, &why)) {
            log_warn("worker", "layout of endpoint=%u not understood: %s", (unsigned)number, why);
            continue;
        }
        struct briefing_layout layout = {.stage = shown.stage_size, .screen = shown.screen_size, .n_tiles = shown.n_tiles};
        memcpy(layout.tiles, shown.tiles, sizeof layout.tiles);
        if (!briefing_set_layout(m->settled, (uint32_t)number, &layout))
            m->dirty = true;
    }
}

/* A mute that reached media before the log: what is not in the log is appended now, then it is settled like any other. */
static void recover_restriction(struct worker *w, const json_t *o)
{
    struct meeting *m = meeting_find(w->control, json_string_value(json_object_get(o, "briefing")) ?: "");
    uint32_t number = (uint32_t)json_integer_value(json_object_get(o, "endpoint"));
    struct commit asker = {.acts = {(uint64_t)json_integer_value(json_object_get(o, "act"))}, .n_acts = 1};
    const struct briefing_endpoint *e = m ? briefing_endpoint(m->ahead, number) : NULL;
    bool remove = json_is_true(json_object_get(o, "remove"));
    struct briefing_command command = {
        .kind = remove ? COMMAND_REMOVE : COMMAND_MUTE, .role = ROLE_ADMINISTRATOR, .endpoint = number};
    if (e && (remove || e->microphone) && !meeting_command(m, &command, &asker)) {
        log_info("worker", "briefing=%s endpoint=%u restriction recovered", briefing_id(m->settled), number);
        return;
    }
    if (m)
        meeting_flush(m);
    worker_send(w->control, w->index, json_pack("{s:s, s:I}", "m", "settled", "act", (json_int_t)asker.acts[0]), NULL, 0);
}

/* A briefing that is over, or has nobody on it any more, must not stay there. */
static void clear_strangers(struct worker *w, const json_t *briefings)
{
    const json_t *o;
    size_t i;
    json_array_foreach(briefings, i, o) {
        const char *id = json_string_value(json_object_get(o, "id"));
        struct meeting *m = id ? meeting_find(w->control, id) : NULL;
        bool placed = false;
        for (uint32_t n = 1; m && n < SEATS_MAX; n++)
            placed = placed || m->seats[n].worker == w->index;
        if (id && !placed)
            worker_send(w->control, w->index, json_pack("{s:s, s:s}", "m", "briefing-gone", "briefing", id), NULL, 0);
    }
}

static void hello(struct worker *w, const json_t *message)
{
    const json_t *o, *restrictions = json_object_get(message, "restrictions");
    size_t i;
    w->greeted = true;
    log_info("worker", "worker=%u generation=%u says hello", w->index, w->generation);
    take_places(w, json_object_get(message, "endpoints"));
    forget_sent(w->control, w->index);
    json_array_foreach(restrictions, i, o)
        recover_restriction(w, o);
    clear_strangers(w, json_object_get(message, "briefings"));
    meetings_flush(w->control);
    feeds_worker_back(w->control, w->index, json_object_get(message, "feeds"));
}

/* ---- receiving ---- */

/* Something that is not an offer. A delta on another version: full wishes follow. */
static void refused(struct worker *w, const json_t *message)
{
    const char *code = json_string_value(json_object_get(message, "code")),
               *why = json_string_value(json_object_get(message, "why"));
    log_warn("worker", "worker=%u refused code=%s why=\"%s\"", w->index, code ? code : "", why ? why : "");
    if (code && strcmp(code, "feed") == 0)
        feed_refused(w->control, w->index, (uint32_t)json_integer_value(json_object_get(message, "feed")));
    if (code && strcmp(code, "stale") == 0)
        forget_sent(w->control, w->index);
}

static void handle(struct worker *w, const json_t *message)
{
    struct control *c = w->control;
    const char *name = json_string_value(json_object_get(message, "m"));
    if (!name)
        return;
    if (strcmp(name, "hello") == 0) {
        hello(w, message);
    } else if (strcmp(name, "layouts") == 0) {
        take_layouts(c, json_object_get(message, "endpoints"));
    } else if (strcmp(name, "state") == 0) {
        report_state(c, w->index, message);
    } else if (strcmp(name, "answer") == 0 ||
               (strcmp(name, "refused") == 0 && json_integer_value(json_object_get(message, "req")) > 0)) {
        offer_answered(c, w->index, message);
    } else if (strcmp(name, "refused") == 0) {
        refused(w, message);
    } else if (strcmp(name, "metrics") == 0) {
        json_decref(w->counters);
        w->counters = json_incref(json_object_get(message, "counters"));
    } else if (strcmp(name, "feed-ready") == 0) {
        feed_ready(c, w->index, (uint32_t)json_integer_value(json_object_get(message, "feed")));
    }
}

static void unlink_worker(struct worker *w)
{
    if (w->fd < 0)
        return;
    signaling_unwatch(w->control->signaling, w->fd);
    close(w->fd);
    w->fd = -1;
    w->greeted = false;
    drop_queue(w);
}

static void readable(void *ctx, int fd)
{
    struct worker *w = ctx;
    static char body[LINK_BODY_MAX + 1];
    for (int i = 0; i < 64; i++) {
        size_t len, n_fds = 0;
        int fds[LINK_FDS_MAX];
        int err = link_receive_body(fd, body, LINK_BODY_MAX, &len, fds, &n_fds);
        for (size_t f = 0; !err && f < n_fds; f++)
            close(fds[f]); /* a worker sends none */
        if (err == ERR_AGAIN)
            return;
        if (err == ERR_CLOSED || err == ERR_IO) {
            unlink_worker(w); /* the supervisor says what comes next */
            return;
        }
        json_error_t why;
        json_t *message = err ? NULL : json_loadb(body, len, 0, &why);
        if (message)
            handle(w, message);
        else
            log_warn("worker", "worker=%u message is not understood", w->index);
        json_decref(message);
        if (w->fd != fd)
            return;
    }
}

/* ---- life ---- */

static void lose_endpoints(struct control *c, unsigned index)
{
    for (struct meeting *m = c->meetings; m; m = m->next) {
        m->sent[index] = 0;
        if (m->home == index)
            m->home = WISH_UNPLACED;
        for (uint32_t n = 1; n < SEATS_MAX; n++) {
            struct seat *seat = &m->seats[n];
            if (seat->worker != index)
                continue;
            seat_unplace(m, n);
            if (seat->peer)
                peer_notice(seat->peer, "rejoin", json_pack("{s:s}", "reason", "worker-gone"));
        }
    }
}

void worker_gone(struct control *c, unsigned index, uint32_t generation)
{
    struct worker *w = worker_at(c, index);
    if (!w || w->generation != generation || w->gone)
        return;
    w->gone = true;
    log_warn("worker", "worker=%u generation=%u is gone", index, generation);
    unlink_worker(w);
    offers_of_worker_gone(c, index);
    feeds_worker_gone(c, index);
    lose_endpoints(c, index);
}

/* The same for all; a worker takes the limits from every hello. */
static void say_hello(struct control *c, unsigned index)
{
    const struct config *k = &c->config;
    worker_send(c, index,
                json_pack("{s:s, s:I, s:{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}, s:{s:I, s:I, s:I, s:I}}", "m",
                          "hello", "epoch", (json_int_t)c->epoch, "limits", "handshakes_turn",
                          (json_int_t)k->handshakes_turn, "half_open", (json_int_t)k->half_open, "half_open_source",
                          (json_int_t)k->half_open_source, "handshake_seconds", (json_int_t)k->handshake_seconds,
                          "stun_source", (json_int_t)k->stun_source, "endpoint_bps", (json_int_t)k->endpoint_bps, "tcp",
                          (json_int_t)k->tcp, "tcp_source", (json_int_t)k->tcp_source, "tcp_check_seconds",
                          (json_int_t)k->tcp_check_seconds, "dscp", "sound", (json_int_t)k->dscp_sound, "picture",
                          (json_int_t)k->dscp_picture, "screen", (json_int_t)k->dscp_screen, "control",
                          (json_int_t)k->dscp_control),
                NULL, 0);
}

void workers_tell_limits(struct control *c)
{
    for (unsigned i = 0; i < WORKERS_MAX; i++)
        if (worker_lives(c, i))
            say_hello(c, i);
}

void worker_linked(struct control *c, unsigned index, uint32_t generation, bool leaving, int fd)
{
    if (index >= WORKERS_MAX || (!c->workers[index] && !(c->workers[index] = calloc(1, sizeof *c->workers[index])))) {
        close(fd);
        return;
    }
    struct worker *w = c->workers[index];
    if (w->generation && w->generation != generation)
        worker_gone(c, index, w->generation);
    if (!w->generation) {
        w->control = c;
        w->index = index;
        w->fd = -1;
        w->last = &w->first;
    }
    unlink_worker(w);
    w->generation = generation;
    w->gone = false;
    w->leaving = leaving;
    w->fd = fd;
    w->overflowed = false;
    signaling_watch(c->signaling, fd, readable, w);
    say_hello(c, index);
}

void workers_free(struct control *c)
{
    for (unsigned i = 0; i < WORKERS_MAX; i++) {
        struct worker *w = c->workers[i];
        if (!w)
            continue;
        unlink_worker(w);
        json_decref(w->counters);
        free(w);
        c->workers[i] = NULL;
    }
}
