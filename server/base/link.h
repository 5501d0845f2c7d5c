/* Link: the messages between the supervisor and its children, over one SOCK_SEQPACKET socket a child.
 *
 * A child finds its end as descriptor 3 (`LINK_FD`). One struct a message, descriptors by SCM_RIGHTS. The supervisor parses
 * no stranger's byte: text is a name it made or control gave it, never a client's.
 *
 * The child's end is non-blocking. Closing of the link (ERR_CLOSED) means the same as LINK_STOP. A composer has a link too.
 *
 * Thread: any; a socket belongs to one thread for sending. Sending never blocks: ERR_AGAIN when the socket is full.
 * Descriptors passed to link_send() stay the caller's; those received belong to the receiver and are CLOEXEC. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define LINK_FD 3
#define LINK_FDS_MAX 32
#define LINK_TEXT_MAX 256

enum link_kind {
    /* supervisor → any child, first message. a = the child's index, b = generation (rises over restarts of the supervisor
     * too: seconds since 1970 at the first start). fds: heartbeat memfd (one page of _Atomic uint64_t; the child bumps cell
     * `c` every 100 ms). */
    LINK_START = 1,
    LINK_STOP = 2,  /* supervisor → child: finish your files and exit; a = 1: a successor waits */
    LINK_READY = 3, /* child → supervisor: serving */

    /* supervisor → giaoband. */
    LINK_LISTENERS = 10, /* a = number of TLS listeners, b = number of plain ones (127.0.0.1 and [::1]); fds in that order */
    LINK_WORKER = 11, /* a = worker index, b = its generation, c = 1: it leaves, its endpoints are to move to others; fds: a
                         new socketpair's end (wish protocol) */
    LINK_WORKER_GONE = 12, /* a = worker index, b = its generation, c = the signal or exit status */
    LINK_RECORDER = 13,    /* a = 1 runs, 0 died and will be restarted, 2 finished after LINK_RECORD_STOP, 3 given up after
                              it; b = restarts so far; text = briefing id */
    LINK_COMPOSED = 14,    /* a = exit status of a composer; text = its job, as in LINK_COMPOSE */
    LINK_KEPT_FEED = 15,   /* after a start of control, one for each kept feed, as in LINK_FEED. Ends with LINK_KEPT_END. */
    LINK_KEPT_END = 16,    /* a = how many workers there are to be; a LINK_WORKER for each that runs follows */
    LINK_CHECKER = 17,     /* giaoban-check runs: fds: a new socketpair's end (check/session.h says what goes over it) */

    /* giaoband → supervisor. */
    LINK_RECORD = 20, /* start a recorder; text = briefing id (its directory is DATA/recordings/<id>); a = MB of free room on
                         its disk that it leaves to others. Goes on to the recorder, after each start. */
    LINK_RECORD_STOP = 21, /* the briefing is closed: the recorder drains its feeds, writes the manifest and exits */
    LINK_FEED = 22,    /* keep this feed: a = feed id, b = the worker that writes, text = briefing id. c = 0: give it to the
                          recorder of that briefing (the same message goes on to the recorder, after each start); fds: data,
                          tail. c > 0: a mirror read by worker c − 1, only kept for control; fds: data, tail, wake. */
    LINK_COMPOSE = 23, /* run a composer; text = "<briefing id> <mp4|webm>" */

    LINK_FEED_DROP = 24, /* a = feed id: keep it no longer */

    /* giaoban-recorder → supervisor → giaoband: a = feed id; its writer broke the format. The supervisor kills that worker
     * and gives nobody this feed for writing again; control makes another one. */
    LINK_FEED_BROKEN = 25,

    /* supervisor → giaoban-media. */
    LINK_SOCKETS = 30, /* a = number of UDP sockets; fds: bound UDP sockets, one for each configured address, then listening
                          TCP sockets on the same addresses and ports, or none; text = announced addresses, separated by a
                          space: they replace the sockets' own in answers; often "" */
    LINK_CONTROL = 31, /* fds: the worker's end of a new socketpair to giaoband (replaces the former); giaoban-check gets
                          one too */

    LINK_TRACE = 32, /* fds: an empty file that it may fill; a = MB at most */

    /* An upgrade in place, see supervisor/upgrade.h. */
    LINK_UPGRADE = 40,       /* giaoband → supervisor: the programs on disk are new, begin */
    LINK_UPGRADE_STATE = 41, /* supervisor → giaoband, at every change and at its start: a = enum upgrade_step; text */
    LINK_MOVING = 42,        /* giaoband → supervisor, once a second while workers leave: a = endpoints that are still on
                                them, b = workers that stay and have said HELLO */
    LINK_WORKER_EMPTY = 43,  /* giaoband → supervisor: a = a leaving worker's index, b = its generation: nobody is on it */
};

enum upgrade_step {
    UPGRADE_NONE,
    UPGRADE_WORKERS,   /* new workers start beside the old ones */
    UPGRADE_CONTROL,   /* giaoband is replaced */
    UPGRADE_MOVE,      /* endpoints join the new workers one by one */
    UPGRADE_RECORDERS, /* recorders are replaced one by one */
    UPGRADE_DONE,
    UPGRADE_FAILED, /* what was there before goes on; the text says why */
};

struct link_message {
    uint32_t kind, a, b, c;
    char text[LINK_TEXT_MAX]; /* NUL-terminated */
};

/* ERR_AGAIN: full; ERR_CLOSED: the other side is gone; ERR_IO. */
int link_send(int fd, const struct link_message *m, const int *fds, size_t n_fds);

/* `fds` holds LINK_FDS_MAX. Blocking or not as the socket is. ERR_AGAIN, ERR_CLOSED, ERR_MALFORMED (skipped; its descriptors
 * are closed). */
int link_receive(int fd, struct link_message *ret_m, int *fds, size_t *ret_n_fds);

/* The same for raw bodies (the wish protocol's JSON objects of at most 96 KB). */
#define LINK_BODY_MAX (96 * 1024)
int link_send_body(int fd, const void *body, size_t len, const int *fds, size_t n_fds);
int link_receive_body(int fd, void *body, size_t cap, size_t *ret_len, int *fds, size_t *ret_n_fds);
