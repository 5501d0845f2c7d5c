/* Listening sockets: Debian's libwebsockets takes none, so we accept and hand each connection over. */
#include "signaling/internal.h"

#include "base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS_A_TURN 32
#define TOLD_A_SOURCE 8 /* connections beyond its limit that are told why; further ones are closed at once */
#define PAUSE_US (200 * 1000)

static void source_key(const struct sockaddr_storage *from, uint8_t key[16])
{
    memset(key, 0, 16);
    if (from->ss_family == AF_INET) {
        key[0] = 4;
        memcpy(key + 12, &((const struct sockaddr_in *)from)->sin_addr, 4);
        return;
    }
    const struct in6_addr *a = &((const struct sockaddr_in6 *)from)->sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(a)) {
        key[0] = 4;
        memcpy(key + 12, a->s6_addr + 12, 4);
    } else {
        memcpy(key, a->s6_addr, 8);
        key[15] = 6;
    }
}

static bool is_loopback(const struct sockaddr_storage *from)
{
    if (from->ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)from)->sin_addr.s_addr) >> 24 == 127;
    const struct in6_addr *a = &((const struct sockaddr_in6 *)from)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(a) || (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == 127);
}

static struct source *source_take(struct signaling *s, const struct sockaddr_storage *from)
{
    uint8_t key[16];
    source_key(from, key);
    struct source *o = s->sources;
    while (o && memcmp(o->key, key, sizeof key) != 0)
        o = o->next;
    if (!o) {
        o = calloc(1, sizeof *o);
        if (!o)
            return NULL;
        memcpy(o->key, key, sizeof key);
        o->next = s->sources;
        s->sources = o;
    }
    o->sockets++;
    return o;
}

static void source_drop(struct signaling *s, struct source *o)
{
    if (--o->sockets)
        return;
    struct source **at = &s->sources;
    while (*at != o)
        at = &(*at)->next;
    *at = o->next;
    free(o);
}

/* Called for every socket exactly once: when its wsi is destroyed, or when it never became one. */
void conn_gone(struct conn *c)
{
    if (!c->gone) {
        c->gone = true;
        c->s->sockets--;
        source_drop(c->s, c->source);
    }
    if (!c->adopting)
        free(c);
}

static struct conn *conn_new(struct signaling *s, const struct sockaddr_storage *from, bool tls)
{
    struct conn *c = calloc(1, sizeof *c);
    struct source *o = c ? source_take(s, from) : NULL;
    if (!o) {
        free(c);
        return NULL;
    }
    *c = (struct conn){.s = s, .source = o, .tls = tls, .loopback = is_loopback(from)};
    const void *address = from->ss_family == AF_INET ? (const void *)&((const struct sockaddr_in *)from)->sin_addr
                                                     : (const void *)&((const struct sockaddr_in6 *)from)->sin6_addr;
    inet_ntop(from->ss_family, address, c->address, sizeof c->address);
    s->sockets++;
    return c;
}

static void take_socket(struct listener *l, int fd, const struct sockaddr_storage *from)
{
    struct signaling *s = l->s;
    struct conn *c = from->ss_family == AF_INET || from->ss_family == AF_INET6 ? conn_new(s, from, l->tls) : NULL;
    if (!c) {
        close(fd);
        return;
    }
    bool crowded = s->sockets > s->config.max_sockets, greedy = c->source->sockets > s->config.max_sockets_source;
    bool told = greedy && c->source->sockets <= s->config.max_sockets_source + TOLD_A_SOURCE;
    bool refused = crowded || greedy || (!l->tls && !c->loopback);
    s->counts[!refused ? COUNT_ACCEPTED : greedy ? COUNT_REFUSED_SOURCE : COUNT_REFUSED_SOCKETS]++;
    if (refused && (crowded || !told || (!l->tls && !c->loopback))) {
        close(fd);
        conn_gone(c);
        return;
    }
    c->unwelcome = told;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    c->adopting = true;
    lws_adopt_desc_t adopt = {
        .vh = l->tls ? s->tls_vhost : s->plain_vhost,
        .type = LWS_ADOPT_SOCKET | LWS_ADOPT_HTTP | (l->tls ? LWS_ADOPT_ALLOW_SSL : 0),
        .fd.sockfd = fd,
        .opaque = c,
    };
    struct lws *wsi = lws_adopt_descriptor_vhost_via_info(&adopt); /* closes fd when it fails */
    c->adopting = false;
    if (!wsi || c->gone)
        conn_gone(c);
}

static void listeners_watch(struct signaling *s, bool on);

static void listeners_resume(lws_sorted_usec_list_t *sul)
{
    struct signaling *s = lws_container_of(sul, struct signaling, listeners_back);
    s->listeners_paused = false;
    listeners_watch(s, true);
}

static void listener_readable(void *ctx, int fd)
{
    struct listener *l = ctx;
    struct signaling *s = l->s;
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        struct sockaddr_storage from = {0};
        int taken = accept4(fd, (struct sockaddr *)&from, &(socklen_t){sizeof from}, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (taken >= 0) {
            take_socket(l, taken, &from);
            continue;
        }
        if ((errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) && !s->listeners_paused) {
            log_error("signaling", "accept failed, pausing: %s", strerror(errno));
            s->listeners_paused = true; /* a listener that stays readable would spin the loop */
            listeners_watch(s, false);
            lws_sul_schedule(s->lws, 0, &s->listeners_back, listeners_resume, PAUSE_US);
        }
        return;
    }
}

static void listeners_watch(struct signaling *s, bool on)
{
    for (struct listener *l = s->listeners; l; l = l->next) {
        if (on)
            signaling_watch(s, l->fd, listener_readable, l);
        else
            signaling_unwatch(s, l->fd);
    }
}

int signaling_listen(struct signaling *s, int fd, bool tls)
{
    if (tls && !s->tls_vhost)
        return ERR_STATE;
    struct listener *l = calloc(1, sizeof *l);
    if (!l)
        return ERR_NOMEM;
    *l = (struct listener){.next = s->listeners, .s = s, .fd = fd, .tls = tls};
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    int err = signaling_watch(s, fd, listener_readable, l);
    if (err) {
        free(l);
        return err;
    }
    s->listeners = l;
    return 0;
}

void listeners_free(struct signaling *s)
{
    while (s->listeners) {
        struct listener *l = s->listeners;
        s->listeners = l->next;
        free(l);
    }
}
