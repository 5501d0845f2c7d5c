#include "net/net_priv.h"

#include "base/err.h"

#include <assert.h>
#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 4 * NET_BATCH };

union control {
    struct cmsghdr align;
    uint8_t bytes[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(uint16_t))];
};

/* What sendmmsg wants, kept from turn to turn. */
struct net_tx {
    struct mmsghdr msgs[BATCH];
    struct iovec iovs[BATCH];
    union control controls[BATCH];
};

static size_t send_batch(struct net *n, struct net_socket *s, struct net_run **runs, size_t count);

int send_init(struct net *n)
{
    n->area = malloc(NET_AREA);
    n->runs = malloc(NET_RUNS * sizeof *n->runs);
    n->tx = calloc(1, sizeof *n->tx);
    return n->area && n->runs && n->tx ? 0 : ERR_NOMEM;
}

void send_exit(struct net *n)
{
    free(n->area);
    free(n->runs);
    free(n->tx);
}

int held_new(struct net_held *h, size_t cap_bytes, size_t cap_runs)
{
    *h = (struct net_held){.bytes = malloc(cap_bytes),
                           .runs = malloc(cap_runs * sizeof *h->runs),
                           .cap_bytes = cap_bytes,
                           .cap_runs = cap_runs};
    return h->bytes && h->runs ? 0 : ERR_NOMEM;
}

void held_free(struct net_held *h)
{
    free(h->bytes);
    free(h->runs);
}

static size_t held_gone(const struct net_held *h)
{
    return h->first < h->n_runs ? (size_t)(h->runs[h->first].bytes - h->bytes) : h->n_bytes;
}

bool held_has_room(const struct net_held *h, size_t len)
{
    return h->n_bytes - held_gone(h) + len <= h->cap_bytes && h->n_runs - h->first < h->cap_runs;
}

/* The free part at the beginning moves to the end. */
static void held_compact(struct net_held *h)
{
    size_t gone = held_gone(h);
    h->n_bytes -= gone;
    h->n_runs -= h->first;
    memmove(h->bytes, h->bytes + gone, h->n_bytes);
    memmove(h->runs, h->runs + h->first, h->n_runs * sizeof h->runs[0]);
    for (size_t i = 0; i < h->n_runs; i++)
        h->runs[i].bytes -= gone;
    h->first = 0;
}

bool held_put(struct net_held *h, const struct net_run *r)
{
    if (!held_has_room(h, r->len))
        return false;
    if (h->n_bytes + r->len > h->cap_bytes || h->n_runs == h->cap_runs)
        held_compact(h);
    struct net_run *copy = &h->runs[h->n_runs++];
    *copy = *r;
    copy->t = NULL; /* may be gone by then */
    copy->bytes = memcpy(h->bytes + h->n_bytes, r->bytes, r->len);
    h->n_bytes += r->len;
    return true;
}

void held_take(struct net_held *h, size_t count)
{
    h->first += count;
    if (h->first == h->n_runs)
        h->first = h->n_runs = h->n_bytes = 0;
}

uint8_t *send_room(struct net *n, size_t len)
{
    assert(len <= NET_AREA);
    if (n->area_len + len > NET_AREA || n->n_runs == NET_RUNS)
        send_flush(n);
    return n->area + n->area_len;
}

bool send_is_full(const struct net_socket *s, enum net_class class, size_t len)
{
    if (s->stream)
        return stream_is_full(s->stream, class, len);
    return s->blocked && !held_has_room(&s->held, len);
}

/* GSO cuts a run into equal datagrams, only the last may be shorter; all have one address and one mark. */
static bool joins(const struct net_run *r, const struct net_transport *t, enum net_class class, const uint8_t *bytes,
                  size_t len)
{
    return r && t && r->t == t && t->gso && r->class == class && r->bytes + r->len == bytes &&
           r->len == (uint32_t)r->segment * r->count && len <= r->segment && r->count < NET_RUN_SEGMENTS &&
           r->len + len <= NET_RUN_BYTES;
}

void send_commit(struct net *n, struct net_socket *s, struct net_transport *t, const union net_addr *to,
                 enum net_class class, size_t len)
{
    uint8_t *bytes = n->area + n->area_len;
    if (!len)
        return;
    n->area_len += len;
    if (joins(n->open_run, t, class, bytes, len)) {
        n->open_run->count++;
        n->open_run->len += (uint32_t)len;
        return;
    }
    struct net_run *r = &n->runs[n->n_runs++];
    *r = (struct net_run){
        .t = t, .bytes = bytes, .len = (uint32_t)len, .segment = (uint16_t)len, .count = 1, .class = class, .to = *to};
    n->open_run = r;
    if (s->first_run) {
        s->last_run->next = r;
    } else {
        s->first_run = r;
        s->next_dirty = n->dirty;
        n->dirty = s;
    }
    s->last_run = r;
}

static size_t put_cmsg(uint8_t *at, int level, int type, const void *value, size_t len)
{
    struct cmsghdr h = {.cmsg_len = CMSG_LEN(len), .cmsg_level = level, .cmsg_type = type};
    memcpy(at, &h, sizeof h);
    memcpy(at + CMSG_LEN(0), value, len);
    return CMSG_SPACE(len);
}

static void fill_message(struct net *n, const struct net_socket *s, struct net_run *r, size_t i)
{
    struct net_tx *tx = n->tx;
    size_t control = 0;
    if (n->dscp[r->class] >= 0) {
        int tos = n->dscp[r->class] << 2;
        control = s->family == AF_INET6 ? put_cmsg(tx->controls[i].bytes, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof tos)
                                        : put_cmsg(tx->controls[i].bytes, IPPROTO_IP, IP_TOS, &tos, sizeof tos);
    }
    if (r->count > 1)
        control += put_cmsg(tx->controls[i].bytes + control, IPPROTO_UDP, UDP_SEGMENT, &r->segment, sizeof r->segment);
    tx->iovs[i] = (struct iovec){(void *)r->bytes, r->len};
    tx->msgs[i].msg_hdr = (struct msghdr){.msg_name = &r->to,
                                          .msg_namelen = net_addr_len(&r->to),
                                          .msg_iov = &tx->iovs[i],
                                          .msg_iovlen = 1,
                                          .msg_control = control ? tx->controls[i].bytes : NULL,
                                          .msg_controllen = control};
}

static void count_sent(struct net *n, struct net_run **runs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        n->stats.sent_packets += runs[i]->count;
        n->stats.sent_bytes += runs[i]->len;
        if (runs[i]->count > 1) {
            n->stats.gso_runs++;
            n->stats.gso_run_packets += runs[i]->count;
        }
    }
}

/* Behind a full socket buffer packets wait in order, up to a bound. */
static void hold(struct net *n, struct net_socket *s, const struct net_run *r)
{
    if (!held_put(&s->held, r))
        n->stats.drops[NET_DROP_SEND_FULL] += r->count;
}

/* Some paths take no runs: MTU below the segment, no checksum offload, IPsec. Sent singly, remembered for the transport. */
static void send_singly(struct net *n, struct net_socket *s, const struct net_run *r)
{
    struct net_run singles[NET_RUN_SEGMENTS], *order[NET_RUN_SEGMENTS];
    n->stats.gso_refused++;
    if (r->t)
        r->t->gso = false;
    for (unsigned i = 0; i < r->count; i++) {
        uint32_t at = (uint32_t)r->segment * i, left = r->len - at;
        singles[i] = *r;
        singles[i].bytes = r->bytes + at;
        singles[i].len = left < r->segment ? left : r->segment;
        singles[i].segment = (uint16_t)singles[i].len;
        singles[i].count = 1;
        order[i] = &singles[i];
    }
    /* The run may itself lie in the queue of a full socket, so what it takes no more is lost rather than queued again. */
    n->stats.drops[NET_DROP_SEND_FULL] += r->count - send_batch(n, s, order, r->count);
}

static bool is_run_refusal(int error)
{
    return error == EMSGSIZE || error == EINVAL || error == EIO || error == EOPNOTSUPP || error == ENOPROTOOPT;
}

/* The first message of the batch failed with `error`: deal with it alone, the batch goes on. */
static void refuse(struct net *n, struct net_socket *s, struct net_run *r, int error)
{
    if (r->count > 1 && is_run_refusal(error))
        send_singly(n, s, r);
    else
        n->stats.drops[NET_DROP_SEND_REFUSED] += r->count;
}

/* Returns how many are dealt with, sent or skipped; fewer than `count` when the socket is full. */
static size_t send_batch(struct net *n, struct net_socket *s, struct net_run **runs, size_t count)
{
    size_t done = 0;
    while (done < count && !s->blocked) {
        size_t now = count - done < BATCH ? count - done : BATCH;
        for (size_t i = 0; i < now; i++)
            fill_message(n, s, runs[done + i], i);
        int sent = sendmmsg(s->fd, n->tx->msgs, (unsigned)now, MSG_DONTWAIT);
        int error = errno;
        n->stats.sendmmsg_calls++;
        if (sent > 0) {
            assert((size_t)sent <= now); /* the kernel sends no more messages than it got */
            count_sent(n, runs + done, (size_t)sent);
            done += (size_t)sent;
        } else if (error == EAGAIN || error == EWOULDBLOCK) {
            net_socket_want_write(s, true);
        } else if (error != EINTR) {
            refuse(n, s, runs[done++], error);
        }
    }
    return done;
}

static void send_or_hold(struct net *n, struct net_socket *s, struct net_run **runs, size_t count)
{
    for (size_t i = send_batch(n, s, runs, count); i < count; i++)
        hold(n, s, runs[i]);
}

void send_flush(struct net *n)
{
    static_assert(NET_RUNS <= 1024, "the order lives on the stack");
    while (n->dirty) {
        struct net_run *order[NET_RUNS];
        struct net_socket *s = n->dirty;
        size_t count = 0;
        for (struct net_run *r = s->first_run; r; r = r->next)
            order[count++] = r;
        n->dirty = s->next_dirty;
        s->first_run = s->last_run = NULL;
        if (s->stream)
            stream_flush(s, order, count);
        else
            send_or_hold(n, s, order, count);
    }
    n->n_runs = 0;
    n->area_len = 0;
    n->open_run = NULL;
}

void send_held(struct net_socket *s)
{
    struct net_held *h = &s->held;
    net_socket_want_write(s, false);
    while (h->first < h->n_runs && !s->blocked) {
        struct net_run *order[BATCH];
        size_t count = h->n_runs - h->first < BATCH ? h->n_runs - h->first : BATCH;
        for (size_t i = 0; i < count; i++)
            order[i] = &h->runs[h->first + i];
        held_take(h, send_batch(s->net, s, order, count));
    }
}
