#include "rtp/history.h"

#include "base/err.h"
#include "base/seq.h"

#include <assert.h>
#include <stdlib.h>

enum { NEVER = -1 }; /* number of a cell that has held none */

struct history {
    size_t capacity;
    int64_t oldest, newest; /* what history_expire() still has to look at */
    bool started;
    struct history_entry ring[];
};

struct history *history_new(size_t capacity)
{
    assert(capacity > 0 && (capacity & (capacity - 1)) == 0); /* a constant of the caller's */
    struct history *h = calloc(1, sizeof *h + capacity * sizeof h->ring[0]);
    if (!h)
        return NULL;
    h->capacity = capacity;
    for (size_t i = 0; i < capacity; i++)
        h->ring[i].ext_seq = NEVER;
    return h;
}

void history_free(struct history *h)
{
    if (!h)
        return;
    for (size_t i = 0; i < h->capacity; i++)
        packet_unref(h->ring[i].packet);
    free(h);
}

static struct history_entry *cell(const struct history *h, int64_t ext_seq)
{
    return (struct history_entry *)&h->ring[(uint64_t)ext_seq & (h->capacity - 1)];
}

static void clear(struct history_entry *c)
{
    packet_unref(c->packet);
    c->packet = NULL;
}

/* Empties the cells of the numbers up to `ext_seq`: what they held is out of the ring now, whether those numbers come or
 * not. */
static void advance(struct history *h, int64_t ext_seq)
{
    int64_t from = h->newest + 1, capacity = (int64_t)h->capacity;
    if (ext_seq - from >= capacity)
        from = ext_seq - capacity + 1;
    for (int64_t s = from; s <= ext_seq; s++) {
        clear(cell(h, s));
        cell(h, s)->ext_seq = NEVER;
    }
    h->newest = ext_seq;
    if (h->oldest <= h->newest - capacity)
        h->oldest = h->newest - capacity + 1;
}

int history_put(struct history *h, const struct history_entry *e)
{
    struct history_entry *c = cell(h, e->ext_seq);
    if (!h->started) {
        h->started = true;
        h->oldest = h->newest = e->ext_seq;
    }
    if (e->ext_seq <= h->newest - (int64_t)h->capacity)
        return ERR_STALE;
    if (c->ext_seq == e->ext_seq) /* expired or not */
        return ERR_EXISTS;
    if (e->ext_seq > h->newest)
        advance(h, e->ext_seq);
    if (e->ext_seq < h->oldest)
        h->oldest = e->ext_seq;
    clear(c);
    *c = *e;
    packet_ref(c->packet);
    return 0;
}

const struct history_entry *history_get(const struct history *h, int64_t ext_seq)
{
    const struct history_entry *c = cell(h, ext_seq);
    return c->packet && c->ext_seq == ext_seq ? c : NULL;
}

void history_expire(struct history *h, int64_t now_us)
{
    while (h->started && h->oldest <= h->newest) {
        struct history_entry *c = cell(h, h->oldest);
        bool here = c->packet && c->ext_seq == h->oldest;
        if (here && c->packet->arrival_us >= now_us - HISTORY_AGE_US)
            return;
        if (here)
            clear(c);
        h->oldest++;
    }
}

struct sent_entry *sent_take_for_resend(struct sent *s, uint16_t seq, int64_t now_us, int64_t rtt_us)
{
    struct sent_entry *e = &s->ring[seq % SENT_RING];
    if (e->source == 0 || e->seq != seq)
        return NULL;
    if (e->resent_us != 0 && now_us - e->resent_us < rtt_us)
        return NULL;
    e->resent_us = now_us;
    return e;
}
