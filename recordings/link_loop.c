#include "recordings/link_loop.h"

#include "recordings/manifest.h"
#include "recordings/recorder.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/link.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { POLL_MS = 20, PAGE = 4096 };
#define QUIET_US 500000

/* LEAVE: a successor goes on with the feeds. CLOSE: nobody does, what is in them is written now or never. */
enum intent { GO_ON, FINISH, LEAVE, CLOSE };

struct loop {
    struct recorder *recorder;
    _Atomic uint64_t *heartbeat; /* our cell, or NULL */
    void *page;
    enum intent intent;
    int64_t stop_us;
};

static void beat(void *ctx)
{
    struct loop *l = ctx;
    if (l->heartbeat)
        atomic_fetch_add_explicit(l->heartbeat, 1, memory_order_relaxed);
}

static void take_start(struct loop *l, const struct link_message *m, const int *fds, size_t n)
{
    if (!n || l->page || m->c >= PAGE / sizeof(uint64_t))
        return;
    void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
    if (page == MAP_FAILED)
        return;
    l->page = page;
    l->heartbeat = (_Atomic uint64_t *)page + m->c;
}

static void say_broken(uint64_t feed)
{
    struct link_message m = {.kind = LINK_FEED_BROKEN, .a = (uint32_t)feed};
    int err = link_send(LINK_FD, &m, NULL, 0);
    if (err)
        log_error("recorder", "feed=%u is broken, and nobody could be told: %s", m.a, err_str(err));
}

static void take_message(struct loop *l, const struct link_message *m, const int *fds, size_t n)
{
    int err;
    switch (m->kind) {
    case LINK_START: take_start(l, m, fds, n); break;
    case LINK_FEED:
        err = n == 2 ? recorder_add_feed(l->recorder, m->a, fds[0], fds[1]) : ERR_INVAL;
        if (err)
            log_error("recorder", "feed=%u refused: %s", m->a, err_str(err));
        if (err == ERR_MALFORMED)
            say_broken(m->a);
        break;
    case LINK_RECORD: recorder_spare(l->recorder, (uint64_t)m->a << 20); break;
    case LINK_RECORD_STOP:
        if (l->intent == GO_ON)
            l->stop_us = clock_now_us();
        l->intent = FINISH;
        break;
    case LINK_STOP: l->intent = m->a == 1 ? LEAVE : CLOSE; break;
    default: break;
    }
}

static void take_messages(struct loop *l, int timeout_ms)
{
    struct pollfd pfd = {.fd = LINK_FD, .events = POLLIN};
    if (poll(&pfd, 1, timeout_ms) <= 0)
        return;
    struct link_message m;
    int fds[LINK_FDS_MAX];
    size_t n;
    int err;
    while ((err = link_receive(LINK_FD, &m, fds, &n)) == 0) {
        take_message(l, &m, fds, n);
        for (size_t i = 0; i < n; i++)
            close(fds[i]);
    }
    if (err == ERR_CLOSED && l->intent == GO_ON) {
        log_warn("recorder", "the supervisor is gone: files are closed");
        l->intent = CLOSE;
    }
}

static int turn_until_told(struct loop *l)
{
    bool more = false;
    for (;;) {
        take_messages(l, more || l->intent >= LEAVE ? 0 : POLL_MS);
        int64_t now_us = clock_now_us();
        int err = recorder_turn(l->recorder, now_us, &more);
        if (err)
            return err;
        for (uint64_t feed; recorder_take_broken(l->recorder, &feed);)
            say_broken(feed);
        beat(l);
        if (more)
            continue;
        if (l->intent >= LEAVE)
            return 0;
        if (l->intent == FINISH && now_us - l->stop_us >= QUIET_US / 5 && recorder_drained(l->recorder, now_us, QUIET_US))
            return 0;
    }
}

/* A full disk may get room again: the briefing is over, so there is time. */
static int finish(struct loop *l, const char *dir)
{
    int err;
    while ((err = recorder_finish(l->recorder, clock_now_us(), l->intent != LEAVE)) == ERR_FULL || err == ERR_IO) {
        if (l->intent >= LEAVE)
            return err;
        take_messages(l, 1000);
        beat(l);
    }
    if (err || l->intent != FINISH)
        return err;
    int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    err = dir_fd < 0 ? ERR_IO : manifest_write(dir_fd, false, beat, l);
    if (dir_fd >= 0)
        close(dir_fd);
    return err;
}

static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max < 65536 ? limit.rlim_max : 65536;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* A recorder whose supervisor was killed still finishes its files while its successor starts under a new one: two must not
 * write. The lock is held until we exit. Not forever: without a heartbeat the supervisor gives the next one a try. */
static int lock_directory(const char *dir)
{
    struct pollfd link = {.fd = LINK_FD};
    if (mkdir(dir, 0770) < 0 && errno != EEXIST)
        return ERR_IO;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool told = false;
    while (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (!told)
            log_info("recorder", "dir=%s another recorder still finishes it", dir);
        told = true;
        if (errno != EWOULDBLOCK || (poll(&link, 1, POLL_MS) > 0 && link.revents & POLLHUP))
            return ERR_CLOSED;
    }
    return fd < 0 ? ERR_IO : 0;
}

int link_loop_run(const char *dir, enum box_mode box)
{
    const struct box_place place = {dir, true};
    struct loop l = {0};
    signal(SIGPIPE, SIG_IGN);
    raise_file_limit();
    fcntl(LINK_FD, F_SETFL, fcntl(LINK_FD, F_GETFL) | O_NONBLOCK);
    fcntl(LINK_FD, F_SETFD, FD_CLOEXEC);
    int err = lock_directory(dir);
    if (!err)
        err = box_enter(BOX_RECORDER, box, &place, 1);
    if (!err)
        err = recorder_open(dir, &l.recorder);
    if (err) {
        log_error("recorder", "dir=%s %s: %s", dir, err_str(err), strerror(errno));
        return 1;
    }
    link_send(LINK_FD, &(struct link_message){.kind = LINK_READY}, NULL, 0);
    err = turn_until_told(&l);
    if (err == ERR_TIMEOUT) {
        log_error("recorder", "dir=%s nothing was acknowledged for 20 s: a successor tries", dir);
        _exit(1); /* the sync thread may never come back */
    }
    if (!err)
        err = finish(&l, dir);
    if (err)
        log_error("recorder", "dir=%s ends: %s", dir, err_str(err));
    else
        log_info("recorder", "dir=%s %s", dir,
                 l.intent == FINISH  ? "whole"
                 : l.intent == LEAVE ? "left for a successor"
                                     : "closed");
    recorder_free(l.recorder);
    if (l.page)
        munmap(l.page, PAGE);
    return err ? 1 : 0;
}
