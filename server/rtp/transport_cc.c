#include "rtp/transport_cc.h"

#include "base/err.h"

#include <string.h>

enum {
    TICK_US = 250,
    TICKS_PER_REFERENCE = 256, /* 64 ms */
    LEADING_LOSS_MAX = 300,    /* more lost in a row says no more than this many */
    REWIND_MAX = 500,          /* a packet later than this is no reordering */
    NOT_RECEIVED = 0,
    SMALL_DELTA = 1,
    LARGE_DELTA = 2,
    RUN_MAX = 0x1fff,
};

void transport_cc_init(struct transport_cc_receiver *c)
{
    memset(c, 0, sizeof *c);
}

static bool cell_holds(const struct transport_cc_receiver *c, int64_t number)
{
    return c->cell[number % TRANSPORT_CC_WINDOW].number == (uint32_t)number;
}

void transport_cc_arrived(struct transport_cc_receiver *c, uint16_t seq, int64_t at_us)
{
    int64_t number = seq_extend(&c->extender, seq);
    if (!c->started || number - c->next >= TRANSPORT_CC_WINDOW) {
        c->started = true;
        c->next = number;
    }
    if (number < c->next) {
        if (c->next - number > REWIND_MAX || cell_holds(c, number))
            return;
        if (c->extender.newest - number >= TRANSPORT_CC_WINDOW)
            return;       /* its cell is a newer one's, which may not have been reported yet */
        c->next = number; /* it was reported as lost: report it again, and what followed */
    }
    if (cell_holds(c, number))
        return;
    c->cell[number % TRANSPORT_CC_WINDOW].number = (uint32_t)number;
    c->cell[number % TRANSPORT_CC_WINDOW].tick = (uint32_t)(at_us / TICK_US);
    c->fresh = true;
}

/* One feedback while it is made. */
struct draft {
    int64_t base;
    uint32_t reference;
    size_t n, n_deltas;
    uint8_t status[TRANSPORT_CC_BUILD_MAX];
    int16_t delta[TRANSPORT_CC_BUILD_MAX];
};

static void collect(const struct transport_cc_receiver *c, struct draft *d)
{
    uint32_t last_tick = 0;
    d->n = d->n_deltas = 0;
    for (int64_t number = d->base; number <= c->extender.newest && d->n < TRANSPORT_CC_BUILD_MAX; number++) {
        if (!cell_holds(c, number)) {
            d->status[d->n++] = NOT_RECEIVED;
            continue;
        }
        uint32_t tick = c->cell[number % TRANSPORT_CC_WINDOW].tick;
        if (d->n_deltas == 0) {
            d->reference = tick / TICKS_PER_REFERENCE;
            last_tick = d->reference * TICKS_PER_REFERENCE;
        }
        int32_t delta = (int32_t)(tick - last_tick);
        if (delta < INT16_MIN || delta > INT16_MAX)
            break; /* goes into the next feedback, with a reference of its own */
        d->status[d->n++] = delta >= 0 && delta <= 255 ? SMALL_DELTA : LARGE_DELTA;
        d->delta[d->n_deltas++] = (int16_t)delta;
        last_tick = tick;
    }
}

static size_t run_length(const struct draft *d, size_t i)
{
    size_t end = i;
    while (end < d->n && d->status[end] == d->status[i] && end - i < RUN_MAX)
        end++;
    return end - i;
}

/* Status symbols from `i` on as one vector chunk of `symbols` entries; those behind the end are "not received". */
static uint16_t vector_chunk(const struct draft *d, size_t i, size_t symbols)
{
    unsigned bits = 14 / (unsigned)symbols;
    uint16_t chunk = symbols == 7 ? 0xc000 : 0x8000;
    for (size_t k = 0; k < symbols && i + k < d->n; k++)
        chunk |= (uint16_t)(d->status[i + k] << (14 - bits * (k + 1)));
    return chunk;
}

static void write_chunks(struct writer *w, const struct draft *d)
{
    for (size_t i = 0; i < d->n;) {
        size_t run = run_length(d, i);
        if (run >= 14 || i + run == d->n) {
            write_u16(w, (uint16_t)(d->status[i] << 13 | run));
            i += run;
            continue;
        }
        bool large = false;
        for (size_t k = i; k < i + 14 && k < d->n; k++)
            large |= d->status[k] == LARGE_DELTA;
        write_u16(w, vector_chunk(d, i, large ? 7 : 14));
        i += large ? 7 : 14;
    }
}

static void write_deltas(struct writer *w, const struct draft *d)
{
    size_t k = 0;
    for (size_t i = 0; i < d->n; i++) {
        if (d->status[i] == SMALL_DELTA)
            write_u8(w, (uint8_t)d->delta[k++]);
        else if (d->status[i] == LARGE_DELTA)
            write_u16(w, (uint16_t)d->delta[k++]);
    }
}

int transport_cc_build(struct transport_cc_receiver *c, struct writer *w, uint32_t sender_ssrc, uint32_t media_ssrc)
{
    if (!c->fresh)
        return ERR_AGAIN;
    struct draft d = {.base = c->next};
    int64_t first = d.base;
    while (!cell_holds(c, first)) /* ends: the newest has arrived, or nothing would be fresh */
        first++;
    if (first - d.base > LEADING_LOSS_MAX)
        d.base = first - LEADING_LOSS_MAX;
    collect(c, &d);
    struct writer draft = *w;
    uint8_t *start = draft.at;
    write_u8(&draft, 0x80 | RTCP_TRANSPORT_CC);
    write_u8(&draft, RTCP_RTPFB);
    write_u16(&draft, 0);
    write_u32(&draft, sender_ssrc);
    write_u32(&draft, media_ssrc);
    write_u16(&draft, (uint16_t)d.base);
    write_u16(&draft, (uint16_t)d.n);
    write_u24(&draft, d.reference);
    write_u8(&draft, c->count);
    write_chunks(&draft, &d);
    write_deltas(&draft, &d);
    size_t unpadded = draft.failed ? 0 : (size_t)(draft.at - start);
    unsigned padding = (4 - unpadded % 4) % 4;
    for (unsigned i = 0; i < padding; i++)
        write_u8(&draft, i + 1 == padding ? (uint8_t)padding : 0);
    if (draft.failed)
        return ERR_FULL;
    if (padding)
        start[0] |= 0x20;
    put_u16(start + 2, (uint16_t)((unpadded + padding) / 4 - 1));
    *w = draft;
    c->count++;
    c->next = d.base + (int64_t)d.n;
    c->fresh = c->next <= c->extender.newest;
    return 0;
}

/* Symbols of one chunk into `status`, at most `left` of them. */
static size_t expand_chunk(uint16_t chunk, uint8_t *status, size_t left)
{
    size_t n;
    if (!(chunk & 0x8000)) {
        n = chunk & RUN_MAX;
        if (n > left)
            n = left;
        memset(status, chunk >> 13 & 3, n);
    } else {
        unsigned bits = chunk & 0x4000 ? 2 : 1;
        n = 14 / bits;
        if (n > left)
            n = left;
        for (size_t k = 0; k < n; k++)
            status[k] = (uint8_t)(chunk >> (14 - bits * (k + 1)) & ((1u << bits) - 1));
    }
    return n;
}

int transport_cc_parse(const struct rtcp_block *b, struct transport_cc_feedback *ret)
{
    if (b->type != RTCP_RTPFB || b->count != RTCP_TRANSPORT_CC)
        return ERR_UNSUPPORTED;
    struct reader r = reader_make(b->bytes + 4, b->len - 4);
    read_u64(&r); /* sender, media */
    uint16_t base = read_u16(&r), n = read_u16(&r);
    int64_t tick = (int64_t)read_u24(&r) * TICKS_PER_REFERENCE;
    uint8_t count = read_u8(&r);
    if (r.failed || n == 0)
        return ERR_MALFORMED;
    if (n > TRANSPORT_CC_MAX)
        return ERR_RANGE;
    uint8_t status[TRANSPORT_CC_MAX];
    for (size_t have = 0, got = 0; have < n; have += got) {
        uint16_t chunk = read_u16(&r);
        if (r.failed)
            return ERR_TRUNCATED;
        got = expand_chunk(chunk, status + have, n - have);
    }
    struct reader deltas = r; /* a first pass, so that `ret` stays untouched on failure */
    for (size_t i = 0; i < n; i++) {
        if (status[i] > LARGE_DELTA)
            return ERR_MALFORMED;
        reader_take(&deltas, status[i]);
    }
    if (deltas.failed)
        return ERR_TRUNCATED;
    ret->count = count;
    ret->n = n;
    for (size_t i = 0; i < n; i++) {
        if (status[i] == SMALL_DELTA)
            tick += read_u8(&r);
        else if (status[i] == LARGE_DELTA)
            tick += (int16_t)read_u16(&r);
        ret->packets[i] = (struct transport_cc_packet){.seq = (uint16_t)(base + i),
                                                       .received = status[i] != NOT_RECEIVED,
                                                       .arrival_us = status[i] != NOT_RECEIVED ? tick * TICK_US : 0};
    }
    return 0;
}
