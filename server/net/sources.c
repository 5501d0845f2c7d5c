/* What a source may cost before it has proved anything: unauthenticated STUN messages by a token bucket in the form of the
 * generic cell rate algorithm, one number a place. No table of addresses that strangers could fill: a source's place is its
 * hash under a secret seed. */
#include "net/net_priv.h"

#include <string.h>

#define BURST_US 1000000 /* a second's worth at once */

uint32_t net_source_hash(const struct net *n, const union net_addr *a)
{
    uint32_t words[3] = {n->bucket_seed, 4, a->in4.sin_addr.s_addr}, h = 0;
    if (a->sa.sa_family == AF_INET6)
        memcpy(words + 1, &a->in6.sin6_addr, 8); /* the /64: its owner has all of it */
    for (int i = 0; i < 3; i++) {
        h = (h ^ words[i]) * 0x9e3779b1U;
        h ^= h >> 15;
    }
    return h;
}

bool stun_may_come(const struct net *n, const union net_addr *from, int64_t now_us)
{
    return n->stun_free_us[net_source_hash(n, from) % NET_SOURCES] - now_us < BURST_US;
}

void stun_charge(struct net *n, const union net_addr *from, int64_t now_us)
{
    int64_t *free_us = &n->stun_free_us[net_source_hash(n, from) % NET_SOURCES];
    *free_us = (*free_us > now_us ? *free_us : now_us) + 1000000 / n->limits.stun_source;
}
