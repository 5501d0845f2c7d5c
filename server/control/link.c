/* The supervisor's link: descriptors in, orders out. */
#include "control/control.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define REPLACED_DRAIN_US 150000 /* answers under way leave */

void link_say(const struct link_message *m, const char *text, const int *fds, size_t n_fds)
{
    struct link_message said = *m;
    snprintf(said.text, sizeof said.text, "%s", text);
    int err = link_send(LINK_FD, &said, fds, n_fds);
    if (err)
        log_error("link", "message %u to the supervisor not sent: %s", m->kind, err_str(err));
}

static void take_heartbeat(struct control *c, const struct link_message *m, int fd)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        return;
    c->beat = page;
    c->beat_cell = m->c < 512 ? m->c : 0;
}

static void take_listeners(struct control *c, const struct link_message *m, const int *fds, size_t n_fds)
{
    for (size_t i = 0; i < n_fds; i++) {
        int err = signaling_listen(c->signaling, fcntl(fds[i], F_DUPFD_CLOEXEC, 10), i < m->a);
        if (err)
            log_error("link", "listener not taken: %s", err_str(err));
    }
    link_say(&(struct link_message){.kind = LINK_READY}, "", NULL, 0);
    log_info("link", "serving port=%u plain_port=%u", c->config.port, c->config.plain_port);
}

static void stop(struct control *c, bool replaced)
{
    if (c->stopping)
        return;
    c->stopping = true;
    if (replaced) { /* clients are back before a notice would be read */
        c->stop_at_us = clock_now_us() + REPLACED_DRAIN_US;
        return;
    }
    for (struct meeting *m = c->meetings; m; m = m->next)
        meeting_notice(m, false, "closing", NULL);
}

/* Descriptors that a message's receiver wants to keep are duplicated by it; all are closed here. */
static void handle(struct control *c, const struct link_message *m, const int *fds, size_t n_fds)
{
    switch (m->kind) {
    case LINK_START:
        if (n_fds == 1)
            take_heartbeat(c, m, fds[0]);
        break;
    case LINK_STOP: stop(c, m->a == 1); break;
    case LINK_LISTENERS: take_listeners(c, m, fds, n_fds); break;
    case LINK_WORKER:
        if (n_fds == 1)
            worker_linked(c, m->a, m->b, m->c != 0, fcntl(fds[0], F_DUPFD_CLOEXEC, 10));
        break;
    case LINK_CHECKER:
        if (n_fds == 1)
            checker_linked(c, fcntl(fds[0], F_DUPFD_CLOEXEC, 10));
        break;
    case LINK_WORKER_GONE: worker_gone(c, m->a, m->b); break;
    case LINK_RECORDER: recording_recorder(c, m); break;
    case LINK_COMPOSED: recording_composed(c, m); break;
    case LINK_FEED_BROKEN: feed_broke(c, m->a); break;
    case LINK_KEPT_FEED: feeds_kept(c, m, fds, n_fds); break;
    case LINK_KEPT_END:
        c->feeds_known = true;
        c->workers_expected = m->a;
        recordings_resume(c);
        break;
    case LINK_UPGRADE_STATE:
        c->upgrade = (struct upgrade_state){.step = (enum upgrade_step)m->a, .moving = m->b};
        snprintf(c->upgrade.text, sizeof c->upgrade.text, "%s", m->text);
        break;
    default: log_warn("link", "message %u is not understood", m->kind); break;
    }
}

void link_readable(void *ctx, int fd)
{
    struct control *c = ctx;
    for (int i = 0; i < 64; i++) {
        struct link_message m;
        int fds[LINK_FDS_MAX];
        size_t n_fds = 0;
        int err = link_receive(fd, &m, fds, &n_fds);
        if (err == ERR_MALFORMED)
            continue;
        if (err == ERR_CLOSED || err == ERR_IO) {
            c->linked = false;
            signaling_unwatch(c->signaling, fd);
            stop(c, false);
        }
        if (err)
            return;
        handle(c, &m, fds, n_fds);
        for (size_t f = 0; f < n_fds; f++)
            close(fds[f]);
    }
}
