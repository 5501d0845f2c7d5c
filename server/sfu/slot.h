/* Slot: one continuous outgoing stream of a subscriber, whoever is in it.
 *
 * A slot has an SSRC (and one for RTX) for its life. A source enters a picture slot at a keyframe, a sound slot with its
 * next packet; sequence, timestamps and VP8 picture numbers go on (rtp/rewrite.h). We are the sender: sender reports are
 * made from our clock, so that sound and picture of the stage align. Lost packets are answered on the RTX stream from the
 * source's history, by the numbers remembered in `sent`.
 *
 *   layer   what flows, SLOT_NO_LAYER: nothing yet
 *   target  what should flow: differs until a keyframe of it comes
 *
 * Within a stream there may be temporal layers (VP8, VP9) and spatial ones (VP9). What is above `parts` is left out, with no
 * hole, and the highest frame that is left of a picture carries the marker bit. All spatial layers below are sent, though a
 * stream whose layers are apart between keyframes (L3T3_KEY) would not need them: so a step down needs nothing from the
 * publisher. It is taken between two pictures; a step up in size waits for a keyframe, one in rate for a picture that
 * allows it.
 *
 * Owner: peer. Pure, one thread, times in µs. */
#pragma once

#include "base/allowance.h"
#include "bwe/pacer.h"
#include "rtp/history.h"
#include "rtp/rewrite.h"
#include "sfu/sfu.h"
#include "sfu/source.h"

enum {
    SLOT_NO_LAYER = 0xff,
    SLOT_ALL_SIDS = 7,
    SLOT_ALL_TIDS = 7,
    SLOT_RED_MAX = 2,
    SLOT_REPLAY_US = 300 * 1000, /* a keyframe so young is not asked for again: the slot begins with it out of the history */
};

/* When a sound that was flowing is taken out of its slot, we send some frames of silence in its place: a receiver that gets
 * nothing conceals, and what it invents sounds on for half a second. */
enum {
    SLOT_SILENCE_FRAMES = 5,
    SLOT_SILENCE_EVERY_US = 20 * 1000, /* a frame's length; they leave with the tick */
    SLOT_SILENT_US = 200 * 1000,       /* a slot that has sent nothing for so long is silent already */
};

/* What its receiver may make others do: keyframes that it asks for, layers that its layout chooses. */
enum {
    SLOT_REQUESTS_AT_ONCE = 5,
    SLOT_REQUEST_US = 2 * 1000 * 1000,
    SLOT_HEIGHTS_AT_ONCE = 10,
    SLOT_HEIGHT_US = 1000 * 1000,
};

enum slot_role { SLOT_STAGE_SOUND, SLOT_STAGE_PICTURE, SLOT_SHARED_SCREEN, SLOT_FURTHER_SOUND, SLOT_TILE };

struct slot_codec {
    uint8_t pt, rtx_pt; /* SFU_NO_PT: not taken by this client */
    uint8_t red_pt;     /* of Opus; SFU_NO_PT likewise */
    bool nack;
};

struct slot_config {
    enum slot_role role;
    uint8_t index; /* within its role */
    char mid[SFU_MID_MAX];
    uint32_t ssrc, rtx_ssrc;                /* rtx_ssrc 0: none */
    struct slot_codec codecs[RTP_H264 + 1]; /* by enum rtp_codec */
    struct rtp_ext_ids ids;
};

/* Spatial layers up to `sid`, temporal layers up to `tid`. */
struct slot_parts {
    uint8_t sid, tid;
};

static const struct slot_parts slot_all_parts = {SLOT_ALL_SIDS, SLOT_ALL_TIDS};

/* A packet of sound that was sent; holds a reference. */
struct slot_spoken {
    struct packet *packet; /* NULL: none */
    uint16_t offset, len;
    uint32_t ts;
};

struct slot {
    struct slot_config config;
    struct peer *peer;
    struct source *source; /* who should be in it; NULL: nobody */
    uint8_t layer, target;
    bool started;                       /* `rewrite` has its first numbers */
    uint16_t want_height, asked_height; /* asked: by the layout, becomes the wanted one as soon as it may */
    struct allowance requests, heights;
    uint32_t room_bps;               /* that its line leaves for this picture, UPLINK_ANY: nobody knows */
    uint8_t limit;                   /* the highest layer that its line holds; SLOT_NO_LAYER: nothing of it, it is paused */
    struct slot_parts line, most;    /* what its line holds; most: and what suits its height */
    struct slot_parts parts, former; /* what flows from `parts_ts` on, and what did before */
    uint32_t parts_ts, picture_ts;   /* VP9, the source's timestamps; picture: the newest */
    uint8_t red;                     /* predecessors that each packet of sound carries, 0 … SLOT_RED_MAX */
    struct slot_spoken said[SLOT_RED_MAX]; /* the newest that were sent, youngest first */
    uint16_t rtx_seq;
    struct rtp_header header, rtx_header; /* templates for the source's codec */
    struct rewrite rewrite;
    struct sent *sent; /* pictures; made with the first source */
    uint32_t packets, octets;
    int64_t report_us;     /* next sender report */
    int64_t bound_us;      /* when the source was put in */
    int64_t silence_us;    /* when the next frame of silence is due … */
    uint8_t silence_left;  /* … and how many are to follow */
    uint32_t shown;        /* number of the endpoint that flows, 0: empty; told while it is not paused */
    uint64_t lost_reports; /* receiver's: newest cumulative loss */
};

static inline bool slot_is_picture(const struct slot *s)
{
    return s->config.role != SLOT_STAGE_SOUND && s->config.role != SLOT_FURTHER_SOUND;
}

enum wish_kind slot_kind(const struct slot *s);

void slot_init(struct slot *s, struct peer *p, const struct slot_config *config);
void slot_finish(struct slot *s, int64_t now_us);

/* Puts a source in (NULL: empties). The same source again changes nothing. A codec that the client does not take empties it.
 */
void slot_bind(struct slot *s, struct source *source, int64_t now_us);
/* It stays as it is for now: an empty one is reported empty. */
void slot_settle(struct slot *s);
void slot_set_height(struct slot *s, uint16_t height, int64_t now_us);
/* What its line holds: layers up to `layer`, and of that one these parts. SLOT_NO_LAYER: paused. */
void slot_limit(struct slot *s, unsigned layer, struct slot_parts line, int64_t now_us);
static inline bool slot_paused(const struct slot *s)
{
    return s->limit == SLOT_NO_LAYER;
}
/* What its receiver is told: whether there is something that its line does not hold, and who is in it; while it is paused,
 * who would be. */
static inline bool slot_told_paused(const struct slot *s)
{
    return s->source && slot_paused(s);
}
static inline uint32_t slot_told_number(const struct slot *s)
{
    return slot_told_paused(s) ? s->source->number : s->shown;
}
/* What was queued for it is gone: it goes on with a keyframe. */
void slot_begin_again(struct slot *s, int64_t now_us);
/* Chooses the layer anew; asks for a keyframe when it is another one. */
void slot_choose(struct slot *s, int64_t now_us);
/* A packet of its source, fan-out's step. */
void slot_forward(struct slot *s, const struct seen *seen, int64_t now_us);
/* It will not come (padding only): leaves no hole. */
void slot_skip(struct slot *s, unsigned layer, int64_t ext_seq);
/* The receiver asks again for `seq`. */
void slot_resend(struct slot *s, uint16_t seq, int64_t now_us);
/* Its picture has broken at the receiver: PLI or FIR. */
void slot_keyframe(struct slot *s, int64_t now_us);
/* How many predecessors its packets carry from now on, if the client takes RED. */
void slot_set_red(struct slot *s, unsigned n);
/* The payload of a packet of sound with its predecessors; `ret_pt` becomes RED's. NULL: it goes plain. Valid until the next
 * call for any slot. */
const uint8_t *slot_red_payload(struct slot *s, const struct pacer_packet *item, size_t *ret_len, uint8_t *ret_pt);
/* A frame of silence when one is due. */
void slot_silence(struct slot *s, int64_t now_us);
/* Source and layer are flowing. */
static inline bool slot_flows(const struct slot *s)
{
    return s->source && s->layer != SLOT_NO_LAYER;
}
