#include "bwe/pacer.h"

#include "base/err.h"

#include <stdlib.h>

struct ring {
    struct pacer_packet *items;
    uint32_t head, tail, mask; /* head − tail items are queued */
};

struct pacer {
    struct ring sound, picture;
    struct pacer_packet sound_items[PACER_SOUND_MAX];
    struct pacer_packet picture_items[PACER_PICTURE_MAX];
    uint32_t bps;    /* 0: no limit */
    int64_t free_us; /* when all that has left is through at that rate */
    size_t waiting_bytes;
};

static size_t bytes_of(const struct pacer_packet *item)
{
    return (size_t)item->len + PACER_HEADERS;
}

struct pacer *pacer_new(void)
{
    struct pacer *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->sound = (struct ring){.items = p->sound_items, .mask = PACER_SOUND_MAX - 1};
    p->picture = (struct ring){.items = p->picture_items, .mask = PACER_PICTURE_MAX - 1};
    return p;
}

static void ring_drain(struct ring *r)
{
    for (; r->tail != r->head; r->tail++)
        packet_unref(r->items[r->tail & r->mask].packet);
}

void pacer_free(struct pacer *p)
{
    if (!p)
        return;
    ring_drain(&p->sound);
    ring_drain(&p->picture);
    free(p);
}

void pacer_set_rate(struct pacer *p, uint32_t bps, int64_t now_us)
{
    if (p->bps == bps)
        return;
    p->bps = bps;
    p->free_us = p->free_us > now_us + PACER_BURST_US ? now_us + PACER_BURST_US : p->free_us;
}

void pacer_charge(struct pacer *p, size_t bytes, int64_t now_us)
{
    if (!p->bps)
        return;
    if (p->free_us < now_us)
        p->free_us = now_us; /* an idle line saves nothing up */
    p->free_us += (int64_t)(bytes * 8000000u / p->bps);
}

int pacer_put(struct pacer *p, bool sound, const struct pacer_packet *item)
{
    struct ring *r = sound ? &p->sound : &p->picture;
    if (r->head - r->tail > r->mask)
        return ERR_FULL;
    r->items[r->head++ & r->mask] = *item;
    if (!sound)
        p->waiting_bytes += bytes_of(item);
    return 0;
}

static bool may_leave(const struct pacer *p, int64_t now_us)
{
    return !p->bps || p->free_us < now_us + PACER_BURST_US;
}

static struct ring *next_ring(struct pacer *p)
{
    if (p->sound.head != p->sound.tail)
        return &p->sound;
    return p->picture.head != p->picture.tail ? &p->picture : NULL;
}

bool pacer_next(struct pacer *p, int64_t now_us, struct pacer_packet *ret_item)
{
    struct ring *r = next_ring(p);
    if (!r || (r == &p->picture && !may_leave(p, now_us)))
        return false;
    *ret_item = r->items[r->tail++ & r->mask];
    pacer_charge(p, bytes_of(ret_item), now_us);
    if (r == &p->picture)
        p->waiting_bytes -= bytes_of(ret_item);
    return true;
}

const struct pacer_packet *pacer_peek(const struct pacer *p, size_t ahead)
{
    uint32_t sounds = p->sound.head - p->sound.tail;
    if (ahead < sounds)
        return &p->sound.items[(p->sound.tail + ahead) & p->sound.mask];
    ahead -= sounds;
    if (ahead < p->picture.head - p->picture.tail)
        return &p->picture.items[(p->picture.tail + ahead) & p->picture.mask];
    return NULL;
}

static size_t ring_forget(struct ring *r, const void *slot, size_t *waiting_bytes)
{
    uint32_t kept = r->tail, had = r->head;
    for (uint32_t i = r->tail; i != r->head; i++) {
        struct pacer_packet item = r->items[i & r->mask];
        if (item.slot == slot) {
            *waiting_bytes -= bytes_of(&item);
            packet_unref(item.packet);
        } else {
            r->items[kept++ & r->mask] = item;
        }
    }
    r->head = kept;
    return had - kept;
}

size_t pacer_forget(struct pacer *p, const void *slot)
{
    size_t sounds_bytes = SIZE_MAX; /* not counted */
    return ring_forget(&p->sound, slot, &sounds_bytes) + ring_forget(&p->picture, slot, &p->waiting_bytes);
}

bool pacer_empty(const struct pacer *p)
{
    return !next_ring((struct pacer *)p);
}

int64_t pacer_next_us(const struct pacer *p, int64_t now_us)
{
    if (pacer_empty(p))
        return INT64_MAX;
    if (p->sound.head != p->sound.tail || may_leave(p, now_us))
        return now_us;
    int64_t due_us = p->free_us - PACER_BURST_US + 1;
    return (due_us + PACER_BURST_US - 1) / PACER_BURST_US * PACER_BURST_US;
}

bool pacer_idle(const struct pacer *p, int64_t now_us)
{
    return pacer_empty(p) && may_leave(p, now_us);
}

size_t pacer_waiting_bytes(const struct pacer *p)
{
    return p->waiting_bytes;
}
