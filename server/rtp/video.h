/* What a forwarder must know about a video payload, for every codec that is passed through: VP8 (RFC 7741), VP9 (RFC 9628),
 * H.264 (RFC 6184: single NAL unit, STAP-A, FU-A). VP8's numbers are in vp8.h, VP9's layers in vp9.h; VP9 and H.264 are
 * passed without rewriting.
 *
 * Thread: any. Pure. Not here: H.264 MTAPs and STAP-B, FU-B (packetization mode 2). */
#pragma once

#include "rtp/packet.h"
#include "rtp/vp8.h"
#include "rtp/vp9.h"

struct video_info {
    bool start;       /* first packet of a picture (H.264: of an access unit that begins with SPS, IDR or a slice start) */
    bool end;         /* last packet of a picture: the marker bit says it */
    bool keyframe;    /* this packet belongs to the start of a keyframe: a decoder may begin here */
    bool discardable; /* no other frame needs it */
    bool has_tid;     /* VP8, VP9: layers are told */
    uint8_t sid, tid; /* spatial and temporal layer */
    uint16_t width, height; /* of a keyframe when the payload says it (VP8; VP9 scalability structure; H.264 SPS), else 0 */
    union {
        struct vp8_descriptor vp8; /* codec RTP_VP8 only */
        struct vp9_descriptor vp9; /* codec RTP_VP9 only */
    };
};

/* Empty payloads (padding only) and broken ones: ERR_TRUNCATED, ERR_MALFORMED; other codecs: ERR_UNSUPPORTED. */
int video_parse(enum rtp_codec codec, const uint8_t *payload, size_t len, bool marker, struct video_info *ret);

int h264_parse(const uint8_t *payload, size_t len, struct video_info *ret);
/* Size in an H.264 sequence parameter set (NAL unit with its header byte). ERR_TRUNCATED, ERR_MALFORMED. */
int h264_sps_size(const uint8_t *nal, size_t len, uint16_t *ret_width, uint16_t *ret_height);
