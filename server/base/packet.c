#include "base/packet.h"

#include <assert.h>
#include <stdlib.h>

struct packet_pool {
    struct packet *free_list;
    size_t count, available;
    struct packet packets[];
};

struct packet_pool *packet_pool_new(size_t count)
{
    struct packet_pool *pool = malloc(sizeof *pool + count * sizeof pool->packets[0]);
    if (!pool)
        return NULL;
    pool->count = pool->available = count;
    pool->free_list = NULL;
    for (size_t i = count; i-- > 0;) {
        struct packet *p = &pool->packets[i];
        p->pool = pool;
        p->refs = 0;
        p->next_free = pool->free_list;
        pool->free_list = p;
    }
    return pool;
}

void packet_pool_free(struct packet_pool *pool)
{
    if (!pool)
        return;
    assert(pool->available == pool->count); /* a packet still referenced would dangle */
    free(pool);
}

struct packet *packet_get(struct packet_pool *pool)
{
    struct packet *p = pool->free_list;
    if (!p)
        return NULL;
    pool->free_list = p->next_free;
    pool->available--;
    p->refs = 1;
    p->len = 0;
    return p;
}

struct packet *packet_ref(struct packet *p)
{
    p->refs++;
    return p;
}

void packet_unref(struct packet *p)
{
    if (!p || --p->refs)
        return;
    p->next_free = p->pool->free_list;
    p->pool->free_list = p;
    p->pool->available++;
}

size_t packet_pool_available(const struct packet_pool *pool)
{
    return pool->available;
}
