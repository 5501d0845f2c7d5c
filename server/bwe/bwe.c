#include "bwe/bwe.h"

#include <math.h>
#include <string.h>

enum {
    RATE_BINS_SHORT = 8,
    RTT_DEFAULT_US = 100 * 1000,
    RESPONSE_US = 100 * 1000, /* beyond the round trip: until a change of rate shows */
    PACKET_BITS = 1200 * 8,
    QUEUE_HIGH_US = 90 * 1000,  /* a queue that stands so long is too long, whatever its slope */
    QUEUE_QUIET_US = 25 * 1000, /* below: the line is not full */
    QUEUE_SURE_US = 12 * 1000,  /* a slope without so much of a queue is jitter */
    LOSS_WINDOW_US = 400 * 1000,
    LOSS_WINDOW_PACKETS = 40,
    SILENT_US = 1000 * 1000, /* no feedback for so long */
    SILENT_STEP_US = 500 * 1000,
    REMB_STALE_US = 5 * 1000 * 1000,
};

static const double fall = 0.85; /* of the acknowledged rate */
static const double grow_a_second = 1.08;
static const double ahead = 1.5, ahead_bps = 10000; /* of the acknowledged rate */
static const double near_deviations = 3, deviation_start = 0.1, deviation_max = 0.3;
static const double loss_low = 0.02, loss_high = 0.10;
static const double own_loss_max = 0.15, own_loss_believed = 0.3; /* more is an outage or a burst */
static const double silent_factor = 0.7;

void bwe_init(struct bwe *b, const struct bwe_config *config)
{
    *b = (struct bwe){
        .config = *config,
        .rtt_us = RTT_DEFAULT_US,
        .delay_bps = config->start_bps,
        .loss_bps = config->max_bps,
        .grows = true,
        .capacity_deviation = deviation_start,
        .want_bps = config->max_bps,
    };
    delay_init(&b->delay);
    probe_init(&b->probe, config->start_bps);
}

void bwe_want(struct bwe *b, uint32_t want_bps)
{
    b->want_bps = want_bps;
}

void bwe_rtt(struct bwe *b, int64_t rtt_us)
{
    if (rtt_us > 0)
        b->rtt_us = rtt_us;
}

/* ---- acknowledged rate ---- */

/* The receiver's clock may be anything, before zero too. */
static size_t cell_of(int64_t bin)
{
    int64_t cell = bin % BWE_RATE_BINS;
    return (size_t)(cell < 0 ? cell + BWE_RATE_BINS : cell);
}

static void rate_add(struct bwe_rate *r, int64_t arrival_us, uint32_t bytes)
{
    int64_t bin = arrival_us / BWE_RATE_BIN_US;
    if (!r->started || bin - r->bin > 4 * BWE_RATE_BINS)
        *r = (struct bwe_rate){.started = true, .bin = bin, .first_us = arrival_us};
    for (; r->bin < bin; r->bin++)
        r->bytes[cell_of(r->bin + 1)] = 0;
    if (r->bin - bin < BWE_RATE_BINS)
        r->bytes[cell_of(bin)] += bytes;
}

/* Over the newest `bins` but one, which is not over. 0: not long enough yet. */
static uint32_t rate_over(const struct bwe_rate *r, int64_t bins)
{
    int64_t there = r->started ? r->bin - r->first_us / BWE_RATE_BIN_US : 0;
    uint64_t bytes = 0;
    if (bins > there)
        bins = there;
    if (bins < RATE_BINS_SHORT / 2)
        return 0;
    for (int64_t i = 1; i <= bins; i++)
        bytes += r->bytes[cell_of(r->bin - i)];
    return (uint32_t)(bytes * 8000000 / (uint64_t)(bins * BWE_RATE_BIN_US));
}

uint32_t bwe_acked_bps(const struct bwe *b)
{
    return rate_over(&b->acked, BWE_RATE_BINS - 1);
}

/* What the line has just carried: where a queue is, that is what it holds, also when less was sent before. */
static double carried_bps(const struct bwe *b)
{
    return fmax(bwe_acked_bps(b), rate_over(&b->acked, RATE_BINS_SHORT));
}

/* ---- delay ---- */

static double bounded(const struct bwe *b, double bps)
{
    return fmin(fmax(bps, b->config.min_bps), b->config.max_bps);
}

static void note_capacity(struct bwe *b, double acked)
{
    if (b->capacity_bps <= 0 || fabs(acked - b->capacity_bps) > near_deviations * b->capacity_deviation * b->capacity_bps) {
        b->capacity_bps = acked;
        b->capacity_deviation = deviation_start;
        return;
    }
    double off = fabs(acked - b->capacity_bps) / b->capacity_bps;
    b->capacity_bps += 0.05 * (acked - b->capacity_bps);
    b->capacity_deviation = fmin(fmax(b->capacity_deviation + 0.05 * (off - b->capacity_deviation), 0.03), deviation_max);
}

static void fall_by_delay(struct bwe *b, double acked, int64_t now_us)
{
    if (now_us - b->fallen_us < b->rtt_us + RESPONSE_US)
        return; /* the former fall does not show yet */
    double to = fall * (acked > 0 ? acked : b->delay_bps);
    b->fallen_us = now_us;
    b->grows = false;
    if (acked > 0)
        note_capacity(b, acked);
    if (to >= b->delay_bps)
        return;
    if (to < 0.66 * b->delay_bps)
        probe_after_drop(&b->probe, (uint32_t)(0.85 * b->delay_bps), now_us);
    b->delay_bps = bounded(b, to);
}

static void grow_by_delay(struct bwe *b, double acked, int64_t now_us)
{
    double seconds = b->grown_us ? fmin((double)(now_us - b->grown_us) / 1e6, 1) : 0;
    double bps = b->delay_bps;
    bool near =
        b->capacity_bps > 0 && fabs(bps - b->capacity_bps) < near_deviations * b->capacity_deviation * b->capacity_bps;
    if (b->capacity_bps > 0 && bps > b->capacity_bps * (1 + near_deviations * b->capacity_deviation))
        b->capacity_bps = 0; /* the line holds more than it did */
    if (near)
        bps += seconds * fmax(4000, PACKET_BITS * 1e6 / (double)(b->rtt_us + RESPONSE_US));
    else
        bps *= pow(grow_a_second, seconds);
    double limit = acked > 0 ? ahead * acked + ahead_bps : bps;
    b->delay_bps = bounded(b, fmax(b->delay_bps, fmin(bps, limit)));
}

static void follow_delay(struct bwe *b, int64_t now_us)
{
    bool grows = (b->delay.signal == DELAY_GROWS && b->delay.queue_us > QUEUE_SURE_US) ||
                 (b->delay.queue_us > QUEUE_HIGH_US && b->delay.signal != DELAY_DRAINS);
    if (grows)
        fall_by_delay(b, carried_bps(b), now_us);
    else if (b->delay.signal != DELAY_DRAINS && b->delay.queue_us < QUEUE_HIGH_US / 2 && b->grows)
        grow_by_delay(b, bwe_acked_bps(b), now_us);
    else if (b->delay.signal != DELAY_DRAINS)
        b->grows = true;
    b->grown_us = now_us;
}

/* ---- loss ---- */

static void follow_loss(struct bwe *b, int64_t now_us)
{
    if (now_us - b->window_us < LOSS_WINDOW_US || b->window_packets < LOSS_WINDOW_PACKETS)
        return;
    double loss = (double)b->window_lost / b->window_packets;
    double seconds = fmin((double)(now_us - b->window_us) / 1e6, 2);
    /* Loss that stays when less is sent than shortly before, and nothing queues, is the line's own. */
    double acked = bwe_acked_bps(b);
    bool quiet = b->delay.queue_us < QUEUE_QUIET_US && acked < 0.97 * b->peak_bps;
    b->peak_bps = fmax(0.99 * b->peak_bps, acked);
    b->window_us = now_us;
    b->window_packets = b->window_lost = 0;
    b->loss = loss;
    if (quiet && loss < own_loss_believed)
        b->own_loss = fmin(own_loss_max, b->own_loss + (loss < b->own_loss ? 0.3 : 0.15) * (loss - b->own_loss));
    double excess = loss - b->own_loss;
    if (excess > loss_high && now_us - b->loss_fallen_us > b->rtt_us + 3 * RESPONSE_US) {
        b->loss_bps = bounded(b, fmin(b->delay_bps, b->loss_bps) * (1 - excess / 2));
        b->loss_fallen_us = now_us;
    } else if (excess < loss_low) {
        b->loss_bps = bounded(b, fmin(b->loss_bps * pow(grow_a_second, seconds), fmax(b->loss_bps, ahead * b->delay_bps)));
    }
}

/* ---- in and out ---- */

void bwe_feedback(struct bwe *b, const struct bwe_packet *packets, size_t n, int64_t now_us)
{
    if (b->feedback_us && now_us - b->feedback_us > SILENT_US)
        probe_soon(&b->probe, now_us);
    b->feedback_us = now_us;
    for (size_t i = 0; i < n; i++) {
        const struct bwe_packet *p = &packets[i];
        b->window_packets++;
        if (!p->received) {
            b->window_lost++;
            continue;
        }
        delay_packet(&b->delay, p->sent_us, p->arrival_us, now_us);
        rate_add(&b->acked, p->arrival_us, p->bytes);
        probe_arrived(&b->probe, p->probe, p->bytes, p->sent_us, p->arrival_us);
    }
    follow_delay(b, now_us);
    follow_loss(b, now_us);
    bool crowded = b->delay.signal == DELAY_GROWS && b->delay.queue_us > QUEUE_HIGH_US / 2;
    double result = probe_result(&b->probe, crowded, now_us);
    if (result > b->delay_bps && !crowded) {
        b->delay_bps = bounded(b, result);
        if (b->loss - b->own_loss < loss_high)
            b->loss_bps = fmax(b->loss_bps, b->delay_bps);
    }
}

void bwe_remb(struct bwe *b, uint64_t bps, int64_t now_us)
{
    b->remb_bps = fmin(fmax((double)bps, b->config.min_bps), b->config.max_bps);
    b->remb_us = now_us;
    if (!b->feedback_us) /* its own estimate is all there is */
        b->delay_bps = b->remb_bps;
}

void bwe_tick(struct bwe *b, bool waiting, int64_t now_us)
{
    if (b->remb_bps > 0 && now_us - b->remb_us > REMB_STALE_US)
        b->remb_bps = 0;
    probe_result(&b->probe, true, now_us);
    if (!waiting || !b->feedback_us || now_us - b->feedback_us < SILENT_US || now_us - b->fallen_us < SILENT_STEP_US)
        return;
    if (b->delay_bps > b->config.min_bps)
        probe_after_drop(&b->probe, (uint32_t)b->delay_bps, now_us);
    b->delay_bps = bounded(b, silent_factor * b->delay_bps);
    b->fallen_us = now_us;
}

uint32_t bwe_target_bps(const struct bwe *b)
{
    double bps = fmin(b->delay_bps, b->loss_bps);
    if (b->remb_bps > 0)
        bps = fmin(bps, b->remb_bps);
    return (uint32_t)bps;
}

bool bwe_probe(struct bwe *b, int64_t now_us, struct probe_cluster *ret)
{
    if (b->feedback_us && b->delay.queue_us > QUEUE_QUIET_US)
        return false;
    return probe_begin(&b->probe, bwe_target_bps(b), b->want_bps, (int64_t)b->delay.jitter_us, now_us, ret);
}
