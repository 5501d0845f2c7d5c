/* Sequence numbers that wrap (RFC 1982 arithmetic) and their 64-bit extension (RFC 3550, A.1). Pure. Thread: any. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* How far `a` is ahead of `b`: −32768 … 32767. */
static inline int16_t seq_diff(uint16_t a, uint16_t b)
{
    return (int16_t)(uint16_t)(a - b);
}

static inline bool seq_newer(uint16_t a, uint16_t b)
{
    return seq_diff(a, b) > 0;
}

/* How far timestamp `a` is ahead of `b`, in clock ticks. */
static inline int32_t ts_diff(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b);
}

/* Extends a 16-bit number; the extension starts at one cycle so that a late packet before the first stays positive. */
struct seq_extender {
    int64_t newest; /* the newest extended number */
    bool started;
};

static inline int64_t seq_extend(struct seq_extender *x, uint16_t seq)
{
    if (!x->started) {
        x->started = true;
        x->newest = 0x10000 + seq;
        return x->newest;
    }
    int64_t extended = x->newest + seq_diff(seq, (uint16_t)x->newest);
    if (extended > x->newest)
        x->newest = extended;
    return extended;
}

/* The same for 32-bit RTP timestamps. */
struct ts_extender {
    int64_t newest;
    bool started;
};

static inline int64_t ts_extend(struct ts_extender *x, uint32_t ts)
{
    if (!x->started) {
        x->started = true;
        x->newest = 0x100000000LL + ts;
        return x->newest;
    }
    int64_t extended = x->newest + ts_diff(ts, (uint32_t)x->newest);
    if (extended > x->newest)
        x->newest = extended;
    return extended;
}
