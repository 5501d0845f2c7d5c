/* VP8 payload descriptor (RFC 7741, 4.2) and the little of the frame header (RFC 6386, 9.1) that a forwarder needs.
 *
 * vp8_rewrite() stores new numbers in place; the fields keep their lengths, so a 7-bit picture id stays 7 bits (browsers
 * send 15). A payload shared by many subscribers may be rewritten for each right before it is copied out, since the
 * descriptor remembers the publisher's numbers: one thread, nothing to restore. Thread: any. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vp8_descriptor {
    uint8_t len; /* of the descriptor; the VP8 bytes follow */
    bool start;  /* first packet of a frame: S set, partition 0 */
    bool non_reference;
    bool keyframe;           /* only known in the first packet of a frame */
    uint16_t width, height;  /* of a keyframe's first packet, 0 otherwise */
    uint8_t picture_id_bits; /* 0, 7 or 15 */
    uint16_t picture_id;
    bool has_tl0, has_tid, has_keyidx;
    uint8_t tl0picidx, tid, keyidx;               /* tid 0…3, keyidx 0…31 */
    bool layer_sync;                              /* Y */
    uint8_t at_picture_id, at_tl0, at_tid_keyidx; /* offsets in the payload, 0: absent */
};

/* ERR_TRUNCATED. */
int vp8_parse(const uint8_t *payload, size_t len, struct vp8_descriptor *ret);

/* The fields that `d` lacks are left out. Only the low bits of each number are used. */
void vp8_rewrite(uint8_t *payload, const struct vp8_descriptor *d, uint16_t picture_id, uint8_t tl0picidx, uint8_t keyidx);

/* Writes a descriptor as browsers do (15-bit picture id, TL0PICIDX and TID absent). Returns its length, 4. For the
 * simulator. */
size_t vp8_write_descriptor(uint8_t *out, bool start, uint16_t picture_id);
enum { VP8_DESCRIPTOR = 4 };
