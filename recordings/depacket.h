/* Payloads of one frame put together again: VP8 (RFC 7741), VP9 (RFC 9628), H.264 (RFC 6184), Opus (a packet is a frame).
 *
 * VP8 and VP9 lose their payload descriptors. H.264 comes out as an access unit with 4-byte lengths (Matroska's form); its
 * parameter sets are kept, since a segment needs them before its first frame.
 *
 * Pure. Thread: any. The order of packets and the borders of frames are the caller's (assembler.h). Errors: ERR_TRUNCATED,
 * ERR_MALFORMED, ERR_UNSUPPORTED, ERR_RANGE (a frame above DEPACKET_FRAME_MAX). */
#pragma once

#include "rtp/packet.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DEPACKET_FRAME_MAX = 8 << 20, DEPACKET_PARAMETERS_MAX = 512 };

struct depacket {
    enum rtp_codec codec;
    uint8_t *bytes; /* the frame so far; owned */
    size_t len, cap;
    size_t nal_at; /* H.264: where the length of the NAL unit being put together stands */
    bool in_fragment, keyframe;
    uint8_t sps[DEPACKET_PARAMETERS_MAX], pps[DEPACKET_PARAMETERS_MAX];
    size_t sps_len, pps_len;
    bool parameters_changed; /* since the caller last set it to false */
};

void depacket_init(struct depacket *d, enum rtp_codec codec);
void depacket_clear(struct depacket *d); /* frees what it owns */
void depacket_begin(struct depacket *d); /* forgets a frame in progress */
int depacket_add(struct depacket *d, const uint8_t *payload, size_t len);
/* H.264: avcC record (ISO 14496-15, 5.3.3.1) of the kept parameter sets. ERR_STATE when there are none yet. */
int depacket_avcc(const struct depacket *d, uint8_t *out, size_t cap, size_t *ret_len);

/* Length of the VP9 payload descriptor. `ret_start`: first packet of a frame; `ret_inter`: refers to earlier frames. */
int vp9_descriptor_len(const uint8_t *payload, size_t len, size_t *ret_len, bool *ret_start, bool *ret_inter);
