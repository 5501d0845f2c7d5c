/* Websockets: one peer a socket. Requests are checked for form, size and rate before the owner sees them; what is sent waits
 * in a bounded queue of shared texts. */
#include "signaling/internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "signaling/bucket.h"
#include "signaling/http.h"
#include "signaling/http_text.h"
#include "signaling/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELLO_S 15        /* a socket that says nothing is closed */
#define DRAIN_S 5         /* a closing socket may take this long for what is queued */
#define STRIKES_MAX 50    /* refused messages until a peer is closed as abusive; one is forgiven a second */
#define OVERSIZE_FACTOR 8 /* a message of more than this many times the limit closes at once */
#define PIECES_MAX 4096   /* so does one that comes in more pieces than this: it costs work without ever being one */

struct ws_text {
    unsigned references;
    size_t len;
    unsigned char room[LWS_PRE]; /* libwebsockets writes the frame's header in front of the text */
    char text[];
};

struct queued {
    struct queued *next;
    struct ws_text *text;
};

struct ws_peer {
    struct signaling *s;
    struct conn *conn;
    struct lws *wsi; /* NULL until the upgrade is done */
    struct identity who;
    void *user;

    char *message; /* being put together from frames */
    size_t message_len;
    uint64_t coming_bytes; /* of the message, those beyond the limit included */
    unsigned pieces;
    bool oversized;
    bool known; /* the owner has seen it: it is told of its end */
    struct bucket messages, offers, strikes;

    struct queued *first, **last;
    size_t queued_bytes;
    bool closing; /* after what is queued has left */
    bool dead;    /* killed: nothing is sent or taken any more */
    bool goodbye; /* the peer has said it, or we have: the end is an orderly one */
    char reason[64];
};

/* ---- shared texts ---- */

struct ws_text *ws_text_new(const json_t *message)
{
    size_t len = json_dumpb(message, NULL, 0, JSON_COMPACT);
    struct ws_text *t = len ? malloc(sizeof *t + len) : NULL;
    if (!t)
        return NULL;
    t->references = 1;
    t->len = json_dumpb(message, t->text, len, JSON_COMPACT);
    return t;
}

void ws_text_unref(struct ws_text *t)
{
    if (t && --t->references == 0)
        free(t);
}

/* ---- peers ---- */

const struct identity *ws_peer_identity(const struct ws_peer *peer)
{
    return &peer->who;
}

void ws_peer_set_user(struct ws_peer *peer, void *user)
{
    peer->user = user;
}

void *ws_peer_user(const struct ws_peer *peer)
{
    return peer->user;
}

const char *ws_peer_address(const struct ws_peer *peer)
{
    return peer->conn->address;
}

static struct ws_peer *peer_new(struct conn *c, const struct identity *who)
{
    struct ws_peer *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    double rate = c->s->config.messages_per_second;
    int64_t now_us = clock_now_us();
    p->s = c->s;
    p->conn = c;
    p->who = *who;
    p->last = &p->first;
    bucket_init(&p->messages, rate, 3 * rate, now_us);
    bucket_init(&p->offers, 1, 10, now_us);
    bucket_init(&p->strikes, 1, STRIKES_MAX, now_us);
    return p;
}

static void queue_drop(struct ws_peer *p)
{
    while (p->first) {
        struct queued *q = p->first;
        p->first = q->next;
        ws_text_unref(q->text);
        free(q);
    }
    p->last = &p->first;
    p->queued_bytes = 0;
}

static void peer_free(struct ws_peer *p)
{
    p->conn->peer = NULL;
    queue_drop(p);
    free(p->message);
    free(p);
}

void ws_abandon(struct conn *c)
{
    if (!c->peer)
        return;
    if (c->peer->known)
        c->s->ops.closed(c->s->ctx, c->peer);
    peer_free(c->peer);
}

/* Not now: the caller may be in the middle of a loop over peers. libwebsockets closes it in its own turn. */
static void peer_kill(struct ws_peer *p)
{
    if (p->dead)
        return;
    p->dead = true;
    queue_drop(p);
    lws_set_timeout(p->wsi, PENDING_TIMEOUT_KILLED_BY_PARENT, LWS_TO_KILL_ASYNC);
}

/* ---- sending ---- */

void signaling_send(struct ws_peer *p, struct ws_text *t)
{
    if (p->dead || p->closing || !t)
        return;
    struct queued *q = p->queued_bytes + t->len <= p->s->config.queue_bytes ? malloc(sizeof *q) : NULL;
    if (!q) {
        p->s->counts[COUNT_SLOW_PEERS]++;
        log_warn("signaling", "peer too slow address=%s queued_bytes=%zu", p->conn->address, p->queued_bytes);
        peer_kill(p);
        return;
    }
    *q = (struct queued){.text = t};
    t->references++;
    *p->last = q;
    p->last = &q->next;
    p->queued_bytes += t->len;
    lws_callback_on_writable(p->wsi);
}

static void send_json(struct ws_peer *p, json_t *message)
{
    struct ws_text *t = message ? ws_text_new(message) : NULL;
    signaling_send(p, t);
    ws_text_unref(t);
    json_decref(message);
}

void signaling_reply(struct ws_peer *p, int64_t id, json_t *result)
{
    send_json(p, json_pack("{s:I,s:o}", "id", (json_int_t)id, "result", result));
}

void signaling_refuse(struct ws_peer *p, int64_t id, const struct refusal *why)
{
    send_json(p, json_pack("{s:I,s:{s:s,s:s,s:s}}", "id", (json_int_t)id, "error", "code", why->code, "vi", why->vi, "en",
                           why->en));
}

void signaling_close(struct ws_peer *p, const char *reason)
{
    if (p->dead || p->closing)
        return;
    p->closing = true;
    snprintf(p->reason, sizeof p->reason, "%s", reason ? reason : "");
    lws_set_timeout(p->wsi, PENDING_TIMEOUT_CLOSE_SEND, DRAIN_S);
    lws_callback_on_writable(p->wsi);
}

/* Sends up to one turn's share; nonzero closes. */
static int peer_writable(struct ws_peer *p)
{
    size_t sent = 0;
    while (p->first && !p->dead && sent < WRITE_BYTES && !lws_send_pipe_choked(p->wsi)) {
        struct queued *q = p->first;
        struct ws_text *t = q->text;
        if (lws_write(p->wsi, (unsigned char *)t->text, t->len, LWS_WRITE_TEXT) < 0)
            return -1;
        sent += t->len;
        p->queued_bytes -= t->len;
        p->first = q->next;
        if (!p->first)
            p->last = &p->first;
        ws_text_unref(t);
        free(q);
    }
    if (p->dead)
        return -1;
    if (p->first) {
        lws_callback_on_writable(p->wsi);
        return 0;
    }
    if (!p->closing)
        return 0;
    lws_close_reason(p->wsi, LWS_CLOSE_STATUS_NORMAL, (unsigned char *)p->reason, strlen(p->reason));
    return -1;
}

/* ---- taking ---- */

/* A refused message; too many of them are abuse. */
static void strike(struct ws_peer *p, int64_t id, const char *code)
{
    p->s->counts[COUNT_BAD_MESSAGES]++;
    signaling_refuse(p, id, refusal_find(code));
    if (bucket_take(&p->strikes, clock_now_us()))
        return;
    p->s->counts[COUNT_ABUSIVE_PEERS]++;
    log_warn("signaling", "abusive peer closed address=%s", p->conn->address);
    signaling_close(p, "abuse");
}

static bool rate_allows(struct ws_peer *p, const char *method)
{
    int64_t now_us = clock_now_us();
    bool allowed = bucket_take(&p->messages, now_us) && (strcmp(method, "offer") != 0 || bucket_take(&p->offers, now_us));
    p->s->counts[COUNT_RATE_LIMITED] += !allowed;
    return allowed;
}

static void handle_message(struct ws_peer *p)
{
    struct request r;
    char where[SCHEMA_PATH_MAX];
    p->s->counts[COUNT_MESSAGES]++;
    const char *code = request_parse(p->s->schema, p->message, p->message_len, &r, where);
    if (code) {
        log_info("signaling", "refused address=%s code=%s %s", p->conn->address, code, where);
        strike(p, r.id, code);
    } else if (!rate_allows(p, r.method)) {
        strike(p, r.id, "too-fast");
    } else if (!p->known && strcmp(r.method, "hello") != 0) {
        strike(p, r.id, "hello-first");
    } else {
        if (!p->known)
            lws_set_timeout(p->wsi, NO_PENDING_TIMEOUT, 0);
        p->known = true;
        p->s->ops.request(p->s->ctx, p, r.id, r.method, r.params);
    }
    request_clear(&r);
}

/* A socket that breaks the rules ends at once; it is counted as an abusive one. */
static int end_at_once(struct ws_peer *p, struct lws *wsi, enum lws_close_status status)
{
    p->s->counts[COUNT_BAD_MESSAGES]++;
    p->s->counts[COUNT_ABUSIVE_PEERS]++;
    log_warn("signaling", "abusive peer closed address=%s status=%d", p->conn->address, (int)status);
    p->goodbye = true;
    lws_close_reason(wsi, status, NULL, 0);
    return -1;
}

/* Frames of one message; what is beyond the limit is dropped as it comes. Nonzero closes. */
static int peer_received(struct ws_peer *p, struct lws *wsi, const char *bytes, size_t len)
{
    if (p->dead || p->closing)
        return 0;
    if (lws_is_first_fragment(wsi)) {
        p->message_len = 0;
        p->coming_bytes = p->pieces = 0;
        p->oversized = false;
    }
    size_t limit = p->s->config.max_message_bytes, coming = lws_remaining_packet_payload(wsi);
    p->coming_bytes += len;
    p->pieces++;
    if (lws_frame_is_binary(wsi))
        return end_at_once(p, wsi, LWS_CLOSE_STATUS_UNACCEPTABLE_OPCODE);
    if (p->coming_bytes + coming > OVERSIZE_FACTOR * limit || p->pieces > PIECES_MAX)
        return end_at_once(p, wsi, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE);
    p->oversized |= p->message_len + len > limit;
    char *grown = p->oversized ? p->message : realloc(p->message, p->message_len + len + 1);
    if (!grown && !p->oversized)
        return -1;
    p->message = grown;
    if (!p->oversized && len) {
        memcpy(p->message + p->message_len, bytes, len);
        p->message_len += len;
    }
    if (coming || !lws_is_final_fragment(wsi))
        return 0;
    if (p->oversized)
        strike(p, 0, "too-big");
    else
        handle_message(p);
    free(p->message); /* most are small, offers are not: idle peers keep nothing */
    p->message = NULL;
    p->message_len = 0;
    return 0;
}

/* ---- opening ---- */

static bool offers_subprotocol(struct lws *wsi)
{
    char offered[128];
    if (lws_hdr_copy(wsi, offered, sizeof offered, WSI_TOKEN_PROTOCOL) < 0)
        return false;
    for (const char *at = offered; *at;) {
        at += strspn(at, " \t,");
        size_t n = strcspn(at, " \t,");
        if (n == strlen(SUBPROTOCOL) && memcmp(at, SUBPROTOCOL, n) == 0)
            return true;
        at += n;
    }
    return false;
}

/* The identity of the cookie that came with the upgrade, in the slot that the query names. */
static bool identify(struct conn *c, struct lws *wsi, struct identity *ret_who)
{
    char cookie[4096], argument[32];
    const char *slot = "";
    if (lws_hdr_copy(wsi, cookie, sizeof cookie, WSI_TOKEN_HTTP_COOKIE) < 0)
        return false;
    for (int i = 0; lws_hdr_copy_fragment(wsi, argument, sizeof argument, WSI_TOKEN_HTTP_URI_ARGS, i) >= 0; i++)
        if (strncmp(argument, "s=", 2) == 0 && strlen(argument) <= 2 + 16)
            slot = argument + 2;
    if (strspn(slot, "abcdefghijklmnopqrstuvwxyz0123456789") != strlen(slot))
        slot = "";
    return session_find(c->s, cookie, slot, c->tls, ret_who);
}

const struct refusal *ws_confirm(struct conn *c, struct lws *wsi, int *ret_status)
{
    char uri[64] = "", origin[300] = "", host[300] = "";
    struct identity who;
    lws_hdr_copy(wsi, uri, sizeof uri, WSI_TOKEN_GET_URI);
    lws_hdr_copy(wsi, origin, sizeof origin, WSI_TOKEN_ORIGIN);
    lws_hdr_copy(wsi, host, sizeof host, WSI_TOKEN_HOST);
    *ret_status = 404;
    if (strcmp(uri, API "ws") != 0)
        return refusal_find("not-found");
    *ret_status = 403;
    if (lws_hdr_total_length(wsi, WSI_TOKEN_ORIGIN) > 0 && !origin_is_host(origin, host, c->tls)) {
        c->s->counts[COUNT_FOREIGN_ORIGIN]++;
        return refusal_find("bad-origin");
    }
    *ret_status = 400;
    if (!offers_subprotocol(wsi))
        return refusal_find("bad-subprotocol");
    *ret_status = 401;
    if (!identify(c, wsi, &who))
        return refusal_find("no-session");
    *ret_status = 503;
    c->peer = c->peer ? c->peer : peer_new(c, &who);
    return c->peer ? NULL : refusal_find("busy");
}

int ws_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    struct conn *c = wsi ? lws_get_opaque_user_data(wsi) : NULL;
    struct ws_peer *p = c ? c->peer : NULL;
    if (c)
        turn_begins(lws_context_user(lws_get_context(wsi)), reason);
    switch (reason) {
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION: return p ? 0 : -1;
    case LWS_CALLBACK_ESTABLISHED:
        if (!p)
            return -1;
        p->wsi = wsi;
        lws_set_timeout(wsi, PENDING_TIMEOUT_AWAITING_PROXY_RESPONSE, HELLO_S);
        return 0;
    case LWS_CALLBACK_RECEIVE: return p ? peer_received(p, wsi, in, len) : -1;
    case LWS_CALLBACK_SERVER_WRITEABLE: return p ? peer_writable(p) : -1;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        if (p)
            p->goodbye = true;
        return 0;
    case LWS_CALLBACK_CLOSED:
        if (p && !p->goodbye && !p->closing && !p->dead)
            c->s->counts[COUNT_BROKEN_PEERS]++;
        if (c)
            ws_abandon(c);
        return 0;
    default: return 0;
    }
}
