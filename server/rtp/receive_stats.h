/* Receiver statistics for report blocks (RFC 3550, 6.4.1, A.3 loss, A.8 jitter), one object a received stream.
 *
 * Packets repaired by RTX count as received only if the caller says so; reports to publishers should show the line, so it
 * leaves them out. Thread: any, one at a time. Pure. */
#pragma once

#include "rtp/rtcp.h"

struct receive_stats {
    bool started;
    uint32_t clock_hz;
    int64_t first_seq, newest_seq; /* extended */
    uint64_t received, bytes;
    uint64_t expected_prior, received_prior;
    int64_t transit; /* of the last packet, in timestamp units */
    bool has_transit;
    uint32_t last_ts;
    uint64_t jitter_q4; /* × 16 */
    uint64_t sr_ntp;    /* of the last SR */
    uint32_t loss_permille;
    int64_t sr_at_us; /* when it came, 0: none */
};

void receive_stats_init(struct receive_stats *s, uint32_t clock_hz);
void receive_stats_packet(struct receive_stats *s, int64_t ext_seq, uint32_t ts, size_t bytes, int64_t arrival_us);
void receive_stats_sender_report(struct receive_stats *s, uint64_t ntp, int64_t now_us);
/* A report block; begins a new interval for the fraction lost. ERR_AGAIN before the first packet. */
int receive_stats_report(struct receive_stats *s, uint32_t ssrc, int64_t now_us, struct rtcp_report *ret);
/* Loss of the interval that the newest report ended, in 1/1000: what the line is like now, not what it has been. */
uint32_t receive_stats_loss_permille(const struct receive_stats *s);
uint64_t receive_stats_lost(const struct receive_stats *s); /* expected, not received; 0 when copies made up for it */
