/* ICE-TCP (RFC 6544): connections that clients open to the media port, for networks that let no UDP out. A connection is a
 * path like an address is, and belongs to the transport whose check was its first packet; whoever sends anything else first,
 * or nothing for a while, is cut off without an answer. Packets are framed by RFC 4571.
 *
 * A stream delivers all or stalls, so what waits here is kept short: the listener's options, which connections inherit, hold
 * the kernel's part down (supervisor/sockets.c), sound goes before pictures, and pictures beyond NET_STREAM_PICTURE_BYTES
 * are dropped as a full queue of a router would drop them; the subscriber's estimate takes it from there. */
#include "net/net_priv.h"

#include "base/clock.h"
#include "base/err.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    ACCEPTS_A_TURN = 32,
    READS_A_TURN = 8, /* of FRAME_BUFFER each, of one connection */
    BATCH = 32,       /* packets a sendmsg */
    FILES_SPARE = 96, /* descriptors that are not connections: feeds, links */
};

#define NO_ROOM_US 200000 /* out of descriptors: the next try */

/* ---- life ---- */

static int stream_new(struct net *n, int fd, const union net_addr *peer, struct net_transport *owner,
                      struct net_socket **ret_socket)
{
    struct net_stream *st = calloc(1, sizeof *st);
    struct net_socket *s = calloc(1, sizeof *s);
    if (!st || !s)
        goto fail;
    *s = (struct net_socket){
        .source.socket = s, .net = n, .fd = fd, .family = peer->sa.sa_family, .owner = owner, .stream = st};
    st->socket = s;
    st->peer = *peer;
    st->t = owner;
    s->blocked = owner; /* a client's is not connected yet */
    struct epoll_event event = {.events = owner ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = &s->source};
    if (epoll_ctl(n->epoll, EPOLL_CTL_ADD, fd, &event))
        goto fail;
    s->next = n->sockets;
    n->sockets = s;
    *ret_socket = s;
    return 0;
fail:
    free(st);
    free(s);
    close(fd);
    return ERR_NOMEM;
}

void stream_free(struct net_stream *st)
{
    if (!st)
        return;
    held_free(&st->sound);
    held_free(&st->pictures);
    free(st);
}

static void unlist(struct net *n, struct net_stream *st)
{
    struct net_stream **at = &n->streams;
    while (*at && *at != st)
        at = &(*at)->next;
    if (!*at)
        return; /* a client's */
    *at = st->next;
    if (!*at)
        n->streams_end = at;
    n->streams_by[st->source]--;
    n->stats.tcp_now--;
}

void stream_close(struct net_socket *s)
{
    struct net_stream *st = s->stream;
    if (st->closed)
        return;
    net_path_lost(s, &st->peer);
    unlist(s->net, st);
    net_socket_retire(s);
}

static void stream_cut(struct net_socket *s, enum net_drop why)
{
    net_drop(s->net, why);
    stream_close(s);
}

/* The other end is gone. A client's transport has no other way. */
static void stream_lost(struct net_socket *s, int64_t now_us)
{
    struct net_transport *owner = s->owner;
    if (!owner)
        stream_close(s);
    else if (!owner->dead && owner->state < NET_FAILED)
        dtls_fail(owner, now_us);
    else
        epoll_ctl(s->net->epoll, EPOLL_CTL_DEL, s->fd, NULL); /* its end would be told again and again */
}

void streams_forget(const struct net_transport *t)
{
    for (struct net_stream *st = t->net->streams, *next; st; st = next) {
        next = st->next;
        if (st->t == t)
            stream_close(st->socket);
    }
}

void stream_belongs(struct net_socket *s, struct net_transport *t, int64_t now_us)
{
    s->stream->t = t;
    s->stream->by_us = now_us + NET_CONSENT_US;
}

void streams_tick(struct net *n, int64_t now_us)
{
    for (struct net_stream *st = n->streams, *next; st; st = next) {
        next = st->next;
        if (now_us >= st->by_us)
            stream_cut(st->socket, st->t ? NET_DROP_TCP_SILENT : NET_DROP_TCP_LATE);
        else
            net_wake_at(n, st->by_us);
    }
    if (n->accept_again_us && now_us >= n->accept_again_us) {
        n->accept_again_us = 0;
        for (struct net_listener *l = n->listeners; l; l = l->next)
            epoll_ctl(n->epoll, EPOLL_CTL_MOD, l->fd, &(struct epoll_event){.events = EPOLLIN, .data.ptr = &l->source});
    } else if (n->accept_again_us) {
        net_wake_at(n, n->accept_again_us);
    }
}

/* ---- accepting ---- */

int listener_new(struct net *n, int fd)
{
    struct net_listener *l = calloc(1, sizeof *l);
    struct rlimit files;
    if (!l) {
        close(fd);
        return ERR_NOMEM;
    }
    *l = (struct net_listener){.source.listener = l, .fd = fd, .next = n->listeners};
    n->listeners = l; /* closed by net_free() from here on */
    if (getrlimit(RLIMIT_NOFILE, &files) || files.rlim_cur == RLIM_INFINITY)
        files.rlim_cur = UINT32_MAX;
    n->streams_max = files.rlim_cur > FILES_SPARE ? (unsigned)files.rlim_cur - FILES_SPARE : 0;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &l->source};
    return epoll_ctl(n->epoll, EPOLL_CTL_ADD, fd, &event) ? ERR_IO : 0;
}

void listeners_free(struct net *n)
{
    while (n->listeners) {
        struct net_listener *l = n->listeners;
        n->listeners = l->next;
        close(l->fd);
        free(l);
    }
}

/* Nobody who has proved something makes room for who has not. */
static bool make_room(struct net *n)
{
    unsigned most = n->limits.tcp < n->streams_max ? n->limits.tcp : n->streams_max;
    if (n->stats.tcp_now < most)
        return true;
    struct net_stream *crowd = NULL;
    for (struct net_stream *st = n->streams; st; st = st->next)
        if (!st->t && (!crowd || n->streams_by[st->source] > n->streams_by[crowd->source]))
            crowd = st;
    if (!crowd)
        return false;
    stream_cut(crowd->socket, NET_DROP_TCP_FULL);
    return true;
}

static void take_connection(struct net *n, int fd, const union net_addr *peer, int64_t now_us)
{
    uint16_t source = (uint16_t)(net_source_hash(n, peer) % NET_SOURCES);
    struct net_socket *s;
    bool crowded = n->streams_by[source] >= n->limits.tcp_source;
    if (crowded || !make_room(n)) {
        net_drop(n, crowded ? NET_DROP_TCP_SOURCE : NET_DROP_TCP_FULL);
        close(fd);
        return;
    }
    if (stream_new(n, fd, peer, NULL, &s))
        return;
    struct net_stream *st = s->stream;
    st->source = source;
    st->by_us = now_us + n->limits.tcp_check_s * 1000000LL;
    *n->streams_end = st;
    n->streams_end = &st->next;
    n->streams_by[source]++;
    n->stats.tcp_now++;
    n->stats.tcp_accepted++;
    net_wake_at(n, st->by_us);
}

static void pause_accepting(struct net *n, int64_t now_us)
{
    for (struct net_listener *l = n->listeners; l; l = l->next)
        epoll_ctl(n->epoll, EPOLL_CTL_MOD, l->fd, &(struct epoll_event){.events = 0, .data.ptr = &l->source});
    n->accept_again_us = now_us + NO_ROOM_US;
    net_wake_at(n, n->accept_again_us);
}

void listener_accept(struct net *n, const struct net_listener *l)
{
    int64_t now_us = clock_now_us();
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        union net_addr peer = {0};
        socklen_t len = sizeof peer;
        int fd = accept4(l->fd, &peer.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            take_connection(n, fd, &peer, now_us);
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            return;
        else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            pause_accepting(n, now_us);
            return;
        }
    }
}

/* ---- receiving ---- */

/* False: the connection is no more. */
static bool take_packet(struct net_socket *s, const uint8_t *bytes, size_t len, int64_t now_us)
{
    struct net *n = s->net;
    struct packet *p = packet_get(n->pool);
    if (!p) {
        net_drop(n, NET_DROP_POOL_EMPTY);
        return true;
    }
    p->len = (uint16_t)len;
    p->arrival_us = now_us;
    memcpy(p->bytes, bytes, len);
    n->stats.received_packets++;
    n->stats.received_bytes += len;
    n->stats.tcp_received_packets++;
    net_input(n, s, p, &s->stream->peer, now_us);
    packet_unref(p);
    if (!s->stream->t && !s->stream->closed)
        stream_cut(s, NET_DROP_TCP_STRANGER);
    return !s->stream->closed;
}

void stream_receive(struct net_socket *s)
{
    struct net_stream *st = s->stream;
    int64_t now_us = clock_now_us();
    for (int i = 0; i < READS_A_TURN && !st->closed; i++) {
        size_t room, len;
        const uint8_t *packet;
        uint8_t *at = frame_room(&st->in, &room);
        ssize_t got = recv(s->fd, at, room, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
            return;
        if (got <= 0) {
            stream_lost(s, now_us);
            return;
        }
        frame_filled(&st->in, (size_t)got);
        int err;
        while (!(err = frame_next(&st->in, NET_DATAGRAM, &packet, &len)))
            if (!take_packet(s, packet, len, now_us))
                return;
        if (err == ERR_MALFORMED) {
            net_drop(s->net, NET_DROP_TCP_FRAME);
            stream_lost(s, now_us);
            return;
        }
    }
}

/* ---- sending ---- */

static bool waits(const struct net_held *h)
{
    return h->first < h->n_runs;
}

/* `sent` bytes of the first packets of `h` are with the kernel; the last may be so in part. */
static void took(struct net_stream *st, struct net_held *h, size_t sent)
{
    struct net *n = st->socket->net;
    size_t done = 0;
    for (size_t left = sent; left; done++) {
        const struct net_run *r = &h->runs[h->first + done];
        size_t frame = FRAME_HEADER + r->len;
        n->stats.sent_packets++;
        n->stats.sent_bytes += r->len;
        n->stats.tcp_sent_packets++;
        if (left < frame) {
            uint8_t header[FRAME_HEADER] = {(uint8_t)(r->len >> 8), (uint8_t)r->len};
            size_t of_header = left < FRAME_HEADER ? FRAME_HEADER - left : 0;
            size_t from = left < FRAME_HEADER ? 0 : left - FRAME_HEADER;
            memcpy(st->rest, header + FRAME_HEADER - of_header, of_header);
            memcpy(st->rest + of_header, r->bytes + from, r->len - from);
            st->rest_at = 0;
            st->rest_len = (uint16_t)(of_header + r->len - from);
            left = frame;
        }
        left -= frame;
    }
    held_take(h, done);
}

static ssize_t send_from(struct net_socket *s, struct net_held *h)
{
    uint8_t headers[BATCH][FRAME_HEADER];
    struct iovec iov[2 * BATCH];
    size_t count = 0;
    for (; count < BATCH && h->first + count < h->n_runs; count++) {
        const struct net_run *r = &h->runs[h->first + count];
        headers[count][0] = (uint8_t)(r->len >> 8);
        headers[count][1] = (uint8_t)r->len;
        iov[2 * count] = (struct iovec){headers[count], FRAME_HEADER};
        iov[2 * count + 1] = (struct iovec){(void *)r->bytes, r->len};
    }
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2 * count};
    ssize_t sent = sendmsg(s->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0)
        took(s->stream, h, (size_t)sent);
    return sent;
}

static ssize_t send_rest(struct net_socket *s)
{
    struct net_stream *st = s->stream;
    struct iovec iov = {st->rest + st->rest_at, st->rest_len - st->rest_at};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t sent = sendmsg(s->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0)
        st->rest_at = (uint16_t)(st->rest_at + sent);
    return sent;
}

bool stream_is_full(const struct net_stream *st, enum net_class class, size_t len)
{
    const struct net_held *h = class == NET_PICTURE || class == NET_SCREEN ? &st->pictures : &st->sound;
    return st->socket->blocked && h->bytes && !held_has_room(h, len);
}

/* What is begun is finished; then sound, then pictures. */
static void drain(struct net_socket *s)
{
    struct net_stream *st = s->stream;
    while (!s->blocked && !st->deaf) {
        ssize_t sent;
        if (st->rest_at < st->rest_len)
            sent = send_rest(s);
        else if (waits(&st->sound))
            sent = send_from(s, &st->sound);
        else if (waits(&st->pictures))
            sent = send_from(s, &st->pictures);
        else
            return;
        if (sent >= 0 || errno == EINTR)
            continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            net_socket_want_write(s, true);
            return;
        }
        st->deaf = true; /* reading will find its end: nobody is told in the middle of a flush */
        return;
    }
}

/* Made when the first packet goes out, which is an answer to an authenticated check. */
static int make_queues(struct net_stream *st)
{
    if (st->sound.bytes)
        return 0;
    if (!held_new(&st->sound, NET_STREAM_SOUND_BYTES, NET_STREAM_RUNS) &&
        !held_new(&st->pictures, NET_STREAM_PICTURE_BYTES, NET_STREAM_RUNS))
        return 0;
    held_free(&st->sound);
    held_free(&st->pictures);
    st->sound = st->pictures = (struct net_held){0};
    return ERR_NOMEM;
}

void stream_flush(struct net_socket *s, struct net_run **runs, size_t count)
{
    struct net *n = s->net;
    struct net_stream *st = s->stream;
    if (make_queues(st)) {
        n->stats.drops[NET_DROP_SEND_FULL] += count;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        bool picture = runs[i]->class == NET_PICTURE || runs[i]->class == NET_SCREEN;
        struct net_held *h = picture ? &st->pictures : &st->sound;
        if (held_put(h, runs[i]))
            continue;
        drain(s);
        if (!held_put(h, runs[i]))
            net_drop(n, picture ? NET_DROP_TCP_PICTURE : NET_DROP_SEND_FULL);
    }
    drain(s);
}

void stream_writable(struct net_socket *s)
{
    if (s->stream->closed)
        return;
    net_socket_want_write(s, false);
    drain(s);
}

/* ---- client role ---- */

int stream_connect(struct net_transport *t, const union net_addr *to, struct net_socket **ret_socket)
{
    int one = 1, fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return ERR_IO;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, &to->sa, net_addr_len(to)) && errno != EINPROGRESS) {
        close(fd);
        return ERR_IO;
    }
    return stream_new(t->net, fd, to, t, ret_socket);
}
