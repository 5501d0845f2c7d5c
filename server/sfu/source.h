/* Source: one published track of a briefing, as this worker has it.
 *
 * Its origin is a peer (then losses are asked for here, RTCP goes to that peer) or a mirror: records of a feed from the
 * worker where the peer is. Both own their history and feed their slots alike. Simulcast layers are 0 (lowest) … 2; a track
 * without simulcast has layer 0 only. A layer begins to exist with its first packet.
 *
 * Owner: router. Pure, one thread, times in µs. Sound has no NACK (browsers offer none for Opus). */
#pragma once

#include "base/seq.h"
#include "rtp/clockmap.h"
#include "rtp/history.h"
#include "rtp/nack.h"
#include "rtp/receive_stats.h"
#include "rtp/video.h"
#include "sfu/keyframes.h"
#include "sfu/sfu.h"
#include "sfu/uplink.h"

enum {
    LAYER_SILENT_US = 250 * 1000, /* a layer without a packet for so long is not alive */
    SOURCE_HISTORY_PICTURE = 512,
    SOURCE_HISTORY_SOUND = 64,
};

struct slot;

struct rate_meter {
    uint64_t bytes;
    int64_t since_us;
    uint32_t bps; /* of the last full second */
};

struct layer {
    uint32_t ssrc, rtx_ssrc;
    struct seq_extender seq;
    struct clockmap clock;
    struct receive_stats stats;
    struct nack_generator nack;
    struct history *history;
    struct rate_meter rate;
    struct rate_meter part_rates[SFU_SIDS][SFU_TIDS]; /* of spatial and temporal layers, each with those below it */
    bool has_tids;
    uint8_t n_sids;                 /* spatial layers in this stream as its newest structure tells; 0, 1: it has none */
    uint16_t sid_heights[SFU_SIDS]; /* 0: unknown */
    int64_t newest_us;              /* arrival of the newest packet */
    int64_t first_us;
    int64_t newest_seq;     /* extended */
    uint16_t width, height; /* of the newest keyframe, 0: unknown */
    bool has_keyframe_ts;
    uint32_t keyframe_ts;              /* timestamp of the newest keyframe … */
    int64_t keyframe_seq, keyframe_us; /* … the number of its first packet, and when that came */
    uint32_t newest_ts;
    int64_t mirror_us; /* mirror: session time of `newest_ts` */
};

struct source {
    struct router *router;
    struct peer *peer; /* NULL: a mirror */
    void *user;        /* the shell's, for mirrors: its feed */
    uint32_t uid;      /* unique on this worker, not 0; 30 bits */
    uint32_t number, incarnation;
    enum wish_kind kind;
    enum rtp_codec codec;
    uint32_t clock_hz;
    uint8_t n_layers; /* that the publisher announced */
    uint8_t pt;
    bool open; /* may send */
    bool closing;
    bool publish_nack;                /* the publisher answers NACKs */
    struct layer *layers[SFU_LAYERS]; /* NULL before the first packet */
    struct keyframes keyframes;
    struct slot **slots; /* whom it feeds */
    size_t n_slots, cap_slots;
    uint8_t wanted;                     /* mirror: layers its slots want, as told to the origin */
    uint32_t origin_bps[SFU_LAYERS];    /* mirror: what the origin has of each layer, 0: not alive there */
    uint16_t origin_height[SFU_LAYERS]; /* mirror: of each layer's newest keyframe at the origin, 0: unknown */
    uint8_t taken_elsewhere;            /* layers that feeds take or wait for, kept by the shell */
    struct uplink uplink;               /* what its publisher should send; of a mirror unused */
    uint16_t loss_floor;                /* sound: permille reported to its publisher at least … */
    int64_t loss_floor_us;              /* … since when */
    uint8_t level;                      /* newest RFC 6464 byte */
    bool unchosen;                      /* a slot waits for another layer, or layers are not what they were */
    uint8_t alive;                      /* layers that lived when … */
    int64_t chosen_us;                  /* when its slots' layers were last chosen */
};

/* What one look at a packet found. */
struct seen {
    struct packet *packet;
    int64_t ext_seq, session_us;
    uint32_t ts;
    uint16_t payload_at, payload_len;
    uint8_t layer, audio_level;
    bool marker, ends_frame, starts_keyframe;
    struct video_info video; /* pictures only */
};

/* The packet of that number once more, out of the history, as the publisher sent it. False: the history does not have it. */
bool source_seen_again(const struct source *s, unsigned layer, int64_t ext_seq, struct seen *ret);

/* True when a keyframe of that layer began at most `age_us` ago and is still there: whoever comes now can begin with it and
 * what has followed, without asking the publisher. */
bool source_recent_keyframe(const struct source *s, unsigned layer, int64_t age_us, int64_t now_us, int64_t *ret_ext_seq);

struct source *source_new(struct router *r, uint32_t number, enum wish_kind kind, enum rtp_codec codec, uint8_t n_layers);
/* Empties its slots first. NULL is fine. */
void source_free(struct source *s, int64_t now_us);

_Static_assert((int)SFU_LAYERS == (int)KEYFRAME_LAYERS, "the limiter knows every layer");

static inline bool source_is_picture(const struct source *s)
{
    return s->kind != WISH_MICROPHONE;
}

/* The layer, made at the first call. NULL: no memory, or index out of range. */
struct layer *source_layer(struct source *s, unsigned layer);
/* Its sender began anew under another SSRC. */
void source_layer_restart(struct source *s, unsigned layer);

/* A packet of that layer in the clear; `v` is its view (after rtx_unwrap() when `repaired`). `audio_level` 0xff: none. */
void source_input(struct source *s, unsigned layer, struct packet *p, const struct rtp_packet *v, bool repaired,
                  uint8_t audio_level, int64_t now_us);
/* The same out of a feed: numbers and session time come from the origin. */
void source_input_mirrored(struct source *s, unsigned layer, struct packet *p, const struct rtp_packet *v, int64_t ext_seq,
                           int64_t session_us, uint8_t audio_level, int64_t now_us);

void source_set_open(struct source *s, bool open, int64_t now_us);
/* Somebody needs a keyframe of `layer`; leaves at once if the limiter allows, else later. */
void source_want_keyframe(struct source *s, unsigned layer, int64_t now_us);
/* Somebody does already, and it has not come yet. */
static inline bool source_wants_keyframe(const struct source *s, unsigned layer)
{
    return s->keyframes.wanted >> layer & 1;
}
/* Every tick: NACKs, deferred and repeated keyframe requests, expiry, rates, its slots' layers. */
void source_tick(struct source *s, int64_t now_us);

bool layer_alive(const struct layer *l, int64_t now_us);
/* The same for a layer of a source; of a mirror it may live at the origin without flowing here, of a publisher it may rest
 * until somebody wants it (uplink.h). */
bool source_layer_alive(const struct source *s, unsigned layer, int64_t now_us);
/* Height of a layer as far as a keyframe has told it, here or at the origin; 0: unknown. */
uint16_t source_known_height(const struct source *s, unsigned layer);
/* The same, guessed from its neighbours while unknown. */
uint16_t source_layer_height(const struct source *s, unsigned layer);
/* The layer for that height if all were there. */
unsigned source_ideal_layer(const struct source *s, uint16_t height);
/* The lowest living layer at least `height` high, else the highest living; with none alive the one that would be chosen. */
unsigned source_choose_layer(const struct source *s, uint16_t height, int64_t now_us);
/* The highest layer that flows, with none the one that would be chosen (for the recorder). */
unsigned source_highest_layer(const struct source *s, int64_t now_us);
/* Layers flowing into slots or wanted by them, as a mask. */
uint8_t source_slot_layers(const struct source *s);

int64_t source_session_us(struct source *s, unsigned layer, uint32_t ts, int64_t now_us);
uint32_t source_ts_at(struct source *s, unsigned layer, int64_t now_us);
uint32_t source_bps(const struct source *s);
/* What the layer takes, bit/s on the wire: with temporal layers up to 0, 1 …; the last entry is all of it. Returns how many
 * entries there are, 1 without temporal layers. A layer that is not known yet is guessed from its height. */
unsigned source_layer_rates(const struct source *s, unsigned layer, int64_t now_us, uint32_t ret_bps[SFU_TIDS]);
/* The same without the spatial layers above `sid`. */
unsigned source_part_rates(const struct source *s, unsigned layer, unsigned sid, int64_t now_us, uint32_t ret_bps[SFU_TIDS]);
/* Counts a packet's part of its layer. */
void source_note_parts(struct source *s, struct layer *l, const struct seen *seen, int64_t now_us);
/* How many spatial layers it has, 1 … SFU_SIDS, and the lowest of them that is at least `height` high, else the highest. */
unsigned source_sids(const struct source *s, unsigned layer);
unsigned source_choose_sid(const struct source *s, unsigned layer, uint16_t height);

void source_add_slot(struct source *s, struct slot *slot); /* room was made by source_reserve() */
int source_reserve(struct source *s, size_t slots);
void source_remove_slot(struct source *s, struct slot *slot);

void rate_meter_add(struct rate_meter *m, size_t bytes, int64_t now_us);
uint32_t rate_meter_bps(const struct rate_meter *m, int64_t now_us);
