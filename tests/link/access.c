#include "access.h"

#include <string.h>

enum { MILLION = 1000000 };

static uint32_t chance(struct access *l)
{
    l->random ^= l->random << 13;
    l->random ^= l->random >> 7;
    l->random ^= l->random << 17;
    return (uint32_t)((l->random >> 16) % MILLION);
}

void access_init(struct access *l, const struct access_config *config, uint64_t seed)
{
    *l = (struct access){.config = *config, .random = seed * 0x9e3779b97f4a7c15u | 1};
    for (int i = 0; i < 8; i++)
        chance(l);
}

void access_change(struct access *l, const struct access_config *config)
{
    l->config = *config;
}

int64_t access_waiting_us(const struct access *l, int64_t now_us)
{
    return l->free_us > now_us ? l->free_us - now_us : 0;
}

/* Lost on the way, alone or in a burst. A burst is a time, so that a thin stream loses as long as a thick one. */
static bool loses(struct access *l, int64_t now_us)
{
    const struct access_config *c = &l->config;
    if (c->burst_ppm && chance(l) < c->burst_ppm)
        l->burst_until_us = now_us + c->burst_us;
    if (now_us < l->burst_until_us && chance(l) < MILLION / 2)
        return true;
    return c->loss_ppm && chance(l) < c->loss_ppm;
}

static int64_t delivered_at(struct access *l, int64_t sent_us)
{
    const struct access_config *c = &l->config;
    int64_t at = sent_us + c->delay_us;
    if (c->jitter_us)
        at += (int64_t)c->jitter_us * chance(l) / MILLION;
    if (c->reorder_ppm && chance(l) < c->reorder_ppm)
        return at + c->reorder_us;
    if (at < l->newest_out_us)
        at = l->newest_out_us;
    l->newest_out_us = at;
    return at;
}

unsigned access_offer(struct access *l, size_t bytes, int64_t now_us, int64_t ret_at_us[2])
{
    const struct access_config *c = &l->config;
    l->stats.offered++;
    if (c->down || (c->rate_bps && access_waiting_us(l, now_us) > c->queue_us)) {
        l->stats.dropped++;
        return 0;
    }
    int64_t begin = l->free_us > now_us ? l->free_us : now_us;
    l->free_us = begin + (c->rate_bps ? (int64_t)bytes * 8 * MILLION / c->rate_bps : 0);
    if (loses(l, now_us)) {
        l->stats.lost++;
        return 0;
    }
    ret_at_us[0] = delivered_at(l, l->free_us);
    l->stats.delivered_bytes += bytes;
    if (!c->duplicate_ppm || chance(l) >= c->duplicate_ppm)
        return 1;
    ret_at_us[1] = ret_at_us[0];
    return 2;
}

bool access_profile(char letter, bool up, struct access_config *ret)
{
    /* Round trip and jitter are split over both directions. Queues of 250 ms: what a router of such a line holds. */
    static const struct {
        char letter;
        struct access_config config;
    } profiles[] = {
        {'A', {.rate_bps = 10000000, .queue_us = 250000, .delay_us = 5000}},
        {'B', {.rate_bps = 4000000, .queue_us = 250000, .delay_us = 10000, .loss_ppm = 5000}},
        {'C', {.rate_bps = 2000000, .queue_us = 250000, .delay_us = 15000, .jitter_us = 10000, .loss_ppm = 10000}},
        {'D', {.rate_bps = 1000000, .queue_us = 250000, .delay_us = 25000, .jitter_us = 30000, .loss_ppm = 30000}},
        {'E', {.rate_bps = 512000, .queue_us = 250000, .delay_us = 35000, .jitter_us = 50000, .loss_ppm = 50000}},
        {'F', {.rate_bps = 256000, .queue_us = 250000, .delay_us = 75000, .loss_ppm = 100000}},
        {'G',
         {.rate_bps = 5000000,
          .queue_us = 400000,
          .delay_us = 30000,
          .jitter_us = 45000,
          .burst_ppm = 400,
          .burst_us = 100000}},
    };
    for (size_t i = 0; i < sizeof profiles / sizeof *profiles; i++) {
        if (profiles[i].letter != letter)
            continue;
        *ret = profiles[i].config;
        if (letter == 'G' && up)
            ret->rate_bps = 1000000;
        return true;
    }
    return false;
}
