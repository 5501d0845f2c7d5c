#include "signaling_world.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/openssl.h"

#include <arpa/inet.h>
#include <ftw.h>
#include <netinet/in.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define must(what)                                                                                                          \
    do {                                                                                                                    \
        if (!(what)) {                                                                                                      \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);                                                      \
            abort();                                                                                                        \
        }                                                                                                                   \
    } while (0)

/* ---- the owner ---- */

static void burst(struct ws_peer *peer)
{
    char filler[8001];
    memset(filler, 'x', sizeof filler - 1);
    filler[sizeof filler - 1] = '\0';
    json_t *o = json_pack("{s:s,s:s}", "notice", "filler", "data", filler);
    struct ws_text *t = ws_text_new(o);
    for (int i = 0; i < 2000; i++)
        signaling_send(peer, t);
    ws_text_unref(t);
    json_decref(o);
}

static void request(void *ctx, struct ws_peer *peer, int64_t id, const char *method, const json_t *params)
{
    struct world *w = ctx;
    w->requests++;
    ws_peer_set_user(peer, w);
    if (strcmp(method, "mute") == 0) {
        signaling_refuse(peer, id, refusal_find("not-allowed"));
        return;
    }
    if (strcmp(method, "record") == 0) { /* more than a peer that does not read can hold */
        burst(peer);
        return;
    }
    const struct identity *who = ws_peer_identity(peer);
    signaling_reply(peer, id,
                    json_pack("{s:s,s:s,s:s,s:O}", "method", method, "unit", who->unit, "address", ws_peer_address(peer),
                              "params", params));
    if (strcmp(method, "layout") == 0) {
        json_t *o = json_pack("{s:s,s:{s:i}}", "notice", "speaker", "data", "number", 7);
        struct ws_text *t = ws_text_new(o);
        signaling_send(peer, t);
        signaling_send(peer, t);
        ws_text_unref(t);
        json_decref(o);
    }
    if (strcmp(method, "leave") == 0)
        signaling_close(peer, "left");
}

static void closed(void *ctx, struct ws_peer *peer)
{
    struct world *w = ctx;
    must(ws_peer_user(peer) == w);
    w->closed++;
}

static void http(void *ctx, struct http_call *call, const char *verb, const char *path, const char *query,
                 const json_t *body)
{
    struct world *w = ctx;
    w->http_calls++;
    if (strcmp(path, "briefings/late") == 0) {
        w->late = call;
        return;
    }
    if (strcmp(path, "briefings/refused") == 0) {
        signaling_http_refuse(call, 404, refusal_find("unknown-briefing"));
        return;
    }
    const struct identity *who = http_call_identity(call);
    json_t *answer = json_pack("{s:s,s:s,s:s,s:s,s:b}", "verb", verb, "path", path, "query", query, "role",
                               role_name(who->role), "loopback_admin", who->loopback_admin);
    if (body)
        json_object_set(answer, "body", (json_t *)body);
    signaling_http_reply(call, strcmp(verb, "POST") == 0 ? 201 : 200, answer);
}

static bool may_read(void *ctx, const struct identity *who, const char *briefing)
{
    return strcmp(briefing, "secret-one") != 0;
}

static char *metrics(void *ctx)
{
    return strdup("giaoban_test 1\n");
}

static void store_ready(void *ctx, int fd)
{
    struct world *w = ctx;
    store_poll(w->store);
}

static void pipe_ready(void *ctx, int fd)
{
    struct world *w = ctx;
    char c;
    must(read(fd, &c, 1) == 1);
    w->pipe_read++;
    if (w->late)
        signaling_http_reply(w->late, 200, json_pack("{s:b}", "late", 1));
    w->late = NULL;
}

/* ---- its files ---- */

void world_file(const struct world *w, const char *path, const void *bytes, size_t len)
{
    char full[300];
    must(snprintf(full, sizeof full, "%s/%s", w->dir, path) < (int)sizeof full);
    for (char *at = strchr(full + strlen(w->dir) + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = '\0';
        mkdir(full, 0700);
        *at = '/';
    }
    FILE *f = fopen(full, "w");
    must(f && fwrite(bytes, 1, len, f) == len);
    fclose(f);
}

static void make_certificate(const struct world *w)
{
    char path[300];
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    must(key && x);
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 86400);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)"giaoban test", -1, -1,
                               0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1,DNS:localhost");
    must(names && X509_add_ext(x, names, -1) && X509_sign(x, key, EVP_sha256()));
    X509_EXTENSION_free(names);
    snprintf(path, sizeof path, "%s/server.crt", w->dir);
    FILE *f = fopen(path, "w");
    must(f && PEM_write_X509(f, x));
    fclose(f);
    snprintf(path, sizeof path, "%s/server.key", w->dir);
    f = fopen(path, "w");
    must(f && PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL));
    fclose(f);
    X509_free(x);
    EVP_PKEY_free(key);
}

static int listener(int family, int *ret_port)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr *address = family == AF_INET ? (struct sockaddr *)&four : (struct sockaddr *)&six;
    socklen_t len = family == AF_INET ? sizeof four : sizeof six;
    must(bind(fd, address, len) == 0 && listen(fd, 64) == 0 && getsockname(fd, address, &len) == 0);
    *ret_port = ntohs(family == AF_INET ? four.sin_port : six.sin6_port);
    return fd;
}

/* The briefing of the join links. */
static void schedule_briefing(struct world *w)
{
    struct briefing_unit unit = {.id = "h-quan-hoa", .name = "UBND huyện Quan Hóa", .short_name = "Quan Hóa"};
    struct briefing_schedule schedule = {.id = "b1", .title = "Giao ban", .starts_ms = 1000, .units = &unit, .n_units = 1};
    struct briefing_event event = {.kind = EVENT_SCHEDULED, .seq = 1, .at_ms = 1, .at_us = 1, .schedule = &schedule};
    must(store_append(w->store, "b1", store_epoch(w->store), &event, 1, NULL, NULL) == 0);
}

static void *loop(void *ctx)
{
    struct world *w = ctx;
    while (!w->stop) {
        store_submit(w->store);
        must(signaling_service(w->s, 50) == 0);
    }
    return NULL;
}

int world_start(struct world *w, void (*adapt)(struct signaling_config *config))
{
    static const char units[] = "[{\"id\":\"h-quan-hoa\",\"name\":\"UBND huyện Quan Hóa\",\"short\":\"Quan "
                                "Hóa\",\"kind\":\"district\",\"order\":1}]";
    const char *why = NULL;
    char db[100], unit_path[100], web[100], certificate[100], key[100];
    *w = (struct world){.dir = "/tmp/giaoban-signaling-XXXXXX"};
    must(mkdtemp(w->dir));
    log_setup("test", LOG_LEVEL_ERROR);
    make_certificate(w);
    world_file(w, "units.json", units, strlen(units));
    world_file(w, "web/index.html", "<!doctype html><title>giaoban</title>", 37);
    snprintf(db, sizeof db, "%s/giaoban.db", w->dir);
    snprintf(unit_path, sizeof unit_path, "%s/units.json", w->dir);
    snprintf(web, sizeof web, "%s/web", w->dir);
    snprintf(certificate, sizeof certificate, "%s/server.crt", w->dir);
    snprintf(key, sizeof key, "%s/server.key", w->dir);
    struct store_config sc = {.path = db, .units_path = unit_path};
    int err = store_open(&sc, &w->store, &why);
    if (err)
        fprintf(stderr, "store: %s\n", why ? why : err_str(err));
    must(err == 0);
    schedule_briefing(w);
    struct signaling_config config = {
        .data_dir = w->dir, .web_dir = web, .certificate = certificate, .key = key, .ca = certificate};
    if (adapt)
        adapt(&config);
    struct signaling_ops ops = {
        .request = request, .closed = closed, .http = http, .may_read_recording = may_read, .metrics = metrics};
    err = signaling_new(&config, w->store, &ops, w, &w->s, &why);
    if (err)
        fprintf(stderr, "signaling: %s\n", why ? why : err_str(err));
    must(err == 0);
    must(pipe(w->pipe) == 0);
    must(signaling_watch(w->s, store_event_fd(w->store), store_ready, w) == 0);
    must(signaling_watch(w->s, w->pipe[0], pipe_ready, w) == 0);
    w->tls_fd = listener(AF_INET, &w->tls_port);
    w->plain_fd = listener(AF_INET, &w->plain_port);
    w->six_fd = listener(AF_INET6, &w->six_port);
    must(signaling_listen(w->s, w->tls_fd, true) == 0 && signaling_listen(w->s, w->plain_fd, false) == 0);
    must(signaling_listen(w->s, w->six_fd, false) == 0);
    must(pthread_create(&w->thread, NULL, loop, w) == 0);
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    return remove(path);
}

void world_stop(struct world *w)
{
    w->stop = true;
    pthread_join(w->thread, NULL);
    signaling_free(w->s);
    store_close(w->store);
    close(w->tls_fd);
    close(w->plain_fd);
    close(w->six_fd);
    close(w->pipe[0]);
    close(w->pipe[1]);
    nftw(w->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void world_token(const struct world *w, const char *kind, int64_t exp_s, const char *nonce, char ret_token[512])
{
    json_t *p = json_pack("{s:s,s:s,s:s,s:s,s:I,s:s}", "t", kind, "briefing", "b1", "unit", "h-quan-hoa", "role", "delegate",
                          "exp", (json_int_t)(clock_wall_us() / 1000000 + exp_s), "n", nonce);
    must(token_sign(signaling_secret(w->s), p, ret_token, 512) == 0);
    json_decref(p);
}

bool world_wait(_Atomic unsigned *counter, unsigned least)
{
    for (int64_t end = clock_now_us() + 10000000; clock_now_us() < end;) {
        if (*counter >= least)
            return true;
        poll(NULL, 0, 5);
    }
    return false;
}

/* ---- HTTP ---- */

void answer_free(struct answer *a)
{
    free(a->body);
    free(a->head);
    *a = (struct answer){0};
}

const char *answer_header(const struct answer *a, const char *name)
{
    static _Thread_local char value[1000];
    size_t n = strlen(name);
    for (const char *at = a->head; at && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL) {
        if (strncasecmp(at, name, n) == 0 && at[n] == ':') {
            at += n + 1;
            at += strspn(at, " ");
            snprintf(value, sizeof value, "%.*s", (int)strcspn(at, "\r\n"), at);
            return value;
        }
    }
    return NULL;
}

const char *answer_code(const struct answer *a)
{
    static _Thread_local char code[64];
    json_t *o = a->body ? json_loads(a->body, 0, NULL) : NULL, *error = json_object_get(o, "error");
    const char *text = json_string_value(json_object_get(error, "code"));
    bool whole =
        text && json_string_length(json_object_get(error, "vi")) && json_string_length(json_object_get(error, "en"));
    snprintf(code, sizeof code, "%s", whole ? text : "");
    json_decref(o);
    return code;
}

static size_t append(char **to, size_t *len, const char *bytes, size_t n)
{
    char *grown = realloc(*to, *len + n + 1);
    must(grown);
    memcpy(grown + *len, bytes, n);
    *to = grown;
    *len += n;
    grown[*len] = '\0';
    return n;
}

static size_t keep_body(char *bytes, size_t size, size_t n, void *ctx)
{
    struct answer *a = ctx;
    return append(&a->body, &a->len, bytes, size * n);
}

static size_t keep_head(char *bytes, size_t size, size_t n, void *ctx)
{
    struct answer *a = ctx;
    return append(&a->head, &a->head_len, bytes, size * n);
}

static void setup_curl(CURL *curl, const struct client *c)
{
    char ca[100];
    snprintf(ca, sizeof ca, "%s/server.crt", c->world->dir);
    curl_easy_setopt(curl, CURLOPT_CAINFO, ca);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, 20L);
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
}

void client_open(struct client *c, struct world *w, bool tls)
{
    *c = (struct client){.world = w, .tls = tls, .curl = curl_easy_init()};
    must(c->curl);
    setup_curl(c->curl, c);
    curl_easy_setopt(c->curl, CURLOPT_COOKIEFILE, "");
}

void client_close(struct client *c)
{
    curl_easy_cleanup(c->curl);
}

static int port_of(const struct client *c)
{
    return c->tls ? c->world->tls_port : c->world->plain_port;
}

struct answer client_do(struct client *c, const char *verb, const char *path, const char *body, const char *const *headers)
{
    char url[2000];
    struct answer a = {0};
    struct curl_slist *lines = NULL;
    snprintf(url, sizeof url, "http%s://127.0.0.1:%d%s", c->tls ? "s" : "", port_of(c), path);
    if (body && !(headers && strncasecmp(headers[0], "Content-Type:", 13) == 0))
        lines = curl_slist_append(lines, "Content-Type: application/json");
    lines = curl_slist_append(lines, "Expect:");
    for (; headers && *headers; headers++)
        lines = curl_slist_append(lines, *headers);
    curl_easy_setopt(c->curl, CURLOPT_URL, url);
    curl_easy_setopt(c->curl, CURLOPT_HTTPGET, 1L);
    curl_easy_setopt(c->curl, CURLOPT_NOBODY, strcmp(verb, "HEAD") == 0 ? 1L : 0L);
    if (body)
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, strcmp(verb, "HEAD") == 0 ? NULL : verb);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, lines);
    curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, keep_body);
    curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, &a);
    curl_easy_setopt(c->curl, CURLOPT_HEADERFUNCTION, keep_head);
    curl_easy_setopt(c->curl, CURLOPT_HEADERDATA, &a);
    CURLcode code = curl_easy_perform(c->curl);
    if (code == CURLE_OK)
        curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &a.status);
    else
        fprintf(stderr, "%s %s: %s\n", verb, url, curl_easy_strerror(code));
    curl_slist_free_all(lines);
    return a;
}

struct answer client_get(struct client *c, const char *path)
{
    return client_do(c, "GET", path, NULL, NULL);
}

struct answer client_post(struct client *c, const char *path, const char *body)
{
    return client_do(c, "POST", path, body, NULL);
}

char *client_cookies(struct client *c)
{
    struct curl_slist *all = NULL;
    char *text = NULL;
    size_t len = 0;
    curl_easy_getinfo(c->curl, CURLINFO_COOKIELIST, &all);
    for (struct curl_slist *one = all; one; one = one->next) { /* seven columns, name and value last */
        const char *value = strrchr(one->data, '\t'), *name = value;
        while (name > one->data && name[-1] != '\t')
            name--;
        append(&text, &len, len ? "; " : "", len ? 2 : 0);
        append(&text, &len, name, (size_t)(value - name));
        append(&text, &len, "=", 1);
        append(&text, &len, value + 1, strlen(value + 1));
    }
    curl_slist_free_all(all);
    return text ? text : strdup("");
}

long client_join(struct client *c, const char *slot)
{
    char token[512], body[600], path[80];
    world_token(c->world, "join", 600, "link-1", token);
    snprintf(body, sizeof body, "{\"token\":\"%s\"}", token);
    snprintf(path, sizeof path, "/api/v1/session/link%s%s", *slot ? "?s=" : "", slot);
    struct answer a = client_post(c, path, body);
    long status = a.status;
    answer_free(&a);
    return status;
}

/* ---- websockets ---- */

static void wait_for(struct socket_client *k, short events)
{
    struct pollfd p = {.fd = socket_fd(k), .events = events};
    poll(&p, 1, 100);
}

int socket_fd(struct socket_client *k)
{
    curl_socket_t fd = CURL_SOCKET_BAD;
    curl_easy_getinfo(k->curl, CURLINFO_ACTIVESOCKET, &fd);
    return fd;
}

static void send_all(struct socket_client *k, const void *bytes, size_t len)
{
    for (size_t at = 0; at < len;) {
        size_t n = 0;
        CURLcode code = curl_easy_send(k->curl, (const char *)bytes + at, len - at, &n);
        if (code == CURLE_AGAIN)
            wait_for(k, POLLOUT);
        else if (code != CURLE_OK)
            return;
        at += n;
    }
}

/* More bytes into the buffer; false at the end or after 10 s. */
static bool receive_more(struct socket_client *k)
{
    if (k->len == k->cap) {
        k->cap = k->cap ? 2 * k->cap : 65536;
        k->buffer = realloc(k->buffer, k->cap);
        must(k->buffer);
    }
    for (int64_t end = clock_now_us() + 10000000; clock_now_us() < end;) {
        size_t n = 0;
        CURLcode code = curl_easy_recv(k->curl, k->buffer + k->len, k->cap - k->len, &n);
        if (code == CURLE_OK && n) {
            k->len += n;
            return true;
        }
        if (code != CURLE_AGAIN)
            return false;
        wait_for(k, POLLIN);
    }
    return false;
}

static void consume(struct socket_client *k, size_t n)
{
    memmove(k->buffer, k->buffer + n, k->len - n);
    k->len -= n;
}

void socket_open(struct socket_client *k, struct client *c, const char *path, const char *origin, const char *subprotocol)
{
    char url[100], *cookies = client_cookies(c);
    *k = (struct socket_client){.curl = curl_easy_init()};
    snprintf(url, sizeof url, "http%s://127.0.0.1:%d", c->tls ? "s" : "", port_of(c));
    setup_curl(k->curl, c);
    curl_easy_setopt(k->curl, CURLOPT_URL, url);
    curl_easy_setopt(k->curl, CURLOPT_CONNECT_ONLY, 1L);
    must(curl_easy_perform(k->curl) == CURLE_OK);
    char request[3000];
    int n =
        snprintf(request, sizeof request,
                 "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s%s%s%s%s%s%s%s%s\r\n",
                 path ? path : "/api/v1/ws", port_of(c), *cookies ? "Cookie: " : "", cookies, *cookies ? "\r\n" : "",
                 origin ? "Origin: " : "", origin ? origin : "", origin ? "\r\n" : "",
                 subprotocol ? "Sec-WebSocket-Protocol: " : "", subprotocol ? subprotocol : "", subprotocol ? "\r\n" : "");
    free(cookies);
    send_all(k, request, (size_t)n);
    for (;;) {
        uint8_t *end = k->len ? memmem(k->buffer, k->len, "\r\n\r\n", 4) : NULL;
        if (end) {
            k->status = atoi((char *)k->buffer + 9);
            consume(k, (size_t)(end - k->buffer) + 4);
            return;
        }
        if (!receive_more(k))
            return;
    }
}

void socket_close(struct socket_client *k)
{
    curl_easy_cleanup(k->curl);
    free(k->buffer);
}

void socket_send_frame(struct socket_client *k, int opcode, bool final, const void *bytes, size_t len)
{
    uint8_t head[14] = {(uint8_t)(opcode | (final ? 0x80 : 0))};
    size_t n = 2;
    if (len < 126) {
        head[1] = (uint8_t)(0x80 | len);
    } else if (len < 65536) {
        head[1] = 0x80 | 126;
        head[2] = (uint8_t)(len >> 8);
        head[3] = (uint8_t)len;
        n = 4;
    } else {
        head[1] = 0x80 | 127;
        for (int i = 0; i < 8; i++)
            head[2 + i] = (uint8_t)((uint64_t)len >> (56 - 8 * i));
        n = 10;
    }
    static const uint8_t mask[4] = {1, 2, 3, 4};
    memcpy(head + n, mask, 4);
    n += 4;
    uint8_t *frame = malloc(n + len);
    must(frame);
    memcpy(frame, head, n);
    for (size_t i = 0; i < len; i++)
        frame[n + i] = ((const uint8_t *)bytes)[i] ^ mask[i % 4];
    send_all(k, frame, n + len);
    free(frame);
}

void socket_send(struct socket_client *k, const char *text)
{
    socket_send_frame(k, 1, true, text, strlen(text));
}

int socket_receive(struct socket_client *k, char **ret_text)
{
    for (;;) {
        size_t head = 2, len = k->len >= 2 ? k->buffer[1] & 127 : 0;
        if (len == 126 && k->len >= 4) {
            len = (size_t)k->buffer[2] << 8 | k->buffer[3];
            head = 4;
        } else if (len == 127 && k->len >= 10) {
            len = 0;
            for (int i = 0; i < 8; i++)
                len = len << 8 | k->buffer[2 + i];
            head = 10;
        } else if (len >= 126) {
            len = SIZE_MAX / 2; /* its length has not come yet */
        }
        if (k->len >= 2 && k->len >= head + len) {
            int opcode = k->buffer[0] & 15;
            char *text = malloc(len + 1);
            must(text);
            memcpy(text, k->buffer + head, len);
            text[len] = '\0';
            consume(k, head + len);
            *ret_text = text;
            return opcode;
        }
        if (!receive_more(k))
            return -1;
    }
}

json_t *socket_json(struct socket_client *k)
{
    for (;;) {
        char *text = NULL;
        int opcode = socket_receive(k, &text);
        json_t *o = opcode == 1 ? json_loads(text, 0, NULL) : NULL;
        free(text);
        if (opcode != 9 && opcode != 10)
            return o;
    }
}
