#include "recordings/sync.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Above this many files one syncfs(2) is cheaper than a journal commit for each. */
#define FILES_ONE_BY_ONE 8

enum phase { IDLE, WAITING, DONE, LEAVING };

struct sync {
    int dir_fd;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum phase phase;
    struct sync_job job;
    int result;
};

static int err_of_disk(void)
{
    return errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_IO;
}

int replace_file(int dir_fd, const char *name, const char *text, size_t len)
{
    char beside[80];
    snprintf(beside, sizeof beside, ".%s.new", name);
    _cleanup_close_ int fd = openat(dir_fd, beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0)
        return err_of_disk();
    for (size_t done = 0; done < len;) {
        ssize_t n = write(fd, text + done, len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_of_disk();
        done += (size_t)n;
    }
    if (fdatasync(fd) < 0 || renameat(dir_fd, beside, dir_fd, name) < 0)
        return err_of_disk();
    return 0;
}

static int sync_files(int dir_fd, const struct sync_job *job)
{
    if (job->n_fds > FILES_ONE_BY_ONE)
        return syncfs(dir_fd) < 0 ? err_of_disk() : 0;
    for (size_t i = 0; i < job->n_fds; i++)
        if (fdatasync(job->fds[i]) < 0)
            return err_of_disk();
    return fsync(dir_fd) < 0 ? err_of_disk() : 0; /* a new file's name counts too */
}

static int run_job(int dir_fd, const struct sync_job *job)
{
    int err = job->n_fds ? sync_files(dir_fd, job) : 0;
    if (!err && job->index)
        err = replace_file(dir_fd, "index.json", job->index, strlen(job->index));
    if (!err && job->index && fsync(dir_fd) < 0)
        err = err_of_disk();
    if (!err && job->synced)
        err = replace_file(dir_fd, "synced.json", job->synced, strlen(job->synced));
    return err;
}

static void release_job(struct sync_job *job)
{
    for (size_t i = 0; i < job->n_fds; i++)
        close(job->fds[i]);
    free(job->fds);
    free(job->index);
    free(job->synced);
    memset(job, 0, sizeof *job);
}

static void *serve(void *arg)
{
    struct sync *s = arg;
    pthread_mutex_lock(&s->lock);
    while (s->phase != LEAVING) {
        if (s->phase != WAITING) {
            pthread_cond_wait(&s->changed, &s->lock);
            continue;
        }
        pthread_mutex_unlock(&s->lock);
        int result = run_job(s->dir_fd, &s->job);
        release_job(&s->job);
        pthread_mutex_lock(&s->lock);
        s->result = result;
        s->phase = DONE;
        pthread_cond_broadcast(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

int sync_start(int dir_fd, struct sync **ret)
{
    struct sync *s = calloc(1, sizeof *s);
    if (!s)
        return ERR_NOMEM;
    s->dir_fd = dir_fd;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    sigset_t all, before; /* signals are the main thread's */
    sigfillset(&all);
    sigdelset(&all, SIGSYS); /* the box's: a blocked one would kill */
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int failed = pthread_create(&s->thread, NULL, serve, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        free(s);
        return ERR_IO;
    }
    *ret = s;
    return 0;
}

void sync_free(struct sync *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    while (s->phase == WAITING) /* the job in hand is finished first */
        pthread_cond_wait(&s->changed, &s->lock);
    s->phase = LEAVING;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    release_job(&s->job);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->changed);
    free(s);
}

bool sync_busy(const struct sync *s)
{
    struct sync *own = (struct sync *)s; /* the lock is no visible state */
    pthread_mutex_lock(&own->lock);
    bool busy = own->phase == WAITING;
    pthread_mutex_unlock(&own->lock);
    return busy;
}

void sync_submit(struct sync *s, const struct sync_job *job)
{
    pthread_mutex_lock(&s->lock);
    s->job = *job;
    s->phase = WAITING;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

bool sync_done(struct sync *s, int *ret_result)
{
    pthread_mutex_lock(&s->lock);
    bool done = s->phase == DONE;
    if (done) {
        s->phase = IDLE;
        *ret_result = s->result;
    }
    pthread_mutex_unlock(&s->lock);
    return done;
}
