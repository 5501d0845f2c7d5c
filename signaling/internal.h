/* What the files of signaling share. One thread but for password.c's helper. See signaling.h. */
#pragma once

#include "base/err.h"
#include "signaling/schema.h"
#include "signaling/signaling.h"
#include "store/store.h"

#include "base/openssl.h"

#include <libwebsockets.h>
#include <netinet/in.h>

#define API "/api/v1/"
#define SUBPROTOCOL "giaoban.1"
#define SESSION_MS (12 * 3600 * 1000LL)
#define COOKIE_NAME_MAX 40
#define WRITE_BYTES (64 * 1024) /* at most this much of one body a turn */

struct http_call;
struct ws_peer;
struct passwords;

enum signaling_count {
    COUNT_ACCEPTED,
    COUNT_REFUSED_SOCKETS,
    COUNT_REFUSED_SOURCE,
    COUNT_REQUESTS,
    COUNT_BAD_REQUESTS,
    COUNT_FOREIGN_ORIGIN,
    COUNT_LOGINS_FAILED,
    COUNT_LOGINS_REFUSED, /* the address has too many in the queue, or it is full */
    COUNT_MESSAGES,
    COUNT_BAD_MESSAGES,
    COUNT_RATE_LIMITED,
    COUNT_SLOW_PEERS,
    COUNT_ABUSIVE_PEERS,
    COUNT_BROKEN_PEERS,
    COUNT_UNFINISHED,
    COUNTS
};

/* One accepted socket. It lives as long as its wsi (and is that's opaque user data). */
struct conn {
    struct signaling *s;
    struct source *source;
    char address[INET6_ADDRSTRLEN];
    bool tls, loopback, adopting, gone;
    bool unwelcome;         /* its source has too many: it is told so and closed */
    struct http_call *call; /* the transaction in progress, or NULL */
    struct ws_peer *peer;   /* after the upgrade, or NULL */
};

/* Sockets of one address (IPv6: one /64). */
struct source {
    struct source *next;
    uint8_t key[16];
    unsigned sockets, logins; /* logins: passwords being checked */
};

/* A login that does not exist and its failures. */
struct ghost {
    uint8_t hash[16];
    unsigned failures;
    int64_t locked_until_ms;
};
#define GHOSTS_MAX 256

struct watch {
    struct watch *next;
    int fd;
    void (*readable)(void *ctx, int fd); /* NULL: unwatched, freed after the turn */
    void *ctx;
};

struct listener {
    struct listener *next;
    struct signaling *s;
    int fd;
    bool tls;
};

struct signaling {
    struct signaling_config config; /* strings are owned */
    struct store *store;
    struct signaling_ops ops;
    void *ctx;
    uint8_t secret[32];
    struct schema *schema;

    struct lws_context *lws;
    struct lws_vhost *tls_vhost, *plain_vhost;
    lws_sorted_usec_list_t turn_end, listeners_back;
    int64_t woken_us;     /* when this turn's first event was taken up; 0: none yet */
    int64_t woken_cpu_us; /* our processor time then */

    int epoll_fd, wake_fd; /* all that is not libwebsockets' own; libwebsockets polls (a duplicate of) epoll_fd */
    struct watch *watches;
    struct listener *listeners;
    bool listeners_paused; /* no descriptor was left */

    struct source *sources;
    unsigned sockets;
    struct http_call *calls; /* all, so that signaling_free() finds those that wait for an answer */
    struct passwords *passwords;
    struct ghost ghosts[GHOSTS_MAX];
    unsigned next_ghost;
    int web_fd, recordings_fd; /* directories; -1: none */
    uint64_t counts[COUNTS];
};

/* signaling.c: something to do has come; every callback begins with it. */
void turn_begins(struct signaling *s, enum lws_callback_reasons reason);

/* listen.c */
void listeners_free(struct signaling *s);
void conn_gone(struct conn *c);

/* http.c */
int http_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len);
void http_calls_free(struct signaling *s);

/* ws.c */
int ws_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len);
/* NULL: allowed, and `c` has a peer; else why not. */
const struct refusal *ws_confirm(struct conn *c, struct lws *wsi, int *ret_status);
void ws_abandon(struct conn *c); /* the wsi went before it was a websocket */
