/* SFU: selective forwarding, the pure core of a media worker.
 *
 *   struct sfu      one a worker: what it asks of its shell, counters, peers that have something queued
 *   struct router   a briefing on this worker (router.h): folds a wish into who is in which slot
 *   struct peer     an endpoint's transport (peer.h): what it publishes, its slots, both directions' RTCP, its pacer
 *   struct source   one published track (source.h), up to three layers; from a peer, or mirrored from another worker
 *   struct slot     one continuous outgoing stream (slot.h); who is in it is our decision
 *
 *   sfu → routers → peers → slots        a parent owns its children
 *   router → sources                     a peer's sources end with the peer, a mirror's with its feed
 *   source ⇄ slots                       each source knows the slots it feeds, each slot its source
 *
 * Teardown: slots leave their sources, then the peer's sources end (their slots become empty), then the peer goes.
 *
 * The path of a packet: peer_input_rtp() parses once → source_input() keeps it in the history and looks at it once → for
 * each slot slot_forward() makes numbers and puts a descriptor into the subscriber's pacer → sfu_turn() releases, stamps and
 * hands to the shell. No allocation, lock, log or hash on it.
 *
 * Pure: no clock, socket, randomness; time is a parameter (CLOCK_MONOTONIC µs, the session time). Thread: one. */
#pragma once

#include "base/packet.h"
#include "rtp/packet.h"
#include "sfu/site.h"
#include "sfu/trace.h"
#include "wish/wish.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct peer;
struct router;
struct source;

enum {
    SFU_LAYERS = 3,
    SFU_TIDS = 3,  /* temporal layers */
    SFU_SIDS = 3,  /* spatial layers in one stream; further ones are left out with the third or not at all */
    SFU_KINDS = 4, /* index: enum wish_kind; 0 unused */
    SFU_SLOTS_MAX = 48,
    SFU_MID_MAX = 17,
    SFU_NO_PT = 0xff,
    SFU_TICK_US = 10 * 1000,
};

/* As enum net_class. */
enum sfu_class { SFU_SOUND, SFU_PICTURE, SFU_SCREEN, SFU_CONTROL };

enum sfu_drop {
    SFU_DROP_MALFORMED,    /* RTP, RTX or RTCP that breaks its format */
    SFU_DROP_UNKNOWN_SSRC, /* no section, rid or payload type claims it */
    SFU_DROP_MUTED,        /* its sender may not send */
    SFU_DROP_DUPLICATE,
    SFU_DROP_OLD,          /* older than the history reaches */
    SFU_DROP_PAYLOAD,      /* a codec's descriptor that breaks its format */
    SFU_DROP_QUEUE_FULL,   /* a subscriber's pacer has no room */
    SFU_DROP_SWITCHED,     /* a late packet of a source that has left the slot */
    SFU_DROP_SEND,         /* the shell could not send */
    SFU_DROP_REPAIRS,      /* a subscriber that wants more packets again than it was sent */
    SFU_DROP_REQUESTS,     /* a subscriber that wants keyframes too often */
    SFU_DROP_RATE,         /* a publisher that sends more than it may */
    SFU_DROP_SSRC_CHANGES, /* a publisher whose tracks change their SSRC too often */
    SFU_DROP_LATE,         /* waited too long for a subscriber's line */
    SFU_DROP_COUNT,
};
const char *sfu_drop_str(enum sfu_drop d); /* metric suffix */

struct sfu_stats {
    uint64_t forwarded_packets, retransmitted_packets, repaired_packets, padding_packets;
    uint64_t nacks_sent, nacks_received, keyframe_requests, keyframes_received;
    uint64_t transport_feedback_sent, transport_feedback_received, sender_reports;
    uint64_t feedback_absurd; /* packets that arrived at a time that cannot be */
    uint64_t slot_switches;
    uint64_t drops[SFU_DROP_COUNT];
};

/* A packet that was accepted and may be forwarded, for feeds. Valid during the call. */
struct sfu_tapped {
    struct source *source;
    unsigned layer;
    int64_t ext_seq, session_us;
    uint32_t ts;
    uint8_t pt, audio_level; /* level: the RFC 6464 byte, 0xff: none */
    bool marker, keyframe;   /* keyframe: of a keyframe's frame */
    uint8_t *payload;        /* not to be changed; the RTP_FIXED_HEADER bytes before it are free to be written */
    size_t payload_len;
    int64_t now_us;
};

/* What the core asks of its shell. `transport` is what peer_config named. */
struct sfu_shell {
    void *ctx;
    int (*send_rtp)(void *transport, enum sfu_class class, const uint8_t *header, size_t header_len, const uint8_t *payload,
                    size_t payload_len, uint8_t padding);
    int (*send_rtcp)(void *transport, const uint8_t *bytes, size_t len);
    void (*tap)(void *ctx, const struct sfu_tapped *t);               /* NULL: no feeds */
    void (*mirror_want)(void *ctx, struct source *s, uint8_t layers); /* NULL: no mirrors */
    void (*mirror_keyframe)(void *ctx, struct source *s, uint8_t layers);
};

struct sfu {
    struct sfu_shell shell;
    struct sfu_stats stats;
    struct packet_pool *pool; /* where packets come from, the shell's; NULL: unknown */
    size_t pool_packets;      /* its size */
    uint32_t peer_bps;        /* most that one publisher may send, a second of it at once; 0: anything */
    struct router *routers;   /* list */
    struct peer **ready;      /* peers with a filled pacer; room for every peer */
    size_t n_ready, cap_ready, n_peers;
    uint32_t rotation; /* where the flush begins, so that none is always last */
    uint32_t next_uid;
    uint64_t random;
    int64_t tick_us;
    struct sites sites;
    struct trace *trace;   /* the shell's; NULL: nothing is traced */
    struct packet silence; /* a frame of it, ours for good: shared by every slot, back in no pool */
};

enum { SFU_SILENCE_AT = 64, SFU_SILENCE_BYTES = 3 }; /* where the frame is in that packet */

/* `seed` makes the first numbers of slots; not 0. */
void sfu_init(struct sfu *s, const struct sfu_shell *shell, uint64_t seed);
/* Frees all routers and peers. */
void sfu_finish(struct sfu *s);
/* End of a loop turn: timers that are due, then everything queued leaves. Returns when it wants to run again at the latest.
 */
int64_t sfu_turn(struct sfu *s, int64_t now_us);
uint32_t sfu_random(struct sfu *s);
