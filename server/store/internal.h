/* The store's inside: jobs that run on its thread, tables in memory that belong to the caller's. */
#pragma once

#include "store/reserve.h"
#include "store/sql.h"
#include "store/store.h"

#include <pthread.h>
#include <stdatomic.h>

struct job;

/* What a kind of job does. */
struct job_ops {
    int (*write)(struct sql *q, struct job *j);             /* store's thread, inside the turn's transaction; or NULL */
    int (*read)(struct sql *q, struct job *j);              /* store's thread, behind the commit; or NULL */
    void (*after)(struct store *s, struct job *j, int err); /* caller's thread, before `done`; or NULL */
    void (*free)(struct job *j);                            /* frees what the job owns and the job */
    /* Caller's thread, before all `after`s, of failed writes alone, the last one first: memory goes back to what it showed
     * before. Or NULL. */
    void (*undo)(struct store *s, struct job *j);
};

/* First member of every kind of job. */
struct job {
    const struct job_ops *ops;
    struct job *next, *failed;
    int err;
    store_done done;
    void *ctx;
};

struct job_list {
    struct job *first, **end;
};

/* Tables kept in memory are tsearch(3) trees. */
struct store {
    uint64_t epoch;
    struct sql caller; /* [start] reads, on the caller's thread */
    struct sql disk;   /* the thread's */
    struct reserve reserve;
    _Atomic uint64_t writes_failed;
    pthread_t thread;
    bool started;
    int event_fd;

    pthread_mutex_t mutex; /* guards the next block */
    pthread_cond_t wake;
    struct job_list queue, finished;
    bool submitted, stop;

    _Atomic bool disk_full;
    _Atomic uint64_t commits;
    size_t queued; /* caller's thread */

    struct store_unit *units;
    size_t n_units;
    void *briefings, *secrets, *accounts, *sessions, *tokens, *recordings;
};

/* Queues a job; it is owned by the store from here on. */
void store_queue(struct store *s, struct job *j, store_done done, void *ctx);

/* A write of one statement; the values are copied. ERR_NOMEM: not queued. */
int store_write(struct store *s, enum statement which, const struct sql_value *values, size_t n, store_done done, void *ctx);

/* The same for one that memory shows already: item `after` in `tree` (whole structs of `size` bytes without pointers), which
 * was `before` (NULL: not there). If the write fails, memory shows `before` again, unless something newer is there. Both are
 * copied. */
struct shown {
    void **tree;
    int (*compare)(const void *, const void *);
    size_t size;
    const void *before, *after;
};
int store_write_shown(struct store *s, enum statement which, const struct sql_value *values, size_t n,
                      const struct shown *shown, store_done done, void *ctx);

/* Loads one table each; called by store_open() on the caller's connection. */
int store_load_briefings(struct store *s);
int store_load_units(struct store *s, const char *path);
int store_load_accounts(struct store *s);
int store_load_sessions(struct store *s);
int store_load_secrets(struct store *s);
int store_load_recordings(struct store *s);
void store_free_briefings(struct store *s);

/* Adds `item` (malloc'd) to a tree, freeing and replacing an equal one. ERR_NOMEM: `item` is freed. */
int tree_put(void **tree, void *item, int (*compare)(const void *, const void *));
void *tree_find(void *const *tree, const void *key, int (*compare)(const void *, const void *));
void tree_drop(void **tree, const void *key, int (*compare)(const void *, const void *));
