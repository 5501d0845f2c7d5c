/* HTTP transactions on libwebsockets: reads header and body within limits, writes answers at the socket's pace. */
#include "signaling/http.h"

#include "base/clock.h"
#include "base/log.h"
#include "signaling/http_text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define ANSWER_S 60             /* how long a handler may take */
#define DISCARD_BYTES (1 << 20) /* a too large body is read up to this, so that its refusal arrives */
#define RETRY_US 4000           /* until a file's bytes may have come from the disk */
#define RETRIES_MAX 50          /* then it is read whatever it costs */

/* ---- life of a call ---- */

static void call_free(struct http_call *call)
{
    *call->at = call->next;
    if (call->next)
        call->next->at = call->at;
    lws_sul_cancel(&call->retry);
    char *owned[] = {call->host,  call->origin,   call->cookie,        call->authorization,   call->content_type,
                     call->range, call->if_range, call->if_none_match, call->accept_encoding, call->extra,
                     call->text};
    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++)
        free(owned[i]);
    if (call->body)
        explicit_bzero(call->body, call->body_len);
    free(call->body);
    json_decref(call->kept);
    if (call->fd >= 0)
        close(call->fd);
    free(call);
}

void http_calls_free(struct signaling *s)
{
    while (s->calls)
        call_free(s->calls);
}

/* The socket is done with the call: written, or gone. */
static void call_release(struct conn *c)
{
    struct http_call *call = c->call;
    c->call = NULL;
    if (!call)
        return;
    http_login_end(call);
    call->conn = NULL;
    call->wsi = NULL;
    lws_sul_cancel(&call->retry);
    if (!call->handed || call->answered)
        call_free(call);
}

static char *header_copy(struct lws *wsi, enum lws_token_indexes token)
{
    int len = lws_hdr_total_length(wsi, token);
    char *value = len > 0 ? malloc((size_t)len + 1) : NULL;
    if (value && lws_hdr_copy(wsi, value, len + 1, token) < 0) {
        free(value);
        value = NULL;
    }
    return value;
}

static enum http_method method_of(struct lws *wsi)
{
    static const struct {
        enum lws_token_indexes token;
        enum http_method method;
    } methods[] = {{WSI_TOKEN_GET_URI, HTTP_GET},
                   {WSI_TOKEN_HEAD_URI, HTTP_HEAD},
                   {WSI_TOKEN_POST_URI, HTTP_POST},
                   {WSI_TOKEN_DELETE_URI, HTTP_DELETE}};
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (lws_hdr_total_length(wsi, methods[i].token) > 0)
            return methods[i].method;
    return HTTP_OTHER;
}

/* libwebsockets has cut the query at '&' and decoded it; without what would not fit. */
static void query_copy(struct http_call *call)
{
    size_t at = 0;
    for (int i = 0;; i++) {
        int n = lws_hdr_copy_fragment(call->wsi, call->query + at + (at > 0), (int)(sizeof call->query - at) - 1,
                                      WSI_TOKEN_HTTP_URI_ARGS, i);
        if (n < 0)
            break;
        if (at)
            call->query[at++] = '&';
        at += (size_t)n;
        if (at + 2 >= sizeof call->query)
            break;
    }
    call->query[at] = '\0';
    if (query_find(call->query, "s", call->slot, sizeof call->slot) &&
        strspn(call->slot, "abcdefghijklmnopqrstuvwxyz0123456789") != strlen(call->slot))
        call->slot[0] = '\0';
}

static struct http_call *call_new(struct conn *c, struct lws *wsi, const char *path)
{
    struct http_call *call = calloc(1, sizeof *call);
    if (!call)
        return NULL;
    struct signaling *s = c->s;
    call->s = s;
    call->fd = -1;
    call->conn = c;
    call->wsi = wsi;
    call->next = s->calls;
    call->at = &s->calls;
    if (s->calls)
        s->calls->at = &call->next;
    s->calls = call;
    c->call = call;
    snprintf(call->path, sizeof call->path, "%s", path);
    call->method = method_of(wsi);
    query_copy(call);
    call->host = header_copy(wsi, WSI_TOKEN_HOST);
    call->origin = header_copy(wsi, WSI_TOKEN_ORIGIN);
    call->cookie = header_copy(wsi, WSI_TOKEN_HTTP_COOKIE);
    call->authorization = header_copy(wsi, WSI_TOKEN_HTTP_AUTHORIZATION);
    call->content_type = header_copy(wsi, WSI_TOKEN_HTTP_CONTENT_TYPE);
    call->range = header_copy(wsi, WSI_TOKEN_HTTP_RANGE);
    call->if_range = header_copy(wsi, WSI_TOKEN_HTTP_IF_RANGE);
    call->if_none_match = header_copy(wsi, WSI_TOKEN_HTTP_IF_NONE_MATCH);
    call->accept_encoding = header_copy(wsi, WSI_TOKEN_HTTP_ACCEPT_ENCODING);
    return call;
}

/* ---- answering ---- */

void http_add_header(struct http_call *call, const char *format, ...)
{
    va_list list;
    char *line, *all;
    va_start(list, format);
    int n = vasprintf(&line, format, list);
    va_end(list);
    if (n < 0)
        return;
    if (asprintf(&all, "%s%s\r\n", call->extra ? call->extra : "", line) >= 0) {
        free(call->extra);
        call->extra = all;
    }
    free(line);
}

static void answer(struct http_call *call, int status, const char *type, uint64_t bytes)
{
    call->answered = true;
    call->status = status;
    call->type = type;
    call->content_bytes = bytes;
    call->left_bytes = call->method == HTTP_HEAD ? 0 : bytes;
    if (!call->wsi) { /* the client has gone */
        call_free(call);
        return;
    }
    lws_set_timeout(call->wsi, PENDING_TIMEOUT_HTTP_CONTENT, ANSWER_S);
    lws_callback_on_writable(call->wsi);
}

void http_answer_empty(struct http_call *call, int status)
{
    answer(call, status, NULL, 0);
}

void http_answer_text(struct http_call *call, int status, const char *type, char *text)
{
    call->text = text;
    answer(call, text ? status : 500, text ? type : NULL, text ? strlen(text) : 0);
}

void http_answer_json(struct http_call *call, int status, json_t *body)
{
    http_add_header(call, "Cache-Control: no-store");
    if (!body) {
        answer(call, status, NULL, 0);
        return;
    }
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    http_answer_text(call, status, "application/json", text);
}

void http_answer_file(struct http_call *call, int status, const char *type, int fd, uint64_t first, uint64_t bytes)
{
    call->fd = fd;
    call->at_byte = first;
    posix_fadvise(fd, (off_t)first, 4 * WRITE_BYTES, POSIX_FADV_WILLNEED);
    answer(call, status, type, bytes);
}

static json_t *error_json(const struct refusal *why)
{
    return json_pack("{s:{s:s,s:s,s:s}}", "error", "code", why->code, "vi", why->vi, "en", why->en);
}

void http_answer_code(struct http_call *call, int status, const char *code)
{
    if (status >= 400)
        call->s->counts[COUNT_BAD_REQUESTS]++;
    http_answer_json(call, status, error_json(refusal_find(code)));
}

const struct identity *http_call_identity(const struct http_call *call)
{
    return &call->who;
}

void signaling_http_reply(struct http_call *call, int status, json_t *body)
{
    http_answer_json(call, status, body);
}

void signaling_http_refuse(struct http_call *call, int status, const struct refusal *why)
{
    call->s->counts[COUNT_BAD_REQUESTS]++;
    http_answer_json(call, status, error_json(why));
}

/* ---- writing ---- */

/* Headers of every answer, and of those that a browser may show as a page. */
static size_t common_headers(const struct http_call *call, char *out, size_t cap)
{
    static const char always[] = "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"
                                 "Cross-Origin-Resource-Policy: same-origin\r\n";
    static const char closed[] = "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n";
    int n;
    if (call->type && strncmp(call->type, "text/html", 9) == 0) {
        /* 'self' covers the websocket of the same host too (CSP 3, 6.7.2.8), in every browser that can hold a call */
        n = snprintf(out, cap,
                     "%sContent-Security-Policy: default-src 'self'; connect-src 'self'; media-src 'self' blob:; "
                     "img-src 'self' data: blob:; worker-src 'self' blob:; object-src 'none'; base-uri 'none'; "
                     "form-action 'self'; frame-ancestors 'none'\r\n"
                     "Permissions-Policy: camera=(self), microphone=(self), display-capture=(self), fullscreen=(self), "
                     "screen-wake-lock=(self), geolocation=()\r\n"
                     "Cross-Origin-Opener-Policy: same-origin\r\nX-Frame-Options: DENY\r\n",
                     always);
    } else if (call->status == 304) {
        /* Its headers replace those of the stored answer (RFC 9111, 3.2): a policy here would close the page on reload. */
        n = snprintf(out, cap, "%s", always);
    } else {
        n = snprintf(out, cap, "%s%s", always, closed);
    }
    return n < 0 ? 0 : (size_t)n;
}

static const char *status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } texts[] = {{200, "OK"},
                 {201, "Created"},
                 {202, "Accepted"},
                 {204, "No Content"},
                 {206, "Partial Content"},
                 {304, "Not Modified"},
                 {400, "Bad Request"},
                 {401, "Unauthorized"},
                 {403, "Forbidden"},
                 {404, "Not Found"},
                 {405, "Method Not Allowed"},
                 {409, "Conflict"},
                 {410, "Gone"},
                 {413, "Content Too Large"},
                 {415, "Unsupported Media Type"},
                 {416, "Range Not Satisfiable"},
                 {421, "Misdirected Request"},
                 {422, "Unprocessable Content"},
                 {423, "Locked"},
                 {429, "Too Many Requests"},
                 {500, "Internal Server Error"},
                 {503, "Service Unavailable"}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (texts[i].status == status)
            return texts[i].text;
    return "Status";
}

static int write_head(struct http_call *call)
{
    unsigned char buffer[LWS_PRE + 6144], *at = buffer + LWS_PRE, *end = buffer + sizeof buffer - 1;
    char lines[4096];
    size_t n = common_headers(call, lines, sizeof lines);
    if (call->extra && n + strlen(call->extra) < sizeof lines)
        n += (size_t)snprintf(lines + n, sizeof lines - n, "%s", call->extra);
    bool content = call->type != NULL;
    /* The status line is ours: libwebsockets knows few reason phrases and would announce itself. */
    int len =
        snprintf((char *)at, (size_t)(end - at), "HTTP/1.1 %d %s\r\n%.*s%s%s%s", call->status, status_text(call->status),
                 (int)n, lines, content ? "Content-Type: " : "", content ? call->type : "", content ? "\r\n" : "");
    if (len < 0 || len >= end - at)
        return -1;
    unsigned char *head = at;
    at += len;
    if (call->status != 204 && call->status != 304 &&
        lws_add_http_header_content_length(call->wsi, call->content_bytes, &at, end))
        return -1;
    if (call->close_after && lws_add_http_header_by_name(call->wsi, (const unsigned char *)"connection:",
                                                         (const unsigned char *)"close", 5, &at, end))
        return -1;
    if (lws_finalize_http_header(call->wsi, &at, end))
        return -1;
    call->head_sent = true;
    int size = (int)(at - head);
    enum lws_write_protocol how = LWS_WRITE_HTTP_HEADERS | (call->left_bytes ? 0 : LWS_WRITE_H2_STREAM_END);
    return lws_write(call->wsi, head, (size_t)size, how) < size ? -1 : 0;
}

static void retry_due(lws_sorted_usec_list_t *sul)
{
    struct http_call *call = lws_container_of(sul, struct http_call, retry);
    if (call->wsi)
        lws_callback_on_writable(call->wsi);
}

/* Reads only what is in memory, so that a slow disk stops nobody; what is not has been asked for and is tried again. Returns
 * bytes, 0 for "later", −1. */
static ssize_t read_file(struct http_call *call, unsigned char *to, size_t want)
{
    struct iovec into = {to, want};
    ssize_t n = call->retries < RETRIES_MAX ? preadv2(call->fd, &into, 1, (off_t)call->at_byte, RWF_NOWAIT) : -1;
    if (n < 0 && (errno != EAGAIN || call->retries >= RETRIES_MAX))
        n = pread(call->fd, to, want, (off_t)call->at_byte); /* a file system without RWF_NOWAIT, or patience has ended */
    if (n < 0 && errno == EAGAIN) {
        call->retries++;
        posix_fadvise(call->fd, (off_t)call->at_byte, 4 * WRITE_BYTES, POSIX_FADV_WILLNEED);
        lws_sul_schedule(call->s->lws, 0, &call->retry, retry_due, RETRY_US);
        return 0;
    }
    if (n <= 0)
        return -1; /* shorter than it was: the connection is closed, so that nobody takes it for whole */
    call->retries = 0;
    posix_fadvise(call->fd, (off_t)call->at_byte + n, 4 * WRITE_BYTES, POSIX_FADV_WILLNEED);
    return n;
}

/* One piece of the content. 0: go on when writable; 1: a retry is due; −1: broken. */
static int write_piece(struct http_call *call)
{
    static unsigned char buffer[LWS_PRE + WRITE_BYTES]; /* the loop's thread alone */
    size_t want = call->left_bytes < WRITE_BYTES ? (size_t)call->left_bytes : WRITE_BYTES;
    ssize_t n = (ssize_t)want;
    if (call->text)
        memcpy(buffer + LWS_PRE, call->text + call->at_byte, want);
    else
        n = read_file(call, buffer + LWS_PRE, want);
    if (n <= 0)
        return n == 0 ? 1 : -1;
    call->at_byte += (uint64_t)n;
    call->left_bytes -= (uint64_t)n;
    lws_set_timeout(call->wsi, PENDING_TIMEOUT_HTTP_CONTENT, ANSWER_S);
    enum lws_write_protocol how = call->left_bytes ? LWS_WRITE_HTTP : LWS_WRITE_HTTP_FINAL;
    return lws_write(call->wsi, buffer + LWS_PRE, (size_t)n, how) < (int)n ? -1 : 0;
}

static int writable(struct conn *c)
{
    struct http_call *call = c->call;
    if (!call || !call->answered)
        return 0;
    struct lws *wsi = call->wsi;
    if (!call->head_sent) {
        if (write_head(call) < 0)
            return -1;
    } else if (call->left_bytes) {
        int n = write_piece(call);
        if (n)
            return n < 0 ? -1 : 0;
    }
    if (call->left_bytes) {
        lws_callback_on_writable(wsi);
        return 0;
    }
    bool close_after = call->close_after;
    call_release(c);
    return lws_http_transaction_completed(wsi) || close_after ? -1 : 0;
}

/* ---- reading ---- */

static int begin(struct conn *c, struct lws *wsi, const char *path)
{
    call_release(c);
    struct http_call *call = call_new(c, wsi, path);
    if (!call)
        return -1;
    c->s->counts[COUNT_REQUESTS]++;
    lws_set_timeout(wsi, PENDING_TIMEOUT_HTTP_CONTENT, ANSWER_S);
    char length[24] = "";
    lws_hdr_copy(wsi, length, sizeof length, WSI_TOKEN_HTTP_CONTENT_LENGTH);
    unsigned long long bytes = strtoull(length, NULL, 10);
    if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0 || strlen(path) >= sizeof call->path ||
        bytes > DISCARD_BYTES || length[0] == '-') {
        call->close_after = true; /* what follows can't be told apart from the next request */
        http_answer_code(call, bytes > DISCARD_BYTES ? 413 : 400, bytes > DISCARD_BYTES ? "too-big" : "bad-params");
        return 0;
    }
    if (c->unwelcome) {
        call->close_after = true;
        http_answer_code(call, 503, "too-many-connections");
        return 0;
    }
    call->wants_body = bytes > 0;
    call->body_by_us = clock_now_us() + c->s->config.body_seconds * 1000000LL;
    call->body_too_large = bytes > c->s->config.max_body_bytes;
    if (!call->wants_body)
        http_route(call);
    return 0;
}

static int body_piece(struct conn *c, const char *bytes, size_t len)
{
    struct http_call *call = c->call;
    if (!call || call->answered)
        return 0;
    if (clock_now_us() > call->body_by_us)
        return -1; /* libwebsockets is content with a byte now and then */
    if (call->body_too_large)
        return 0;
    if (call->body_len + len > c->s->config.max_body_bytes) {
        call->body_too_large = true;
        return 0;
    }
    char *grown = realloc(call->body, call->body_len + len + 1);
    if (!grown)
        return -1;
    memcpy(grown + call->body_len, bytes, len);
    call->body = grown;
    call->body_len += len;
    call->body[call->body_len] = '\0';
    return 0;
}

static int body_complete(struct conn *c)
{
    struct http_call *call = c->call;
    if (!call || call->answered || !call->wants_body)
        return 0;
    if (call->body_too_large)
        http_answer_code(call, 413, "too-big");
    else
        http_route(call);
    return 0;
}

/* The connection has ended; a call may have been in progress. */
static void call_broken(struct conn *c)
{
    const struct http_call *call = c->call;
    if (call && (!call->answered || call->left_bytes))
        c->s->counts[COUNT_UNFINISHED]++;
    call_release(c);
}

/* Refuses an upgrade with a plain answer: there is no call yet. Returns what the callback returns. */
static int refuse_upgrade(struct lws *wsi, int status, const struct refusal *why)
{
    char body[1200];
    unsigned char buffer[LWS_PRE + 1600];
    int len = snprintf(body, sizeof body, "{\"error\":{\"code\":\"%s\",\"vi\":\"%s\",\"en\":\"%s\"}}", why->code, why->vi,
                       why->en);
    int n = snprintf((char *)buffer + LWS_PRE, sizeof buffer - LWS_PRE,
                     "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n"
                     "Cache-Control: no-store\r\n\r\n%s",
                     status, status_text(status), len, body);
    lws_write(wsi, buffer + LWS_PRE, (size_t)n, LWS_WRITE_HTTP_HEADERS);
    return -1;
}

static int confirm_upgrade(struct conn *c, struct lws *wsi, const char *to)
{
    int status = 400;
    const struct refusal *why = refusal_find("bad-params"); /* h2c */
    if (c->unwelcome) {
        status = 503;
        why = refusal_find("too-many-connections");
    } else if (to && strcmp(to, "websocket") == 0) {
        why = ws_confirm(c, wsi, &status);
    }
    if (!why)
        return 0;
    c->s->counts[COUNT_BAD_REQUESTS]++;
    return refuse_upgrade(wsi, status, why);
}

int http_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    struct conn *c = wsi ? lws_get_opaque_user_data(wsi) : NULL;
    if (!c)
        return 0;
    turn_begins(lws_context_user(lws_get_context(wsi)), reason);
    switch (reason) {
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE: return confirm_upgrade(c, wsi, in);
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION: return -1; /* "http" is no websocket protocol */
    case LWS_CALLBACK_HTTP: return begin(c, wsi, in);
    case LWS_CALLBACK_HTTP_BODY: return body_piece(c, in, len);
    case LWS_CALLBACK_HTTP_BODY_COMPLETION: return body_complete(c);
    case LWS_CALLBACK_HTTP_WRITEABLE: return writable(c);
    case LWS_CALLBACK_CLOSED_HTTP: call_broken(c); return 0;
    case LWS_CALLBACK_WSI_DESTROY:
        call_broken(c);
        ws_abandon(c);
        lws_set_opaque_user_data(wsi, NULL);
        conn_gone(c);
        return 0;
    default: return 0;
    }
}
