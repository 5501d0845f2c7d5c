/* Transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01), both ways.
 *
 * Receive side: transport_cc_arrived() for every packet with the extension, transport_cc_build() every 50–100 ms. A number
 * may be reported as lost once and as received in a later feedback when it came after all (reordering), as browsers do. Send
 * side: transport_cc_parse() turns a feedback into a list of packets in order of sequence.
 *
 * One object a transport. Thread: any, one at a time. Times in µs; the wire has steps of 250 µs and a base of 64 ms. Pure.
 */
#pragma once

#include "base/seq.h"
#include "rtp/rtcp.h"

enum {
    TRANSPORT_CC_WINDOW = 1024,   /* packets kept at the receive side, a power of two */
    TRANSPORT_CC_MAX = 1024,      /* packets in one feedback that we accept */
    TRANSPORT_CC_BUILD_MAX = 400, /* packets in one feedback that we make: it stays below 1,000 bytes */
};

struct transport_cc_receiver {
    struct seq_extender extender;
    int64_t next;        /* first number not reported yet */
    bool started, fresh; /* fresh: something arrived since the last feedback */
    uint8_t count;       /* feedback packet count */
    struct {
        uint32_t number;         /* low half of the extended number that the cell holds, 0: none */
        uint32_t tick;           /* arrival in 250 µs */
    } cell[TRANSPORT_CC_WINDOW]; /* by number modulo the window */
};

void transport_cc_init(struct transport_cc_receiver *c);
void transport_cc_arrived(struct transport_cc_receiver *c, uint16_t seq, int64_t at_us);
/* Appends one feedback packet. ERR_AGAIN: nothing new; ERR_FULL: `w` is too small (nothing is lost). More may be due right
 * after: call until ERR_AGAIN. */
int transport_cc_build(struct transport_cc_receiver *c, struct writer *w, uint32_t sender_ssrc, uint32_t media_ssrc);

struct transport_cc_packet {
    uint16_t seq;
    bool received;
    int64_t arrival_us; /* on the receiver's own clock modulo 2^24 × 64 ms; 0 when not received */
};

struct transport_cc_feedback {
    uint8_t count; /* feedback packet count, wraps */
    uint16_t n;
    struct transport_cc_packet packets[TRANSPORT_CC_MAX];
};

/* ERR_MALFORMED, ERR_TRUNCATED; ERR_RANGE: more than TRANSPORT_CC_MAX packets. */
int transport_cc_parse(const struct rtcp_block *b, struct transport_cc_feedback *ret);
