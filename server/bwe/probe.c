#include "bwe/probe.h"

#include <string.h>

enum { FIRST_FACTOR = 3, CLIMB_FACTOR = 2, AFTER_DROP_US = 3 * 1000 * 1000, SOON_US = 300 * 1000 };

static const double arrived_enough = 0.8;          /* of a cluster's packets and bytes */
static const double slower = 0.9, cautious = 0.95; /* arrives so much slower than sent: this is the line's own rate */
static const double pays = 0.7;

void probe_init(struct probe *p, uint32_t start_bps)
{
    *p = (struct probe){.next_id = 1, .climbing = true, .next_bps = FIRST_FACTOR * start_bps, .pause_us = PROBE_EVERY_US};
}

static uint32_t at_most(uint64_t bps, uint32_t limit)
{
    return bps < limit ? (uint32_t)bps : limit;
}

static uint32_t bytes_for(uint32_t bps, int64_t jitter_us)
{
    int64_t us = PROBE_US + PROBE_JITTERS * jitter_us;
    us = us < PROBE_LONG_US ? us : PROBE_LONG_US;
    return (uint32_t)((uint64_t)bps * (uint64_t)us / 8000000);
}

bool probe_begin(struct probe *p, uint32_t estimate_bps, uint32_t want_bps, int64_t jitter_us, int64_t now_us,
                 struct probe_cluster *ret)
{
    if (p->cluster.id || now_us < p->due_us || want_bps <= estimate_bps)
        return false;
    /* A little above what is wanted: a result of exactly that would be called too little at the next look. */
    uint32_t ceiling = at_most((uint64_t)want_bps * 5 / 4, UINT32_MAX);
    uint32_t bps = p->climbing ? p->next_bps : at_most((uint64_t)estimate_bps * 3 / 2, UINT32_MAX);
    bps = at_most(bps, ceiling);
    if (bps <= estimate_bps) {
        p->climbing = false;
        return false;
    }
    p->cluster = (struct probe_cluster){.id = p->next_id, .bps = bps, .bytes = bytes_for(bps, jitter_us)};
    p->next_id = p->next_id == UINT8_MAX ? 1 : (uint8_t)(p->next_id + 1);
    p->sent_packets = p->sent_bytes = p->packets = p->bytes = 0;
    p->begun = false;
    p->last_sent_us = now_us;
    *ret = p->cluster;
    return true;
}

bool probe_sent(struct probe *p, uint8_t id, uint32_t bytes, int64_t now_us)
{
    if (!id || id != p->cluster.id)
        return true;
    p->sent_packets++;
    p->sent_bytes += bytes;
    p->last_sent_us = now_us;
    return p->sent_bytes >= p->cluster.bytes && p->sent_packets >= PROBE_PACKETS_MIN;
}

void probe_arrived(struct probe *p, uint8_t id, uint32_t bytes, int64_t sent_us, int64_t arrival_us)
{
    if (!id || id != p->cluster.id)
        return;
    if (!p->begun) {
        p->begun = true;
        p->first_sent_us = sent_us;
        p->first_arrival_us = p->last_arrival_us = arrival_us;
        p->first_bytes = bytes;
    }
    p->packets++;
    p->bytes += bytes;
    if (arrival_us > p->last_arrival_us)
        p->last_arrival_us = arrival_us;
}

static void over(struct probe *p, bool paid, uint32_t result_bps, int64_t now_us)
{
    p->cluster.id = 0;
    p->climbing = paid;
    p->next_bps = at_most((uint64_t)result_bps * CLIMB_FACTOR, UINT32_MAX);
    if (paid) {
        p->pause_us = PROBE_EVERY_US;
        p->due_us = now_us;
        return;
    }
    p->due_us = now_us + p->pause_us;
    p->pause_us = p->pause_us * 2 < PROBE_RARELY_US ? p->pause_us * 2 : PROBE_RARELY_US;
}

uint32_t probe_result(struct probe *p, bool crowded, int64_t now_us)
{
    if (!p->cluster.id)
        return 0;
    bool enough = p->sent_bytes >= p->cluster.bytes && p->packets >= PROBE_PACKETS_MIN * arrived_enough &&
                  p->packets >= p->sent_packets * arrived_enough;
    if (!enough) {
        if (now_us - p->last_sent_us > PROBE_RESULT_US)
            over(p, false, 0, now_us);
        return 0;
    }
    int64_t sent_us = p->last_sent_us - p->first_sent_us, arrival_us = p->last_arrival_us - p->first_arrival_us;
    if (sent_us <= 0 || arrival_us <= 0) {
        over(p, false, 0, now_us);
        return 0;
    }
    double sent = (double)(p->sent_bytes - p->first_bytes) * 8e6 / (double)sent_us;
    double arrived = (double)(p->bytes - p->first_bytes) * 8e6 / (double)arrival_us;
    sent = sent < p->cluster.bps ? sent : p->cluster.bps; /* a turn's packets leave together, which is faster than meant */
    double result = arrived < slower * sent ? cautious * arrived : arrived < sent ? arrived : sent;
    uint32_t bps = p->cluster.bps;
    over(p, !crowded && result >= pays * bps, (uint32_t)result, now_us);
    return (uint32_t)result;
}

void probe_after_drop(struct probe *p, uint32_t before_bps, int64_t now_us)
{
    p->climbing = true;
    p->next_bps = before_bps;
    if (p->due_us < now_us + AFTER_DROP_US)
        p->due_us = now_us + AFTER_DROP_US;
}

void probe_by(struct probe *p, int64_t at_us)
{
    if (p->due_us > at_us)
        p->due_us = at_us;
}

void probe_soon(struct probe *p, int64_t now_us)
{
    p->cluster.id = 0;
    p->due_us = now_us + SOON_US;
}
