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
 * Owner: peer. Pure, one thread, times in µs. */
#pragma once

#include "base/allowance.h"
#include "rtp/history.h"
#include "rtp/rewrite.h"
#include "sfu/sfu.h"
#include "sfu/source.h"

enum {
    SLOT_NO_LAYER = 0xff,
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

struct slot {
    struct slot_config config;
    struct peer *peer;
    struct source *source; /* who should be in it; NULL: nobody */
    uint8_t layer, target;
    bool started;                       /* `rewrite` has its first numbers */
    uint16_t want_height, asked_height; /* asked: by the layout, becomes the wanted one as soon as it may */
    struct allowance requests, heights;
    uint16_t rtx_seq;
    struct rtp_header header, rtx_header; /* templates for the source's codec */
    struct rewrite rewrite;
    struct sent *sent; /* pictures; made with the first source */
    uint32_t packets, octets;
    int64_t report_us;     /* next sender report */
    int64_t bound_us;      /* when the source was put in */
    int64_t silence_us;    /* when the next frame of silence is due … */
    uint8_t silence_left;  /* … and how many are to follow */
    uint32_t shown;        /* number of the endpoint that flows, 0: empty; what is reported */
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
/* A frame of silence when one is due. */
void slot_silence(struct slot *s, int64_t now_us);
/* Source and layer are flowing. */
static inline bool slot_flows(const struct slot *s)
{
    return s->source && s->layer != SLOT_NO_LAYER;
}
