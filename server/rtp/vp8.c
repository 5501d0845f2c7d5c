#include "rtp/vp8.h"

#include "base/bytes.h"
#include "base/err.h"

enum { X = 0x80, NON_REFERENCE = 0x20, START = 0x10, PARTITION = 0x0f, I = 0x80, L = 0x40, T = 0x20, K = 0x10, M = 0x80 };

static void read_extended(struct reader *r, const uint8_t *payload, struct vp8_descriptor *d)
{
    uint8_t flags = read_u8(r);
    if (flags & I) {
        d->at_picture_id = (uint8_t)(r->at - payload);
        uint8_t first = read_u8(r);
        d->picture_id_bits = first & M ? 15 : 7;
        d->picture_id = first & 0x7f;
        if (first & M)
            d->picture_id = (uint16_t)(d->picture_id << 8 | read_u8(r));
    }
    if (flags & L) {
        d->has_tl0 = true;
        d->at_tl0 = (uint8_t)(r->at - payload);
        d->tl0picidx = read_u8(r);
    }
    if (flags & (T | K)) {
        d->at_tid_keyidx = (uint8_t)(r->at - payload);
        uint8_t byte = read_u8(r);
        d->has_tid = flags & T;
        d->has_keyidx = flags & K;
        if (d->has_tid) {
            d->tid = byte >> 6;
            d->layer_sync = byte & 0x20;
        }
        if (d->has_keyidx)
            d->keyidx = byte & 0x1f;
    }
}

/* RFC 6386, 9.1: frame tag, start code 9d 01 2a, then width and height in 14 bits each, little endian. */
static void read_frame_header(struct reader r, struct vp8_descriptor *d)
{
    uint8_t tag = read_u8(&r);
    if (r.failed || tag & 1)
        return;
    d->keyframe = true;
    const uint8_t *h = reader_take(&r, 9);
    if (!h || h[2] != 0x9d || h[3] != 0x01 || h[4] != 0x2a)
        return;
    d->width = (uint16_t)((h[5] | h[6] << 8) & 0x3fff);
    d->height = (uint16_t)((h[7] | h[8] << 8) & 0x3fff);
}

int vp8_parse(const uint8_t *payload, size_t len, struct vp8_descriptor *ret)
{
    struct reader r = reader_make(payload, len);
    struct vp8_descriptor d = {0};
    uint8_t first = read_u8(&r);
    d.non_reference = first & NON_REFERENCE;
    d.start = first & START && (first & PARTITION) == 0;
    if (first & X)
        read_extended(&r, payload, &d);
    if (r.failed || reader_left(&r) == 0)
        return ERR_TRUNCATED;
    d.len = (uint8_t)(r.at - payload);
    if (d.start)
        read_frame_header(r, &d);
    *ret = d;
    return 0;
}

void vp8_rewrite(uint8_t *payload, const struct vp8_descriptor *d, uint16_t picture_id, uint8_t tl0picidx, uint8_t keyidx)
{
    if (d->picture_id_bits == 15)
        put_u16(payload + d->at_picture_id, picture_id | 0x8000);
    else if (d->picture_id_bits == 7)
        payload[d->at_picture_id] = picture_id & 0x7f;
    if (d->has_tl0)
        payload[d->at_tl0] = tl0picidx;
    if (d->has_keyidx)
        payload[d->at_tid_keyidx] = (uint8_t)((payload[d->at_tid_keyidx] & 0xe0) | (keyidx & 0x1f));
}

size_t vp8_write_descriptor(uint8_t *out, bool start, uint16_t picture_id)
{
    out[0] = X | (start ? START : 0);
    out[1] = I;
    put_u16(out + 2, picture_id | 0x8000);
    return VP8_DESCRIPTOR;
}
