/* A token bucket: `rate` tokens a second, at most `burst`. Pure; time is a parameter. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct bucket {
    double rate, burst, tokens;
    int64_t at_us;
};

static inline void bucket_init(struct bucket *b, double rate, double burst, int64_t now_us)
{
    *b = (struct bucket){.rate = rate, .burst = burst, .tokens = burst, .at_us = now_us};
}

/* False: none is left. */
static inline bool bucket_take(struct bucket *b, int64_t now_us)
{
    if (now_us > b->at_us) {
        b->tokens += b->rate * (double)(now_us - b->at_us) / 1e6;
        if (b->tokens > b->burst)
            b->tokens = b->burst;
        b->at_us = now_us;
    }
    if (b->tokens < 1)
        return false;
    b->tokens -= 1;
    return true;
}
