/* The context, the loop and the descriptors beside libwebsockets' own.
 *
 * libwebsockets 4.1 polls its sockets itself and Debian's build has no external poll. So all foreign descriptors
 * (listeners, links, the store's event, helpers) are in one epoll set, and that set, being pollable, is adopted as one raw
 * file: one poll wakes for everything. */
#include "signaling/internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "signaling/passwords.h"

#include <sodium.h>

#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define EVENTS_A_TURN 64

static int turn_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len);

static const struct lws_protocols protocols[] = {
    {.name = "http", .callback = http_callback},
    {.name = SUBPROTOCOL, .callback = ws_callback, .rx_buffer_size = 16 * 1024},
    {.name = "descriptors", .callback = turn_callback},
    {0},
};

/* A dead peer is noticed at the latest 17 s after its last sign: a ping after 7 s of silence, hang-up 10 s later. */
static const lws_retry_bo_t keepalive = {.secs_since_valid_ping = 7, .secs_since_valid_hangup = 17};

/* ---- foreign descriptors ---- */

static void watches_sweep(struct signaling *s)
{
    for (struct watch **at = &s->watches; *at;) {
        struct watch *w = *at;
        if (w->readable) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        free(w);
    }
}

static void watches_serve(struct signaling *s)
{
    struct epoll_event ready[EVENTS_A_TURN];
    int n = epoll_wait(s->epoll_fd, ready, EVENTS_A_TURN, 0);
    for (int i = 0; i < n; i++) {
        struct watch *w = ready[i].data.ptr;
        if (w->readable)
            w->readable(w->ctx, w->fd);
    }
    watches_sweep(s);
}

static int turn_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    if (reason == LWS_CALLBACK_RAW_RX_FILE)
        turn_begins(lws_context_user(lws_get_context(wsi)), reason);
    switch (reason) {
    case LWS_CALLBACK_RAW_RX_FILE: watches_serve(lws_context_user(lws_get_context(wsi))); return 0;
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION: return -1; /* not a websocket protocol */
    default: return 0;
    }
}

int signaling_watch(struct signaling *s, int fd, void (*readable)(void *ctx, int fd), void *ctx)
{
    for (struct watch *w = s->watches; w; w = w->next)
        if (w->fd == fd && w->readable)
            return ERR_EXISTS;
    struct watch *w = calloc(1, sizeof *w);
    if (!w)
        return ERR_NOMEM;
    *w = (struct watch){.next = s->watches, .fd = fd, .readable = readable, .ctx = ctx};
    if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN, .data.ptr = w}) < 0) {
        free(w);
        return ERR_IO;
    }
    s->watches = w;
    return 0;
}

void signaling_unwatch(struct signaling *s, int fd)
{
    for (struct watch *w = s->watches; w; w = w->next) {
        if (w->fd != fd || !w->readable)
            continue;
        epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
        w->readable = NULL; /* freed after the turn: its event may be among those being served */
        return;
    }
}

void signaling_wake(struct signaling *s)
{
    uint64_t one = 1;
    while (write(s->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

static void woken(void *ctx, int fd)
{
    struct signaling *s = ctx;
    uint64_t n;
    while (read(fd, &n, sizeof n) < 0 && errno == EINTR)
        ;
    passwords_deliver(s->passwords);
}

/* ---- the loop ---- */

static void turn_end(lws_sorted_usec_list_t *sul)
{
    /* Nothing to do: its being due ends libwebsockets' wait. */
}

static void note_woken(struct signaling *s)
{
    if (s->woken_us)
        return;
    s->woken_us = clock_now_us();
    s->woken_cpu_us = clock_thread_us();
}

/* libwebsockets waits and works in one call. Work begins with the first callback that brings something; bookkeeping of its
 * own (descriptors to poll, timers that close a socket) may come before the wait. */
void turn_begins(struct signaling *s, enum lws_callback_reasons reason)
{
    switch (reason) {
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
    case LWS_CALLBACK_HTTP:
    case LWS_CALLBACK_HTTP_BODY:
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
    case LWS_CALLBACK_HTTP_WRITEABLE:
    case LWS_CALLBACK_ESTABLISHED:
    case LWS_CALLBACK_RECEIVE:
    case LWS_CALLBACK_SERVER_WRITEABLE:
    case LWS_CALLBACK_RAW_RX_FILE: note_woken(s); break;
    default: break;
    }
}

int64_t signaling_woken_us(const struct signaling *s)
{
    return s->woken_us;
}

int64_t signaling_woken_cpu_us(const struct signaling *s)
{
    return s->woken_cpu_us;
}

int signaling_service(struct signaling *s, int timeout_ms)
{
    s->woken_us = 0;
    if (timeout_ms > 0)
        lws_sul_schedule(s->lws, 0, &s->turn_end, turn_end, (lws_usec_t)timeout_ms * 1000);
    int n = lws_service(s->lws, timeout_ms > 0 ? 0 : -1);
    if (timeout_ms > 0)
        lws_sul_cancel(&s->turn_end);
    note_woken(s);
    return n < 0 ? ERR_IO : 0;
}

/* ---- making and freeing ---- */

static void log_lws(int level, const char *line)
{
    log_line(level == LLL_ERR ? LOG_LEVEL_ERROR : LOG_LEVEL_WARN, "lws", "%.*s", (int)strcspn(line, "\n"), line);
}

static int vhost_new(struct signaling *s, bool tls, struct lws_vhost **ret_vhost)
{
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .vhost_name = tls ? "tls" : "plain",
        .protocols = protocols,
        .alpn = "http/1.1",
        .timeout_secs = 20,
        .keepalive_timeout = 30,
        .retry_and_idle_policy = &keepalive,
        .user = s,
    };
    if (tls) {
        info.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
        info.ssl_cert_filepath = s->config.certificate;
        info.ssl_private_key_filepath = s->config.key;
        info.ssl_options_set = SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1 | SSL_OP_NO_RENEGOTIATION;
    }
    struct lws_vhost *v = lws_create_vhost(s->lws, &info);
    if (!v)
        return ERR_IO;
    *ret_vhost = v;
    return 0;
}

static int context_new(struct signaling *s, const char **ret_why)
{
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT,
        .fd_limit_per_thread = s->config.max_sockets + 64,
        .max_http_header_data = 8192,
        .pt_serv_buf_size = 16 * 1024,
        .user = s,
    };
    lws_set_log_level(LLL_ERR | LLL_WARN, log_lws);
    s->lws = lws_create_context(&info);
    if (!s->lws) {
        *ret_why = "libwebsockets: no context";
        return ERR_NOMEM;
    }
    if (s->config.certificate && vhost_new(s, true, &s->tls_vhost) != 0) {
        *ret_why = "certificate or key can't be used";
        return ERR_IO;
    }
    if (vhost_new(s, false, &s->plain_vhost) != 0) {
        *ret_why = "libwebsockets: no vhost";
        return ERR_NOMEM;
    }
    return 0;
}

static int descriptors_new(struct signaling *s, const char **ret_why)
{
    *ret_why = "descriptors";
    s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int lws_fd = s->epoll_fd < 0 ? -1 : fcntl(s->epoll_fd, F_DUPFD_CLOEXEC, 0); /* libwebsockets closes what it adopts */
    if (lws_fd < 0 || s->wake_fd < 0)
        return ERR_IO;
    lws_sock_file_fd_type adopted = {.filefd = lws_fd};
    if (!lws_adopt_descriptor_vhost(s->plain_vhost, LWS_ADOPT_RAW_FILE_DESC, adopted, "descriptors", NULL))
        return ERR_IO;
    int err = signaling_watch(s, s->wake_fd, woken, s);
    if (!err)
        *ret_why = NULL;
    return err;
}

static char *copy_or_null(const char *text)
{
    return text ? strdup(text) : NULL;
}

static void config_copy(struct signaling *s, const struct signaling_config *config)
{
    struct signaling_config *c = &s->config;
    *c = *config;
    c->data_dir = copy_or_null(config->data_dir);
    c->web_dir = copy_or_null(config->web_dir);
    c->certificate = copy_or_null(config->certificate);
    c->key = copy_or_null(config->key);
    c->ca = copy_or_null(config->ca);
    c->max_sockets = config->max_sockets ? config->max_sockets : 4000;
    c->max_sockets_source = config->max_sockets_source ? config->max_sockets_source : 1000;
    c->max_body_bytes = config->max_body_bytes ? config->max_body_bytes : 64 * 1024;
    c->max_message_bytes = config->max_message_bytes ? config->max_message_bytes : 128 * 1024;
    c->messages_per_second = config->messages_per_second ? config->messages_per_second : 20;
    c->body_seconds = config->body_seconds ? config->body_seconds : 60;
    c->logins_source = config->logins_source ? config->logins_source : 8;
    c->queue_bytes = config->queue_bytes ? config->queue_bytes : 1024 * 1024;
}

static void directories_open(struct signaling *s)
{
    char path[4096];
    if (s->config.web_dir)
        s->web_fd = open(s->config.web_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (snprintf(path, sizeof path, "%s/recordings", s->config.data_dir) < (int)sizeof path) {
        mkdir(path, 0700);
        s->recordings_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    }
}

int signaling_new(const struct signaling_config *config, struct store *store, const struct signaling_ops *ops, void *ctx,
                  struct signaling **ret_s, const char **ret_why)
{
    struct signaling *s = calloc(1, sizeof *s);
    if (!s || sodium_init() < 0) {
        *ret_why = "no memory";
        free(s);
        return ERR_NOMEM;
    }
    s->epoll_fd = s->wake_fd = s->web_fd = s->recordings_fd = -1;
    s->store = store;
    s->ops = *ops;
    s->ctx = ctx;
    config_copy(s, config);
    directories_open(s);
    int err = secret_load(s->config.data_dir, s->secret);
    if (err)
        *ret_why = "secret.key: unreadable, of wrong size, or readable by others";
    if (!err)
        err = schema_new(schema_messages, &s->schema, ret_why);
    if (!err)
        err = context_new(s, ret_why);
    if (!err)
        err = descriptors_new(s, ret_why);
    if (!err && (err = passwords_new(s, &s->passwords)) != 0)
        *ret_why = "no helper thread";
    if (err) {
        signaling_free(s);
        return err;
    }
    *ret_s = s;
    return 0;
}

static void close_if(int fd)
{
    if (fd >= 0)
        close(fd);
}

void signaling_free(struct signaling *s)
{
    if (!s)
        return;
    passwords_free(s->passwords);
    if (s->lws)
        lws_context_destroy(s->lws); /* closes every socket; its callbacks still need s */
    http_calls_free(s);
    listeners_free(s);
    for (struct watch *w = s->watches; w; w = w->next)
        w->readable = NULL;
    watches_sweep(s);
    close_if(s->epoll_fd);
    close_if(s->wake_fd);
    close_if(s->web_fd);
    close_if(s->recordings_fd);
    schema_free(s->schema);
    free((char *)s->config.data_dir);
    free((char *)s->config.web_dir);
    free((char *)s->config.certificate);
    free((char *)s->config.key);
    free((char *)s->config.ca);
    sodium_memzero(s->secret, sizeof s->secret);
    free(s);
}

const uint8_t *signaling_secret(const struct signaling *s)
{
    return s->secret;
}
