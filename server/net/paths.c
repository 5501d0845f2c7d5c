#include "net/net_priv.h"

#include <string.h>

/* A nominated path keeps its place while checks come within this time; browsers check every 2.5 s (RFC 7675: 4–6 s). */
#define SILENT_US (8 * 1000000LL)

bool net_addr_equal(const union net_addr *a, const union net_addr *b)
{
    if (a->sa.sa_family != b->sa.sa_family)
        return false;
    if (a->sa.sa_family == AF_INET6)
        return a->in6.sin6_port == b->in6.sin6_port && a->in6.sin6_scope_id == b->in6.sin6_scope_id &&
               !memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, 16);
    return a->in4.sin_port == b->in4.sin_port && a->in4.sin_addr.s_addr == b->in4.sin_addr.s_addr;
}

static struct net_path **bucket_of(struct net *n, const struct net_socket *s, const union net_addr *a)
{
    uint32_t words[6] = {n->bucket_seed, (uint32_t)s->fd}, h = 0;
    if (a->sa.sa_family == AF_INET6) {
        memcpy(words + 2, &a->in6.sin6_addr, 16);
        words[1] ^= (uint32_t)a->in6.sin6_port << 16;
    } else {
        words[2] = a->in4.sin_addr.s_addr;
        words[1] ^= (uint32_t)a->in4.sin_port << 16;
    }
    for (int i = 0; i < 6; i++) {
        h = (h ^ words[i]) * 0x9e3779b1U;
        h ^= h >> 15;
    }
    return &n->buckets[h % NET_PATH_BUCKETS];
}

struct net_path *net_path_find(struct net *n, const struct net_socket *s, const union net_addr *addr)
{
    for (struct net_path *p = *bucket_of(n, s, addr); p; p = p->next)
        if (p->socket == s && net_addr_equal(&p->addr, addr))
            return p;
    return NULL;
}

static void unlink_path(struct net_path *p)
{
    struct net_path **at = bucket_of(p->t->net, p->socket, &p->addr);
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    if (p->t->path == p)
        p->t->path = NULL;
    p->t = NULL;
}

void net_paths_clear(struct net_transport *t)
{
    for (int i = 0; i < NET_PATHS; i++)
        if (t->paths[i].t)
            unlink_path(&t->paths[i]);
}

/* A free place, or that of the path checked longest ago which we don't send to. */
static struct net_path *place_for_path(struct net_transport *t)
{
    struct net_path *oldest = NULL;
    for (int i = 0; i < NET_PATHS; i++) {
        struct net_path *p = &t->paths[i];
        if (!p->t)
            return p;
        if (p != t->path && (!oldest || p->checked_us < oldest->checked_us))
            oldest = p;
    }
    /* NET_PATHS > 1: there is one besides t->path */
    if (oldest->socket->stream)
        stream_close(oldest->socket);
    else
        unlink_path(oldest);
    return oldest;
}

void net_path_lost(struct net_socket *s, const union net_addr *addr)
{
    struct net_path *p = net_path_find(s->net, s, addr), *next = NULL;
    if (!p)
        return;
    struct net_transport *t = p->t;
    bool chosen = t->path == p;
    unlink_path(p);
    for (int i = 0; chosen && i < NET_PATHS; i++) {
        struct net_path *other = &t->paths[i];
        if (other->t && t->checked_us - other->checked_us < NET_CONSENT_US &&
            (!next || other->checked_us > next->checked_us))
            next = other;
    }
    if (!next)
        return;
    t->path = next;
    t->gso = s->net->gso && !next->socket->stream;
    s->net->open_run = NULL;
}

bool net_path_is_used(const struct net_transport *t, const struct net_socket *s, const union net_addr *addr, int64_t now_us)
{
    const struct net_path *p = net_path_find(t->net, s, addr);
    return p && p->t != t && p->t->state < NET_FAILED && now_us - p->checked_us <= SILENT_US;
}

void net_path_checked(struct net_transport *t, struct net_socket *s, const union net_addr *addr, bool nominated,
                      int64_t now_us)
{
    struct net *n = t->net;
    struct net_path *p = net_path_find(n, s, addr);
    if (p && p->t != t) {
        /* A NAT gave the address to somebody else, who proved it just now, and the former owner has long been silent. */
        unlink_path(p);
        p = NULL;
    }
    if (!p) {
        p = place_for_path(t);
        struct net_path **bucket = bucket_of(n, s, addr);
        *p = (struct net_path){.next = *bucket, .t = t, .socket = s, .addr = *addr};
        *bucket = p;
    }
    p->checked_us = t->checked_us = now_us;
    if (p != t->path && (nominated || !t->path || now_us - t->path->checked_us > SILENT_US)) {
        t->path = p;
        t->gso = n->gso && !s->stream; /* another way out may take what the former refused */
        n->open_run = NULL;
    }
    if (t->state != NET_NEW)
        return;
    t->handshake_by_us = now_us + n->limits.handshake_s * 1000000LL;
    net_wake_at(n, t->handshake_by_us);
    net_transport_set_state(t, NET_CHECKED, now_us);
}
