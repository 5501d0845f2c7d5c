/* Peer: an endpoint's transport in a briefing: what it publishes to us and the slots that it receives.
 *
 * Incoming packets are told apart by SSRC (a short list; learned from the offer, or from the mid, rid and rrid extensions
 * and the payload type of a first packet). Outgoing ones wait in the peer's pacer and are stamped when it releases them:
 * with the transport-wide sequence number, whose feedback is kept for the estimator. RTCP of both directions is made and
 * read here.
 *
 * A peer is made at its offer and takes part from router_attach() on (its transport is connected then).
 * Owner: router, or whoever made it before router_attach(). Pure, one thread, times in µs. */
#pragma once

#include "base/allowance.h"
#include "bwe/pacer.h"
#include "rtp/clockmap.h"
#include "rtp/transport_cc.h"
#include "sfu/downlink.h"
#include "sfu/sfu.h"
#include "sfu/slot.h"
#include "sfu/source.h"

enum {
    PEER_STREAMS_MAX = 16,
    PEER_FEEDBACK_US = 60 * 1000,  /* transport-cc feedback to publishers, 50–100 ms */
    PEER_REPORT_US = 1000 * 1000,  /* receiver and sender reports */
    PEER_TOGETHER_US = 300 * 1000, /* a sender report so near its time goes along with one that is due */
    PEER_OUTSIDE = 44,             /* bytes of IP, UDP and the SRTP tag around a packet */
    PEER_SENT_RING = 1024,         /* packets whose transport feedback is awaited */
    PEER_RTT_DEFAULT_US = 100 * 1000,
    PEER_REPAIRS_AT_ONCE = 512,        /* a second of a picture; beyond it no more repairs than packets that are sent */
    PEER_SSRC_CHANGES_AT_ONCE = 16,    /* every stream of a client that begins anew … */
    PEER_SSRC_CHANGE_US = 1000 * 1000, /* … and then one a second */
};

/* A section that the client sends. */
struct publish_config {
    bool used;
    char mid[SFU_MID_MAX];
    enum rtp_codec codec;
    uint8_t pt, rtx_pt; /* rtx_pt SFU_NO_PT: none */
    struct rtp_ext_ids ids;
    char rids[SFU_LAYERS][SFU_MID_MAX]; /* lowest first */
    uint8_t n_rids;                     /* 0: no simulcast */
    uint32_t ssrc, rtx_ssrc;            /* 0: not named */
    bool nack, pli, fir;
};

struct peer_config {
    uint32_t number, incarnation;
    void *transport;
    void *user;
    struct publish_config publish[SFU_KINDS];
    struct slot_config slots[SFU_SLOTS_MAX];
    size_t n_slots;
    bool estimates;     /* its client promises transport-wide feedback for what we send */
    uint32_t start_bps; /* of the estimate; 0: unknown */
};

struct peer_stream {
    uint32_t ssrc;
    uint8_t kind, layer;
    bool repair; /* RTX */
};

struct peer_sent {
    int64_t sent_us;
    uint16_t seq, bytes;
    uint8_t probe; /* its cluster, 0: none */
    bool waiting;
};

/* What the line to the client looks like, from its feedback. */
struct peer_line {
    int64_t rtt_us;          /* 0: unknown */
    uint64_t reported, lost; /* packets, by transport feedback; since the last peer_line_take() */
    uint64_t acked_bytes;
    uint64_t remb_bps;
    uint32_t loss_permille, acked_bps; /* of the last second */
    uint32_t estimate_bps;             /* 0: nobody estimates */
    int64_t since_us;
};

struct peer {
    struct sfu *sfu;
    struct router *router; /* NULL until attached */
    int64_t tick_us;       /* nothing is due before */
    void *transport, *user;
    uint32_t number, incarnation;
    uint32_t ssrc; /* ours in feedback */
    struct publish_config publish[SFU_KINDS];
    struct source *sources[SFU_KINDS];
    struct peer_stream streams[PEER_STREAMS_MAX];
    size_t n_streams;
    struct allowance ssrc_changes, input;
    struct publisher_clock clock;
    struct transport_cc_receiver *feedback; /* made with the first numbered packet */
    uint32_t feedback_ssrc;                 /* media SSRC named in it */
    int64_t feedback_us, report_us;
    bool feedback_fresh;

    struct slot *slots;
    size_t n_slots;
    struct pacer *pacer;
    bool queued; /* in sfu->ready */
    uint16_t transport_seq;
    uint16_t repairs_left; /* repairs ≤ packets sent + PEER_REPAIRS_AT_ONCE */
    struct peer_sent sent[PEER_SENT_RING];
    struct peer_line line;
    struct downlink *downlink; /* NULL: not estimated */
    uint64_t rtcp_malformed;
    uint8_t fir_seq;
};

/* ERR_NOMEM, ERR_RANGE (too many slots). */
int peer_new(struct sfu *s, const struct peer_config *config, struct peer **ret_peer);
/* Leaves its router first; its transport stays the caller's. NULL is fine. */
void peer_free(struct peer *p, int64_t now_us);

void peer_input_rtp(struct peer *p, struct packet *packet, int64_t now_us);
void peer_input_rtcp(struct peer *p, const uint8_t *bytes, size_t len, int64_t now_us);
/* Feedback, reports and frames of silence that are due; a look at one number when none is. */
void peer_tick(struct peer *p, int64_t now_us);
/* Something of it is due then. */
static inline void peer_wake(struct peer *p, int64_t at_us)
{
    if (at_us < p->tick_us)
        p->tick_us = at_us;
}
/* Sends what the pacer releases. */
void peer_flush(struct peer *p, int64_t now_us);
/* Moves a descriptor into the pacer; drops and counts when it is full. */
bool peer_queue(struct peer *p, bool sound, const struct pacer_packet *item, int64_t now_us);

/* It has something to send besides what is queued: it is looked at in this turn. */
void peer_get_ready(struct peer *p);
/* When its pacer releases something next, or a probe goes on; INT64_MAX: nothing waits. */
int64_t peer_due_us(const struct peer *p, int64_t now_us);
/* An RTX packet without content. */
void peer_send_padding(struct peer *p, struct slot *s, uint8_t bytes, int64_t now_us);

/* For sources: asks this publisher. */
void peer_send_nack(struct peer *p, uint32_t media_ssrc, const uint16_t *seqs, size_t n);
void peer_send_keyframe_request(struct peer *p, const struct source *s, uint8_t layers);
int64_t peer_rtt_us(const struct peer *p);
