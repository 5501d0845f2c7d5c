/* Hostile: what a broken or wicked client sends after it has joined properly, for tests of the server.
 *
 * Noise: authenticated RTP and RTCP whose insides make no sense (header extensions that end early, padding longer than the
 * packet, descriptors cut off, unknown payload types and sources, compound packets that lie about their length). Keyframes:
 * a storm of PLI and FIR for every slot, 100 a second each. Everything comes from one seed, so a run can be repeated.
 *
 * Thread: the media loop's. Times in µs. */
#pragma once

#include "sim/offer.h"

#include <stdbool.h>
#include <stdint.h>

struct net_transport;

enum { HOSTILE_MAX = 160 /* bytes of a packet of noise */ };

enum hostile_kind { HOSTILE_NOT, HOSTILE_NOISE, HOSTILE_KEYFRAMES };

struct hostile {
    enum hostile_kind kind;
    uint64_t random; /* xorshift state, never 0 */
    int64_t next_us;
    uint16_t seq[4];
    uint8_t fir_seq;
    uint64_t sent;
};

/* "noise", "keyframes". False: neither. */
bool hostile_kind_of(const char *name, enum hostile_kind *ret);
void hostile_init(struct hostile *h, enum hostile_kind kind, uint64_t seed);
/* Sends what is due on a connected transport; `slots` are the answer's. Returns when it wants to run again. */
int64_t hostile_run(struct hostile *h, struct net_transport *t, const struct answer *slots, int64_t now_us);
/* One packet of noise; the header's length is a multiple of 4, as net_send_rtp() asks. For tests. */
size_t hostile_rtp(struct hostile *h, uint8_t packet[HOSTILE_MAX], size_t *ret_header_len);
size_t hostile_rtcp(struct hostile *h, uint8_t packet[HOSTILE_MAX]);
