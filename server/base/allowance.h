/* An allowance: `at_once` acts in a row, then one every `every_us` (the generic cell rate algorithm). What a peer may make
 * us do has one, so that whoever does too much is slowed down alone.
 *
 * All zero is a full one. Rate and burst are the caller's constants, so that it is one number. Invariant: until_us is never
 * more than at_once × every_us ahead of the newest `now_us`. Pure. Times in µs. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct allowance {
    int64_t until_us; /* up to when what has been taken lasts */
};

/* An act that is worth `cost_us` of it, of which at most `most_us` are spent ahead. False: so much is not left. */
static inline bool allowance_spend(struct allowance *a, int64_t cost_us, int64_t most_us, int64_t now_us)
{
    int64_t from_us = a->until_us > now_us ? a->until_us : now_us;
    if (from_us + cost_us - now_us > most_us)
        return false;
    a->until_us = from_us + cost_us;
    return true;
}

/* False: none is left. */
static inline bool allowance_take(struct allowance *a, unsigned at_once, int64_t every_us, int64_t now_us)
{
    return allowance_spend(a, every_us, (int64_t)at_once * every_us, now_us);
}
