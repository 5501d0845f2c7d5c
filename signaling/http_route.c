/* Which request goes where, after origin, type, size and form are checked. */
#include "signaling/http.h"

#include "base/cleanup.h"
#include "signaling/http_text.h"
#include "signaling/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *verb_of(const struct http_call *call)
{
    static const char *const verbs[] = {"GET", "GET", "POST", "DELETE", "OTHER"};
    return verbs[call->method];
}

/* The definition that a body must fit; "*" stands for one segment. */
static const char *body_schema(const char *path)
{
    static const struct {
        const char *path, *schema;
    } bodies[] = {
        {"session", "body.session"},
        {"session/link", "body.session-link"},
        {"session/first", "body.session-first"},
        {"briefings", "body.briefings"},
        {"briefings/*/links", "body.links"},
        {"accounts", "body.accounts"},
        {"archive/*/compose", "body.compose"},
    };
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        const char *star = strchr(bodies[i].path, '*');
        if (!star && strcmp(bodies[i].path, path) == 0)
            return bodies[i].schema;
        size_t head = star ? (size_t)(star - bodies[i].path) : 0;
        if (star && strncmp(bodies[i].path, path, head) == 0) {
            size_t segment = strcspn(path + head, "/");
            if (segment && strcmp(path + head + segment, star + 1) == 0)
                return bodies[i].schema;
        }
    }
    return NULL;
}

/* NULL when it is no JSON within limits; `ret_code` says why. */
static json_t *body_parse(const struct http_call *call, const char *path, const char **ret_code)
{
    *ret_code = "bad-json";
    if (!json_depth_fits(call->body, call->body_len, JSON_DEPTH_MAX))
        return NULL;
    json_t *body = json_loadb(call->body, call->body_len, JSON_REJECT_DUPLICATES, NULL);
    const char *schema = body_schema(path);
    if (body && schema && schema_check(call->s->schema, schema, body, NULL) != 0) {
        *ret_code = "bad-params";
        json_decref(body);
        return NULL;
    }
    return body;
}

static bool is_json(const char *content_type)
{
    static const char json[] = "application/json";
    size_t n = sizeof json - 1;
    return content_type && strncasecmp(content_type, json, n) == 0 && strchr("; \t", content_type[n]);
}

static bool ends_segment(const char *rest)
{
    return *rest == '\0' || *rest == '/';
}

static void to_owner(struct http_call *call, const char *path, const json_t *body)
{
    if (!call->has_identity) {
        http_answer_code(call, 401, "no-session");
        return;
    }
    static const char files[] = "archive/";
    char briefing[WISH_ID_MAX];
    const char *name = strstr(path, "/files/");
    size_t id_len = name ? (size_t)(name - path) - strlen(files) : 0;
    if (strncmp(path, files, strlen(files)) == 0 && name && id_len < sizeof briefing) {
        snprintf(briefing, sizeof briefing, "%.*s", (int)id_len, path + strlen(files));
        if (call->method == HTTP_GET || call->method == HTTP_HEAD)
            http_recording_file(call, briefing, name + strlen("/files/"));
        else
            http_answer_code(call, 405, "unknown-method");
        return;
    }
    call->handed = true;
    call->s->ops.http(call->s->ctx, call, verb_of(call), path, call->query, body);
}

static void api(struct http_call *call, const char *path)
{
    bool changes = call->method == HTTP_POST || call->method == HTTP_DELETE;
    if (call->method == HTTP_OTHER) {
        http_answer_code(call, 405, "unknown-method");
        return;
    }
    if (changes && call->origin && !origin_is_host(call->origin, call->host, call->conn->tls)) {
        call->s->counts[COUNT_FOREIGN_ORIGIN]++;
        http_answer_code(call, 403, "bad-origin");
        return;
    }
    if (call->authorization && !call->conn->loopback) {
        http_answer_code(call, 403, "only-here");
        return;
    }
    if (call->body && !is_json(call->content_type)) {
        http_answer_code(call, 415, "bad-json");
        return;
    }
    const char *code;
    json_t *body = call->body ? body_parse(call, path, &code) : NULL;
    if ((call->body && !body) || (!call->body && call->method == HTTP_POST && body_schema(path))) {
        http_answer_code(call, 400, call->body ? code : "bad-params");
        return;
    }
    call->has_identity = http_identify(call);
    if (strncmp(path, "session", 7) == 0 && ends_segment(path + 7))
        http_session(call, path + 7, body);
    else if (strncmp(path, "accounts", 8) == 0 && ends_segment(path + 8))
        http_accounts(call, path + 8, body);
    else if (strcmp(path, "units") == 0)
        http_units(call);
    else
        to_owner(call, path, body);
    json_decref(body);
}

/* ---- metrics ---- */

static const char *const count_names[COUNTS] = {
    [COUNT_ACCEPTED] = "sockets_accepted",
    [COUNT_REFUSED_SOCKETS] = "sockets_refused_crowded",
    [COUNT_REFUSED_SOURCE] = "sockets_refused_source",
    [COUNT_REQUESTS] = "http_requests",
    [COUNT_BAD_REQUESTS] = "http_refused",
    [COUNT_FOREIGN_ORIGIN] = "foreign_origin",
    [COUNT_LOGINS_FAILED] = "logins_failed",
    [COUNT_LOGINS_REFUSED] = "logins_refused",
    [COUNT_MESSAGES] = "messages",
    [COUNT_BAD_MESSAGES] = "bad_messages",
    [COUNT_RATE_LIMITED] = "rate_limited",
    [COUNT_SLOW_PEERS] = "slow_peers_closed",
    [COUNT_ABUSIVE_PEERS] = "abusive_peers_closed",
    [COUNT_BROKEN_PEERS] = "websockets_broken",
    [COUNT_UNFINISHED] = "http_unfinished",
};

static void metrics(struct http_call *call)
{
    struct signaling *s = call->s;
    if (call->conn->tls || !call->conn->loopback) {
        http_answer_code(call, 403, "only-here");
        return;
    }
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (!out) {
        http_answer_code(call, 500, "internal");
        return;
    }
    for (size_t i = 0; i < COUNTS; i++)
        fprintf(out, "giaoban_signaling_%s_total %llu\n", count_names[i], (unsigned long long)s->counts[i]);
    fprintf(out, "giaoban_signaling_sockets %u\n", s->sockets);
    _cleanup_free_ char *more = s->ops.metrics ? s->ops.metrics(s->ctx) : NULL;
    fputs(more ? more : "", out);
    fclose(out);
    http_add_header(call, "Cache-Control: no-store");
    http_answer_text(call, 200, "text/plain; version=0.0.4; charset=utf-8", text);
}

/* ---- doors ---- */

/* A name of this machine itself, with any port: elsewhere's page must not reach the plain listener by a name of its own that
 * points here (DNS rebinding). */
static bool host_is_here(const char *host)
{
    if (!host)
        return true; /* HTTP/1.0: no browser */
    char name[64];
    size_t n = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
    if (n >= sizeof name || snprintf(name, sizeof name, "%.*s", (int)n, host) < 0)
        return false;
    return strcmp(name, "[::1]") == 0 || strcasecmp(name, "localhost") == 0 ||
           (strncmp(name, "127.", 4) == 0 && strspn(name, "0123456789.") == n);
}

void http_route(struct http_call *call)
{
    const char *path = call->path;
    bool reads = call->method == HTTP_GET || call->method == HTTP_HEAD;
    if (!call->conn->tls && !host_is_here(call->host))
        http_answer_code(call, 421, "only-here");
    else if (strncmp(path, API, strlen(API)) == 0)
        api(call, path + strlen(API));
    else if (!reads)
        http_answer_code(call, 405, "unknown-method");
    else if (strcmp(path, "/healthz") == 0)
        http_answer_json(call, 200, json_pack("{s:b}", "ok", 1));
    else if (strcmp(path, "/metrics") == 0)
        metrics(call);
    else if (strcmp(path, "/help/ca.crt") == 0)
        http_certificate(call);
    else
        http_page(call);
}
