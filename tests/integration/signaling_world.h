/* A signaling server on 127.0.0.1 with a real store and an owner that only records and echoes, in a thread of its own; and
 * clients: HTTP by libcurl, websockets by hand. */
#pragma once

#include "signaling/signaling.h"
#include "store/store.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>

struct world {
    char dir[64];
    int tls_port, plain_port, six_port, tls_fd, plain_fd, six_fd; /* six: plain on [::1] */
    struct store *store;
    struct signaling *s;
    pthread_t thread;
    atomic_bool stop;
    _Atomic unsigned requests, closed, http_calls; /* what the owner has seen */
    int pipe[2];                                   /* a descriptor of the owner's in the same loop */
    _Atomic unsigned pipe_read;
    struct http_call *late; /* answered when the pipe is read */
};

/* `adapt` (may be NULL) changes the configuration. */
int world_start(struct world *w, void (*adapt)(struct signaling_config *config));
void world_stop(struct world *w);
void world_file(const struct world *w, const char *path, const void *bytes, size_t len); /* below its directory */
void world_token(const struct world *w, const char *kind, int64_t exp_s, const char *nonce, char ret_token[512]);
/* Waits until *counter is at least `least`; false after 10 s. */
bool world_wait(_Atomic unsigned *counter, unsigned least);

struct answer {
    long status;
    char *body, *head;
    size_t len, head_len;
};
void answer_free(struct answer *a);
/* Value of a header, or NULL; valid until the next call. */
const char *answer_header(const struct answer *a, const char *name);
/* The code of {"error":{"code"…}} with both sentences, or "". Valid until the next call. */
const char *answer_code(const struct answer *a);

struct client {
    struct world *world;
    bool tls;
    CURL *curl; /* keeps cookies and connection */
};
void client_open(struct client *c, struct world *w, bool tls);
void client_close(struct client *c);
/* `body` NULL: none. `headers`: further lines, NULL-terminated, may be NULL. */
struct answer client_do(struct client *c, const char *verb, const char *path, const char *body, const char *const *headers);
struct answer client_get(struct client *c, const char *path);
struct answer client_post(struct client *c, const char *path, const char *body);
/* The session's cookies as a header value; the caller frees. */
char *client_cookies(struct client *c);
/* A session by a join link for briefing "b1"; its status. */
long client_join(struct client *c, const char *slot);

struct socket_client {
    CURL *curl;
    uint8_t *buffer;
    size_t len, cap;
    int status; /* of the upgrade */
};
/* `path` NULL: the websocket's. `origin` NULL: none. */
void socket_open(struct socket_client *k, struct client *c, const char *path, const char *origin, const char *subprotocol);
void socket_close(struct socket_client *k);
void socket_send_frame(struct socket_client *k, int opcode, bool final, const void *bytes, size_t len);
void socket_send(struct socket_client *k, const char *text);
/* The next frame's opcode, −1 at the end or after 10 s; `ret_text` (caller frees) gets its payload. */
int socket_receive(struct socket_client *k, char **ret_text);
/* The next text as JSON (caller's reference), pings skipped; NULL at the end. */
json_t *socket_json(struct socket_client *k);
int socket_fd(struct socket_client *k);
