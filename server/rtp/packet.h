/* RTP packets (RFC 3550, 5.1): parsing once, in place, and building headers for many receivers.
 *
 * A `struct rtp_packet` is a view: its pointers go into the datagram, which the caller keeps alive. Header extensions (RFC
 * 8285, one- and two-byte form) are indexed while parsing, so a look-up by id costs one test. Every length is checked
 * against the datagram; a packet that breaks its format is refused whole.
 *
 * Sending is the other way round: rtp_header_build() makes a template for everything that has the same numbers (payload
 * type, SSRC, extension ids, mid), rtp_header_stamp() copies it and stores what differs in each packet at known offsets. The
 * length of a template is constant and a multiple of 4, so the packets of a run are equal in size.
 *
 * Extension ids above RTP_EXT_ID_MAX are skipped: an answer of ours never agrees to them. Not here: cryptex (RFC 9335),
 * profile-specific extensions other than RFC 8285's (skipped as opaque). Thread: any. Pure. */
#pragma once

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    RTP_FIXED_HEADER = 12,
    RTP_EXT_ID_MAX = 31,
    RTP_HEADER_MAX = 96, /* of a template */
    RTP_MID_MAX = 16,    /* bytes of a mid or rid we send (one-byte form allows no more) */
};

enum rtp_codec { RTP_CODEC_NONE, RTP_OPUS, RTP_VP8, RTP_VP9, RTP_H264 };

/* Negotiated extension ids of one section; 0: not negotiated. */
struct rtp_ext_ids {
    uint8_t mid, rid, rrid;
    uint8_t transport_seq; /* transport-wide-cc-extensions-01 */
    uint8_t abs_time;      /* abs-send-time */
    uint8_t audio_level;   /* RFC 6464 */
};

struct rtp_ext_at {
    uint16_t at; /* offset of the value in the datagram */
    uint8_t len; /* bytes of the value; may be 0 in the two-byte form */
};

struct rtp_packet {
    const uint8_t *start, *payload;
    uint16_t header_len;  /* fixed header, CSRC and extensions */
    uint16_t payload_len; /* without padding */
    uint8_t padding;      /* bytes of RTP padding, their count included */
    uint8_t pt, n_csrc;
    bool marker;
    uint16_t seq;
    uint32_t ts, ssrc;
    uint32_t ext_present;                      /* bit i: an extension with id i */
    struct rtp_ext_at ext[RTP_EXT_ID_MAX + 1]; /* valid where ext_present says so */
};

/* True when a datagram of RTP and RTCP on one port is RTCP (RFC 5761, 4). `len` may be anything. */
static inline bool rtp_is_rtcp(const uint8_t *bytes, size_t len)
{
    return len >= 2 && bytes[1] >= 192 && bytes[1] <= 223;
}

/* ERR_TRUNCATED, ERR_MALFORMED. */
int rtp_parse(const uint8_t *bytes, size_t len, struct rtp_packet *ret);

/* The value of extension `id` and its length, or NULL when the packet has none (id 0 included). */
static inline const uint8_t *rtp_ext(const struct rtp_packet *p, uint8_t id, uint8_t *ret_len)
{
    if (id == 0 || id > RTP_EXT_ID_MAX || !(p->ext_present & 1u << id))
        return NULL;
    *ret_len = p->ext[id].len;
    return p->start + p->ext[id].at;
}

/* Text of a mid, rid or rrid extension into `text` (NUL-terminated). False: none, empty or too long for `cap`. */
bool rtp_ext_text(const struct rtp_packet *p, uint8_t id, char *text, size_t cap);
/* Transport-wide sequence number. False: none. */
bool rtp_ext_transport_seq(const struct rtp_packet *p, uint8_t id, uint16_t *ret_seq);
/* The RFC 6464 byte: 0x80 voice, 0x7f level in −dBov. False: none. */
bool rtp_ext_audio_level(const struct rtp_packet *p, uint8_t id, uint8_t *ret_byte);

/* What is constant for a stream of packets. */
struct rtp_header_plan {
    uint8_t pt;
    uint32_t ssrc;
    struct rtp_ext_ids ids; /* an id of 0 leaves its extension out */
    const char *mid;        /* NULL: not sent */
    const char *rid, *rrid; /* for publishers only; NULL: not sent */
    bool csrc;              /* room for one CSRC */
    bool audio_level;       /* with an RFC 6464 byte, if negotiated */
};

struct rtp_header {
    uint8_t bytes[RTP_HEADER_MAX];
    uint8_t len;                                                    /* multiple of 4 */
    uint8_t at_csrc, at_transport_seq, at_abs_time, at_audio_level; /* 0: not in this template */
};

/* Ids above 14 or values longer than 16 bytes don't fit the one-byte form: ERR_RANGE. */
int rtp_header_build(const struct rtp_header_plan *plan, struct rtp_header *ret);

/* What differs in each packet. Fields for extensions that the template lacks are ignored. */
struct rtp_stamp {
    bool marker, padding;
    uint8_t audio_level;
    uint16_t seq, transport_seq;
    uint32_t ts, csrc;
    uint32_t abs_time; /* 24 bits, rtp_abs_time() */
};

/* Writes h->len bytes at `out`. */
static inline void rtp_header_stamp(const struct rtp_header *h, const struct rtp_stamp *s, uint8_t *out)
{
    memcpy(out, h->bytes, h->len);
    if (s->padding)
        out[0] |= 0x20;
    if (s->marker)
        out[1] |= 0x80;
    put_u16(out + 2, s->seq);
    put_u32(out + 4, s->ts);
    if (h->at_csrc)
        put_u32(out + h->at_csrc, s->csrc);
    if (h->at_transport_seq)
        put_u16(out + h->at_transport_seq, s->transport_seq);
    if (h->at_abs_time)
        put_u24(out + h->at_abs_time, s->abs_time);
    if (h->at_audio_level)
        out[h->at_audio_level] = s->audio_level;
}

/* abs-send-time: seconds modulo 64 as 6.18 fixed point. */
static inline uint32_t rtp_abs_time(int64_t now_us)
{
    return (uint32_t)((((uint64_t)now_us % 64000000u) << 18) / 1000000u) & 0xffffff;
}
