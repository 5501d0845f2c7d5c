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
};

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

int pacer_put(struct pacer *p, bool sound, const struct pacer_packet *item)
{
    struct ring *r = sound ? &p->sound : &p->picture;
    if (r->head - r->tail > r->mask)
        return ERR_FULL;
    r->items[r->head++ & r->mask] = *item;
    return 0;
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
    if (!r)
        return false;
    *ret_item = r->items[r->tail++ & r->mask];
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

static void ring_forget(struct ring *r, const void *slot)
{
    uint32_t kept = r->tail;
    for (uint32_t i = r->tail; i != r->head; i++) {
        struct pacer_packet item = r->items[i & r->mask];
        if (item.slot == slot)
            packet_unref(item.packet);
        else
            r->items[kept++ & r->mask] = item;
    }
    r->head = kept;
}

void pacer_forget(struct pacer *p, const void *slot)
{
    ring_forget(&p->sound, slot);
    ring_forget(&p->picture, slot);
}

bool pacer_empty(const struct pacer *p)
{
    return !next_ring((struct pacer *)p);
}

int64_t pacer_next_us(const struct pacer *p, int64_t now_us)
{
    return pacer_empty(p) ? INT64_MAX : now_us;
}
