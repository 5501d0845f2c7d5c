#include "rtp/packet.h"

#include "base/err.h"

enum { PROFILE_ONE_BYTE = 0xbede, PROFILE_TWO_BYTE = 0x1000, ONE_BYTE_ID_MAX = 14, ONE_BYTE_LEN_MAX = 16 };

static void note_extension(struct rtp_packet *p, uint8_t id, const uint8_t *value, uint8_t len)
{
    if (id == 0 || id > RTP_EXT_ID_MAX)
        return;
    p->ext_present |= 1u << id;
    p->ext[id] = (struct rtp_ext_at){.at = (uint16_t)(value - p->start), .len = len};
}

static int parse_one_byte(struct rtp_packet *p, struct reader *r)
{
    while (reader_left(r) > 0) {
        uint8_t head = read_u8(r);
        if (head == 0) /* padding */
            continue;
        uint8_t id = head >> 4, len = (uint8_t)((head & 0x0f) + 1);
        if (id == 15) /* RFC 8285, 4.2: stop here */
            return 0;
        const uint8_t *value = reader_take(r, len);
        if (!value)
            return ERR_MALFORMED;
        note_extension(p, id, value, len);
    }
    return 0;
}

static int parse_two_byte(struct rtp_packet *p, struct reader *r)
{
    while (reader_left(r) > 0) {
        uint8_t id = read_u8(r);
        if (id == 0) /* padding */
            continue;
        uint8_t len = read_u8(r);
        const uint8_t *value = reader_take(r, len);
        if (!value)
            return ERR_MALFORMED;
        note_extension(p, id, value, len);
    }
    return 0;
}

static int parse_extensions(struct rtp_packet *p, struct reader *r)
{
    uint16_t profile = read_u16(r);
    size_t len = (size_t)read_u16(r) * 4;
    const uint8_t *body = reader_take(r, len);
    if (!body)
        return ERR_TRUNCATED;
    struct reader elements = reader_make(body, len);
    if (profile == PROFILE_ONE_BYTE)
        return parse_one_byte(p, &elements);
    if ((profile & 0xfff0) == PROFILE_TWO_BYTE)
        return parse_two_byte(p, &elements);
    return 0;
}

static void read_fixed(struct rtp_packet *p, struct reader *r)
{
    uint8_t second = read_u8(r);
    p->marker = second & 0x80;
    p->pt = second & 0x7f;
    p->seq = read_u16(r);
    p->ts = read_u32(r);
    p->ssrc = read_u32(r);
}

int rtp_parse(const uint8_t *bytes, size_t len, struct rtp_packet *ret)
{
    if (len < RTP_FIXED_HEADER || len > UINT16_MAX)
        return ERR_TRUNCATED;
    struct reader r = reader_make(bytes, len);
    uint8_t first = read_u8(&r);
    if (first >> 6 != 2)
        return ERR_MALFORMED;
    struct rtp_packet p;
    p.start = bytes;
    p.n_csrc = first & 0x0f;
    p.ext_present = 0;
    read_fixed(&p, &r);
    if (!reader_take(&r, p.n_csrc * 4u))
        return ERR_TRUNCATED;
    if (first & 0x10) {
        int err = parse_extensions(&p, &r);
        if (err)
            return err;
    }
    p.header_len = (uint16_t)(r.at - bytes);
    p.payload = r.at;
    p.padding = 0;
    size_t left = reader_left(&r);
    if (first & 0x20) {
        if (left == 0 || bytes[len - 1] == 0 || bytes[len - 1] > left)
            return ERR_MALFORMED;
        p.padding = bytes[len - 1];
    }
    p.payload_len = (uint16_t)(left - p.padding);
    /* Only what ext_present names is valid in ext[]: the rest is not worth clearing for each packet. */
    *ret = p;
    return 0;
}

bool rtp_ext_text(const struct rtp_packet *p, uint8_t id, char *text, size_t cap)
{
    uint8_t len;
    const uint8_t *value = rtp_ext(p, id, &len);
    if (!value || len == 0 || len >= cap || memchr(value, 0, len))
        return false;
    memcpy(text, value, len);
    text[len] = 0;
    return true;
}

bool rtp_ext_transport_seq(const struct rtp_packet *p, uint8_t id, uint16_t *ret_seq)
{
    uint8_t len;
    const uint8_t *value = rtp_ext(p, id, &len);
    if (!value || len < 2) /* version 02 has four bytes, the number first */
        return false;
    *ret_seq = (uint16_t)(value[0] << 8 | value[1]);
    return true;
}

bool rtp_ext_audio_level(const struct rtp_packet *p, uint8_t id, uint8_t *ret_byte)
{
    uint8_t len;
    const uint8_t *value = rtp_ext(p, id, &len);
    if (!value || len < 1)
        return false;
    *ret_byte = value[0];
    return true;
}

/* Appends an element with `len` zero bytes; the offset of its value, 0 when the id is not negotiated or nothing fits. */
static uint8_t add_element(struct writer *w, uint8_t id, size_t len)
{
    if (id == 0)
        return 0;
    if (id > ONE_BYTE_ID_MAX || len == 0 || len > ONE_BYTE_LEN_MAX) {
        w->failed = true;
        return 0;
    }
    write_u8(w, (uint8_t)(id << 4 | (len - 1)));
    uint8_t *value = writer_make_room(w, len);
    return value ? (uint8_t)(value - w->start) : 0;
}

static void add_text(struct writer *w, uint8_t id, const char *text)
{
    if (!text)
        return;
    uint8_t at = add_element(w, id, strlen(text));
    if (at)
        memcpy(w->start + at, text, strlen(text));
}

int rtp_header_build(const struct rtp_header_plan *plan, struct rtp_header *ret)
{
    struct rtp_header h = {0};
    struct writer w = writer_make(h.bytes, sizeof h.bytes);
    write_u8(&w, (uint8_t)(0x80 | (plan->csrc ? 1 : 0)));
    write_u8(&w, plan->pt & 0x7f);
    writer_make_room(&w, 6); /* sequence, timestamp */
    write_u32(&w, plan->ssrc);
    if (plan->csrc)
        h.at_csrc = (uint8_t)(writer_make_room(&w, 4) - w.start);
    size_t before = writer_len(&w);
    writer_make_room(&w, 4); /* profile, length */
    h.at_transport_seq = add_element(&w, plan->ids.transport_seq, 2);
    h.at_abs_time = add_element(&w, plan->ids.abs_time, 3);
    if (plan->audio_level)
        h.at_audio_level = add_element(&w, plan->ids.audio_level, 1);
    add_text(&w, plan->ids.mid, plan->mid);
    add_text(&w, plan->ids.rid, plan->rid);
    add_text(&w, plan->ids.rrid, plan->rrid);
    while (!w.failed && writer_len(&w) % 4 != 0)
        write_u8(&w, 0);
    if (w.failed)
        return ERR_RANGE;
    size_t elements = writer_len(&w) - before - 4;
    if (elements > 0) {
        h.bytes[0] |= 0x10;
        put_u16(h.bytes + before, PROFILE_ONE_BYTE);
        put_u16(h.bytes + before + 2, (uint16_t)(elements / 4));
        h.len = (uint8_t)writer_len(&w);
    } else {
        h.len = (uint8_t)before;
    }
    *ret = h;
    return 0;
}
