/* Session: the checks that giaoban-check has under way. One feed each, with one room's camera and microphone in it (a
 * worker writes it in role "check", see wish/message.h); it is polled, so nobody is ever woken for a check.
 *
 * Control hands a check over and takes its verdict on a socket of their own (LINK_CHECKER), JSON objects by
 * link_send_body():
 *   control → check   {"m":"check","id":n}  + fds data (read-only), tail
 *                     {"m":"drop","id":n}   nobody waits for it any more
 *   check → control   {"m":"verdict","id":n,"picture":{"verdict","codec","width","height","frames","packets","lost","luma"},
 *                      "sound":{"verdict","level_db","peak_db","packets","lost"}}
 *                     {"m":"failed","id":n,"why":"English text"}
 * This process decodes strangers' bytes: control trusts no number in a verdict.
 *
 * Thread: one. Times in µs of CLOCK_MONOTONIC. */
#pragma once

#include "check/examine.h"

#include <jansson.h>

enum {
    SESSION_CHECKS_MAX = 4,
    SESSION_LOOK_US = 3000000,    /* a check takes so long … */
    SESSION_PICTURE_US = 2500000, /* … and sees so much of a picture that came late … */
    SESSION_LONGEST_US = 5000000, /* … but no longer than this */
};

struct session;

struct session *session_new(void);    /* NULL: no memory */
void session_free(struct session *s); /* NULL is fine */
/* ERR_EXISTS, ERR_BUSY, or what feed_reader_open() says. The descriptors stay the caller's. */
int session_check(struct session *s, uint32_t id, int data_fd, int tail_fd, int64_t now_us);
void session_drop(struct session *s, uint32_t id);
void session_drop_all(struct session *s);
bool session_idle(const struct session *s);
/* Reads what has come and decodes a little: a few milliseconds. A verdict or failure that is due is returned (a new
 * reference), at most one a call; NULL: none now. */
json_t *session_turn(struct session *s, int64_t now_us);
/* There is something to decode: come back at once. */
bool session_busy(const struct session *s);
