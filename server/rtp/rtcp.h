/* RTCP (RFC 3550, 6; RFC 4585; RFC 5104; REMB): a bounds-checked reader of compound packets and builders.
 *
 * Reading: rtcp_next() cuts a compound into blocks; the rtcp_get_*() functions take one block apart. Reduced-size RTCP (RFC
 * 5506) is accepted: a compound may begin with any type. Blocks of unknown type are handed out too; the caller skips them.
 * Writing: the rtcp_write_*() functions append to a struct writer, whose `failed` says whether it all fitted.
 *
 * Transport-wide feedback is in transport_cc.h. Times: NTP is 32.32 fixed point, `ntp_short` its middle 32 bits. Thread:
 * any. Pure. Not here: XR, APP, translators' rules, the sending interval (the caller's). */
#pragma once

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum rtcp_type {
    RTCP_SR = 200,
    RTCP_RR = 201,
    RTCP_SDES = 202,
    RTCP_BYE = 203,
    RTCP_APP = 204,
    RTCP_RTPFB = 205, /* count field: enum rtcp_rtpfb */
    RTCP_PSFB = 206,  /* count field: enum rtcp_psfb */
};

enum rtcp_rtpfb { RTCP_NACK = 1, RTCP_TRANSPORT_CC = 15 };
enum rtcp_psfb { RTCP_PLI = 1, RTCP_FIR = 4, RTCP_AFB = 15 /* REMB */ };

enum { RTCP_REPORTS_MAX = 31 };

struct rtcp_block {
    uint8_t type, count;  /* count: reports, sources or the feedback format */
    const uint8_t *bytes; /* the whole block with its header */
    size_t len;           /* of the block, without padding; at least 4 */
};

struct rtcp_report {
    uint32_t ssrc;
    uint8_t fraction_lost; /* of 256 */
    int32_t lost;          /* 24 bits, signed */
    uint32_t highest_seq;  /* cycles in the upper half */
    uint32_t jitter;       /* in timestamp units */
    uint32_t lsr;          /* ntp_short of the last SR, 0: none */
    uint32_t dlsr;         /* since then, in 1/65536 s */
};

struct rtcp_sender_info {
    uint64_t ntp;
    uint32_t rtp_ts, packets, octets;
};

/* Cuts the next block off. ERR_AGAIN: the end. ERR_TRUNCATED, ERR_MALFORMED: stop here. */
int rtcp_next(struct reader *r, struct rtcp_block *ret);

/* SR or RR: the sender's SSRC, its info (SR only; `ret_info` may be NULL) and up to RTCP_REPORTS_MAX reports. ERR_MALFORMED.
 */
int rtcp_get_reports(const struct rtcp_block *b, uint32_t *ret_ssrc, struct rtcp_sender_info *ret_info,
                     struct rtcp_report reports[RTCP_REPORTS_MAX], size_t *ret_n);

/* NACK: the media SSRC and the sequence numbers asked for, at most `cap` of them (the rest is left out). */
int rtcp_get_nack(const struct rtcp_block *b, uint32_t *ret_media_ssrc, uint16_t *seqs, size_t cap, size_t *ret_n);
int rtcp_get_pli(const struct rtcp_block *b, uint32_t *ret_media_ssrc);
struct rtcp_fir {
    uint32_t ssrc;
    uint8_t seq;
};
int rtcp_get_fir(const struct rtcp_block *b, struct rtcp_fir *firs, size_t cap, size_t *ret_n);
/* REMB: the estimate in bits/s. ERR_UNSUPPORTED: another application-layer feedback. */
int rtcp_get_remb(const struct rtcp_block *b, uint64_t *ret_bps);
/* BYE: the sources that left, at most `cap`. */
int rtcp_get_bye(const struct rtcp_block *b, uint32_t *ssrcs, size_t cap, size_t *ret_n);

void rtcp_write_sr(struct writer *w, uint32_t ssrc, const struct rtcp_sender_info *info, const struct rtcp_report *reports,
                   size_t n);
void rtcp_write_rr(struct writer *w, uint32_t ssrc, const struct rtcp_report *reports, size_t n);
/* SDES with one chunk, one CNAME (at most 255 bytes). */
void rtcp_write_cname(struct writer *w, uint32_t ssrc, const char *cname);
void rtcp_write_bye(struct writer *w, const uint32_t *ssrcs, size_t n /* at most 31 */);
/* `seqs` ascending (with wrap); neighbours within 16 share an entry. */
void rtcp_write_nack(struct writer *w, uint32_t sender_ssrc, uint32_t media_ssrc, const uint16_t *seqs, size_t n);
void rtcp_write_pli(struct writer *w, uint32_t sender_ssrc, uint32_t media_ssrc);
void rtcp_write_fir(struct writer *w, uint32_t sender_ssrc, uint32_t media_ssrc, uint8_t seq);
void rtcp_write_remb(struct writer *w, uint32_t sender_ssrc, uint64_t bps, const uint32_t *ssrcs, size_t n);

/* µs of any epoch ↔ 32.32 fixed point. Reports of ours use CLOCK_MONOTONIC: all slots share it, nobody reads it as a date.
 */
static inline uint64_t ntp_from_us(int64_t us)
{
    uint64_t u = (uint64_t)us;
    return (u / 1000000u) << 32 | ((u % 1000000u) << 32) / 1000000u;
}

static inline int64_t ntp_to_us(uint64_t ntp)
{
    return (int64_t)((ntp >> 32) * 1000000u + (((ntp & 0xffffffffu) * 1000000u + 0x80000000u) >> 32));
}

static inline uint32_t ntp_short(uint64_t ntp)
{
    return (uint32_t)(ntp >> 16);
}

/* Round trip from a report block about us that arrived at `now_us` (RFC 3550, 6.4.1); −1 when it has no LSR or makes no
 * sense. */
int64_t rtcp_round_trip_us(const struct rtcp_report *report, int64_t now_us);
