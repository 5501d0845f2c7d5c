#include "supervisor/supervisor.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TRACE_MB = 16 };

static struct child *control_of(struct supervisor *s)
{
    struct child *control = children_find(&s->children, CHILD_CONTROL, 0, "");
    return control && control->pid > 0 ? control : NULL;
}

void supervisor_pair_up(struct child *control, struct child *other)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0) {
        log_error("link", "no socketpair for pid=%d: %s", (int)other->pid, strerror(errno));
        return;
    }
    /* A full wish of a large briefing goes out in one turn. */
    int bytes = 2 * 1024 * 1024;
    for (int i = 0; i < 2; i++)
        if (setsockopt(pair[i], SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) < 0)
            setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    struct link_message linked = {.kind = other->kind == CHILD_CHECK ? LINK_CHECKER : LINK_WORKER,
                                  .a = other->index,
                                  .b = other->generation,
                                  .c = other->leaving ? 1 : 0};
    child_send(other, &(struct link_message){.kind = LINK_CONTROL}, &pair[1], 1);
    child_send(control, &linked, &pair[0], 1);
    close(pair[0]);
    close(pair[1]);
}

static void equip_control(struct supervisor *s, struct child *control)
{
    struct link_message m = {.kind = LINK_LISTENERS, .a = (uint32_t)s->n_tls, .b = (uint32_t)s->n_plain};
    child_send(control, &m, s->listeners, s->n_tls + s->n_plain);
    kept_send_control(s, control);
    for (size_t i = 0; i < CHILDREN_MAX; i++) {
        struct child *child = &s->children.all[i];
        if (child->used && child->pid > 0 && child->kind == CHILD_WORKER && upgrade_shows(s, child))
            supervisor_pair_up(control, child);
        if (child->used && child->pid > 0 && child->kind == CHILD_CHECK)
            supervisor_pair_up(control, child);
        if (child->used && child->pid > 0 && child->kind == CHILD_RECORDER) {
            struct link_message runs = {.kind = LINK_RECORDER, .a = 1, .b = child->restarts};
            snprintf(runs.text, sizeof runs.text, "%s", child->job);
            child_send(control, &runs, NULL, 0);
        }
    }
    upgrade_tell(s, control);
}

/* A new file for each worker in the data directory, in place of its former one. That directory is another user's: nothing
 * that lies there already is opened. */
static void give_trace(struct supervisor *s, struct child *worker)
{
    char path[PATH_MAX];
    struct link_message m = {.kind = LINK_TRACE, .a = TRACE_MB};
    if (!s->settings.media_trace ||
        snprintf(path, sizeof path, "%s/worker-%u.trace", s->settings.data, worker->index) >= (int)sizeof path)
        return;
    unlink(path);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        log_warn("messages", "trace %s: %s", path, strerror(errno));
    else
        child_send(worker, &m, &fd, 1);
}

static void equip_worker(struct supervisor *s, struct child *worker)
{
    give_trace(s, worker); /* ahead of the sockets, with which it begins */
    const struct media_sockets *media = &s->media[worker->index];
    struct link_message m = {.kind = LINK_SOCKETS, .a = (uint32_t)media->n};
    snprintf(m.text, sizeof m.text, "%s", s->settings.announce);
    child_send(worker, &m, media->fd, media->n + media->n_listeners);
    struct child *control = control_of(s);
    if (control && upgrade_shows(s, worker))
        supervisor_pair_up(control, worker);
}

static void send_spare(struct child *recorder)
{
    child_send(recorder, &(struct link_message){.kind = LINK_RECORD, .a = recorder->spare_mb}, NULL, 0);
}

static void equip_check(struct supervisor *s, struct child *check)
{
    struct child *control = control_of(s);
    if (control)
        supervisor_pair_up(control, check);
}

static void equip_recorder(struct supervisor *s, struct child *recorder)
{
    send_spare(recorder);
    kept_send_recorder(s, recorder);
    if (recorder->finishing)
        child_send(recorder, &(struct link_message){.kind = LINK_RECORD_STOP}, NULL, 0);
    struct child *control = control_of(s);
    struct link_message runs = {.kind = LINK_RECORDER, .a = 1, .b = recorder->restarts};
    snprintf(runs.text, sizeof runs.text, "%s", recorder->job);
    if (control)
        child_send(control, &runs, NULL, 0);
}

void supervisor_equip(struct supervisor *s, struct child *child)
{
    switch (child->kind) {
    case CHILD_CONTROL: equip_control(s, child); break;
    case CHILD_WORKER: equip_worker(s, child); break;
    case CHILD_CHECK: equip_check(s, child); break;
    case CHILD_RECORDER: equip_recorder(s, child); break;
    case CHILD_COMPOSER: break;
    }
}

/* The job's id becomes a directory's name. */
static bool id_is_safe(const char *text)
{
    size_t len = strcspn(text, " ");
    for (size_t i = 0; i < len; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789-", text[i]))
            return false;
    return len > 0 && len < 64;
}

static struct child *start_job(struct supervisor *s, enum child_kind kind, const char *job)
{
    if (!id_is_safe(job) || s->phase != RUNNING) {
        log_warn("link", "job \"%s\" refused", job);
        return NULL;
    }
    struct child *child = children_find(&s->children, kind, 0, job);
    if (child)
        child->finishing = false;
    else if (!(child = children_add(&s->children, kind, 0, job)))
        log_error("link", "no room for job \"%s\"", job);
    return child;
}

static void start_recorder(struct supervisor *s, const struct link_message *m)
{
    struct child *recorder = start_job(s, CHILD_RECORDER, m->text);
    if (!recorder)
        return;
    recorder->spare_mb = m->a;
    if (recorder->pid > 0)
        send_spare(recorder);
}

/* Whoever breaks the format of a feed is a worker that something has taken over, or one whose memory is not what it wrote.
 */
static void feed_broken(struct supervisor *s, const struct child *recorder, uint32_t feed)
{
    uint32_t index;
    if (!kept_break(s, feed, recorder->job, &index))
        return;
    struct child *worker = children_find(&s->children, CHILD_WORKER, index, ""), *control = control_of(s);
    log_error("link", "feed=%u of worker %u is broken: the worker is killed", feed, index);
    struct link_message broken = {.kind = LINK_FEED_BROKEN, .a = feed};
    snprintf(broken.text, sizeof broken.text, "%s", recorder->job);
    if (control)
        child_send(control, &broken, NULL, 0);
    if (worker && worker->pid > 0)
        kill(worker->pid, SIGKILL);
}

static void stop_recorder(struct supervisor *s, const char *briefing)
{
    struct child *child = children_find(&s->children, CHILD_RECORDER, 0, briefing);
    struct child *control = control_of(s);
    if (child) {
        child->finishing = true;
        child_send(child, &(struct link_message){.kind = LINK_RECORD_STOP}, NULL, 0);
        return;
    }
    struct link_message done = {.kind = LINK_RECORDER, .a = 2};
    snprintf(done.text, sizeof done.text, "%s", briefing);
    if (control)
        child_send(control, &done, NULL, 0);
}

static void ready(struct supervisor *s, struct child *child)
{
    child->ready = true;
    if (child->kind == CHILD_CONTROL && !s->announced) {
        s->announced = true;
        notify_manager("READY=1");
    }
}

static void handle(struct supervisor *s, struct child *child, const struct link_message *m, const int *fds, size_t n_fds)
{
    if (m->kind == LINK_READY) {
        ready(s, child);
        return;
    }
    if (child->kind == CHILD_RECORDER && m->kind == LINK_FEED_BROKEN)
        feed_broken(s, child, m->a);
    if (child->kind != CHILD_CONTROL) /* only giaoband gives orders */
        return;
    switch (m->kind) {
    case LINK_RECORD: start_recorder(s, m); break;
    case LINK_RECORD_STOP: stop_recorder(s, m->text); break;
    case LINK_FEED: kept_add(s, m, fds, n_fds); break;
    case LINK_FEED_DROP: kept_drop_one(s, m->a); break;
    case LINK_UPGRADE: upgrade_begin(s, clock_now_us()); break;
    case LINK_MOVING: upgrade_moving(s, m, clock_now_us()); break;
    case LINK_WORKER_EMPTY: upgrade_worker_empty(s, m); break;
    case LINK_COMPOSE: start_job(s, CHILD_COMPOSER, m->text); break;
    default: log_warn("link", "message %u is not understood", m->kind); break;
    }
}

void supervisor_receive(struct supervisor *s, struct child *child, int64_t now_us)
{
    for (int i = 0; i < 32; i++) {
        struct link_message m;
        int fds[LINK_FDS_MAX];
        size_t n_fds = 0;
        int err = link_receive(child->link, &m, fds, &n_fds);
        if (err == ERR_MALFORMED)
            continue;
        if (err == ERR_CLOSED || err == ERR_IO) { /* its death follows by SIGCHLD, or by its heartbeat */
            close(child->link);
            child->link = -1;
        }
        if (err)
            return;
        handle(s, child, &m, fds, n_fds);
        for (size_t f = 0; f < n_fds; f++)
            close(fds[f]);
    }
}
