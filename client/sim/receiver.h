/* Receiver: the receive slots of a simulated endpoint. Asks for what is missing as a browser does (NACK, PLI), sends reports
 * and transport-wide feedback, and keeps what tests want to know. Thread: the media loop's. Times in µs. */
#pragma once

#include "sim/offer.h"

#include <stdint.h>

struct net_transport;
struct packet;
struct receiver;

struct receiver_counts {
    uint64_t packets, lost, repaired, duplicates, nacks, plis;
    uint64_t stage_sound;         /* packets of it */
    int64_t longest_stage_gap_us; /* between arrivals of two of them, since the last reset */
    int64_t heard_us;             /* arrival of the first one on this transport, 0: none yet */
};

/* Called for every received RTP packet with its payload behind the VP8 descriptor. */
typedef void receiver_tap(void *ctx, const uint8_t *media, size_t len, int64_t arrival_us);

struct receiver *receiver_new(void);
void receiver_free(struct receiver *r); /* NULL is fine */
void receiver_attach(struct receiver *r, struct net_transport *t, const struct answer *a, int64_t now_us);
void receiver_set_tap(struct receiver *r, receiver_tap *tap, void *ctx);
void receiver_packet(struct receiver *r, struct packet *p, int64_t now_us);
struct rtcp_block;
void receiver_report(struct receiver *r, const struct rtcp_block *b, int64_t now_us); /* a sender report about a slot */
int64_t receiver_run(struct receiver *r, int64_t now_us);
const struct receiver_counts *receiver_counts(const struct receiver *r);
/* As of now, on all transports so far; counts.lost is as of the last report. */
uint64_t receiver_lost(const struct receiver *r);
/* The longest gap, the one in hand included: sound that stopped for good is no short gap. */
int64_t receiver_stage_gap_us(const struct receiver *r, int64_t now_us);
void receiver_reset_gap(struct receiver *r, int64_t now_us);
