/* Appending. hash(n) = SHA-256(hash(n − 1) ‖ bytes(n)), hash(0) = 32 zero bytes. */
#include "store/log.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

struct record {
    char *bytes;
    size_t len;
};

struct append_job {
    struct job job;
    char briefing[WISH_ID_MAX];
    uint64_t epoch, first_seq;
    struct index_change change;
    char *units; /* of a new briefing */
    size_t n;
    struct record records[];
};

struct tail {
    bool found;
    uint64_t epoch, seq;
    uint8_t hash[STORE_HASH_BYTES];
};

static int read_tail(void *ctx, sqlite3_stmt *row)
{
    struct tail *t = ctx;
    t->found = true;
    t->epoch = (uint64_t)sqlite3_column_int64(row, 0);
    t->seq = (uint64_t)sqlite3_column_int64(row, 1);
    return sql_blob(row, 2, t->hash, sizeof(t->hash));
}

static int read_epoch(void *ctx, sqlite3_stmt *row)
{
    *(uint64_t *)ctx = (uint64_t)sqlite3_column_int64(row, 0);
    return 0;
}

static int make_briefing(struct sql *q, const struct append_job *a, struct tail *t)
{
    const struct briefing_schedule *s = a->change.made;
    if (t->found)
        return ERR_EXISTS;
    return sql_run(q, SQL_BRIEFING_ADD,
                   (struct sql_value[]){V_TEXT(s->id), V_TEXT(s->title), V_INT(s->starts_ms), V_INT(s->record),
                                        V_TEXT(a->units), V_INT((int64_t)a->epoch), V_BLOB(t->hash, sizeof(t->hash))},
                   7);
}

/* Is the writer still the owner, and does the log end where its events begin? */
static int check_owner(struct sql *q, const struct append_job *a, struct tail *t)
{
    uint64_t epoch = 0;
    int err = sql_each(q, SQL_META_GET, (struct sql_value[]){V_TEXT("epoch")}, 1, read_epoch, &epoch);
    if (!err)
        err = sql_each(q, SQL_BRIEFING_TAIL, (struct sql_value[]){V_TEXT(a->briefing)}, 1, read_tail, t);
    if (err)
        return err;
    if (a->epoch < epoch || a->epoch < t->epoch)
        return ERR_STALE;
    if (a->change.made)
        return make_briefing(q, a, t);
    if (!t->found)
        return ERR_NOTFOUND;
    return t->seq + 1 == a->first_seq ? 0 : ERR_STATE;
}

static void chain(uint8_t hash[STORE_HASH_BYTES], const void *bytes, size_t len)
{
    crypto_hash_sha256_state state;
    crypto_hash_sha256_init(&state);
    crypto_hash_sha256_update(&state, hash, STORE_HASH_BYTES);
    crypto_hash_sha256_update(&state, bytes, len);
    crypto_hash_sha256_final(&state, hash);
}

static int append_run(struct sql *q, struct job *j)
{
    struct append_job *a = (struct append_job *)j;
    struct tail t = {0};
    int err = check_owner(q, a, &t);
    for (size_t i = 0; !err && i < a->n; i++) {
        chain(t.hash, a->records[i].bytes, a->records[i].len);
        err = sql_run(q, SQL_EVENT_ADD,
                      (struct sql_value[]){V_TEXT(a->briefing), V_INT((int64_t)(a->first_seq + i)),
                                           V_BLOB(a->records[i].bytes, a->records[i].len), V_BLOB(t.hash, sizeof(t.hash))},
                      4);
    }
    if (err)
        return err;
    const struct index_change *c = &a->change;
    if (c->phase == BRIEFING_CLOSED)
        err = sql_run(q, SQL_SECRETS_DROP, (struct sql_value[]){V_TEXT(a->briefing)}, 1);
    if (err)
        return err;
    return sql_run(q, SQL_BRIEFING_UPDATE,
                   (struct sql_value[]){V_TEXT(a->briefing), V_INT(c->opened_ms), V_INT(c->closed_ms), V_INT(c->phase),
                                        V_INT(c->recording), V_INT((int64_t)a->epoch),
                                        V_INT((int64_t)(a->first_seq + a->n - 1)), V_BLOB(t.hash, sizeof(t.hash))},
                   8);
}

static void append_after(struct store *s, struct job *j, int err)
{
    struct append_job *a = (struct append_job *)j;
    if (err)
        return;
    store_index_apply(s, a->briefing, &a->change);
    if (a->change.phase == BRIEFING_CLOSED)
        store_secrets_forget(s, a->briefing);
}

static void append_free(struct job *j)
{
    struct append_job *a = (struct append_job *)j;
    for (size_t i = 0; i < a->n; i++)
        free(a->records[i].bytes);
    briefing_schedule_free(a->change.made);
    free(a->units);
    free(a);
}

static int note_change(struct append_job *a, const struct briefing_event *e)
{
    struct index_change *c = &a->change;
    switch (e->kind) {
    case EVENT_SCHEDULED:
        c->made = briefing_schedule_copy(e->schedule);
        a->units = store_units_text(e->schedule);
        return c->made && a->units ? 0 : ERR_NOMEM;
    case EVENT_OPENED:
        c->opened_ms = e->at_ms;
        c->phase = BRIEFING_OPEN;
        return 0;
    case EVENT_CLOSED:
        c->closed_ms = e->at_ms;
        c->phase = BRIEFING_CLOSED;
        c->recording = 0;
        return 0;
    case EVENT_RECORDING: c->recording = e->on; return 0;
    default: return 0;
    }
}

static bool well_formed(const char *briefing, const struct briefing_event *events, size_t n)
{
    if (!n || strnlen(briefing, WISH_ID_MAX) == WISH_ID_MAX || !wish_id_valid(briefing))
        return false;
    for (size_t i = 0; i < n; i++) {
        const struct briefing_event *e = &events[i];
        bool first = e->seq == 1;
        if (e->seq != events[0].seq + i || e->seq == 0 || (e->kind == EVENT_SCHEDULED) != first)
            return false;
        if (first && (!e->schedule || strcmp(e->schedule->id, briefing) != 0))
            return false;
    }
    return true;
}

int store_append(struct store *s, const char *briefing, uint64_t epoch, const struct briefing_event *events, size_t n,
                 store_done done, void *ctx)
{
    static const struct job_ops ops = {.write = append_run, .after = append_after, .free = append_free};
    if (!well_formed(briefing, events, n))
        return ERR_INVAL;
    struct append_job *a = calloc(1, sizeof(*a) + n * sizeof(a->records[0]));
    if (!a)
        return ERR_NOMEM;
    a->job.ops = &ops;
    a->epoch = epoch;
    a->first_seq = events[0].seq;
    a->change.recording = -1;
    memcpy(a->briefing, briefing, strlen(briefing) + 1);
    for (size_t i = 0; i < n; i++) {
        struct record *r = &a->records[a->n++];
        r->bytes = briefing_event_encode(&events[i], &r->len);
        if (!r->bytes || note_change(a, &events[i])) {
            append_free(&a->job);
            return ERR_NOMEM;
        }
    }
    store_queue(s, &a->job, done, ctx);
    return 0;
}

/* ---- reading ---- */

struct reading {
    uint64_t from_seq, seq;
    uint8_t hash[STORE_HASH_BYTES];
    int (*event)(void *ctx, const struct briefing_event *event);
    void *ctx;
};

static int read_row(void *ctx, sqlite3_stmt *row)
{
    struct reading *r = ctx;
    const char *bytes = sqlite3_column_blob(row, 1);
    size_t len = (size_t)sqlite3_column_bytes(row, 1);
    uint8_t stored[STORE_HASH_BYTES];
    r->seq++;
    if ((uint64_t)sqlite3_column_int64(row, 0) != r->seq || !bytes || sql_blob(row, 2, stored, sizeof(stored)))
        return ERR_AUTH;
    chain(r->hash, bytes, len);
    if (memcmp(r->hash, stored, sizeof(stored)) != 0)
        return ERR_AUTH;
    if (r->seq < r->from_seq)
        return 0;
    struct briefing_event e;
    int err = briefing_event_decode(bytes, len, &e);
    if (err)
        return err;
    err = e.seq == r->seq ? r->event(r->ctx, &e) : ERR_MALFORMED;
    briefing_event_clear(&e);
    return err;
}

int log_read(struct sql *q, const char *briefing, uint64_t from_seq,
             int (*event)(void *ctx, const struct briefing_event *event), void *ctx)
{
    struct reading r = {.from_seq = from_seq, .event = event, .ctx = ctx};
    struct tail t = {0};
    int err = sql_each(q, SQL_BRIEFING_TAIL, (struct sql_value[]){V_TEXT(briefing)}, 1, read_tail, &t);
    if (!err && !t.found)
        return ERR_NOTFOUND;
    if (!err)
        err = sql_each(q, SQL_EVENTS, (struct sql_value[]){V_TEXT(briefing)}, 1, read_row, &r);
    if (!err && (r.seq != t.seq || memcmp(r.hash, t.hash, sizeof(t.hash)) != 0))
        return ERR_AUTH; /* the end was cut off */
    return err;
}

int store_read(struct store *s, const char *briefing, uint64_t from_seq,
               int (*event)(void *ctx, const struct briefing_event *event), void *ctx)
{
    return log_read(&s->caller, briefing, from_seq, event, ctx);
}

/* ---- reading on the store's thread ---- */

struct read_job {
    struct job job;
    char briefing[WISH_ID_MAX];
    uint64_t from_seq;
    int (*event)(void *ctx, const struct briefing_event *event);
    struct briefing_events events;
};

static int keep_event(void *ctx, const struct briefing_event *e)
{
    struct briefing_events *l = ctx;
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        struct briefing_event *grown = realloc(l->items, cap * sizeof(*grown));
        if (!grown)
            return ERR_NOMEM;
        l->items = grown;
        l->cap = cap;
    }
    struct briefing_event copy = *e;
    copy.schedule = e->schedule ? briefing_schedule_copy(e->schedule) : NULL;
    if (e->schedule && !copy.schedule)
        return ERR_NOMEM;
    l->items[l->n++] = copy;
    return 0;
}

static int read_run(struct sql *q, struct job *j)
{
    struct read_job *r = (struct read_job *)j;
    return log_read(q, r->briefing, r->from_seq, keep_event, &r->events);
}

static void read_after(struct store *s, struct job *j, int err)
{
    struct read_job *r = (struct read_job *)j;
    for (size_t i = 0; !err && i < r->events.n; i++)
        err = r->event(j->ctx, &r->events.items[i]);
    j->err = err;
}

static void read_free(struct job *j)
{
    struct read_job *r = (struct read_job *)j;
    briefing_events_free(&r->events);
    free(r);
}

int store_read_later(struct store *s, const char *briefing, uint64_t from_seq,
                     int (*event)(void *ctx, const struct briefing_event *event), store_done done, void *ctx)
{
    static const struct job_ops ops = {.read = read_run, .after = read_after, .free = read_free};
    if (strnlen(briefing, WISH_ID_MAX) == WISH_ID_MAX)
        return ERR_INVAL;
    struct read_job *r = calloc(1, sizeof(*r));
    if (!r)
        return ERR_NOMEM;
    r->job.ops = &ops;
    r->from_seq = from_seq;
    r->event = event;
    memcpy(r->briefing, briefing, strlen(briefing) + 1);
    store_queue(s, &r->job, done, ctx);
    return 0;
}
