/* VP9 payload descriptor (RFC 9628, 4.2): what selecting layers needs.
 *
 * A picture has one frame for each spatial layer, all with one timestamp, lowest first; the marker bit is on the last packet
 * of the highest. The numbers are never rewritten: receivers find a frame's references by picture id and temporal layer, and
 * take pictures of left out temporal layers for what they are. Thread: any. Pure. Not here: the differences of flexible
 * mode and the picture group of the scalability structure (read over, so that the payload is found). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VP9_SIDS_MAX = 8 };

struct vp9_descriptor {
    uint16_t len;      /* of the descriptor; the VP9 bytes follow */
    bool start, end;   /* B, E: first and last packet of a spatial layer's frame */
    bool predicted;    /* P: the frame needs earlier pictures; false in all frames of a keyframe's picture */
    bool flexible;     /* F */
    bool no_reference; /* Z: no higher spatial layer of the picture needs it */
    bool has_layers;   /* the next five are told */
    uint8_t sid, tid;  /* 0 … 7 */
    bool switch_up;    /* U: later pictures of higher temporal layers need nothing of those layers from before this one */
    bool inter_layer;  /* D: needs the next lower spatial layer of its picture */
    uint8_t tl0picidx; /* not in flexible mode: 0 */
    uint8_t picture_id_bits; /* 0, 7 or 15 */
    uint16_t picture_id;
    uint8_t n_sids;   /* of the scalability structure, 0: this packet has none */
    bool has_heights; /* it tells sizes */
    uint16_t width[VP9_SIDS_MAX], height[VP9_SIDS_MAX];
};

/* ERR_TRUNCATED, ERR_MALFORMED. */
int vp9_parse(const uint8_t *payload, size_t len, struct vp9_descriptor *ret);
