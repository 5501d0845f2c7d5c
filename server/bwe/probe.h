/* Probe: is there more than we use? A cluster of packets leaves at a higher rate for a moment; how fast it arrives is what
 * the line holds. The caller sends the cluster's bytes (media first, then padding on RTX), each packet after its own
 * length's time at the cluster's rate, and marks them with its id.
 *
 * When: at the beginning at three and six times the start rate, then twice the result while it pays; later whenever more is
 * wanted than is estimated, the sooner the better the former one went (2 s, at most 20 s: nothing blocks a line for good).
 *
 * Pure. Thread: one. Times in µs, rates in bit/s. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    PROBE_US = 25 * 1000,       /* length of a cluster on a steady line: five turns of the pacer … */
    PROBE_LONG_US = 100 * 1000, /* … and at most, on one with jitter: its ends must not decide */
    PROBE_JITTERS = 3,
    PROBE_PACKETS_MIN = 5,
    PROBE_EVERY_US = 2 * 1000 * 1000,
    PROBE_RARELY_US = 20 * 1000 * 1000,
    PROBE_RESULT_US = 1000 * 1000, /* later than this after its last packet nothing more comes */
};

struct probe_cluster {
    uint8_t id; /* 1 … 255 */
    uint32_t bps, bytes;
};

struct probe {
    struct probe_cluster cluster;                      /* the one under way; id 0: none */
    uint32_t sent_packets, sent_bytes, packets, bytes; /* of it; the latter have arrived */
    int64_t first_sent_us, last_sent_us, first_arrival_us, last_arrival_us;
    uint32_t first_bytes;
    uint8_t next_id;
    bool begun, climbing; /* climbing: the first ones, or the last result was as high as it could be */
    uint32_t next_bps;    /* what the next cluster tries while climbing */
    int64_t due_us, pause_us;
};

void probe_init(struct probe *p, uint32_t start_bps);
/* Should a cluster be sent now? `estimate_bps`: what is known; `want_bps`: what could be used. True: `ret` holds it until
 * probe_sent() has seen its bytes. */
bool probe_begin(struct probe *p, uint32_t estimate_bps, uint32_t want_bps, int64_t jitter_us, int64_t now_us,
                 struct probe_cluster *ret);
/* A packet of the cluster left; true when the cluster is whole. */
bool probe_sent(struct probe *p, uint8_t id, uint32_t bytes, int64_t now_us);
/* Feedback about a packet of a cluster. */
void probe_arrived(struct probe *p, uint8_t id, uint32_t bytes, int64_t sent_us, int64_t arrival_us);
/* The result of the cluster when there is one, bit/s; 0: none (yet). `crowded`: a queue was seen meanwhile. */
uint32_t probe_result(struct probe *p, bool crowded, int64_t now_us);
/* The estimate has fallen from `before_bps`: the line is tried again before long. */
void probe_after_drop(struct probe *p, uint32_t before_bps, int64_t now_us);
/* The next cluster leaves by then at the latest, however the former ones went. */
void probe_by(struct probe *p, int64_t at_us);
/* The line is back: what was under way is over, the next cluster leaves in a moment. */
void probe_soon(struct probe *p, int64_t now_us);
