#include "sim/latency.h"

#include <stdlib.h>
#include <string.h>

enum {
    KEYS = 8192,   /* packets remembered: a loop of the clip is shorter than that at most rates, newest wins */
    STEP_US = 20,  /* of the histogram */
    STEPS = 50000, /* to one second */
    HASHED = 32,   /* bytes at both ends of the media that name a packet */
    TOO_OLD_US = 1000000,
};

struct latency {
    struct {
        uint64_t key;
        int64_t at_us;
    } sent[KEYS];
    uint32_t histogram[STEPS];
    uint64_t count;
};

struct latency *latency_new(void)
{
    return calloc(1, sizeof(struct latency));
}

void latency_free(struct latency *l)
{
    free(l);
}

static uint64_t key_of(const uint8_t *media, size_t len)
{
    uint64_t h = 14695981039346656037u ^ len; /* FNV-1a */
    size_t head = len < HASHED ? len : HASHED;
    for (size_t i = 0; i < head; i++)
        h = (h ^ media[i]) * 1099511628211u;
    for (size_t i = len - head; i < len; i++)
        h = (h ^ media[i]) * 1099511628211u;
    return h ? h : 1;
}

void latency_sent(void *latency, const uint8_t *media, size_t len, int64_t now_us)
{
    struct latency *l = latency;
    uint64_t key = key_of(media, len);
    l->sent[key % KEYS].key = key;
    l->sent[key % KEYS].at_us = now_us;
}

void latency_received(void *latency, const uint8_t *media, size_t len, int64_t arrival_us)
{
    struct latency *l = latency;
    uint64_t key = key_of(media, len);
    int64_t took = arrival_us - l->sent[key % KEYS].at_us;
    if (l->sent[key % KEYS].key != key || took < 0 || took > TOO_OLD_US)
        return;
    size_t step = (size_t)took / STEP_US;
    l->histogram[step < STEPS ? step : STEPS - 1]++;
    l->count++;
}

int64_t latency_percentile(const struct latency *l, double percent)
{
    uint64_t wanted = (uint64_t)((double)l->count * percent / 100), seen = 0;
    if (!l->count)
        return -1;
    for (size_t i = 0; i < STEPS; i++) {
        seen += l->histogram[i];
        if (seen > wanted)
            return (int64_t)(i * STEP_US + STEP_US / 2);
    }
    return STEPS * STEP_US;
}

uint64_t latency_count(const struct latency *l)
{
    return l->count;
}

void latency_reset(struct latency *l)
{
    memset(l->histogram, 0, sizeof l->histogram);
    l->count = 0;
}
