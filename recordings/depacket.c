#include "recordings/depacket.h"

#include "rtp/vp8.h"

#include "base/bytes.h"
#include "base/err.h"

#include <stdlib.h>
#include <string.h>

enum { NAL_IDR = 5, NAL_SPS = 7, NAL_PPS = 8, NAL_STAP_A = 24, NAL_FU_A = 28 };

void depacket_init(struct depacket *d, enum rtp_codec codec)
{
    memset(d, 0, sizeof *d);
    d->codec = codec;
}

void depacket_clear(struct depacket *d)
{
    free(d->bytes);
    d->bytes = NULL;
    d->len = d->cap = 0;
}

void depacket_begin(struct depacket *d)
{
    d->len = 0;
    d->in_fragment = d->keyframe = false;
}

static int append(struct depacket *d, const void *bytes, size_t len)
{
    if (d->len + len > DEPACKET_FRAME_MAX)
        return ERR_RANGE;
    if (d->len + len > d->cap) {
        size_t cap = d->cap ? d->cap * 2 : 16384;
        while (cap < d->len + len)
            cap *= 2;
        uint8_t *grown = realloc(d->bytes, cap);
        if (!grown)
            return ERR_NOMEM;
        d->bytes = grown;
        d->cap = cap;
    }
    if (len)
        memcpy(d->bytes + d->len, bytes, len);
    d->len += len;
    return 0;
}

/* --- VP8, VP9 ----------------------------------------------------------------------------------------------------- */

static int add_vp8(struct depacket *d, const uint8_t *payload, size_t len)
{
    struct vp8_descriptor v;
    int err = vp8_parse(payload, len, &v);
    if (err)
        return err;
    if (v.start && v.keyframe)
        d->keyframe = true;
    return append(d, payload + v.len, len - v.len);
}

static void skip_scalability_structure(struct reader *r)
{
    uint8_t head = read_u8(r);
    unsigned layers = (head >> 5) + 1u;
    if (head & 0x10)
        reader_take(r, layers * 4u);
    if (head & 0x08) {
        unsigned pictures = read_u8(r);
        for (unsigned i = 0; i < pictures && !r->failed; i++) {
            uint8_t refs = (uint8_t)(read_u8(r) >> 2 & 3);
            reader_take(r, refs);
        }
    }
}

int vp9_descriptor_len(const uint8_t *payload, size_t len, size_t *ret_len, bool *ret_start, bool *ret_inter)
{
    struct reader r = reader_make(payload, len);
    uint8_t head = read_u8(&r); /* I P L F B E V Z */
    bool flexible = head & 0x10;
    if (head & 0x80 && read_u8(&r) & 0x80)
        read_u8(&r);
    if (head & 0x20) {
        read_u8(&r);
        if (!flexible)
            read_u8(&r);
    }
    if (flexible && head & 0x40)
        for (int i = 0; i < 3 && read_u8(&r) & 1; i++) {
        }
    if (head & 0x02)
        skip_scalability_structure(&r);
    if (r.failed || reader_left(&r) == 0)
        return ERR_TRUNCATED;
    *ret_len = len - reader_left(&r);
    *ret_start = head & 0x08;
    *ret_inter = head & 0x40;
    return 0;
}

static int add_vp9(struct depacket *d, const uint8_t *payload, size_t len)
{
    size_t descriptor;
    bool start, inter;
    int err = vp9_descriptor_len(payload, len, &descriptor, &start, &inter);
    if (err)
        return err;
    if (d->len == 0 && start && !inter)
        d->keyframe = true;
    return append(d, payload + descriptor, len - descriptor);
}

/* --- H.264 -------------------------------------------------------------------------------------------------------- */

static void keep_parameters(struct depacket *d, const uint8_t *nal, size_t len)
{
    bool is_sps = (nal[0] & 0x1f) == NAL_SPS;
    uint8_t *kept = is_sps ? d->sps : d->pps;
    size_t *kept_len = is_sps ? &d->sps_len : &d->pps_len;
    if (len > DEPACKET_PARAMETERS_MAX || (*kept_len == len && memcmp(kept, nal, len) == 0))
        return;
    memcpy(kept, nal, len);
    *kept_len = len;
    d->parameters_changed = true;
}

static void look_at_nal(struct depacket *d, const uint8_t *nal, size_t len)
{
    uint8_t type = nal[0] & 0x1f;
    if (type == NAL_IDR)
        d->keyframe = true;
    else if (type == NAL_SPS || type == NAL_PPS)
        keep_parameters(d, nal, len);
}

static int append_nal(struct depacket *d, const uint8_t *nal, size_t len)
{
    uint8_t length[4];
    put_u32(length, (uint32_t)len);
    int err = append(d, length, sizeof length);
    if (!err)
        err = append(d, nal, len);
    if (!err)
        look_at_nal(d, nal, len);
    return err;
}

static int add_aggregate(struct depacket *d, struct reader *r)
{
    while (reader_left(r)) {
        size_t len = read_u16(r);
        const uint8_t *nal = reader_take(r, len);
        if (!nal || len == 0)
            return ERR_MALFORMED;
        int err = append_nal(d, nal, len);
        if (err)
            return err;
    }
    return 0;
}

static int add_fragment(struct depacket *d, uint8_t indicator, struct reader *r)
{
    uint8_t head = read_u8(r);
    int err = 0;
    if (r->failed || reader_left(r) == 0)
        return ERR_TRUNCATED;
    if (head & 0x80) {
        uint8_t start[5] = {0, 0, 0, 0, (uint8_t)((indicator & 0xe0) | (head & 0x1f))};
        d->nal_at = d->len;
        d->in_fragment = true;
        err = append(d, start, sizeof start);
        if (!err)
            look_at_nal(d, start + 4, 1); /* parameter sets are never fragmented by browsers; an IDR is */
    } else if (!d->in_fragment) {
        return ERR_MALFORMED;
    }
    if (!err)
        err = append(d, r->at, reader_left(r));
    if (!err)
        put_u32(d->bytes + d->nal_at, (uint32_t)(d->len - d->nal_at - 4));
    if (head & 0x40)
        d->in_fragment = false;
    return err;
}

static int add_h264(struct depacket *d, const uint8_t *payload, size_t len)
{
    struct reader r = reader_make(payload, len);
    uint8_t head = read_u8(&r);
    uint8_t type = head & 0x1f;
    if (type >= 1 && type <= 23)
        return append_nal(d, payload, len);
    if (type == NAL_STAP_A)
        return add_aggregate(d, &r);
    return type == NAL_FU_A ? add_fragment(d, head, &r) : ERR_UNSUPPORTED;
}

int depacket_avcc(const struct depacket *d, uint8_t *out, size_t cap, size_t *ret_len)
{
    if (d->sps_len < 4 || d->pps_len == 0)
        return ERR_STATE;
    struct writer w = writer_make(out, cap);
    write_u8(&w, 1);
    write_bytes(&w, d->sps + 1, 3); /* profile, compatibility, level */
    write_u8(&w, 0xff);             /* lengths have 4 bytes */
    write_u8(&w, 0xe1);             /* one sequence parameter set */
    write_u16(&w, (uint16_t)d->sps_len);
    write_bytes(&w, d->sps, d->sps_len);
    write_u8(&w, 1);
    write_u16(&w, (uint16_t)d->pps_len);
    write_bytes(&w, d->pps, d->pps_len);
    if (w.failed)
        return ERR_RANGE;
    *ret_len = writer_len(&w);
    return 0;
}

int depacket_add(struct depacket *d, const uint8_t *payload, size_t len)
{
    if (len == 0)
        return ERR_TRUNCATED;
    switch (d->codec) {
    case RTP_OPUS: d->keyframe = true; return append(d, payload, len);
    case RTP_VP8: return add_vp8(d, payload, len);
    case RTP_VP9: return add_vp9(d, payload, len);
    case RTP_H264: return add_h264(d, payload, len);
    case RTP_CODEC_NONE: break;
    }
    return ERR_UNSUPPORTED;
}
