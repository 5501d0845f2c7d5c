/* Signaling: HTTPS, the web client's files, /api/v1 and websockets, on libwebsockets. One thread (control's loop) but for
 * helper threads (argon2id, large files) that never touch a briefing.
 *
 * It owns connections, sessions (through store), tokens, rates, sizes and the message schema. It knows no briefing: what
 * concerns one goes to the owner's ops, after type, size, rate and identity are checked. Right and state are the
 * briefing core's. See protocol/README.md. */
#pragma once

#include "briefing/refusal.h"
#include "briefing/role.h" /* enum role, struct identity */
#include "wish/wish.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct signaling;
struct store;
struct ws_peer;
struct http_call;

struct signaling_ops {
    /* A request on a websocket whose params passed the schema. Answered once, now or later, by signaling_reply() or
     * signaling_refuse(). `params` is borrowed for the call. `hello` is always first on a peer. */
    void (*request)(void *ctx, struct ws_peer *peer, int64_t id, const char *method, const json_t *params);
    void (*closed)(void *ctx, struct ws_peer *peer); /* its websocket is gone; the last call for this peer */
    /* An /api/v1 request about briefings or the archive. `verb` "GET", "POST", …; `path` behind /api/v1/ without query;
     * `query` may be ""; `body` is NULL without one. Answered once by signaling_http_reply() or signaling_http_refuse(). */
    void (*http)(void *ctx, struct http_call *call, const char *verb, const char *path, const char *query,
                 const json_t *body);
    /* May this identity read files of that recording? */
    bool (*may_read_recording)(void *ctx, const struct identity *who, const char *briefing);
    char *(*metrics)(void *ctx); /* Prometheus text, malloc'd */
};

struct signaling_config {
    const char *data_dir;               /* secret.key, recordings/ */
    const char *web_dir;                /* the built web client: files and their .br and .gz */
    const char *certificate, *key, *ca; /* PEM files; certificate NULL: no TLS listeners */
    /* 0: 4000, 1000, 64 KB, 128 KB, 20, 1 MB, 8, 60. */
    unsigned max_sockets, max_sockets_source, max_body_bytes, max_message_bytes, messages_per_second, queue_bytes,
        logins_source, body_seconds;
};

int signaling_new(const struct signaling_config *config, struct store *store, const struct signaling_ops *ops, void *ctx,
                  struct signaling **ret_s, const char **ret_why);
void signaling_free(struct signaling *s);

/* Serves a listening socket: connections are accepted here and handed to libwebsockets. The descriptor stays the caller's to
 * close, after signaling_free(). A plain one serves this machine only: sockets from elsewhere are closed. */
int signaling_listen(struct signaling *s, int fd, bool tls);
/* libwebsockets is driven by this: one service turn of at most `timeout_ms` (0: what is ready). Other descriptors of
 * control's loop are added with signaling_watch(), so that one poll serves all: they are level-triggered, `readable` is
 * called for input, end of file and errors, and may watch and unwatch any descriptor. Unwatch before closing. ERR_EXISTS,
 * ERR_IO. */
int signaling_service(struct signaling *s, int timeout_ms);
/* When the last turn began to work after its wait, CLOCK_MONOTONIC: to see how long the loop kept others waiting. */
int64_t signaling_woken_us(const struct signaling *s);
int64_t signaling_woken_cpu_us(const struct signaling *s); /* clock_thread_us() at that moment */
int signaling_watch(struct signaling *s, int fd, void (*readable)(void *ctx, int fd), void *ctx);
void signaling_unwatch(struct signaling *s, int fd);
/* Wakes signaling_service() from another thread (a helper's completion). */
void signaling_wake(struct signaling *s);

const struct identity *ws_peer_identity(const struct ws_peer *peer);
void ws_peer_set_user(struct ws_peer *peer, void *user);
void *ws_peer_user(const struct ws_peer *peer);
const char *ws_peer_address(const struct ws_peer *peer);

void signaling_reply(struct ws_peer *peer, int64_t id, json_t *result /* taken over */);
void signaling_refuse(struct ws_peer *peer, int64_t id, const struct refusal *why);
/* A serialized message (event or notice) to one peer; the text is copied once for many peers: reference counted. A peer
 * whose queue is longer than queue_bytes is closed and counted; it comes back by itself. */
struct ws_text;
struct ws_text *ws_text_new(const json_t *message);
void ws_text_unref(struct ws_text *t);
void signaling_send(struct ws_peer *peer, struct ws_text *t);
void signaling_close(struct ws_peer *peer, const char *reason); /* after what is queued has left */

const struct identity *http_call_identity(const struct http_call *call);
void signaling_http_reply(struct http_call *call, int status, json_t *body /* taken over, may be NULL */);
void signaling_http_refuse(struct http_call *call, int status, const struct refusal *why);

/* DATA/secret.key: 32 bytes, mode 0600, made when it does not exist. ERR_IO, ERR_MALFORMED (wrong size or mode). */
int secret_load(const char *data_dir, uint8_t ret_secret[32]);
/* The one that signaling_new() loaded. */
const uint8_t *signaling_secret(const struct signaling *s);

/* Signed tokens (protocol/README.md). `ret_token` at least 512 bytes. */
int token_sign(const uint8_t secret[32], const json_t *payload, char *ret_token, size_t cap);
/* A new reference to the payload; ERR_AUTH, ERR_TIMEOUT (expired), ERR_MALFORMED. */
int token_verify(const uint8_t secret[32], const char *token, int64_t now_s, json_t **ret_payload);
