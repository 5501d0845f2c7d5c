#include "control/aside.h"

#include "base/err.h"
#include "control/control.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct aside_queue {
    struct aside_job *first, **last;
};

struct aside {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct aside_queue todo, finished;
    int event; /* bumped when `finished` grows */
    bool stop;
};

static void put(struct aside_queue *q, struct aside_job *job)
{
    job->next = NULL;
    *q->last = job;
    q->last = &job->next;
}

static struct aside_job *take(struct aside_queue *q)
{
    struct aside_job *job = q->first;
    if (job && !(q->first = job->next))
        q->last = &q->first;
    return job;
}

static void *work(void *ctx)
{
    struct aside *a = ctx;
    struct aside_job *job;
    pthread_mutex_lock(&a->lock);
    while ((job = take(&a->todo)) || !a->stop) {
        if (!job) {
            pthread_cond_wait(&a->more, &a->lock);
            continue;
        }
        pthread_mutex_unlock(&a->lock);
        job->work(job);
        pthread_mutex_lock(&a->lock);
        put(&a->finished, job);
        uint64_t one = 1;
        if (write(a->event, &one, sizeof one) < 0)
            continue; /* only if 2^64 jobs are waiting */
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

static void deliver(struct control *c)
{
    struct aside *a = c->aside;
    for (;;) {
        pthread_mutex_lock(&a->lock);
        struct aside_job *job = take(&a->finished);
        pthread_mutex_unlock(&a->lock);
        if (!job)
            return;
        job->done(c, job);
    }
}

static void finished_readable(void *ctx, int fd)
{
    uint64_t n;
    if (read(fd, &n, sizeof n) > 0)
        deliver(ctx);
}

int aside_start(struct control *c)
{
    struct aside *a = calloc(1, sizeof *a);
    if (!a)
        return ERR_NOMEM;
    a->todo.last = &a->todo.first;
    a->finished.last = &a->finished.first;
    a->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->more, NULL);
    if (a->event < 0 || pthread_create(&a->thread, NULL, work, a)) {
        if (a->event >= 0)
            close(a->event);
        free(a);
        return ERR_IO;
    }
    c->aside = a;
    return signaling_watch(c->signaling, a->event, finished_readable, c);
}

void aside_run(struct control *c, struct aside_job *job)
{
    struct aside *a = c->aside;
    pthread_mutex_lock(&a->lock);
    put(&a->todo, job);
    pthread_cond_signal(&a->more);
    pthread_mutex_unlock(&a->lock);
}

void aside_stop(struct control *c)
{
    struct aside *a = c->aside;
    if (!a)
        return;
    pthread_mutex_lock(&a->lock);
    a->stop = true;
    pthread_cond_signal(&a->more);
    pthread_mutex_unlock(&a->lock);
    pthread_join(a->thread, NULL);
    deliver(c);
    signaling_unwatch(c->signaling, a->event);
    close(a->event);
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->more);
    free(a);
    c->aside = NULL;
}
