/* Access: a model of one direction of an access line: rate, queue, delay, jitter, loss alone and in bursts, duplicates,
 * reordering. Pure: time and the seed are parameters, so a run repeats. The unit tests of server/bwe and the program that
 * impairs a real TUN device (impair.c) use the same one.
 *
 * A packet waits behind what is queued (drop-tail), takes its time at the line's rate, then the delay. Delivery keeps the
 * order in spite of jitter, except for packets that are reordered on purpose.
 *
 * Times in µs, rates in bit/s, chances in parts per million. Thread: one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct access_config {
    uint32_t rate_bps;  /* 0: no limit */
    uint32_t queue_us;  /* what the queue holds at that rate; more is dropped */
    uint32_t delay_us;  /* one way */
    uint32_t jitter_us; /* each packet is later by 0 … jitter */
    uint32_t loss_ppm;  /* of a packet, alone */
    uint32_t burst_ppm; /* that a burst begins with this packet */
    uint32_t burst_us;  /* its length; half of its packets are lost */
    uint32_t duplicate_ppm;
    uint32_t reorder_ppm; /* that a packet is later by reorder_us, others overtake it */
    uint32_t reorder_us;
    bool down; /* nothing passes */
};

struct access_stats {
    uint64_t offered, delivered_bytes, lost, dropped; /* lost: chance; dropped: the queue was full, or the line down */
};

struct access {
    struct access_config config;
    struct access_stats stats;
    uint64_t random;
    int64_t free_us; /* when the last packet of the queue has left */
    int64_t burst_until_us, newest_out_us;
};

void access_init(struct access *l, const struct access_config *config, uint64_t seed);
/* Another rate, delay, loss from now on; what is under way keeps its times. */
void access_change(struct access *l, const struct access_config *config);
/* A packet of `bytes` (with its IP header) comes. Returns how many copies are delivered, 0 … 2, and when. */
unsigned access_offer(struct access *l, size_t bytes, int64_t now_us, int64_t ret_at_us[2]);
/* How long a packet that comes now waits before it is sent. */
int64_t access_waiting_us(const struct access *l, int64_t now_us);

/* The lines of docs/lines.md by letter, 'A' … 'G', both directions alike except G. False: none of that name. */
bool access_profile(char letter, bool up, struct access_config *ret);
