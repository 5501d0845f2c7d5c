/* What the supervisor must know of the configuration. It does not read the configuration itself: `giaoband --check-config`
 * does, and prints what it found as lines `key=value`, which are parsed here. Trusted text; still bounds-checked.
 *
 *   listen=ADDRESS PORT      a TLS listener (as many lines as there are)
 *   plain=ADDRESS PORT       a plain HTTP listener, loopback only
 *   media=ADDRESS            a local address that every worker gets a UDP socket on
 *   media_port=N             worker i binds N + i; 0: the kernel chooses
 *   media_tcp=0|1            with a TCP listener beside each UDP socket (ICE-TCP)
 *   media_trace=0|1          each worker gets a file for a trace, see sfu/trace.h
 *   announce=A B …           addresses that workers put into their answers instead of their own
 *   workers=N  data=PATH  log_level=error|warn|info|debug
 *   sandbox=enforce|log|off  handed on to the children
 *   user_control=NAME  user_media=NAME  user_check=NAME  user_recorder=NAME  all or none; see users.h
 *
 * Thread: one. Errors: ERR_MALFORMED, ERR_FULL (a list is too long). */
#pragma once

#include "base/link.h"
#include "base/log.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SETTINGS_LISTENERS_MAX = LINK_FDS_MAX,
    SETTINGS_MEDIA_MAX = LINK_FDS_MAX / 2, /* UDP sockets and listeners travel in one message */
    SETTINGS_WORKERS_MAX = 64,
};

struct address {
    char host[64];
    uint16_t port;
};

struct settings {
    struct address listen[SETTINGS_LISTENERS_MAX], plain[SETTINGS_LISTENERS_MAX];
    size_t n_listen, n_plain; /* together at most SETTINGS_LISTENERS_MAX: they travel in one message */
    char media[SETTINGS_MEDIA_MAX][64];
    size_t n_media;
    uint16_t media_port;
    bool media_tcp, media_trace;
    char announce[LINK_TEXT_MAX];
    unsigned workers;
    char data[PATH_MAX];
    enum log_level log_level;
    char sandbox[16];
    char user_control[64], user_media[64], user_check[64], user_recorder[64];
};

/* Takes one line without its newline. Unknown keys are skipped: giaoband may be newer. */
int settings_line(struct settings *s, const char *line);
