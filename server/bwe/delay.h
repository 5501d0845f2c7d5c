/* Delay: is a queue building up on the line? From when packets left and when they arrived.
 *
 * Packets that left together (5 ms) are a group; between groups, how much longer the second travelled than the first is
 * summed up, smoothed, and a line is laid through the newest twenty sums: its slope against a threshold that follows the
 * line's own jitter says whether the queue grows, drains or stays (Carlucci et al., "Analysis and design of the Google
 * congestion control", 2016, section 4; draft-ietf-rmcat-gcc-02).
 *
 * Beside the slope, the queue itself: the shortest travel of the last moment against that of the last ten to twenty seconds.
 * A queue that stands does not grow, and delays everybody all the same.
 *
 * Pure. Thread: one. Times in µs; the receiver's clock may be any, only differences count. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    DELAY_GROUP_US = 5 * 1000,
    DELAY_WINDOW = 20,                /* groups */
    DELAY_BASE_US = 10 * 1000 * 1000, /* the shortest travel is remembered for one to two of these */
    DELAY_RECENT_US = 150 * 1000,
    DELAY_STALE_US = 3 * 1000 * 1000, /* no packet for so long: begins anew */
};

enum delay_signal { DELAY_NORMAL, DELAY_DRAINS, DELAY_GROWS };

struct delay_group {
    int64_t first_sent_us, last_sent_us, last_arrival_us;
    bool used;
};

struct delay {
    struct delay_group current, former;
    double sum_ms, smoothed_ms;
    struct {
        double at_ms, delay_ms;
    } points[DELAY_WINDOW];
    unsigned n_points, n_groups;
    int64_t first_arrival_us;
    double threshold_ms, slope, former_trend;
    int64_t threshold_us; /* when it was last moved; 0: never */
    double over_ms;       /* for how long the trend has been above it, −1: not */
    unsigned over_groups;
    enum delay_signal signal;
    bool has_base;
    int64_t base_us[2], recent_us[2]; /* shortest travel of this and the former long and short window */
    int64_t base_since_us, recent_since_us;
    int64_t queue_us; /* what stands on the line now */
    double jitter_us; /* by how much packets are later than the shortest travel of their moment, on average */
};

void delay_init(struct delay *d);
/* A packet that arrived; in the order of sending. */
void delay_packet(struct delay *d, int64_t sent_us, int64_t arrival_us, int64_t now_us);
