/* The store's life and its thread. All jobs of a loop turn are taken together and share one transaction; each has a
 * savepoint of its own, so that one that fails undoes itself alone. */
#include "store/store.h"

#include "base/err.h"
#include "store/internal.h"

#include <search.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* How long the thread waits for the turn's end when nobody tells it. */
#define TURN_NS 2000000L

/* ---- trees ---- */

int tree_put(void **tree, void *item, int (*compare)(const void *, const void *))
{
    void **node = tsearch(item, tree, compare);
    if (!node) {
        free(item);
        return ERR_NOMEM;
    }
    if (*node != item) {
        free(*node);
        *node = item;
    }
    return 0;
}

void *tree_find(void *const *tree, const void *key, int (*compare)(const void *, const void *))
{
    void **node = tfind(key, tree, compare);
    return node ? *node : NULL;
}

void tree_drop(void **tree, const void *key, int (*compare)(const void *, const void *))
{
    void *item = tree_find(tree, key, compare);
    if (!item)
        return;
    tdelete(key, tree, compare);
    free(item);
}

/* ---- jobs ---- */

static void list_add(struct job_list *l, struct job *j)
{
    j->next = NULL;
    *l->end = j;
    l->end = &j->next;
}

static struct job *list_take(struct job_list *l)
{
    struct job *first = l->first;
    l->first = NULL;
    l->end = &l->first;
    return first;
}

void store_queue(struct store *s, struct job *j, store_done done, void *ctx)
{
    j->done = done;
    j->ctx = ctx;
    s->queued++;
    pthread_mutex_lock(&s->mutex);
    bool first = !s->queue.first;
    list_add(&s->queue, j);
    if (first)
        pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->mutex);
}

void store_submit(struct store *s)
{
    pthread_mutex_lock(&s->mutex);
    if (s->queue.first && !s->submitted) {
        s->submitted = true;
        pthread_cond_signal(&s->wake);
    }
    pthread_mutex_unlock(&s->mutex);
}

struct write_job {
    struct job job;
    enum statement which;
    size_t n;
    struct sql_value values[10];
    uint8_t bytes[]; /* texts and blobs */
};

static int write_run(struct sql *q, struct job *j)
{
    struct write_job *w = (struct write_job *)j;
    return sql_run(q, w->which, w->values, w->n);
}

static void write_free(struct job *j)
{
    free(j);
}

int store_write(struct store *s, enum statement which, const struct sql_value *values, size_t n, store_done done, void *ctx)
{
    static const struct job_ops ops = {.write = write_run, .free = write_free};
    size_t len = 0;
    if (n > sizeof(((struct write_job *)0)->values) / sizeof(values[0]))
        return ERR_INVAL;
    for (size_t i = 0; i < n; i++)
        len += values[i].len;
    struct write_job *w = calloc(1, sizeof(*w) + len);
    if (!w)
        return ERR_NOMEM;
    w->job.ops = &ops;
    w->which = which;
    w->n = n;
    uint8_t *at = w->bytes;
    for (size_t i = 0; i < n; i++) {
        w->values[i] = values[i];
        if (!values[i].bytes)
            continue;
        memcpy(at, values[i].bytes, values[i].len);
        w->values[i].bytes = at;
        at += values[i].len;
    }
    store_queue(s, &w->job, done, ctx);
    return 0;
}

/* ---- the thread ---- */

static int run_write(struct sql *q, struct job *j)
{
    int err = sql_run(q, SQL_SAVE, NULL, 0);
    if (err)
        return err;
    int run = j->ops->write(q, j);
    if (run)
        err = sql_run(q, SQL_UNDO, NULL, 0);
    int release = sql_run(q, SQL_RELEASE, NULL, 0);
    return run ? run : err ? err : release;
}

static bool any_write(const struct job *j)
{
    while (j && !j->ops->write)
        j = j->next;
    return j != NULL;
}

static void run_writes(struct store *s, struct job *batch)
{
    struct sql *q = &s->disk;
    q->full = false;
    int err = sql_run(q, SQL_BEGIN, NULL, 0);
    for (struct job *j = batch; j && !err; j = j->next) {
        if (j->ops->write)
            j->err = run_write(q, j);
        if (!sqlite3_get_autocommit(q->db))
            continue;
        err = ERR_IO; /* SQLite has rolled the whole transaction back (disk full, I/O error) */
    }
    if (!err)
        err = sql_run(q, SQL_COMMIT, NULL, 0);
    if (err && !sqlite3_get_autocommit(q->db))
        sql_run(q, SQL_ROLLBACK, NULL, 0);
    for (struct job *j = batch; j && err; j = j->next) {
        if (j->ops->write)
            j->err = err;
    }
    atomic_store(&s->disk_full, q->full);
    if (!err)
        atomic_fetch_add(&s->commits, 1);
}

static void run_batch(struct store *s, struct job *batch)
{
    if (any_write(batch))
        run_writes(s, batch);
    for (struct job *j = batch; j; j = j->next) {
        if (j->ops->read)
            j->err = j->ops->read(&s->disk, j);
    }
}

/* The jobs of one turn, or NULL when the store ends. */
static struct job *next_batch(struct store *s)
{
    pthread_mutex_lock(&s->mutex);
    while (!s->queue.first && !s->stop)
        pthread_cond_wait(&s->wake, &s->mutex);
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += TURN_NS;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    while (!s->submitted && !s->stop) {
        if (pthread_cond_timedwait(&s->wake, &s->mutex, &until))
            break;
    }
    s->submitted = false;
    struct job *batch = list_take(&s->queue);
    pthread_mutex_unlock(&s->mutex);
    return batch;
}

static void *run_thread(void *arg)
{
    struct store *s = arg;
    for (struct job *batch; (batch = next_batch(s));) {
        run_batch(s, batch);
        pthread_mutex_lock(&s->mutex);
        for (struct job *next; batch; batch = next) {
            next = batch->next;
            list_add(&s->finished, batch);
        }
        pthread_mutex_unlock(&s->mutex);
        uint64_t one = 1;
        if (write(s->event_fd, &one, sizeof(one)) < 0) {
            /* The counter is at its top: it is readable anyway. */
        }
    }
    return NULL;
}

void store_poll(struct store *s)
{
    uint64_t count;
    if (read(s->event_fd, &count, sizeof(count)) < 0) {
        /* Nothing is finished, or a former call has taken it. */
    }
    pthread_mutex_lock(&s->mutex);
    struct job *j = list_take(&s->finished);
    pthread_mutex_unlock(&s->mutex);
    while (j) {
        struct job *next = j->next;
        s->queued--;
        if (j->ops->after)
            j->ops->after(s, j, j->err);
        if (j->done)
            j->done(j->ctx, j->err);
        j->ops->free(j);
        j = next;
    }
}

/* ---- life ---- */

static int raise_integer(void *ctx, sqlite3_stmt *row)
{
    *(int64_t *)ctx = sqlite3_column_int64(row, 0);
    return 0;
}

/* One transaction: two controls that start at once get two numbers. */
static int raise_epoch(struct store *s)
{
    int64_t epoch = 0;
    int err = sql_run(&s->caller, SQL_BEGIN, NULL, 0);
    if (!err)
        err = sql_each(&s->caller, SQL_META_GET, (struct sql_value[]){V_TEXT("epoch")}, 1, raise_integer, &epoch);
    if (!err)
        err = sql_run(&s->caller, SQL_META_PUT, (struct sql_value[]){V_TEXT("epoch"), V_INT(epoch + 1)}, 2);
    if (!err)
        err = sql_run(&s->caller, SQL_COMMIT, NULL, 0);
    if (!err)
        s->epoch = (uint64_t)epoch + 1;
    return err;
}

static int start_thread(struct store *s)
{
    s->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->event_fd < 0 || pthread_create(&s->thread, NULL, run_thread, s))
        return ERR_IO;
    s->started = true;
    return 0;
}

static int load(struct store *s, const struct store_config *config, const char **ret_why)
{
    *ret_why = "the database can't be opened";
    int err = sql_open(&s->caller, config->path);
    if (err == ERR_UNSUPPORTED)
        *ret_why = "the database was written by a newer version";
    if (!err)
        err = sql_open(&s->disk, config->path);
    if (err)
        return err;
    *ret_why = "the list of units can't be read";
    err = store_load_units(s, config->units_path);
    if (err)
        return err;
    *ret_why = "the database can't be read";
    err = raise_epoch(s);
    int (*const loads[])(struct store *) = {store_load_briefings, store_load_accounts, store_load_sessions,
                                            store_load_secrets, store_load_recordings};
    for (size_t i = 0; !err && i < sizeof(loads) / sizeof(loads[0]); i++)
        err = loads[i](s);
    return err;
}

int store_open(const struct store_config *config, struct store **ret_store, const char **ret_why)
{
    *ret_why = "no memory";
    struct store *s = calloc(1, sizeof(*s));
    if (!s)
        return ERR_NOMEM;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->wake, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&s->mutex, NULL);
    s->event_fd = -1;
    list_take(&s->queue);
    list_take(&s->finished);
    int err = sodium_init() < 0 ? ERR_IO : load(s, config, ret_why);
    if (!err) {
        *ret_why = "the store's thread can't be started";
        err = start_thread(s);
    }
    if (err) {
        store_close(s);
        return err;
    }
    *ret_why = "";
    *ret_store = s;
    return 0;
}

/* What completions have queued while the store was closing is not written. */
static void drop_queue(struct store *s)
{
    for (struct job *j = list_take(&s->queue), *next; j; j = next) {
        next = j->next;
        j->ops->free(j);
    }
}

void store_close(struct store *s)
{
    if (!s)
        return;
    if (s->started) {
        pthread_mutex_lock(&s->mutex);
        s->stop = true;
        pthread_cond_signal(&s->wake);
        pthread_mutex_unlock(&s->mutex);
        pthread_join(s->thread, NULL);
        store_poll(s);
        drop_queue(s);
    }
    if (s->event_fd >= 0)
        close(s->event_fd);
    sql_close(&s->caller);
    sql_close(&s->disk);
    store_free_briefings(s);
    tdestroy(s->secrets, free);
    tdestroy(s->accounts, free);
    tdestroy(s->sessions, free);
    tdestroy(s->tokens, free);
    tdestroy(s->recordings, free);
    free(s->units);
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->mutex);
    free(s);
}

uint64_t store_epoch(const struct store *s)
{
    return s->epoch;
}

int store_event_fd(const struct store *s)
{
    return s->event_fd;
}

bool store_disk_full(const struct store *s)
{
    return atomic_load(&s->disk_full);
}

uint64_t store_commits(const struct store *s)
{
    return atomic_load(&s->commits);
}

size_t store_queued(const struct store *s)
{
    return s->queued;
}
