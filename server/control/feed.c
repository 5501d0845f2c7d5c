/* Feeds: rings between workers (mirrors), from workers to recorders, and to giaoban-check for one look. Made by a helper
 * thread, since populating the memory takes 12 µs a page; opened at the writer first, at the reader once the writer has
 * sealed it. */
#include "control/control.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/feed.h"
#include "base/log.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define CHECK_BYTES (2u << 20)  /* polled every 20 ms; this is seconds of a camera's lowest layer */
#define MIRROR_BYTES (8u << 20) /* a mirror is read within milliseconds; this is a second of 60 Mbit/s */

enum feed_phase {
    FEED_MAKING,
    FEED_WAITING, /* made; its writer has no wish of the briefing yet, or is new */
    FEED_OPENING,
    FEED_OPEN,
    FEED_OVER, /* a recorder's: its writer has left; kept until everything in it is on disk */
    FEED_FAILED,
};

struct feed {
    struct feed *next;
    uint32_t id;
    char briefing[WISH_ID_MAX];
    unsigned writer, reader; /* workers; the reader of a recorder's feed is RECORDER, of a check's CHECKER */
    uint32_t endpoint;       /* of a check */
    int data, tail, wake;    /* −1: none */
    enum feed_phase phase;
    bool wanted;
};

enum { RECORDER = WORKERS_MAX, CHECKER };

struct feed_order {
    struct feed_order *next;
    uint32_t id;
    size_t bytes;
    int data, tail, err;
};

struct feed_maker {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct feed_order *todo, *made;
    int event; /* bumped when `made` grows */
    bool stop;
};

static void order_close(const struct feed_order *o)
{
    if (o->data >= 0)
        close(o->data);
    if (o->tail >= 0)
        close(o->tail);
}

/* ---- helper thread ---- */

static void *make_feeds(void *ctx)
{
    struct feed_maker *k = ctx;
    pthread_mutex_lock(&k->lock);
    while (!k->stop) {
        struct feed_order *o = k->todo;
        if (!o) {
            pthread_cond_wait(&k->more, &k->lock);
            continue;
        }
        k->todo = o->next;
        pthread_mutex_unlock(&k->lock);
        o->err = feed_create(o->bytes, o->id, &o->data, &o->tail);
        pthread_mutex_lock(&k->lock);
        o->next = k->made;
        k->made = o;
        uint64_t one = 1;
        if (write(k->event, &one, sizeof one) < 0)
            continue; /* only if 2^64 feeds are waiting */
    }
    pthread_mutex_unlock(&k->lock);
    return NULL;
}

static int order(struct control *c, uint32_t id, size_t bytes)
{
    struct feed_maker *k = c->maker;
    struct feed_order *o = calloc(1, sizeof *o);
    if (!o)
        return ERR_NOMEM;
    *o = (struct feed_order){.id = id, .bytes = bytes, .data = -1, .tail = -1};
    pthread_mutex_lock(&k->lock);
    struct feed_order **at = &k->todo;
    while (*at)
        at = &(*at)->next;
    *at = o;
    pthread_cond_signal(&k->more);
    pthread_mutex_unlock(&k->lock);
    return 0;
}

/* ---- table ---- */

static struct feed *feed_find(struct control *c, uint32_t id)
{
    for (struct feed *f = c->feeds; f; f = f->next)
        if (f->id == id)
            return f;
    return NULL;
}

static struct feed *feed_between(struct control *c, const char *briefing, unsigned writer, unsigned reader)
{
    for (struct feed *f = c->feeds; f; f = f->next)
        if (f->phase != FEED_OVER && f->writer == writer && f->reader == reader && strcmp(f->briefing, briefing) == 0)
            return f;
    return NULL;
}

static void feed_free(struct control *c, struct feed *f)
{
    for (struct feed **at = &c->feeds; *at; at = &(*at)->next) {
        if (*at == f) {
            *at = f->next;
            break;
        }
    }
    int fds[] = {f->data, f->tail, f->wake};
    for (size_t i = 0; i < 3; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    free(f);
}

static struct feed *feed_add(struct control *c, uint32_t id, const char *briefing, unsigned writer, unsigned reader)
{
    struct feed *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    *f = (struct feed){.next = c->feeds, .id = id, .writer = writer, .reader = reader, .data = -1, .tail = -1, .wake = -1};
    snprintf(f->briefing, sizeof f->briefing, "%s", briefing);
    c->feeds = f;
    return f;
}

/* ---- opening ---- */

static void open_at(struct control *c, struct feed *f, unsigned worker, const char *role, unsigned peer)
{
    int fds[] = {f->data, f->tail, f->wake};
    worker_send(c, worker,
                json_pack("{s:s, s:I, s:s, s:s, s:I}", "m", "feed-open", "feed", (json_int_t)f->id, "briefing", f->briefing,
                          "role", role, "peer", (json_int_t)peer),
                fds, f->wake >= 0 ? 3 : 2);
}

static void close_at(struct control *c, const struct feed *f, unsigned worker)
{
    if (worker < WORKERS_MAX)
        worker_send(c, worker, json_pack("{s:s, s:I}", "m", "feed-close", "feed", (json_int_t)f->id), NULL, 0);
}

static void open_check(struct control *c, struct feed *f)
{
    f->phase = FEED_OPENING;
    worker_send(c, f->writer,
                json_pack("{s:s, s:I, s:s, s:s, s:I}", "m", "feed-open", "feed", (json_int_t)f->id, "briefing", f->briefing,
                          "role", "check", "endpoint", (json_int_t)f->endpoint),
                (const int[]){f->data, f->tail}, 2);
}

static void open_writer(struct control *c, struct feed *f)
{
    f->phase = FEED_OPENING;
    open_at(c, f, f->writer, f->reader == RECORDER ? "recorder" : "writer", f->reader);
}

static void made(void *ctx, int fd)
{
    struct control *c = ctx;
    struct feed_maker *k = c->maker;
    uint64_t count;
    if (read(fd, &count, sizeof count) < 0)
        return;
    pthread_mutex_lock(&k->lock);
    struct feed_order *o = k->made;
    k->made = NULL;
    pthread_mutex_unlock(&k->lock);
    while (o) {
        struct feed_order *next = o->next;
        struct feed *f = feed_find(c, o->id);
        if (f && !o->err) {
            f->data = o->data;
            f->tail = o->tail;
            f->phase = FEED_WAITING;
            if (f->reader == CHECKER)
                open_check(c, f);
        } else {
            if (f) {
                log_error("feed", "feed=%u not made: %s", o->id, err_str(o->err));
                f->phase = FEED_FAILED;
                check_feed_lost(c, o->id);
            }
            order_close(o);
        }
        free(o);
        o = next;
    }
}

/* The writer has mapped and sealed it: the reader may have it. */
void feed_ready(struct control *c, unsigned worker, uint32_t id)
{
    struct feed *f = feed_find(c, id);
    if (!f || worker != f->writer || f->phase != FEED_OPENING)
        return;
    struct link_message m = {.kind = LINK_FEED, .a = f->id, .b = f->writer, .c = f->reader == RECORDER ? 0 : f->reader + 1};
    int fds[] = {f->data, f->tail, f->wake};
    f->phase = FEED_OPEN;
    if (f->reader == CHECKER) { /* nobody keeps it: a check that is interrupted begins anew */
        check_feed_ready(c, f->id, f->data, f->tail);
        return;
    }
    link_say(&m, f->briefing, fds, f->wake >= 0 ? 3 : 2);
    if (f->reader != RECORDER)
        open_at(c, f, f->reader, "reader", f->writer);
}

static void want(struct meeting *m, unsigned writer, unsigned reader)
{
    struct control *c = m->control;
    const char *briefing = briefing_id(m->settled);
    struct feed *f = feed_between(c, briefing, writer, reader);
    if (!f) {
        f = feed_add(c, c->next_feed++, briefing, writer, reader);
        if (!f)
            return;
        if (reader != RECORDER)
            f->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (order(c, f->id, reader == RECORDER ? c->config.feed_bytes : MIRROR_BYTES))
            f->phase = FEED_FAILED;
        log_info("feed", "briefing=%s feed=%u writer=%u %s=%u", briefing, f->id, writer,
                 reader == RECORDER ? "recorder" : "reader", reader == RECORDER ? 0 : reader);
    }
    f->wanted = true;
    /* A worker takes a feed only for a briefing that it has a wish of. */
    if (f->phase == FEED_WAITING && m->sent[writer] && (reader == RECORDER || m->sent[reader]))
        open_writer(c, f);
}

/* ---- what placement and recording ask for ---- */

static void want_meeting(struct meeting *m)
{
    struct control *c = m->control;
    bool on[WORKERS_MAX] = {0};
    for (uint32_t n = 1; n < SEATS_MAX; n++)
        if (m->seats[n].worker < WORKERS_MAX && worker_lives(c, m->seats[n].worker))
            on[m->seats[n].worker] = true;
    for (unsigned a = 0; a < WORKERS_MAX; a++) {
        if (!on[a])
            continue;
        if (recording_runs(c, briefing_id(m->settled)))
            want(m, a, RECORDER);
        for (unsigned b = 0; b < WORKERS_MAX; b++)
            if (on[b] && b != a)
                want(m, a, b);
    }
}

/* A recorder's feed stays until the recording ends: what is in it is not on disk yet. A mirror stays while we don't know who
 * sits on its workers: they have not said HELLO since our own restart. */
static bool keeps(struct control *c, const struct feed *f)
{
    bool ended, drained = false;
    if (f->phase == FEED_OVER && f->data >= 0 && !feed_look(f->data, f->tail, &ended, &drained) && drained)
        return false;
    if (f->reader == CHECKER)
        return true; /* checks.c closes it */
    if (f->reader == RECORDER)
        return recording_runs(c, f->briefing);
    return !worker_lives(c, f->writer) || !worker_lives(c, f->reader);
}

static void feed_drop(struct control *c, struct feed *f)
{
    close_at(c, f, f->writer);
    close_at(c, f, f->reader);
    link_say(&(struct link_message){.kind = LINK_FEED_DROP, .a = f->id}, "", NULL, 0);
    feed_free(c, f);
}

void feeds_update(struct control *c)
{
    if (!c->feeds_known)
        return;
    for (struct feed *f = c->feeds; f; f = f->next)
        f->wanted = false;
    for (struct meeting *m = c->meetings; m; m = m->next)
        want_meeting(m);
    for (struct feed *f = c->feeds, *next; f; f = next) {
        next = f->next;
        if (!f->wanted && !keeps(c, f))
            feed_drop(c, f);
    }
}

/* ---- restarts ---- */

/* Kept by the supervisor while we were away: its writer and reader go on with it. */
void feeds_kept(struct control *c, const struct link_message *m, const int *fds, size_t n_fds)
{
    unsigned reader = m->c ? m->c - 1 : RECORDER;
    struct feed *f = n_fds >= 2 && !feed_find(c, m->a) ? feed_add(c, m->a, m->text, m->b, reader) : NULL;
    if (!f)
        return;
    f->data = fcntl(fds[0], F_DUPFD_CLOEXEC, 10);
    f->tail = fcntl(fds[1], F_DUPFD_CLOEXEC, 10);
    f->wake = n_fds > 2 ? fcntl(fds[2], F_DUPFD_CLOEXEC, 10) : -1;
    bool ended = false, drained;
    if (reader == RECORDER)
        feed_look(fds[0], fds[1], &ended, &drained);
    f->phase = ended ? FEED_OVER : FEED_OPEN;
    c->next_feed = m->a >= c->next_feed ? m->a + 1 : c->next_feed;
}

/* A mirror ends on both sides; a recorder's feed waits for the successor, which goes on behind what is in it. */
static void lose_side(struct control *c, struct feed *f)
{
    if (f->reader == CHECKER)
        check_feed_lost(c, f->id);
    else if (f->reader != RECORDER)
        feed_drop(c, f);
    else if (f->data >= 0 && f->phase != FEED_OVER)
        f->phase = FEED_WAITING;
}

void feeds_worker_gone(struct control *c, unsigned worker)
{
    for (struct feed *f = c->feeds, *next; f; f = next) {
        next = f->next;
        if (f->writer == worker || f->reader == worker)
            lose_side(c, f);
    }
}

static bool contains(const json_t *feeds, uint32_t id)
{
    const json_t *o;
    size_t i;
    json_array_foreach(feeds, i, o) {
        if (json_integer_value(o) == id)
            return true;
    }
    return false;
}

void feeds_left(struct control *c, const char *briefing, unsigned worker)
{
    for (struct feed *f = c->feeds, *next; f; f = next) {
        next = f->next;
        if (strcmp(f->briefing, briefing) != 0 || (f->writer != worker && f->reader != worker))
            continue;
        if (f->reader != RECORDER || f->phase < FEED_OPENING)
            feed_drop(c, f);
        else
            f->phase = FEED_OVER;
    }
}

/* A worker says HELLO: what only one of us knows is given up. */
void feeds_worker_back(struct control *c, unsigned worker, const json_t *feeds)
{
    const json_t *id;
    size_t i;
    json_array_foreach(feeds, i, id) {
        if (!feed_find(c, (uint32_t)json_integer_value(id)))
            worker_send(c, worker, json_pack("{s:s, s:O}", "m", "feed-close", "feed", id), NULL, 0);
    }
    for (struct feed *f = c->feeds, *next; f; f = next) {
        next = f->next;
        if (f->phase == FEED_OPENING && f->writer == worker && contains(feeds, f->id))
            feed_ready(c, worker, f->id); /* it was said, and lost */
        if ((f->writer == worker || f->reader == worker) && f->phase >= FEED_OPENING && f->phase != FEED_OVER &&
            !contains(feeds, f->id))
            lose_side(c, f);
    }
}

void feed_broke(struct control *c, uint32_t id)
{
    struct feed *f = feed_find(c, id);
    if (!f || f->reader != RECORDER)
        return;
    log_error("feed", "briefing=%s feed=%u was broken by worker %u", f->briefing, id, f->writer);
    c->feeds_broken++;
    feed_free(c, f); /* the supervisor keeps it: what is before the break may not be on disk yet */
}

void feeds_drop_recorder(struct control *c, const char *briefing)
{
    for (struct feed *f = c->feeds, *next; f; f = next) {
        next = f->next;
        if (f->reader != RECORDER || strcmp(f->briefing, briefing) != 0)
            continue;
        close_at(c, f, f->writer);
        feed_free(c, f); /* the supervisor keeps it until the recorder has finished */
    }
}

/* ---- for a check ---- */

uint32_t feed_check_open(struct control *c, const char *briefing, unsigned worker, uint32_t endpoint)
{
    struct feed *f = feed_add(c, c->next_feed++, briefing, worker, CHECKER);
    if (!f)
        return 0;
    f->endpoint = endpoint;
    if (order(c, f->id, CHECK_BYTES)) {
        feed_free(c, f);
        return 0;
    }
    return f->id;
}

void feed_check_close(struct control *c, uint32_t id)
{
    struct feed *f = feed_find(c, id);
    if (!f)
        return;
    close_at(c, f, f->writer);
    feed_free(c, f);
}

void feed_refused(struct control *c, unsigned worker, uint32_t id)
{
    struct feed *f = feed_find(c, id);
    if (f && f->writer == worker && f->reader == CHECKER)
        check_feed_lost(c, id);
}

/* ---- life ---- */

int feeds_start(struct control *c)
{
    struct feed_maker *k = calloc(1, sizeof *k);
    if (!k)
        return ERR_NOMEM;
    pthread_mutex_init(&k->lock, NULL);
    pthread_cond_init(&k->more, NULL);
    k->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (k->event < 0 || pthread_create(&k->thread, NULL, make_feeds, k) != 0) {
        free(k);
        return ERR_IO;
    }
    c->maker = k;
    return signaling_watch(c->signaling, k->event, made, c);
}

static void orders_free(struct feed_order *o)
{
    while (o) {
        struct feed_order *next = o->next;
        order_close(o);
        free(o);
        o = next;
    }
}

void feeds_stop(struct control *c)
{
    struct feed_maker *k = c->maker;
    while (c->feeds)
        feed_free(c, c->feeds);
    if (!k)
        return;
    pthread_mutex_lock(&k->lock);
    k->stop = true;
    pthread_cond_signal(&k->more);
    pthread_mutex_unlock(&k->lock);
    pthread_join(k->thread, NULL);
    signaling_unwatch(c->signaling, k->event);
    close(k->event);
    orders_free(k->todo);
    orders_free(k->made);
    free(k);
    c->maker = NULL;
}
