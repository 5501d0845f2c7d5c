/* Hostile: what a broken or wicked client sends after it has joined properly, for tests of the server.
 *
 *   noise      authenticated RTP and RTCP whose insides make no sense: extensions that end early, padding longer than the
 *              packet, descriptors cut off, unknown payload types and sources, compound packets that lie about their length
 *   keyframes  a storm of PLI and FIR for every slot
 *   forged     from the right address, but not by the keys: SRTP and SRTCP with a wrong tag, SRTCP in the clear, bytes of no
 *              protocol, datagrams longer than any packet
 *   replay     the same authentic packets again and again
 *   sources    thousands of SSRCs, and those of others, in the sections and layers of its own camera
 *   reports    authentic RTCP of absurd contents: BYE for others, REMB of 0 and 2^63, sender reports whose clocks step,
 *              reports that everything is lost and came back at once, NACK of everything, feedback of impossible times
 *   flood      an authentic camera of 35 Mbit/s
 *   stun       connectivity checks: the right name with a wrong password, cut off, oversized, lying about lengths, unknown
 *              attributes, the wrong role, floods of good ones; also from many addresses
 *   dtls       in a live session and into its own handshakes: a second ClientHello, repeats, fragments out of order and of
 *              16 MB, alerts, epochs to come, records cut off; joins again every 2 s
 *   wander     another address each second; from yet others checks with a wrong password
 *   strangers  RTP, RTCP, DTLS, STUN and garbage from 64 addresses that never joined
 *
 * Everything comes from one seed, so that a run can be repeated. What strangers send is never to be answered:
 * `back_bytes` counts what came back to their sockets. All addresses are in 127.0.0.0/8.
 *
 * hostile.c kinds, noise and keyframes; hostile_media.c what needs keys; hostile_wire.c raw datagrams and their sockets.
 * Thread: the media loop's. Times in µs. */
#pragma once

#include "sim/offer.h"

#include <stdbool.h>
#include <stdint.h>

struct net_transport;
struct seal;

enum {
    HOSTILE_MAX = 160,       /* bytes of a packet of noise */
    HOSTILE_RAW_MAX = 2048,  /* of any datagram here: longer than a packet of the server */
    HOSTILE_STRANGERS = 64,  /* addresses */
    HOSTILE_REPLAYED = 32,   /* packets kept for repeating */
    HOSTILE_STEP_US = 10000, /* what is due is sent in steps */
};

enum hostile_kind {
    HOSTILE_NOT,
    HOSTILE_NOISE,
    HOSTILE_KEYFRAMES,
    HOSTILE_FORGED,
    HOSTILE_REPLAY,
    HOSTILE_SOURCES,
    HOSTILE_REPORTS,
    HOSTILE_FLOOD,
    HOSTILE_STUN,
    HOSTILE_DTLS,
    HOSTILE_WANDER,
    HOSTILE_STRANGERS_KIND,
    HOSTILE_KINDS
};

struct hostile_raw {
    uint8_t bytes[HOSTILE_RAW_MAX];
    size_t len;
};

struct hostile {
    enum hostile_kind kind;
    unsigned rate;   /* packets a second */
    uint64_t random; /* xorshift state, never 0 */
    int64_t next_us, join_us, move_us;
    uint16_t seq[4];
    uint8_t fir_seq;
    uint64_t sent, back_bytes;

    struct seal *seal; /* a second one with the transport's keys */
    unsigned sealed;   /* SSRCs that it has seen */
    uint32_t next_ssrc;
    uint16_t nack_from;
    struct hostile_raw *replayed; /* HOSTILE_REPLAYED */
    struct hostile_raw last;      /* dtls: repeated now and then */
    int strangers[HOSTILE_STRANGERS];
    unsigned n_strangers;
};

/* By name, as `--hostile` has it. False: none of them. */
bool hostile_kind_of(const char *name, enum hostile_kind *ret);
/* `rate` 0: the kind's own. */
void hostile_init(struct hostile *h, enum hostile_kind kind, unsigned rate, uint64_t seed);
void hostile_finish(struct hostile *h); /* closes what it holds */
void hostile_detach(struct hostile *h); /* another transport follows */
/* Sends what is due on a transport that is connected (dtls: that is becoming so). Returns when it wants to run again. */
int64_t hostile_run(struct hostile *h, struct net_transport *t, const struct answer *answer, int64_t now_us);
/* dtls: it is time for another offer. */
bool hostile_joins_again(struct hostile *h, int64_t now_us);

/* One packet each, for hostile_run() and for tests. The RTP header's length is a multiple of 4, as net_send_rtp() asks. */
size_t hostile_rtp(struct hostile *h, uint8_t packet[HOSTILE_MAX], size_t *ret_header_len);
size_t hostile_rtcp(struct hostile *h, uint8_t packet[HOSTILE_MAX]);
size_t hostile_report(struct hostile *h, const struct answer *answer, uint8_t packet[HOSTILE_RAW_MAX], int64_t now_us);
void hostile_forge(struct hostile *h, struct hostile_raw *ret);
void hostile_record(struct hostile *h, struct hostile_raw *ret);
void hostile_stranger(struct hostile *h, struct hostile_raw *ret);
struct hostile_check {
    const char *username, *password; /* "theirs:ours", theirs */
    bool may_be_good;                /* false: it never proves the password */
};
void hostile_check(struct hostile *h, const struct hostile_check *c, struct hostile_raw *ret);
