/* Bandwidth estimate for one subscriber, from what its transport-wide feedback says about the packets that we sent it.
 *
 *   target = min(delay controller, loss controller, REMB)
 *
 * Delay controller: grows while no queue is seen (8 % a second far from the line's known capacity, a packet a round trip
 * near it), falls to 0.85 of the acknowledged rate when one builds up, never above 1.5 × acknowledged + 10 kbit/s by itself:
 * what is not sent can't be known, probes (probe.h) find out. Loss controller: falls by half of the loss beyond 10 %, grows
 * below 2 %; a line's own loss, seen while its queue is empty, is not counted (a radio line loses 5 % at any rate).
 *
 * draft-ietf-rmcat-gcc-02; constants beside the code with their reason. Pure: replayed from a trace by the tests.
 * Owner: peer. Thread: one. Times in µs, rates in bit/s. Feedback of any content is bounded work: n packets. */
#pragma once

#include "bwe/delay.h"
#include "bwe/probe.h"

#include <stddef.h>

enum { BWE_RATE_BINS = 20, BWE_RATE_BIN_US = 25 * 1000 };

struct bwe_config {
    uint32_t start_bps, min_bps, max_bps;
};

/* A packet that feedback speaks of. */
struct bwe_packet {
    int64_t sent_us;    /* ours */
    int64_t arrival_us; /* the receiver's clock */
    uint16_t bytes;
    uint8_t probe; /* its cluster, 0: none */
    bool received;
};

/* Bytes that arrived in the last half second of the receiver's time. */
struct bwe_rate {
    uint32_t bytes[BWE_RATE_BINS];
    int64_t bin; /* number of the newest bin */
    int64_t first_us;
    bool started;
};

struct bwe {
    struct bwe_config config;
    struct delay delay;
    struct probe probe;
    struct bwe_rate acked;
    int64_t rtt_us;
    double delay_bps, loss_bps, remb_bps; /* remb_bps 0: none */
    int64_t remb_us;
    double capacity_bps, capacity_deviation; /* acknowledged when a queue built up; deviation as a share */
    int64_t grown_us, fallen_us;
    int64_t feedback_us; /* newest; 0: none yet */
    bool grows;          /* between a fall and the first quiet feedback: no */
    uint32_t window_packets, window_lost;
    int64_t window_us, loss_fallen_us;
    double loss, own_loss; /* shares: of the last window; the line's own */
    double peak_bps;       /* acknowledged of late */
    uint32_t want_bps;
};

void bwe_init(struct bwe *b, const struct bwe_config *config);
/* What could be used now: probing stops there. */
void bwe_want(struct bwe *b, uint32_t want_bps);
void bwe_rtt(struct bwe *b, int64_t rtt_us);
/* One feedback's packets in the order of sending. */
void bwe_feedback(struct bwe *b, const struct bwe_packet *packets, size_t n, int64_t now_us);
/* REMB of a client without transport-wide feedback (and a bound for one with both). Any value. */
void bwe_remb(struct bwe *b, uint64_t bps, int64_t now_us);
/* Every 50 ms or so; `waiting`: packets have been sent that feedback should have spoken of. Without feedback the target
 * falls: a line that tells nothing may be down. */
void bwe_tick(struct bwe *b, bool waiting, int64_t now_us);
uint32_t bwe_target_bps(const struct bwe *b);
uint32_t bwe_acked_bps(const struct bwe *b);
/* A cluster that should leave now; see probe_begin(). */
bool bwe_probe(struct bwe *b, int64_t now_us, struct probe_cluster *ret);
