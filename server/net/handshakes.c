/* What handshakes may cost: so many steps a turn, one while datagrams wait in the kernel; those who wait take turns; so many
 * begun and not finished, in all and for a source. When there is no room the oldest of the source that has most begun makes
 * room: one who finishes in time, as everybody honest does, hardly ever is it. */
#include "net/net_priv.h"

/* ---- waiting datagrams ---- */

static void list_append(struct net *n, struct net_transport *t)
{
    t->next_waiting = NULL;
    *n->waiting_end = t;
    n->waiting_end = &t->next_waiting;
}

static void list_remove(struct net *n, const struct net_transport *t)
{
    for (struct net_transport **at = &n->waiting; *at; at = &(*at)->next_waiting) {
        if (*at != t)
            continue;
        *at = t->next_waiting;
        if (!*at)
            n->waiting_end = at;
        return;
    }
}

static struct packet *take_datagram(struct net_transport *t)
{
    struct packet *p = t->datagrams[t->first_datagram];
    t->first_datagram = (t->first_datagram + 1) % NET_DATAGRAMS;
    t->n_datagrams--;
    t->net->dtls_count--;
    return p;
}

void dtls_enqueue(struct net_transport *t, struct packet *p)
{
    struct net *n = t->net;
    if (t->n_datagrams == NET_DATAGRAMS || n->dtls_count == NET_DTLS_QUEUE) {
        net_drop(n, NET_DROP_HANDSHAKE_QUEUE);
        return;
    }
    t->datagrams[(t->first_datagram + t->n_datagrams++) % NET_DATAGRAMS] = packet_ref(p);
    n->dtls_count++;
    if (t->n_datagrams == 1)
        list_append(n, t);
}

void dtls_steps(struct net *n, int64_t now_us)
{
    unsigned steps = n->crowded ? 1 : n->limits.handshake_steps;
    for (unsigned done = 0; n->waiting && done < steps; done++) {
        struct net_transport *t = n->waiting;
        list_remove(n, t);
        struct packet *p = take_datagram(t);
        if (t->n_datagrams)
            list_append(n, t);
        dtls_input(t, p, now_us);
        packet_unref(p);
    }
}

void handshake_forget_datagrams(struct net_transport *t)
{
    if (t->n_datagrams)
        list_remove(t->net, t);
    while (t->n_datagrams)
        packet_unref(take_datagram(t));
}

/* ---- begun and not finished ---- */

static void retire(struct net_transport *t)
{
    struct net *n = t->net;
    for (struct net_transport **at = &n->half_open; *at; at = &(*at)->next_half_open) {
        if (*at != t)
            continue;
        *at = t->next_half_open;
        if (!*at)
            n->half_open_end = at;
        break;
    }
    n->stats.half_open_now--;
    n->half_open_by[t->source]--;
    t->half_open = false;
}

static struct net_transport *most_crowded(const struct net *n)
{
    struct net_transport *most = n->half_open;
    for (struct net_transport *t = most; t; t = t->next_half_open)
        if (n->half_open_by[t->source] > n->half_open_by[most->source])
            most = t;
    return most;
}

bool handshake_begin(struct net_transport *t, int64_t now_us)
{
    struct net *n = t->net;
    if (t->role == NET_CLIENT)
        return true;
    uint16_t source = (uint16_t)(net_source_hash(n, &t->path->addr) % NET_SOURCES);
    if (n->half_open_by[source] >= n->limits.half_open_source) {
        net_drop(n, NET_DROP_HALF_OPEN);
        return false;
    }
    if (n->stats.half_open_now >= n->limits.half_open) {
        n->stats.handshakes_evicted++;
        dtls_fail(most_crowded(n), now_us);
    }
    t->half_open = true;
    t->source = source;
    t->next_half_open = NULL;
    *n->half_open_end = t;
    n->half_open_end = &t->next_half_open;
    n->half_open_by[source]++;
    n->stats.half_open_now++;
    n->stats.handshakes_begun++;
    return true;
}

void handshake_end(struct net_transport *t)
{
    if (t->half_open)
        retire(t);
}

/* ---- configuration ---- */

void net_set_limits(struct net *n, const struct net_limits *l)
{
    n->limits = (struct net_limits){
        .handshake_steps = l->handshake_steps ? l->handshake_steps : 8,
        .half_open = l->half_open ? l->half_open : 512,
        .half_open_source = l->half_open_source ? l->half_open_source : 256,
        .handshake_s = l->handshake_s ? l->handshake_s : 15,
        .stun_source = l->stun_source ? l->stun_source : 1000,
        .tcp = l->tcp ? l->tcp : 1024,
        .tcp_source = l->tcp_source ? l->tcp_source : 256,
        .tcp_check_s = l->tcp_check_s ? l->tcp_check_s : 5,
    };
}
