/* giaoban-check --link: looks into rooms' cameras and microphones for a few seconds when control asks. It has the link, the
 * feeds of the checks under way, and nothing else: no file, no socket to anywhere. Its death makes a check late. */
#include "check/session.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/link.h"
#include "base/log.h"
#include "box/box.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { POLL_MS = 20, IDLE_MS = 100, PAGE = 4096, BODY_MAX = 512 };

struct program {
    struct session *session;
    int control; /* −1: none */
    _Atomic uint64_t *beat;
    bool stop;
};

static void take_start(struct program *p, const struct link_message *m, int fd)
{
    void *page = m->c < PAGE / sizeof(uint64_t) ? mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (page != MAP_FAILED)
        p->beat = (_Atomic uint64_t *)page + m->c;
}

/* A control that was started anew knows nothing of the former one's checks. */
static void take_control(struct program *p, int fd)
{
    if (p->control >= 0)
        close(p->control);
    session_drop_all(p->session);
    p->control = fd;
}

static void say(struct program *p, json_t *message)
{
    char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;
    json_decref(message);
    if (text && p->control >= 0 && link_send_body(p->control, text, strlen(text), NULL, 0))
        log_warn("check", "a verdict was not sent");
    free(text);
}

static void take_supervisor(struct program *p)
{
    struct link_message m;
    int fds[LINK_FDS_MAX];
    size_t n;
    int err;
    while ((err = link_receive(LINK_FD, &m, fds, &n)) == 0 || err == ERR_MALFORMED) {
        if (err)
            continue;
        bool kept = m.kind == LINK_CONTROL && n == 1;
        if (m.kind == LINK_START && n == 1)
            take_start(p, &m, fds[0]);
        else if (kept)
            take_control(p, fds[0]);
        else if (m.kind == LINK_STOP)
            p->stop = true;
        for (size_t i = 0; !kept && i < n; i++)
            close(fds[i]);
    }
    if (err != ERR_AGAIN)
        p->stop = true;
}

static void take_order(struct program *p, const char *text, size_t len, const int *fds, size_t n)
{
    json_t *o = json_loadb(text, len, 0, NULL);
    const char *name = json_string_value(json_object_get(o, "m"));
    uint32_t id = (uint32_t)json_integer_value(json_object_get(o, "id"));
    if (name && strcmp(name, "check") == 0) {
        int err = n == 2 ? session_check(p->session, id, fds[0], fds[1], clock_now_us()) : ERR_INVAL;
        if (err)
            say(p, json_pack("{s:s, s:I, s:s}", "m", "failed", "id", (json_int_t)id, "why", err_str(err)));
    } else if (name && strcmp(name, "drop") == 0) {
        session_drop(p->session, id);
    }
    json_decref(o);
    for (size_t i = 0; i < n; i++)
        close(fds[i]);
}

static void take_orders(struct program *p)
{
    char body[BODY_MAX];
    int fds[LINK_FDS_MAX];
    size_t len, n;
    int err;
    while ((err = link_receive_body(p->control, body, sizeof body, &len, fds, &n)) == 0 || err == ERR_MALFORMED)
        if (!err)
            take_order(p, body, len, fds, n);
    if (err != ERR_AGAIN) {
        close(p->control);
        p->control = -1;
        session_drop_all(p->session);
    }
}

static void run(struct program *p)
{
    while (!p->stop) {
        struct pollfd fds[] = {{.fd = LINK_FD, .events = POLLIN}, {.fd = p->control, .events = POLLIN}};
        poll(fds, 2, session_busy(p->session) ? 0 : session_idle(p->session) ? IDLE_MS : POLL_MS);
        if (p->beat)
            atomic_fetch_add_explicit(p->beat, 1, memory_order_relaxed);
        if (fds[0].revents)
            take_supervisor(p);
        if (fds[1].revents && p->control == fds[1].fd)
            take_orders(p);
        say(p, session_turn(p->session, clock_now_us()));
    }
}

int main(int argc, char **argv)
{
    struct program p = {.control = -1, .session = session_new()};
    log_setup("giaoban-check", LOG_LEVEL_INFO);
    if (argc < 2 || strcmp(argv[1], "--link") != 0 || !p.session) {
        fprintf(stderr, "giaoban-check is started by giaoban\n");
        return 1;
    }
    box_close_inherited(LINK_FD);
    json_object_seed(0); /* reads /dev/urandom */
    if (box_enter(BOX_CHECK, box_mode(argc, argv), NULL, 0))
        return 1;
    signal(SIGPIPE, SIG_IGN);
    fcntl(LINK_FD, F_SETFL, fcntl(LINK_FD, F_GETFL) | O_NONBLOCK);
    fcntl(LINK_FD, F_SETFD, FD_CLOEXEC);
    link_send(LINK_FD, &(struct link_message){.kind = LINK_READY}, NULL, 0);
    run(&p);
    session_free(p.session);
    return 0;
}
