#include "sim/sockets.h"

#include "base/err.h"
#include "base/openssl.h"

#include <curl/curl.h>
#include <jansson.h>
#include <libwebsockets.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct item {
    struct item *next;
    unsigned endpoint;
    int kind; /* an event's, or enum order */
    char *text;
};

enum order { ORDER_CONNECT, ORDER_SEND, ORDER_CLOSE };

struct queue {
    struct item *first, **last;
};

struct connection {
    struct sockets *owner;
    unsigned endpoint;
    struct lws *wsi;
    char cookie[256], briefing[64];
    struct queue out; /* texts to send; helper thread only */
    char *in;         /* a message in pieces */
    size_t in_len;
    bool closing;
};

struct sockets {
    char *server, *ca, host[128];
    int port;
    bool tls, insecure;
    struct lws_context *context;
    pthread_t thread;
    bool has_thread;
    _Atomic bool stop;
    int event_fd;
    pthread_mutex_t lock; /* guards the two queues */
    struct queue orders, events;
    unsigned n;
    struct connection *connections;
};

enum { MESSAGE_MAX = 1024 * 1024 };

static void queue_put(struct queue *q, struct item *i)
{
    if (!q->last)
        q->last = &q->first;
    i->next = NULL;
    *q->last = i;
    q->last = &i->next;
}

static struct item *queue_take(struct queue *q)
{
    struct item *i = q->first;
    if (i && !(q->first = i->next))
        q->last = &q->first;
    return i;
}

static void queue_clear(struct queue *q)
{
    struct item *i;
    while ((i = queue_take(q))) {
        free(i->text);
        free(i);
    }
}

static void post(struct sockets *s, struct queue *q, unsigned endpoint, int kind, char *text)
{
    struct item *i = malloc(sizeof *i);
    if (!i) {
        free(text);
        return;
    }
    *i = (struct item){.endpoint = endpoint, .kind = kind, .text = text};
    pthread_mutex_lock(&s->lock);
    queue_put(q, i);
    pthread_mutex_unlock(&s->lock);
}

static void post_event(struct connection *c, enum socket_event_kind kind, char *text)
{
    post(c->owner, &c->owner->events, c->endpoint, kind, text);
    uint64_t one = 1;
    (void)!write(c->owner->event_fd, &one, sizeof one); /* full means readable already */
}

static void order(struct sockets *s, unsigned endpoint, enum order kind, char *text)
{
    post(s, &s->orders, endpoint, kind, text);
    lws_cancel_service(s->context);
}

static size_t keep_cookie(char *line, size_t size, size_t count, void *user)
{
    struct connection *c = user;
    size_t len = size * count;
    static const char name[] = "set-cookie:";
    if (len > sizeof name && strncasecmp(line, name, sizeof name - 1) == 0) {
        const char *value = line + sizeof name - 1;
        while (*value == ' ')
            value++;
        size_t end = strcspn(value, ";\r\n");
        if (end < sizeof c->cookie) {
            memcpy(c->cookie, value, end);
            c->cookie[end] = '\0';
        }
    }
    return len;
}

struct body {
    char text[2048]; /* a session is small; more is cut and then no JSON */
    size_t len;
};

static size_t keep_body(char *bytes, size_t size, size_t count, void *user)
{
    struct body *b = user;
    size_t len = size * count, room = sizeof b->text - 1 - b->len;
    memcpy(b->text + b->len, bytes, len < room ? len : room);
    b->len += len < room ? len : room;
    return len;
}

static void keep_briefing(struct connection *c, const struct body *b)
{
    json_t *session = json_loadb(b->text, b->len, 0, NULL);
    const char *briefing = json_string_value(json_object_get(session, "briefing"));
    snprintf(c->briefing, sizeof c->briefing, "%s", briefing ? briefing : "");
    json_decref(session);
}

/* POST session/link; the cookie is the session. */
static bool take_session(struct connection *c, const char *token)
{
    struct sockets *s = c->owner;
    char url[512], origin[320];
    struct body answer = {0};
    CURL *curl = curl_easy_init();
    json_t *body = json_pack("{s:s}", "token", token);
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    snprintf(url, sizeof url, "%s/api/v1/session/link", s->server);
    snprintf(origin, sizeof origin, "Origin: %s", s->server);
    struct curl_slist *headers = curl_slist_append(curl_slist_append(NULL, "Content-Type: application/json"), origin);
    c->cookie[0] = '\0';
    long status = 0;
    if (curl && text) {
        curl_easy_setopt(curl, CURLOPT_URL, url);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, text);
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, keep_cookie);
        curl_easy_setopt(curl, CURLOPT_HEADERDATA, c);
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, keep_body);
        curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
        curl_easy_setopt(curl, CURLOPT_TIMEOUT, 10L);
        curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, s->insecure ? 0L : 1L);
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, s->insecure ? 0L : 2L);
        if (s->ca)
            curl_easy_setopt(curl, CURLOPT_CAINFO, s->ca);
        if (curl_easy_perform(curl) == CURLE_OK)
            curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    }
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    json_decref(body);
    free(text);
    if (status != 200 || !c->cookie[0])
        return false;
    keep_briefing(c, &answer);
    return true;
}

static void connect_socket(struct connection *c, char *token)
{
    struct sockets *s = c->owner;
    if (!c->cookie[0] && !take_session(c, token)) {
        post_event(c, SOCKET_CLOSED, strdup("the join link was refused or the server is away"));
        return;
    }
    int flags = s->tls ? LCCSCF_USE_SSL : 0;
    if (s->tls && s->insecure)
        flags |= LCCSCF_ALLOW_SELFSIGNED | LCCSCF_SKIP_SERVER_CERT_HOSTNAME_CHECK | LCCSCF_ALLOW_INSECURE;
    c->closing = false;
    struct lws_client_connect_info info = {.context = s->context,
                                           .address = s->host,
                                           .host = s->host,
                                           .port = s->port,
                                           .path = "/api/v1/ws",
                                           .protocol = "giaoban.1",
                                           .local_protocol_name = "giaoban.1",
                                           .ssl_connection = flags,
                                           .userdata = c,
                                           .pwsi = &c->wsi};
    char host[160];
    snprintf(host, sizeof host, strchr(s->host, ':') ? "[%s]:%d" : "%s:%d", s->host, s->port);
    info.host = host;
    if (!lws_client_connect_via_info(&info) && !c->wsi)
        post_event(c, SOCKET_CLOSED, strdup("no connection"));
}

static void carry_out(struct sockets *s)
{
    for (;;) {
        pthread_mutex_lock(&s->lock);
        struct item *i = queue_take(&s->orders);
        pthread_mutex_unlock(&s->lock);
        if (!i)
            return;
        struct connection *c = &s->connections[i->endpoint];
        if (i->kind == ORDER_SEND && c->wsi) {
            queue_put(&c->out, i);
            lws_callback_on_writable(c->wsi);
            continue;
        }
        if (i->kind == ORDER_CONNECT && !c->wsi)
            connect_socket(c, i->text);
        if (i->kind == ORDER_CLOSE && c->wsi) {
            c->closing = true;
            lws_callback_on_writable(c->wsi);
        }
        free(i->text);
        free(i);
    }
}

static void received(struct connection *c, struct lws *wsi, const char *bytes, size_t len)
{
    char *grown = c->in_len + len < MESSAGE_MAX ? realloc(c->in, c->in_len + len + 1) : NULL;
    if (!grown) {
        c->closing = true;
        return;
    }
    c->in = grown;
    memcpy(c->in + c->in_len, bytes, len);
    c->in_len += len;
    if (!lws_is_final_fragment(wsi) || lws_remaining_packet_payload(wsi))
        return;
    c->in[c->in_len] = '\0';
    post_event(c, SOCKET_MESSAGE, c->in);
    c->in = NULL;
    c->in_len = 0;
}

static int write_next(struct connection *c, struct lws *wsi)
{
    struct item *i = queue_take(&c->out);
    if (!i)
        return c->closing ? -1 : 0;
    size_t len = strlen(i->text);
    unsigned char *buffer = malloc(LWS_PRE + len);
    int written = -1;
    if (buffer) {
        memcpy(buffer + LWS_PRE, i->text, len);
        written = lws_write(wsi, buffer + LWS_PRE, len, LWS_WRITE_TEXT);
    }
    free(buffer);
    free(i->text);
    free(i);
    if (written >= 0 && (c->out.first || c->closing))
        lws_callback_on_writable(wsi);
    return written < 0 ? -1 : 0;
}

static void gone(struct connection *c, const char *why)
{
    c->wsi = NULL;
    queue_clear(&c->out);
    free(c->in);
    c->in = NULL;
    c->in_len = 0;
    post_event(c, SOCKET_CLOSED, strdup(why));
}

static int add_headers(struct connection *c, struct lws *wsi, unsigned char **at, size_t room)
{
    unsigned char *end = *at + room;
    return lws_add_http_header_by_name(wsi, (const unsigned char *)"cookie:", (const unsigned char *)c->cookie,
                                       (int)strlen(c->cookie), at, end) ||
           lws_add_http_header_by_name(wsi, (const unsigned char *)"origin:", (const unsigned char *)c->owner->server,
                                       (int)strlen(c->owner->server), at, end);
}

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    struct connection *c = user;
    switch (reason) {
    case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER: return add_headers(c, wsi, in, len);
    case LWS_CALLBACK_CLIENT_ESTABLISHED: post_event(c, SOCKET_OPEN, strdup(c->briefing)); return 0;
    case LWS_CALLBACK_CLIENT_RECEIVE: received(c, wsi, in, len); return c->closing ? -1 : 0;
    case LWS_CALLBACK_CLIENT_WRITEABLE: return write_next(c, wsi);
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        c->cookie[0] = '\0'; /* the session may be over: a new one by the link */
        gone(c, in ? in : "connection error");
        return 0;
    case LWS_CALLBACK_CLIENT_CLOSED: gone(c, "closed"); return 0;
    default: return 0;
    }
}

static const struct lws_protocols protocols[] = {{.name = "giaoban.1", .callback = callback, .rx_buffer_size = 65536},
                                                 {.name = NULL}};

static void *serve(void *arg)
{
    struct sockets *s = arg;
    while (!atomic_load(&s->stop)) {
        carry_out(s);
        lws_service(s->context, 0);
    }
    return NULL;
}

static int parse_server(struct sockets *s, const char *url)
{
    const char *rest = strstr(url, "://");
    if (!rest || (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0))
        return ERR_INVAL;
    s->tls = url[4] == 's';
    rest += 3;
    size_t len;
    if (*rest == '[') {
        rest++;
        len = strcspn(rest, "]");
    } else
        len = strcspn(rest, ":/");
    if (len == 0 || len >= sizeof s->host)
        return ERR_INVAL;
    memcpy(s->host, rest, len);
    const char *colon = strchr(rest + len, ':');
    s->port = colon ? atoi(colon + 1) : s->tls ? 443 : 80;
    s->server = strdup(url);
    if (s->server && s->server[strlen(s->server) - 1] == '/')
        s->server[strlen(s->server) - 1] = '\0';
    return s->server ? 0 : ERR_NOMEM;
}

int sockets_new(const struct sockets_config *config, unsigned endpoints, struct sockets **ret_s)
{
    struct sockets *s = calloc(1, sizeof *s);
    if (!s)
        return ERR_NOMEM;
    pthread_mutex_init(&s->lock, NULL);
    s->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    s->insecure = config->insecure;
    s->n = endpoints;
    s->connections = calloc(endpoints, sizeof *s->connections);
    s->ca = config->ca ? strdup(config->ca) : NULL;
    int err = s->connections && s->event_fd >= 0 ? parse_server(s, config->server) : ERR_NOMEM;
    if (err)
        goto fail;
    for (unsigned i = 0; i < endpoints; i++)
        s->connections[i] = (struct connection){.owner = s, .endpoint = i};
    lws_set_log_level(LLL_ERR, NULL);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    struct lws_context_creation_info info = {.port = CONTEXT_PORT_NO_LISTEN,
                                             .protocols = protocols,
                                             .options = s->tls ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT : 0,
                                             .fd_limit_per_thread = 2 * endpoints + 32,
                                             .client_ssl_ca_filepath = s->tls ? s->ca : NULL};
    s->context = lws_create_context(&info);
    err = s->context ? 0 : ERR_IO;
    if (err)
        goto fail;
    if (pthread_create(&s->thread, NULL, serve, s)) {
        err = ERR_NOMEM;
        goto fail;
    }
    s->has_thread = true;
    *ret_s = s;
    return 0;
fail:
    sockets_free(s);
    return err;
}

void sockets_free(struct sockets *s)
{
    if (!s)
        return;
    if (s->has_thread) {
        atomic_store(&s->stop, true);
        lws_cancel_service(s->context);
        pthread_join(s->thread, NULL);
    }
    if (s->context)
        lws_context_destroy(s->context);
    for (unsigned i = 0; s->connections && i < s->n; i++) {
        queue_clear(&s->connections[i].out);
        free(s->connections[i].in);
    }
    queue_clear(&s->orders);
    queue_clear(&s->events);
    if (s->event_fd >= 0)
        close(s->event_fd);
    pthread_mutex_destroy(&s->lock);
    free(s->connections);
    free(s->server);
    free(s->ca);
    free(s);
}

int sockets_fd(const struct sockets *s)
{
    return s->event_fd;
}

void sockets_connect(struct sockets *s, unsigned endpoint, const char *token)
{
    order(s, endpoint, ORDER_CONNECT, strdup(token));
}

void sockets_send(struct sockets *s, unsigned endpoint, char *text)
{
    order(s, endpoint, ORDER_SEND, text);
}

void sockets_close(struct sockets *s, unsigned endpoint)
{
    order(s, endpoint, ORDER_CLOSE, NULL);
}

bool sockets_poll(struct sockets *s, struct socket_event *ret)
{
    pthread_mutex_lock(&s->lock);
    struct item *i = queue_take(&s->events);
    pthread_mutex_unlock(&s->lock);
    if (!i) {
        uint64_t count;
        (void)!read(s->event_fd, &count, sizeof count);
        /* one may have come between the look and the read */
        pthread_mutex_lock(&s->lock);
        i = queue_take(&s->events);
        pthread_mutex_unlock(&s->lock);
        if (!i)
            return false;
    }
    *ret = (struct socket_event){.endpoint = i->endpoint, .kind = (enum socket_event_kind)i->kind, .text = i->text};
    free(i);
    return true;
}
