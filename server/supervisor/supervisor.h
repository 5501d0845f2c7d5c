/* The supervisor: parent of all, parses no stranger's byte. What it holds for the others: listeners, media sockets, feeds'
 * descriptors. At every start of giaoband or a worker it hands both of them the ends of a new socketpair.
 *
 * One poll loop, one thread, no allocation after the start. See processes and base/link.h. */
#pragma once

#include "supervisor/children.h"
#include "supervisor/settings.h"
#include "supervisor/sockets.h"
#include "supervisor/upgrade.h"

#include <signal.h>

enum { KEPT_FEEDS_MAX = 1024 };

struct kept_feed {
    bool used;
    bool broken; /* its writer broke the format */
    uint32_t id, worker;
    char briefing[LINK_TEXT_MAX];
    uint32_t mirror; /* 0: a recorder reads it; otherwise the reading worker + 1 */
    int fds[3];      /* data, tail, a mirror's wake */
    size_t n_fds;
};

enum stop_phase { RUNNING, STOP_CONTROL, STOP_WORKERS, STOP_RECORDERS, STOP_KILL };

struct supervisor {
    struct settings settings;
    struct children children;
    struct media_sockets media[2 * SETTINGS_WORKERS_MAX]; /* two banks, see upgrade.h */
    struct upgrade upgrade;
    int listeners[SETTINGS_LISTENERS_MAX];
    size_t n_tls, n_plain;
    struct kept_feed feeds[KEPT_FEEDS_MAX];
    int signal_fd, log_pipe, log_out;
    uint64_t log_lost; /* lines that nobody read and that nothing was said about yet */
    int64_t last_tick_us;
    enum stop_phase phase;
    int64_t phase_until_us;
    bool announced; /* the service manager has been told that we serve */
    int exit_status;
};

/* Starts giaoband and the workers. `s->settings`, `s->children`'s paths and the sockets are ready. */
void supervisor_start(struct supervisor *s, int64_t now_us);
/* Runs until everything has stopped. Returns the exit status. */
int supervisor_run(struct supervisor *s);

/* kept.c: feeds outlive whoever uses them. */
void kept_add(struct supervisor *s, const struct link_message *m, const int *fds, size_t n_fds);
/* A finished recording's. */
void kept_drop(struct supervisor *s, const char *briefing);
void kept_drop_one(struct supervisor *s, uint32_t id);
/* The recorder of that briefing says that the feed is broken. True, once: *ret_worker wrote it. */
bool kept_break(struct supervisor *s, uint32_t id, const char *briefing, uint32_t *ret_worker);
void kept_send_control(struct supervisor *s, struct child *control);
void kept_send_recorder(struct supervisor *s, struct child *recorder);

/* messages.c: what a child says. */
void supervisor_receive(struct supervisor *s, struct child *child, int64_t now_us);
/* Everything that a child must be given after its start. */
void supervisor_equip(struct supervisor *s, struct child *child);
/* A new socket between giaoband and a worker or giaoban-check, whichever of them is new. */
void supervisor_pair_up(struct child *control, struct child *other);

/* logs.c: the children's pipe → standard error, without ever waiting for its reader. logs_open(): −1 and errno. */
int logs_open(struct supervisor *s);
void logs_pass(struct supervisor *s);

/* A datagram to the service manager ($NOTIFY_SOCKET), if there is one. */
void notify_manager(const char *text);
