/* The children: table, start, heartbeat, death, back-off.
 *
 * A child is started with its link as descriptor 3, standard output and error into the log pipe, standard input from
 * /dev/null, in a process group of its own (Ctrl-C reaches the supervisor alone, which stops the others in order). Its death
 * is noticed by SIGCHLD or by a heartbeat that stands still; a successor is started after 0, 0.1, 0.5, then 2 s, only once
 * the former one has been waited for.
 *
 * Programs are executed through descriptors that were opened at the start, or by an upgrade: files that a package replaces
 * in between change nothing, and what ran before an upgrade can be started again when the new one fails.
 *
 * Thread: one. Times are CLOCK_MONOTONIC µs. */
#pragma once

#include "base/link.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum child_kind { CHILD_CONTROL, CHILD_WORKER, CHILD_CHECK, CHILD_RECORDER, CHILD_COMPOSER };

enum { CHILD_KINDS = CHILD_COMPOSER + 1, CHILDREN_MAX = 320 };

struct child {
    bool used;
    enum child_kind kind;
    uint32_t index;          /* worker index; 0 for others */
    char job[LINK_TEXT_MAX]; /* briefing id of a recorder, "<id> <format>" of a composer */
    pid_t pid;               /* 0: not running */
    int link;                /* −1: none */
    uint32_t generation, restarts;
    unsigned deaths;       /* in a row, each within STEADY of its start */
    bool ready, finishing; /* LINK_READY came; LINK_RECORD_STOP was asked for */
    unsigned set;          /* which of the two programs of its kind it runs */
    bool fresh;            /* started by the upgrade under way */
    bool leaving;          /* a worker without a successor: its endpoints move to others */
    bool replaced;         /* asked to make room for its successor: its end is no death */
    uint32_t spare_mb;     /* of a recorder, see LINK_RECORD */
    int64_t started_us, start_at_us;
    _Atomic uint64_t *beat; /* the heartbeat page, mapped */
    uint64_t beat_seen;
    int64_t beat_seen_us;
};

struct user {
    uid_t uid;
    gid_t gid;
};

struct users {  /* users.h */
    bool apart; /* each kind has its own; else all run as we do */
    struct user of[CHILD_KINDS];
};

struct children {
    struct child all[CHILDREN_MAX];
    const char *programs;        /* the directory that giaoban and its siblings are in */
    int program[CHILD_KINDS][2]; /* −1: by its path */
    unsigned set[CHILD_KINDS];   /* what a new child runs */
    const char *data;
    char *const *arguments; /* giaoban's own, without its name, NULL at the end: handed on to giaoband */
    int log_pipe;           /* the children's end */
    struct users users;
    const char *sandbox; /* enforce, log, off */
    uint32_t first_generation;
};

/* A free entry that starts at the next children_start_due(), or NULL when the table is full. */
struct child *children_add(struct children *c, enum child_kind kind, uint32_t index, const char *job);
struct child *children_find(struct children *c, enum child_kind kind, uint32_t index, const char *job);
struct child *children_by_pid(struct children *c, pid_t pid);
/* Forgets an entry: it must not run. */
void children_remove(struct child *child);
unsigned children_running(const struct children *c);

/* Opens the programs as they are on disk now into that set (the former descriptors there are closed). */
void children_open_programs(struct children *c, enum child_kind kind, unsigned set);
/* Forks and executes; sends LINK_START. On failure the child counts as having died (errno is logged). */
int child_start(struct children *c, struct child *child, int64_t now_us);
/* To be called once the process has been waited for: closes its link and sets when a successor may start. */
void child_died(struct child *child, int64_t now_us);
/* Sends to a running child; one whose socket is full is killed: it has not read for hundreds of messages, and everything it
 * needs is sent again after its restart. */
void child_send(struct child *child, const struct link_message *m, const int *fds, size_t n_fds);
/* True when the child's heartbeat has stood still for too long; `late`: this process was itself late, nobody is blamed. */
bool child_silent(struct child *child, int64_t now_us, bool late);

/* µs to wait before the start that follows `deaths` early deaths in a row. Pure. */
int64_t child_backoff_us(unsigned deaths);
