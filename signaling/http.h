/* One HTTP transaction, from its header to its last byte.
 *
 * A call belongs to its socket until it is handed to somebody who answers later (ops, a password check, the store): then it
 * lives until both the answer has come and the socket has let go of it. Exactly one answer for each call. */
#pragma once

#include "signaling/internal.h"

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_DELETE, HTTP_OTHER };

struct http_call {
    struct http_call *next, **at; /* in signaling.calls */
    struct signaling *s;
    struct conn *conn; /* NULL: the client has gone */
    struct lws *wsi;

    enum http_method method;
    char path[512], query[1024], slot[17];
    char *host, *origin, *cookie, *authorization, *content_type, *range, *if_range, *if_none_match, *accept_encoding;
    struct identity who;
    bool has_identity;

    char *body;
    size_t body_len;
    bool wants_body, body_too_large;
    int64_t body_by_us; /* then it has to be complete */

    bool handed, answered, head_sent;
    int status;
    const char *type; /* Content-Type; NULL: no content */
    char *extra;      /* further header lines, each ending in \r\n */
    bool close_after;
    char *text; /* the content, or */
    int fd;     /* a file, or −1 */
    uint64_t at_byte, left_bytes, content_bytes;
    lws_sorted_usec_list_t retry; /* the file's next bytes are on their way from the disk */
    unsigned retries;

    /* of the handler that answers later */
    bool login_counted; /* in its source's `logins` */
    json_t *kept;       /* what it needs again: the request's body */
};

/* The only ways to answer. Text is taken over. */
void http_answer_text(struct http_call *call, int status, const char *type, char *text);
void http_answer_json(struct http_call *call, int status, json_t *body /* taken over, may be NULL */);
void http_answer_empty(struct http_call *call, int status);
void http_answer_code(struct http_call *call, int status, const char *code);
/* `fd` is taken over; bytes [first, first + bytes). */
void http_answer_file(struct http_call *call, int status, const char *type, int fd, uint64_t first, uint64_t bytes);
/* A header line added before the answer. */
void http_add_header(struct http_call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));

void http_route(struct http_call *call); /* http_route.c: the header and the body are complete */

/* http_session.c */
bool http_identify(struct http_call *call); /* from cookie or bearer token into call->who */
bool session_find(struct signaling *s, const char *cookie, const char *slot, bool tls, struct identity *ret_who);
void http_login_end(struct http_call *call); /* gives its source's slot back, once */
void http_session(struct http_call *call, const char *rest, const json_t *body);
void http_accounts(struct http_call *call, const char *rest, const json_t *body);
void http_units(struct http_call *call);

/* http_files.c */
void http_page(struct http_call *call); /* the web client */
void http_certificate(struct http_call *call);
void http_recording_file(struct http_call *call, const char *briefing, const char *name);
