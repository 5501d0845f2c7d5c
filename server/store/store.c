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
    struct shown shown; /* its items are this job's */
    uint8_t bytes[];    /* texts and blobs */
};

static int write_run(struct sql *q, struct job *j)
{
    struct write_job *w = (struct write_job *)j;
    return sql_run(q, w->which, w->values, w->n);
}

static void write_undo(struct store *s, struct job *j)
{
    const struct shown *w = &((struct write_job *)j)->shown;
    void *now = w->tree ? tree_find(w->tree, w->after, w->compare) : NULL;
    if (!now || memcmp(now, w->after, w->size) != 0)
        return; /* a later write has replaced it */
    if (w->before)
        memcpy(now, w->before, w->size);
    else
        tree_drop(w->tree, w->after, w->compare);
}

static void write_free(struct job *j)
{
    struct write_job *w = (struct write_job *)j;
    free((void *)w->shown.before);
    free((void *)w->shown.after);
    free(j);
}

static void *copy_item(const void *item, size_t size)
{
    void *copy = item ? malloc(size) : NULL;
    if (copy)
        memcpy(copy, item, size);
    return copy;
}

int store_write_shown(struct store *s, enum statement which, const struct sql_value *values, size_t n,
                      const struct shown *shown, store_done done, void *ctx)
{
    static const struct job_ops ops = {.write = write_run, .free = write_free, .undo = write_undo};
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
    if (shown) {
        w->shown = *shown;
        w->shown.before = copy_item(shown->before, shown->size);
        w->shown.after = copy_item(shown->after, shown->size);
        if (!w->shown.after || (shown->before && !w->shown.before)) {
            write_free(&w->job);
            return ERR_NOMEM;
        }
    }
    store_queue(s, &w->job, done, ctx);
    return 0;
}

int store_write(struct store *s, enum statement which, const struct sql_value *values, size_t n, store_done done, void *ctx)
{
    return store_write_shown(s, which, values, n, NULL, done, ctx);
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

static int try_writes(struct sql *q, struct job *batch)
{
    q->full = false;
    int err = sql_run(q, SQL_BEGIN, NULL, 0);
    for (struct job *j = batch; j && !err; j = j->next) {
        if (j->ops->write)
            j->err = run_write(q, j);
        if (sqlite3_get_autocommit(q->db)) /* SQLite has rolled the whole transaction back */
            err = ERR_IO;
        else if (q->full)
            err = ERR_FULL; /* the others' turn comes when there is room */
    }
    if (!err)
        err = sql_run(q, SQL_COMMIT, NULL, 0);
    if (err && !sqlite3_get_autocommit(q->db))
        sql_run(q, SQL_ROLLBACK, NULL, 0);
    return err;
}

static void run_writes(struct store *s, struct job *batch)
{
    int err;
    while ((err = try_writes(&s->disk, batch)) && s->disk.full && reserve_release(&s->reserve))
        sql_checkpoint(&s->disk); /* else the write-ahead log takes 4 MB of it before it does so by itself */
    for (struct job *j = batch; j && err; j = j->next) {
        if (j->ops->write)
            j->err = ERR_IO;
    }
    atomic_store(&s->disk_full, s->disk.full);
    atomic_fetch_add(err ? &s->writes_failed : &s->commits, 1);
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

/* The last one first: each puts back what it found. */
static void undo_failed(struct store *s, struct job *finished)
{
    struct job *failed = NULL;
    for (struct job *j = finished; j; j = j->next)
        if (j->err && j->ops->undo) {
            j->failed = failed;
            failed = j;
        }
    for (; failed; failed = failed->failed)
        failed->ops->undo(s, failed);
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
    undo_failed(s, j);
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

static void unload(struct store *s)
{
    sql_close(&s->caller);
    sql_close(&s->disk);
    store_free_briefings(s);
    void **const trees[] = {&s->secrets, &s->accounts, &s->sessions, &s->tokens, &s->recordings};
    for (size_t i = 0; i < sizeof(trees) / sizeof(trees[0]); i++) {
        tdestroy(*trees[i], free);
        *trees[i] = NULL;
    }
    free(s->units);
    s->units = NULL;
    s->n_units = 0;
}

/* A start writes too; a full disk must not keep the server from coming up. */
static int load_on_any_disk(struct store *s, const struct store_config *config, const char **ret_why)
{
    int err;
    while ((err = load(s, config, ret_why)) && (s->caller.full || s->disk.full) && reserve_release(&s->reserve))
        unload(s);
    if (err && (s->caller.full || s->disk.full))
        *ret_why = "the disk is full: free some space in the data directory";
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
    reserve_open(&s->reserve, config->reserve_path, config->reserve_bytes);
    int err = sodium_init() < 0 ? ERR_IO : load_on_any_disk(s, config, ret_why);
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
    unload(s);
    reserve_close(&s->reserve);
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

uint64_t store_reserve(const struct store *s, uint64_t *ret_wanted)
{
    *ret_wanted = s->reserve.want_bytes;
    return atomic_load(&s->reserve.have_bytes);
}

struct refill_job {
    struct job job;
    struct reserve *reserve;
};

static int refill_run(struct sql *q, struct job *j)
{
    reserve_refill(((struct refill_job *)j)->reserve);
    return 0;
}

static void refill_free(struct job *j)
{
    free(j);
}

void store_reserve_refill(struct store *s)
{
    static const struct job_ops ops = {.read = refill_run, .free = refill_free};
    uint64_t wanted;
    struct refill_job *j = store_reserve(s, &wanted) < wanted ? calloc(1, sizeof(*j)) : NULL;
    if (!j)
        return;
    j->job.ops = &ops;
    j->reserve = &s->reserve;
    store_queue(s, &j->job, NULL, NULL);
}

uint64_t store_writes_failed(const struct store *s)
{
    return atomic_load(&s->writes_failed);
}

uint64_t store_commits(const struct store *s)
{
    return atomic_load(&s->commits);
}

size_t store_queued(const struct store *s)
{
    return s->queued;
}
