#include "supervisor/supervisor.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define TICK_MS 100
#define LATE_US 400000 /* a tick this late: the machine or we were stopped, so silence proves nothing */
#define NEVER_READY_MAX 6
#define GIVE_UP_DEATHS 6
#define CONTROL_STOP_US 1500000
#define RECORDERS_STOP_US 5000000
#define WORKERS_STOP_US 1000000

void supervisor_start(struct supervisor *s, int64_t now_us)
{
    s->last_tick_us = now_us;
    children_add(&s->children, CHILD_CONTROL, 0, "");
    for (unsigned i = 0; i < s->settings.workers; i++)
        children_add(&s->children, CHILD_WORKER, i, "");
    children_add(&s->children, CHILD_CHECK, 0, "");
}

static void start_due(struct supervisor *s, int64_t now_us)
{
    for (size_t i = 0; i < CHILDREN_MAX; i++) {
        struct child *child = &s->children.all[i];
        if (!child->used || child->pid > 0 || child->start_at_us > now_us)
            continue;
        if (child_start(&s->children, child, now_us) == 0)
            supervisor_equip(s, child);
    }
}

static int status_of(const siginfo_t *info)
{
    return info->si_code == CLD_EXITED ? info->si_status : 128 + info->si_status;
}

static void tell_control(struct supervisor *s, struct link_message m, const char *text)
{
    struct child *control = children_find(&s->children, CHILD_CONTROL, 0, "");
    snprintf(m.text, sizeof m.text, "%s", text);
    if (control)
        child_send(control, &m, NULL, 0);
}

static void enter(struct supervisor *s, enum stop_phase phase, int64_t now_us);

static void recorder_gone(struct supervisor *s, struct child *child, int status)
{
    bool finished = child->finishing && status == 0, hopeless = child->finishing && child->deaths >= GIVE_UP_DEATHS;
    struct link_message m = {.kind = LINK_RECORDER, .a = finished ? 2 : hopeless ? 3 : 0, .b = child->restarts};
    tell_control(s, m, child->job);
    if (finished || hopeless) {
        kept_drop(s, child->job);
        children_remove(child);
    }
}

static void control_gone(struct supervisor *s, struct child *child, int64_t now_us)
{
    if (s->announced || child->deaths < NEVER_READY_MAX)
        return;
    log_error("supervisor", "giaoband does not start: see the lines above");
    s->exit_status = 1;
    enter(s, STOP_WORKERS, now_us);
}

static void bury(struct supervisor *s, struct child *child, int status, int64_t now_us)
{
    pid_t pid = child->pid;
    uint32_t generation = child->generation;
    child_died(child, now_us);
    bool as_it_should = status == 0 && (child->kind == CHILD_RECORDER || child->kind == CHILD_COMPOSER);
    if (s->phase == RUNNING)
        log_line(as_it_should ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "supervisor",
                 "child ended pid=%d index=%u job=\"%s\" status=%d deaths=%u", (int)pid, child->index, child->job, status,
                 child->deaths);
    if (s->phase != RUNNING && child->kind != CHILD_COMPOSER) {
        children_remove(child);
        return;
    }
    switch (child->kind) {
    case CHILD_CONTROL: control_gone(s, child, now_us); break;
    case CHILD_WORKER:
        tell_control(
            s, (struct link_message){.kind = LINK_WORKER_GONE, .a = child->index, .b = generation, .c = (uint32_t)status},
            "");
        if (child->leaving)
            upgrade_bury_worker(s, child);
        break;
    case CHILD_CHECK: break; /* control sees its socket end */
    case CHILD_RECORDER: recorder_gone(s, child, status); break;
    case CHILD_COMPOSER:
        tell_control(s, (struct link_message){.kind = LINK_COMPOSED, .a = (uint32_t)status}, child->job);
        children_remove(child);
        break;
    }
}

/* Orphans of our children come to us too (we are their subreaper) and are waited for here. */
static void reap(struct supervisor *s, int64_t now_us)
{
    for (;;) {
        siginfo_t info = {0};
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0)
            return;
        struct child *child = children_by_pid(&s->children, info.si_pid);
        if (child)
            bury(s, child, status_of(&info), now_us);
    }
}

static void each(struct supervisor *s, enum child_kind first, enum child_kind last, void (*act)(struct child *))
{
    for (size_t i = 0; i < CHILDREN_MAX; i++) {
        struct child *child = &s->children.all[i];
        if (child->used && child->pid > 0 && child->kind >= first && child->kind <= last)
            act(child);
    }
}

static void ask_to_stop(struct child *child)
{
    child_send(child, &(struct link_message){.kind = LINK_STOP}, NULL, 0);
}

static void kill_it(struct child *child)
{
    /* Its whole process group: a composer may have helpers. */
    if (kill(-child->pid, SIGKILL) < 0)
        kill(child->pid, SIGKILL);
}

/* Control first (clients are told, what was decided is on disk), then workers, then recorders: the rings outlive the workers
 * that wrote them, and nothing that was heard comes after a recorder's last look. Then whoever is left. */
static void enter(struct supervisor *s, enum stop_phase phase, int64_t now_us)
{
    static const int64_t patience_us[] = {0, CONTROL_STOP_US, WORKERS_STOP_US, RECORDERS_STOP_US, WORKERS_STOP_US};
    s->phase = phase;
    s->phase_until_us = now_us + patience_us[phase];
    switch (phase) {
    case RUNNING: break;
    case STOP_CONTROL: each(s, CHILD_CONTROL, CHILD_CONTROL, ask_to_stop); break;
    case STOP_WORKERS: each(s, CHILD_WORKER, CHILD_CHECK, ask_to_stop); break;
    case STOP_RECORDERS: each(s, CHILD_RECORDER, CHILD_COMPOSER, ask_to_stop); break;
    case STOP_KILL: each(s, CHILD_CONTROL, CHILD_COMPOSER, kill_it); break;
    }
}

static bool any_running(const struct supervisor *s, enum child_kind first, enum child_kind last)
{
    for (size_t i = 0; i < CHILDREN_MAX; i++) {
        const struct child *child = &s->children.all[i];
        if (child->used && child->pid > 0 && child->kind >= first && child->kind <= last)
            return true;
    }
    return false;
}

static void advance_stop(struct supervisor *s, int64_t now_us)
{
    static const enum child_kind first[] = {0, CHILD_CONTROL, CHILD_WORKER, CHILD_RECORDER, CHILD_CONTROL};
    static const enum child_kind last[] = {0, CHILD_CONTROL, CHILD_CHECK, CHILD_COMPOSER, CHILD_COMPOSER};
    while (s->phase != RUNNING && s->phase != STOP_KILL &&
           (!any_running(s, first[s->phase], last[s->phase]) || now_us >= s->phase_until_us))
        enter(s, s->phase + 1, now_us);
}

static void take_signals(struct supervisor *s, int64_t now_us)
{
    struct signalfd_siginfo info;
    while (read(s->signal_fd, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGCHLD)
            continue; /* reap() runs every turn: signals are merged */
        if (info.ssi_signo == SIGUSR2) {
            upgrade_begin(s, now_us);
            continue;
        }
        if (info.ssi_signo == SIGHUP) {
            struct child *control = children_find(&s->children, CHILD_CONTROL, 0, "");
            if (control && control->pid > 0)
                kill(control->pid, SIGHUP); /* it reads its configuration again */
            continue;
        }
        log_info("supervisor", "stopping signal=%u", info.ssi_signo);
        if (s->phase == RUNNING) {
            notify_manager("STOPPING=1");
            enter(s, STOP_CONTROL, now_us);
        } else {
            enter(s, STOP_KILL, now_us); /* asked twice: at once */
        }
    }
}

static void check_hearts(struct supervisor *s, int64_t now_us)
{
    bool late = now_us - s->last_tick_us > LATE_US;
    s->last_tick_us = now_us;
    for (size_t i = 0; i < CHILDREN_MAX; i++) {
        struct child *child = &s->children.all[i];
        if (!child->used || child->pid <= 0 || !child_silent(child, now_us, late))
            continue;
        log_error("supervisor", "no heartbeat: killed pid=%d index=%u job=\"%s\"", (int)child->pid, child->index,
                  child->job);
        kill(child->pid, SIGKILL);
        child->beat_seen_us = now_us;
    }
}

static void wait_for_work(struct supervisor *s)
{
    struct pollfd fds[CHILDREN_MAX + 2] = {{.fd = s->signal_fd, .events = POLLIN}, {.fd = s->log_pipe, .events = POLLIN}};
    struct child *of[CHILDREN_MAX + 2] = {0};
    nfds_t n = 2;
    for (size_t i = 0; i < CHILDREN_MAX; i++) {
        struct child *child = &s->children.all[i];
        if (!child->used || child->link < 0)
            continue;
        of[n] = child;
        fds[n++] = (struct pollfd){.fd = child->link, .events = POLLIN};
    }
    int ready = poll(fds, n, TICK_MS);
    int64_t now_us = clock_now_us();
    for (nfds_t i = 2; ready > 0 && i < n; i++)
        if (fds[i].revents && of[i]->link == fds[i].fd)
            supervisor_receive(s, of[i], now_us);
}

int supervisor_run(struct supervisor *s)
{
    for (;;) {
        int64_t now_us = clock_now_us();
        reap(s, now_us);
        if (s->phase == RUNNING) {
            upgrade_tick(s, now_us);
            start_due(s, now_us);
        }
        advance_stop(s, now_us);
        if (s->phase != RUNNING && children_running(&s->children) == 0)
            break;
        check_hearts(s, now_us);
        wait_for_work(s);
        logs_pass(s);
        take_signals(s, clock_now_us());
    }
    logs_pass(s);
    return s->exit_status;
}
