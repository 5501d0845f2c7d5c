/* Downlink: what a subscriber's line holds and what is put on it. Between a peer's feedback, its estimator (bwe/bwe.h), its
 * pacer and its slots: feedback in, a target out, layers chosen to fit (allocate.h), the pacer's rate set, probes sent.
 *
 * A peer whose client sends no transport-wide feedback although it said that it would stays at the start rate. One that
 * never promised any has no downlink: everything is sent.
 *
 * Owner: peer. Pure, one thread, times in µs, rates in bit/s. */
#pragma once

#include "bwe/bwe.h"
#include "rtp/transport_cc.h"

#include <stdbool.h>
#include <stdint.h>

struct peer;

enum {
    DOWNLINK_START_BPS = 300000, /* until the first feedback; the first keyframe is the first probe */
    DOWNLINK_MIN_BPS = 30000,
    DOWNLINK_MAX_BPS = 30000000,
    DOWNLINK_TICK_US = 50 * 1000,
    DOWNLINK_ALLOCATE_US = 500 * 1000,          /* layers are chosen at least so often … */
    DOWNLINK_ALLOCATE_MIN_US = 100 * 1000,      /* … and not more often */
    DOWNLINK_WAITING_US = 700 * 1000,           /* pictures that would wait longer in the pacer are thrown away */
    DOWNLINK_PAUSED_PROBE_US = 4 * 1000 * 1000, /* while a picture is paused, the line is tried at least so often */
    DOWNLINK_PADDING = 224,                     /* bytes of a packet that only pads */
};

struct downlink {
    struct bwe bwe;
    int64_t tick_us, allocated_us;
    uint32_t allocated_bps; /* target that the layers were chosen for */
    uint32_t wanted_bps;    /* sound and every picture as large as it is shown */
    uint32_t sound_bps;     /* of it, what sound takes */
    uint32_t share_bps;     /* of the line that its room shares with others (site.h), DOWNLINK_MAX_BPS: shares none */
    int64_t short_us;       /* since when what flows takes more than that; 0: it does not */
    bool unsettled;         /* slots have changed since */
    bool has_clock;
    int64_t told_us, clock_us; /* the newest time of feedback, as told and without its wraps */
    struct probe_cluster cluster;
    uint8_t red, red_wanted; /* predecessors in each packet of sound: that the line holds, that its losses ask for */
    int64_t red_us;
    uint32_t chosen_bps;  /* what sound and layers take */
    uint32_t trace_id;    /* trace.h; 0: none yet */
    uint64_t sent_bytes;  /* since the tick before */
    uint64_t thrown_away; /* packets that waited too long */
};

/* `start_bps` 0: DOWNLINK_START_BPS; else what the endpoint's former transport had. */
void downlink_init(struct downlink *d, uint32_t start_bps);
/* One feedback, in the order of sequence. Counts into p->line. */
void downlink_feedback(struct peer *p, const struct transport_cc_feedback *f, int64_t now_us);
void downlink_remb(struct peer *p, uint64_t bps, int64_t now_us);
/* What it may have at most, by its site; less is followed at once. */
void downlink_share(struct peer *p, uint32_t share_bps, int64_t now_us);
/* What is sent at most: the estimate, or the share if that is less. */
uint32_t downlink_target_bps(const struct downlink *d);
/* Something about its slots is new: who is in them, at which height, which layers live. */
void downlink_unsettle(struct peer *p);
/* When it is due: p->downlink->tick_us. */
void downlink_tick(struct peer *p, int64_t now_us);
/* Padding of a probe that nothing else fills; when the pacer's queue is empty. */
void downlink_pad(struct peer *p, int64_t now_us);
/* A packet left: is it of a probe? 0: no. */
uint8_t downlink_sent(struct peer *p, size_t bytes, int64_t now_us);
