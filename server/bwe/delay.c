#include "bwe/delay.h"

#include <math.h>
#include <string.h>

enum { GROUPS_MAX = 60, GAP_MAX_US = 100 * 1000 };

static const double smoothing = 0.9, gain = 4;
static const double threshold_start_ms = 12.5, threshold_min_ms = 6, threshold_max_ms = 600;
static const double k_up = 0.0087, k_down = 0.039;
static const double outlier_ms = 15; /* a trend so far above the threshold does not move it: one late burst */
static const double over_time_ms = 10;
static const double jitter_gain = 0.02; /* over some fifty packets */

void delay_init(struct delay *d)
{
    *d = (struct delay){.threshold_ms = threshold_start_ms, .over_ms = -1};
}

static double slope_of(const struct delay *d)
{
    double mean_at = 0, mean_delay = 0, above = 0, below = 0;
    for (unsigned i = 0; i < DELAY_WINDOW; i++) {
        mean_at += d->points[i].at_ms / DELAY_WINDOW;
        mean_delay += d->points[i].delay_ms / DELAY_WINDOW;
    }
    for (unsigned i = 0; i < DELAY_WINDOW; i++) {
        double at = d->points[i].at_ms - mean_at;
        above += at * (d->points[i].delay_ms - mean_delay);
        below += at * at;
    }
    return below > 0 ? above / below : d->slope;
}

/* Follows the line's own jitter: up slowly, or another flow's queue would look like ours; down faster. */
static void move_threshold(struct delay *d, double trend, int64_t arrival_us)
{
    double size = fabs(trend), k = size < d->threshold_ms ? k_down : k_up;
    if (!d->threshold_us)
        d->threshold_us = arrival_us;
    int64_t gap_us = arrival_us - d->threshold_us;
    d->threshold_us = arrival_us;
    if (size > d->threshold_ms + outlier_ms)
        return;
    d->threshold_ms += k * (size - d->threshold_ms) * (double)(gap_us < GAP_MAX_US ? gap_us : GAP_MAX_US) / 1000;
    d->threshold_ms = fmin(fmax(d->threshold_ms, threshold_min_ms), threshold_max_ms);
}

static void judge(struct delay *d, double sent_gap_ms, int64_t arrival_us)
{
    unsigned n = d->n_groups < GROUPS_MAX ? d->n_groups : GROUPS_MAX;
    double trend = n * d->slope * gain;
    if (trend > d->threshold_ms) {
        d->over_ms = d->over_ms < 0 ? sent_gap_ms / 2 : d->over_ms + sent_gap_ms;
        d->over_groups++;
        if (d->over_ms > over_time_ms && d->over_groups > 1 && trend >= d->former_trend) {
            d->over_ms = 0;
            d->over_groups = 0;
            d->signal = DELAY_GROWS;
        }
    } else {
        d->over_ms = -1;
        d->over_groups = 0;
        d->signal = trend < -d->threshold_ms ? DELAY_DRAINS : DELAY_NORMAL;
    }
    d->former_trend = trend;
    move_threshold(d, trend, arrival_us);
}

static void group_ended(struct delay *d)
{
    const struct delay_group *a = &d->former, *b = &d->current;
    double sent_gap_ms = (double)(b->last_sent_us - a->last_sent_us) / 1000;
    double arrival_gap_ms = (double)(b->last_arrival_us - a->last_arrival_us) / 1000;
    if (!d->n_groups++)
        d->first_arrival_us = b->last_arrival_us;
    d->sum_ms += arrival_gap_ms - sent_gap_ms;
    d->smoothed_ms = smoothing * d->smoothed_ms + (1 - smoothing) * d->sum_ms;
    unsigned at = d->n_points < DELAY_WINDOW ? d->n_points++ : DELAY_WINDOW - 1;
    if (at == DELAY_WINDOW - 1 && d->n_groups > DELAY_WINDOW)
        memmove(d->points, d->points + 1, sizeof d->points - sizeof d->points[0]);
    d->points[at].at_ms = (double)(b->last_arrival_us - d->first_arrival_us) / 1000;
    d->points[at].delay_ms = d->smoothed_ms;
    if (d->n_points == DELAY_WINDOW)
        d->slope = slope_of(d);
    judge(d, sent_gap_ms, b->last_arrival_us);
}

/* The shortest travel of this and the former window; *since is when this one began. */
static void note_shortest(int64_t shortest_us[2], int64_t *since_us, int64_t window_us, bool first, int64_t travel_us,
                          int64_t now_us)
{
    if (first || now_us - *since_us > window_us) {
        shortest_us[1] = first ? travel_us : shortest_us[0];
        shortest_us[0] = travel_us;
        *since_us = now_us;
    }
    if (travel_us < shortest_us[0])
        shortest_us[0] = travel_us;
}

static int64_t shorter(const int64_t us[2])
{
    return us[0] < us[1] ? us[0] : us[1];
}

/* Jitter makes some packets late, a queue all of them: the shortest travel of a moment tells them apart. */
static void note_queue(struct delay *d, int64_t travel_us, int64_t now_us)
{
    bool first = !d->has_base;
    d->has_base = true;
    note_shortest(d->base_us, &d->base_since_us, DELAY_BASE_US, first, travel_us, now_us);
    note_shortest(d->recent_us, &d->recent_since_us, DELAY_RECENT_US, first, travel_us, now_us);
    d->queue_us = shorter(d->recent_us) - shorter(d->base_us);
    d->jitter_us += jitter_gain * ((double)(travel_us - shorter(d->recent_us)) - d->jitter_us);
}

/* A burst that queued somewhere and came out at once belongs together although it left over more than 5 ms. */
static bool belongs(const struct delay_group *g, int64_t sent_us, int64_t arrival_us)
{
    if (sent_us - g->first_sent_us <= DELAY_GROUP_US)
        return true;
    int64_t arrival_gap = arrival_us - g->last_arrival_us;
    return arrival_gap - (sent_us - g->last_sent_us) < 0 && arrival_gap <= DELAY_GROUP_US;
}

void delay_packet(struct delay *d, int64_t sent_us, int64_t arrival_us, int64_t now_us)
{
    struct delay_group *g = &d->current;
    if (g->used && sent_us - g->last_sent_us > DELAY_STALE_US) {
        double threshold_ms = d->threshold_ms;
        delay_init(d);
        d->threshold_ms = threshold_ms;
    }
    note_queue(d, arrival_us - sent_us, now_us);
    if (!g->used) {
        *g = (struct delay_group){sent_us, sent_us, arrival_us, true};
        return;
    }
    if (sent_us < g->first_sent_us)
        return; /* of a group that is over */
    if (belongs(g, sent_us, arrival_us)) {
        if (sent_us > g->last_sent_us)
            g->last_sent_us = sent_us;
        if (arrival_us > g->last_arrival_us)
            g->last_arrival_us = arrival_us;
        return;
    }
    if (d->former.used)
        group_ended(d);
    d->former = *g;
    *g = (struct delay_group){sent_us, sent_us, arrival_us, true};
}
