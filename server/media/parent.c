#include "media/media.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

static void close_all(const int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        close(fds[i]);
}

static void take_start(struct media *m, const struct link_message *msg, const int *fds, size_t n)
{
    m->index = msg->a;
    m->generation = msg->b;
    if (n == 0)
        return;
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
    if (page != MAP_FAILED && msg->c < 4096 / sizeof(uint64_t))
        m->heartbeat = (_Atomic uint64_t *)page + msg->c;
    close_all(fds, n);
}

static void take_sockets(struct media *m, const struct link_message *msg, const int *fds, size_t n)
{
    if (m->n_sockets || n > MEDIA_SOCKETS_MAX || msg->a > n) {
        close_all(fds, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        fcntl(fds[i], F_SETFL, fcntl(fds[i], F_GETFL) | O_NONBLOCK);
        m->sockets[i] = fds[i];
    }
    m->n_sockets = msg->a;
    m->n_listeners = n - msg->a;
    snprintf(m->announced, sizeof m->announced, "%s", msg->text);
}

static void write_trace(void *ctx, const char *bytes, size_t len)
{
    struct media *m = ctx;
    while (len > 0) {
        ssize_t n = write(m->trace_fd, bytes, len);
        if (n < 0) {
            m->trace->left = 0; /* the disk is full: what is there is kept */
            return;
        }
        bytes += n;
        len -= (size_t)n;
    }
}

static void take_trace(struct media *m, const struct link_message *msg, const int *fds, size_t n)
{
    struct trace *t = n == 1 && !m->trace ? malloc(sizeof *t) : NULL;
    if (!t) {
        close_all(fds, n);
        return;
    }
    m->trace_fd = fds[0];
    trace_init(t, write_trace, m, (uint64_t)msg->a << 20, clock_now_us());
    m->sfu.trace = m->trace = t;
    log_warn("media", "worker=%u traces its lines, %u MB at most", m->index, msg->a);
}

static void handle(struct media *m, const struct link_message *msg, const int *fds, size_t n)
{
    switch (msg->kind) {
    case LINK_START: take_start(m, msg, fds, n); return;
    case LINK_SOCKETS: take_sockets(m, msg, fds, n); return;
    case LINK_TRACE: take_trace(m, msg, fds, n); return;
    case LINK_CONTROL:
        if (n == 1)
            control_replace(m, fds[0]);
        else
            close_all(fds, n);
        return;
    case LINK_STOP: m->stop = true; break;
    default: log_warn("media", "unknown message kind=%u from the supervisor", msg->kind);
    }
    close_all(fds, n);
}

/* Everything that waits on the link. */
static void drain(struct media *m)
{
    for (;;) {
        struct link_message msg;
        int fds[LINK_FDS_MAX];
        size_t n;
        int err = link_receive(LINK_FD, &msg, fds, &n);
        if (err == ERR_AGAIN)
            return;
        if (err == ERR_MALFORMED)
            continue;
        if (err) { /* the supervisor is gone: so are we */
            m->stop = true;
            return;
        }
        handle(m, &msg, fds, n);
    }
}

int parent_start(struct media *m)
{
    fcntl(LINK_FD, F_SETFL, fcntl(LINK_FD, F_GETFL) | O_NONBLOCK);
    while (!m->n_sockets && !m->stop) {
        struct pollfd p = {.fd = LINK_FD, .events = POLLIN};
        poll(&p, 1, -1);
        drain(m);
    }
    return m->n_sockets ? 0 : ERR_CLOSED;
}

static void ready(void *ctx, uint32_t events, int64_t now_us)
{
    drain(ctx);
}

void parent_watch(struct media *m)
{
    struct link_message msg = {.kind = LINK_READY};
    net_watch(m->net, LINK_FD, EPOLLIN, ready, m);
    link_send(LINK_FD, &msg, NULL, 0);
}
