#include "srtp/ssrcs.h"

#include "base/err.h"
#include "base/seq.h"

#include <assert.h>
#include <string.h>

static_assert((int)SSRC_SLOTS > (int)SEAL_SSRCS, "a probe must end at a free slot");

static unsigned slot_of(uint32_t ssrc)
{
    return ssrc * 2654435761U >> 25; /* Fibonacci hashing to 7 bits */
}

static_assert(SSRC_SLOTS == 1 << (32 - 25), "slot_of() yields 7 bits");

static struct ssrc_sent *find_or_add(struct ssrc_table *t, uint32_t ssrc)
{
    unsigned i = slot_of(ssrc);
    while (t->slots[i].taken && t->slots[i].ssrc != ssrc)
        i = (i + 1) % SSRC_SLOTS;
    struct ssrc_sent *s = &t->slots[i];
    return s->taken || t->count < SEAL_SSRCS ? s : NULL;
}

static bool test_and_set(struct ssrc_sent *s, uint64_t index)
{
    uint64_t bit = 1ULL << index % 64, *word = &s->used[index % SEAL_WINDOW / 64];
    bool was = *word & bit;
    *word |= bit;
    return was;
}

static void move_window(struct ssrc_sent *s, uint64_t index)
{
    if (index - s->newest >= SEAL_WINDOW)
        memset(s->used, 0, sizeof s->used);
    else
        for (uint64_t i = s->newest + 1; i <= index; i++)
            s->used[i % SEAL_WINDOW / 64] &= ~(1ULL << i % 64);
    s->newest = index;
}

int ssrc_table_advance(struct ssrc_table *t, uint32_t ssrc, uint16_t seq, uint64_t *ret_index)
{
    struct ssrc_sent *s = find_or_add(t, ssrc);
    if (!s)
        return ERR_BUSY;
    if (!s->taken) {
        if (seq >= 0x8000)
            return ERR_RANGE;
        *s = (struct ssrc_sent){.ssrc = ssrc, .taken = true, .newest = seq};
        t->count++;
    }
    int diff = seq_diff(seq, (uint16_t)s->newest);
    if (diff <= -SEAL_WINDOW || (diff < 0 && (uint64_t)-diff > s->newest))
        return ERR_RANGE;
    uint64_t index = s->newest + (uint64_t)(int64_t)diff;
    if (diff > 0)
        move_window(s, index);
    if (test_and_set(s, index))
        return ERR_REPLAY;
    *ret_index = index;
    return 0;
}

static unsigned place_of(const struct ssrc_set *s, uint32_t ssrc)
{
    unsigned i = slot_of(ssrc);
    while (s->taken[i] && s->ssrcs[i] != ssrc)
        i = (i + 1) % SSRC_SLOTS;
    return i;
}

bool ssrc_set_may_hold(const struct ssrc_set *s, uint32_t ssrc)
{
    return s->count < SEAL_SSRCS || s->taken[place_of(s, ssrc)];
}

void ssrc_set_add(struct ssrc_set *s, uint32_t ssrc)
{
    unsigned i = place_of(s, ssrc);
    if (s->taken[i] || s->count >= SEAL_SSRCS)
        return;
    s->taken[i] = true;
    s->ssrcs[i] = ssrc;
    s->count++;
}
