#include "net/net_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/openssl.h"

#include <openssl/rand.h>
#include <sys/epoll.h>

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256 };

/* --- sockets and watches --- */

int net_socket_new(struct net *n, int fd, struct net_transport *owner, struct net_socket **ret_socket)
{
    union net_addr name = {0};
    socklen_t len = sizeof name;
    struct net_socket *s = calloc(1, sizeof *s);
    int family = 0;
    socklen_t family_len = sizeof family;
    size_t held_bytes = owner ? NET_HELD_OWN_BYTES : NET_HELD_BYTES, held_runs = owner ? NET_HELD_OWN_RUNS : NET_HELD_RUNS;
    if (!s || held_new(&s->held, held_bytes, held_runs) || getsockname(fd, &name.sa, &len) ||
        getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &family_len))
        goto fail;
    s->source.socket = s;
    s->net = n;
    s->fd = fd;
    s->family = family;
    s->owner = owner;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &s->source};
    if (epoll_ctl(n->epoll, EPOLL_CTL_ADD, fd, &event))
        goto fail;
    s->next = n->sockets;
    n->sockets = s;
    *ret_socket = s;
    return 0;
fail:
    if (s)
        held_free(&s->held);
    free(s);
    close(fd);
    return ERR_IO;
}

static void socket_free(struct net_socket *s)
{
    close(s->fd);
    held_free(&s->held);
    stream_free(s->stream);
    free(s);
}

void net_socket_retire(struct net_socket *s)
{
    struct net *n = s->net;
    for (struct net_socket **at = &n->sockets; *at; at = &(*at)->next)
        if (*at == s) {
            *at = s->next;
            break;
        }
    epoll_ctl(n->epoll, EPOLL_CTL_DEL, s->fd, NULL);
    s->owner = NULL;
    if (s->stream)
        s->stream->closed = true;
    s->next = n->dead_sockets;
    n->dead_sockets = s;
}

void net_socket_want_write(struct net_socket *s, bool want)
{
    if (s->blocked == want)
        return;
    struct epoll_event event = {.events = want ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = &s->source};
    epoll_ctl(s->net->epoll, EPOLL_CTL_MOD, s->fd, &event);
    s->blocked = want;
}

int net_watch(struct net *n, int fd, uint32_t events, void (*ready)(void *ctx, uint32_t events, int64_t now_us), void *ctx)
{
    struct net_watch *w = calloc(1, sizeof *w);
    if (!w)
        return ERR_NOMEM;
    *w = (struct net_watch){.source = {.watch = w}, .fd = fd, .ready = ready, .ctx = ctx, .next = n->watches};
    struct epoll_event event = {.events = events, .data.ptr = &w->source};
    if (epoll_ctl(n->epoll, EPOLL_CTL_ADD, fd, &event)) {
        free(w);
        return errno == EEXIST ? ERR_EXISTS : ERR_IO;
    }
    n->watches = w;
    return 0;
}

int net_unwatch(struct net *n, int fd)
{
    for (struct net_watch *w = n->watches; w; w = w->next) {
        if (w->fd != fd || w->dead)
            continue;
        epoll_ctl(n->epoll, EPOLL_CTL_DEL, fd, NULL);
        w->dead = true; /* this turn's events may still point to it */
        return 0;
    }
    return ERR_NOTFOUND;
}

static void reap(struct net *n)
{
    net_transports_reap(n);
    while (n->dead_sockets) {
        struct net_socket *s = n->dead_sockets;
        n->dead_sockets = s->next;
        socket_free(s);
    }
    for (struct net_watch **at = &n->watches; *at;) {
        struct net_watch *w = *at;
        if (!w->dead) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        free(w);
    }
}

/* --- life --- */

static int make_receiver(struct net *n, size_t packets)
{
    n->pool = packet_pool_new(packets);
    n->rx_msgs = calloc(NET_BATCH, sizeof *n->rx_msgs);
    n->rx_iovs = calloc(NET_BATCH, sizeof *n->rx_iovs);
    n->rx_addrs = calloc(NET_BATCH, sizeof *n->rx_addrs);
    return n->pool && n->rx_msgs && n->rx_iovs && n->rx_addrs ? 0 : ERR_NOMEM;
}

static int adopt_sockets(struct net *n, const struct net_config *config)
{
    int err = 0;
    for (size_t i = 0; i < config->n_sockets; i++) {
        struct net_socket *s;
        if (err)
            close(config->sockets[i]); /* ours from the call on, whatever happens */
        else
            err = net_socket_new(n, config->sockets[i], NULL, &s);
    }
    for (size_t i = 0; i < config->n_listeners; i++) {
        int listener_err = listener_new(n, config->listeners[i]);
        err = err ? err : listener_err;
    }
    return err;
}

void net_set_dscp(struct net *n, const int dscp[4])
{
    memcpy(n->dscp, dscp, sizeof n->dscp);
}

int net_new(const struct net_config *config, const struct net_events *events, void *ctx, struct net **ret_net)
{
    struct net *n = calloc(1, sizeof *n);
    if (!n)
        return ERR_NOMEM;
    n->events = *events;
    n->ctx = ctx;
    n->engine = config->engine;
    n->gso = config->gso;
    n->waiting_end = &n->waiting;
    n->half_open_end = &n->half_open;
    n->streams_end = &n->streams;
    net_set_limits(n, &config->limits);
    net_set_dscp(n, config->dscp);
    n->turn_at_us = 0;
    n->timers_at_us = INT64_MAX;
    n->epoll = epoll_create1(EPOLL_CLOEXEC);
    int err = n->epoll < 0 ? ERR_IO : seal_start();
    if (!err && RAND_bytes((uint8_t *)&n->bucket_seed, sizeof n->bucket_seed) != 1)
        err = ERR_IO;
    if (!err)
        err = make_receiver(n, config->packets);
    if (!err)
        err = send_init(n);
    if (!err)
        err = dtls_init(n);
    ice_init(n);
    int sockets_err = adopt_sockets(n, config);
    if (err || sockets_err) {
        net_free(n);
        return err ? err : sockets_err;
    }
    *ret_net = n;
    return 0;
}

void net_free(struct net *n)
{
    if (!n)
        return;
    for (unsigned i = 0; i < NET_TRANSPORTS; i++)
        net_transport_free(n->slots[i]);
    send_flush(n);
    listeners_free(n);
    while (n->streams)
        stream_close(n->streams->socket);
    while (n->sockets)
        net_socket_retire(n->sockets);
    for (struct net_watch *w = n->watches; w; w = w->next)
        w->dead = true;
    reap(n);
    dtls_exit(n);
    send_exit(n);
    while (n->n_rx)
        packet_unref(n->rx[--n->n_rx]);
    packet_pool_free(n->pool);
    free(n->rx_msgs);
    free(n->rx_iovs);
    free(n->rx_addrs);
    if (n->epoll >= 0)
        close(n->epoll);
    free(n);
}

/* --- receiving --- */

static bool is_rtcp(const struct packet *p)
{
    return p->len > 1 && p->bytes[1] >= 192 && p->bytes[1] <= 223; /* RFC 5761, 4 */
}

static enum net_drop drop_of(int err)
{
    switch (err) {
    case ERR_REPLAY: return NET_DROP_REPLAY;
    case ERR_DENIED: return NET_DROP_SRTCP_CLEAR;
    case ERR_BUSY: return NET_DROP_SSRCS;
    default: return NET_DROP_AUTH;
    }
}

static void media_input(struct net_transport *t, struct packet *p, int64_t now_us)
{
    struct net *n = t->net;
    size_t len;
    if (t->state != NET_CONNECTED) {
        net_drop(n, NET_DROP_NOT_CONNECTED);
        return;
    }
    bool rtcp = is_rtcp(p);
    int err = rtcp ? seal_open_rtcp(t->seal, p->bytes, p->len, &len) : seal_open_rtp(t->seal, p->bytes, p->len, &len);
    if (err) {
        net_drop(n, drop_of(err));
        return;
    }
    p->len = (uint16_t)len;
    if (rtcp && n->events.rtcp)
        n->events.rtcp(n->ctx, t, p->bytes, p->len, now_us);
    else if (!rtcp && n->events.rtp)
        n->events.rtp(n->ctx, t, p, now_us);
}

/* Who speaks is in the first byte (RFC 7983, 7). */
void net_input(struct net *n, struct net_socket *s, struct packet *p, const union net_addr *from, int64_t now_us)
{
    uint8_t first = p->len ? p->bytes[0] : 255;
    bool dtls = first >= 20 && first <= 63, media = first >= 128 && first <= 191;
    if (first <= 3) {
        ice_input(n, s, p, from, now_us);
        return;
    }
    if (!dtls && !media) {
        net_drop(n, NET_DROP_GARBAGE);
        return;
    }
    struct net_path *path = net_path_find(n, s, from);
    if (!path)
        net_drop(n, NET_DROP_UNKNOWN_PEER);
    else if (dtls)
        dtls_enqueue(path->t, p);
    else
        media_input(path->t, p, now_us);
}

/* As many packets as the pool gives, up to a batch. */
static unsigned fill_receiver(struct net *n)
{
    while (n->n_rx < NET_BATCH) {
        struct packet *p = packet_get(n->pool);
        if (!p)
            break;
        n->rx[n->n_rx++] = p;
    }
    for (unsigned i = 0; i < n->n_rx; i++) {
        n->rx_iovs[i] = (struct iovec){n->rx[i]->bytes, NET_DATAGRAM};
        n->rx_msgs[i].msg_hdr = (struct msghdr){
            .msg_name = &n->rx_addrs[i], .msg_namelen = sizeof n->rx_addrs[i], .msg_iov = &n->rx_iovs[i], .msg_iovlen = 1};
    }
    return n->n_rx;
}

/* The pool is empty: the oldest datagram goes, so that the socket does not fill with stale ones. */
static void discard_one(struct net *n, struct net_socket *s)
{
    uint8_t byte;
    if (recv(s->fd, &byte, 1, MSG_DONTWAIT) >= 0)
        net_drop(n, NET_DROP_POOL_EMPTY);
}

static void receive(struct net *n, struct net_socket *s)
{
    unsigned room = fill_receiver(n);
    if (!room) {
        discard_one(n, s);
        return;
    }
    int got = recvmmsg(s->fd, n->rx_msgs, room, MSG_DONTWAIT, NULL);
    int64_t now_us = clock_now_us();
    unsigned kept = 0;
    n->crowded |= got == NET_BATCH;
    for (int i = 0; i < got; i++) {
        struct packet *p = n->rx[i];
        p->len = (uint16_t)n->rx_msgs[i].msg_len;
        p->arrival_us = now_us;
        n->stats.received_packets++;
        n->stats.received_bytes += p->len;
        if (n->rx_msgs[i].msg_hdr.msg_flags & MSG_TRUNC)
            net_drop(n, NET_DROP_TRUNCATED);
        else
            net_input(n, s, p, &n->rx_addrs[i], now_us);
    }
    /* Packets that somebody keeps leave the receiver, the others serve again. */
    for (unsigned i = 0; i < room; i++) {
        if (n->rx[i]->refs > 1)
            packet_unref(n->rx[i]);
        else
            n->rx[kept++] = n->rx[i];
    }
    n->n_rx = kept;
}

/* --- the loop --- */

static int wait_for_events(struct net *n, int64_t deadline_us, struct epoll_event *events)
{
    int64_t wake_us = deadline_us, now_us = clock_now_us();
    if (n->turn_at_us < wake_us)
        wake_us = n->turn_at_us;
    if (n->timers_at_us < wake_us)
        wake_us = n->timers_at_us;
    if (n->dtls_count || n->dirty || n->dead_sockets || n->dead_transports)
        wake_us = now_us;
    int64_t wait_us = wake_us > now_us ? wake_us - now_us : 0;
    struct timespec timeout = {.tv_sec = wait_us / 1000000, .tv_nsec = wait_us % 1000000 * 1000};
    return epoll_pwait2(n->epoll, events, EVENTS, wake_us == INT64_MAX ? NULL : &timeout, NULL);
}

static void serve_socket(struct net *n, struct net_socket *s, uint32_t events)
{
    bool out = events & EPOLLOUT, in = events & (EPOLLIN | EPOLLERR | EPOLLHUP);
    if (s->stream) {
        if (out)
            stream_writable(s);
        if (in)
            stream_receive(s);
        return;
    }
    if (out)
        send_held(s);
    if (in)
        receive(n, s);
}

int net_run_once(struct net *n, int64_t deadline_us)
{
    struct epoll_event events[EVENTS];
    int count = wait_for_events(n, deadline_us, events);
    if (count < 0 && errno != EINTR)
        return ERR_IO;
    int64_t woken_us = clock_now_us();
    n->crowded = false;
    for (int i = 0; i < count; i++) {
        struct net_source *source = events[i].data.ptr;
        if (source->socket)
            serve_socket(n, source->socket, events[i].events);
        else if (source->listener)
            listener_accept(n, source->listener);
    }
    int64_t now_us = clock_now_us();
    dtls_steps(n, now_us);
    net_transports_tick(n, now_us);
    for (int i = 0; i < count; i++) {
        struct net_watch *w = ((struct net_source *)events[i].data.ptr)->watch;
        if (w && !w->dead)
            w->ready(w->ctx, events[i].events, now_us);
    }
    n->turn_at_us = n->events.turn ? n->events.turn(n->ctx, clock_now_us()) : INT64_MAX;
    send_flush(n);
    reap(n);
    int64_t took_us = clock_now_us() - woken_us;
    if (took_us > n->stats.longest_turn_us)
        n->stats.longest_turn_us = took_us;
    return 0;
}

/* --- sending for transports --- */

int net_send_rtp(struct net_transport *t, enum net_class class, const uint8_t *header, size_t header_len,
                 const uint8_t *payload, size_t payload_len, uint8_t padding)
{
    if (t->state != NET_CONNECTED || !t->path)
        return ERR_STATE;
    struct net *n = t->net;
    size_t most = header_len + payload_len + padding + SEAL_TRAILER_MAX, len;
    if (header_len > SEAL_HEADER_MAX || payload_len > PACKET_CAPACITY)
        return ERR_RANGE;
    if (send_is_full(t->path->socket, class, most)) {
        net_drop(n, t->path->socket->stream && class != NET_SOUND ? NET_DROP_TCP_PICTURE : NET_DROP_SEND_FULL);
        return ERR_FULL;
    }
    uint8_t *out = send_room(n, most);
    int err = seal_rtp(t->seal, header, header_len, payload, payload_len, padding, out, most, &len);
    if (err)
        return err;
    send_commit(n, t->path->socket, t, &t->path->addr, class, len);
    return 0;
}

int net_send_rtcp(struct net_transport *t, const uint8_t *bytes, size_t bytes_len)
{
    if (t->state != NET_CONNECTED || !t->path)
        return ERR_STATE;
    struct net *n = t->net;
    size_t most = bytes_len + SEAL_TRAILER_MAX, len;
    if (bytes_len > PACKET_CAPACITY)
        return ERR_RANGE;
    if (send_is_full(t->path->socket, NET_CONTROL, most)) {
        net_drop(n, NET_DROP_SEND_FULL);
        return ERR_FULL;
    }
    uint8_t *out = send_room(n, most);
    int err = seal_rtcp(t->seal, bytes, bytes_len, out, most, &len);
    if (err)
        return err;
    send_commit(n, t->path->socket, t, &t->path->addr, NET_CONTROL, len);
    return 0;
}

/* --- facts --- */

const char *net_drop_str(enum net_drop d)
{
    static_assert(NET_DROP_COUNT <= sizeof((struct net_stats *)0)->drops / sizeof(uint64_t), "each reason has its counter");
    static const char *const names[NET_DROP_COUNT] = {
        [NET_DROP_GARBAGE] = "garbage",
        [NET_DROP_STUN] = "stun",
        [NET_DROP_UNKNOWN_PEER] = "unknown_peer",
        [NET_DROP_DTLS] = "dtls",
        [NET_DROP_NOT_CONNECTED] = "not_connected",
        [NET_DROP_AUTH] = "auth",
        [NET_DROP_REPLAY] = "replay",
        [NET_DROP_SRTCP_CLEAR] = "srtcp_clear",
        [NET_DROP_TRUNCATED] = "truncated",
        [NET_DROP_POOL_EMPTY] = "pool_empty",
        [NET_DROP_SEND_FULL] = "send_full",
        [NET_DROP_SEND_REFUSED] = "send_refused",
        [NET_DROP_SSRCS] = "ssrcs",
        [NET_DROP_STUN_RATE] = "stun_rate",
        [NET_DROP_HALF_OPEN] = "half_open",
        [NET_DROP_HANDSHAKE_QUEUE] = "handshake_queue",
        [NET_DROP_CHECK_FLOOD] = "check_flood",
        [NET_DROP_ADDRESS_USED] = "address_used",
        [NET_DROP_TCP_FULL] = "tcp_full",
        [NET_DROP_TCP_SOURCE] = "tcp_source",
        [NET_DROP_TCP_LATE] = "tcp_late",
        [NET_DROP_TCP_STRANGER] = "tcp_stranger",
        [NET_DROP_TCP_FRAME] = "tcp_frame",
        [NET_DROP_TCP_SILENT] = "tcp_silent",
        [NET_DROP_TCP_PICTURE] = "tcp_picture",
    };
    return (unsigned)d < NET_DROP_COUNT ? names[d] : "unknown";
}

const char *net_fingerprint(const struct net *n)
{
    return n->fingerprint;
}

const struct net_stats *net_stats(const struct net *n)
{
    return &n->stats;
}

struct packet_pool *net_packets(struct net *n)
{
    return n->pool;
}
