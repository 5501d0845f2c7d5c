#include "rtp/rtcp.h"

#include "base/err.h"
#include "base/seq.h"

#include <string.h>

enum { HEADER = 4, REPORT = 24, SENDER_INFO = 20, FEEDBACK = 12 };

int rtcp_next(struct reader *r, struct rtcp_block *ret)
{
    if (reader_left(r) == 0)
        return ERR_AGAIN;
    const uint8_t *bytes = r->at;
    uint8_t first = read_u8(r), type = read_u8(r);
    size_t len = ((size_t)read_u16(r) + 1) * 4;
    if (r->failed)
        return ERR_TRUNCATED;
    if (first >> 6 != 2)
        return ERR_MALFORMED;
    if (!reader_take(r, len - HEADER))
        return ERR_TRUNCATED;
    size_t padding = 0;
    if (first & 0x20) {
        padding = bytes[len - 1];
        if (padding == 0 || padding > len - HEADER)
            return ERR_MALFORMED;
    }
    *ret = (struct rtcp_block){.type = type, .count = first & 0x1f, .bytes = bytes, .len = len - padding};
    return 0;
}

static struct reader body_of(const struct rtcp_block *b)
{
    return reader_make(b->bytes + HEADER, b->len - HEADER);
}

static void read_report(struct reader *r, struct rtcp_report *ret)
{
    ret->ssrc = read_u32(r);
    ret->fraction_lost = read_u8(r);
    ret->lost = (int32_t)(read_u24(r) << 8) >> 8;
    ret->highest_seq = read_u32(r);
    ret->jitter = read_u32(r);
    ret->lsr = read_u32(r);
    ret->dlsr = read_u32(r);
}

int rtcp_get_reports(const struct rtcp_block *b, uint32_t *ret_ssrc, struct rtcp_sender_info *ret_info,
                     struct rtcp_report reports[RTCP_REPORTS_MAX], size_t *ret_n)
{
    if (b->type != RTCP_SR && b->type != RTCP_RR)
        return ERR_UNSUPPORTED;
    struct reader r = body_of(b);
    uint32_t ssrc = read_u32(&r);
    struct rtcp_sender_info info = {0};
    if (b->type == RTCP_SR)
        info = (struct rtcp_sender_info){
            .ntp = read_u64(&r), .rtp_ts = read_u32(&r), .packets = read_u32(&r), .octets = read_u32(&r)};
    if (r.failed || reader_left(&r) < b->count * (size_t)REPORT)
        return ERR_MALFORMED;
    for (size_t i = 0; i < b->count; i++)
        read_report(&r, &reports[i]);
    *ret_ssrc = ssrc;
    if (ret_info)
        *ret_info = info;
    *ret_n = b->count;
    return 0;
}

/* A feedback packet's own part, with the two SSRCs read. */
static int feedback_of(const struct rtcp_block *b, uint8_t type, uint8_t format, uint32_t *ret_media_ssrc,
                       struct reader *ret)
{
    if (b->type != type || b->count != format)
        return ERR_UNSUPPORTED;
    struct reader r = body_of(b);
    read_u32(&r); /* sender */
    uint32_t media = read_u32(&r);
    if (r.failed)
        return ERR_MALFORMED;
    *ret_media_ssrc = media;
    *ret = r;
    return 0;
}

int rtcp_get_nack(const struct rtcp_block *b, uint32_t *ret_media_ssrc, uint16_t *seqs, size_t cap, size_t *ret_n)
{
    struct reader r;
    int err = feedback_of(b, RTCP_RTPFB, RTCP_NACK, ret_media_ssrc, &r);
    if (err)
        return err;
    size_t n = 0;
    while (reader_left(&r) >= 4) {
        uint16_t first = read_u16(&r), mask = read_u16(&r);
        if (n < cap)
            seqs[n++] = first;
        for (unsigned bit = 0; bit < 16; bit++)
            if (mask & 1u << bit && n < cap)
                seqs[n++] = (uint16_t)(first + bit + 1);
    }
    *ret_n = n;
    return 0;
}

int rtcp_get_pli(const struct rtcp_block *b, uint32_t *ret_media_ssrc)
{
    struct reader r;
    return feedback_of(b, RTCP_PSFB, RTCP_PLI, ret_media_ssrc, &r);
}

int rtcp_get_fir(const struct rtcp_block *b, struct rtcp_fir *firs, size_t cap, size_t *ret_n)
{
    struct reader r;
    uint32_t unused;
    int err = feedback_of(b, RTCP_PSFB, RTCP_FIR, &unused, &r);
    if (err)
        return err;
    size_t n = 0;
    while (reader_left(&r) >= 8 && n < cap) {
        firs[n].ssrc = read_u32(&r);
        firs[n++].seq = read_u8(&r);
        read_u24(&r); /* reserved */
    }
    *ret_n = n;
    return 0;
}

int rtcp_get_remb(const struct rtcp_block *b, uint64_t *ret_bps)
{
    struct reader r;
    uint32_t unused;
    int err = feedback_of(b, RTCP_PSFB, RTCP_AFB, &unused, &r);
    if (err)
        return err;
    const uint8_t *name = reader_take(&r, 4);
    if (!name || memcmp(name, "REMB", 4) != 0)
        return ERR_UNSUPPORTED;
    read_u8(&r); /* number of SSRCs */
    uint32_t value = read_u24(&r);
    if (r.failed)
        return ERR_MALFORMED;
    unsigned exponent = value >> 18;
    uint64_t mantissa = value & 0x3ffff;
    if (exponent > 46) /* 18 bits more would leave 64 */
        return ERR_MALFORMED;
    *ret_bps = mantissa << exponent;
    return 0;
}

int rtcp_get_bye(const struct rtcp_block *b, uint32_t *ssrcs, size_t cap, size_t *ret_n)
{
    if (b->type != RTCP_BYE)
        return ERR_UNSUPPORTED;
    struct reader r = body_of(b);
    if (reader_left(&r) < b->count * (size_t)4)
        return ERR_MALFORMED;
    size_t n = b->count < cap ? b->count : cap;
    for (size_t i = 0; i < n; i++)
        ssrcs[i] = read_u32(&r);
    *ret_n = n;
    return 0;
}

static void write_head(struct writer *w, uint8_t count, uint8_t type, size_t len)
{
    write_u8(w, (uint8_t)(0x80 | count));
    write_u8(w, type);
    write_u16(w, (uint16_t)(len / 4 - 1));
}

static void write_report(struct writer *w, const struct rtcp_report *report)
{
    write_u32(w, report->ssrc);
    write_u8(w, report->fraction_lost);
    write_u24(w, (uint32_t)report->lost & 0xffffff);
    write_u32(w, report->highest_seq);
    write_u32(w, report->jitter);
    write_u32(w, report->lsr);
    write_u32(w, report->dlsr);
}

void rtcp_write_sr(struct writer *w, uint32_t ssrc, const struct rtcp_sender_info *info, const struct rtcp_report *reports,
                   size_t n)
{
    write_head(w, (uint8_t)n, RTCP_SR, HEADER + 4 + SENDER_INFO + n * REPORT);
    write_u32(w, ssrc);
    write_u64(w, info->ntp);
    write_u32(w, info->rtp_ts);
    write_u32(w, info->packets);
    write_u32(w, info->octets);
    for (size_t i = 0; i < n; i++)
        write_report(w, &reports[i]);
}

void rtcp_write_rr(struct writer *w, uint32_t ssrc, const struct rtcp_report *reports, size_t n)
{
    write_head(w, (uint8_t)n, RTCP_RR, HEADER + 4 + n * REPORT);
    write_u32(w, ssrc);
    for (size_t i = 0; i < n; i++)
        write_report(w, &reports[i]);
}

void rtcp_write_cname(struct writer *w, uint32_t ssrc, const char *cname)
{
    size_t len = strnlen(cname, 255);
    size_t item = 2 + len, chunk = (4 + item + 1 + 3) / 4 * 4; /* at least one null octet ends the list */
    write_head(w, 1, RTCP_SDES, HEADER + chunk);
    write_u32(w, ssrc);
    write_u8(w, 1);
    write_u8(w, (uint8_t)len);
    write_bytes(w, cname, len);
    for (size_t i = 4 + item; i < chunk; i++)
        write_u8(w, 0);
}

void rtcp_write_bye(struct writer *w, const uint32_t *ssrcs, size_t n)
{
    write_head(w, (uint8_t)n, RTCP_BYE, HEADER + n * 4);
    for (size_t i = 0; i < n; i++)
        write_u32(w, ssrcs[i]);
}

static void write_feedback_head(struct writer *w, uint8_t format, uint8_t type, size_t own_len, uint32_t sender,
                                uint32_t media)
{
    write_head(w, format, type, FEEDBACK + own_len);
    write_u32(w, sender);
    write_u32(w, media);
}

void rtcp_write_nack(struct writer *w, uint32_t sender_ssrc, uint32_t media_ssrc, const uint16_t *seqs, size_t n)
{
    uint8_t *start = w->at;
    write_feedback_head(w, RTCP_NACK, RTCP_RTPFB, 0, sender_ssrc, media_ssrc);
    size_t entries = 0;
    for (size_t i = 0; i < n; entries++) {
        uint16_t first = seqs[i++], mask = 0;
        while (i < n && seq_diff(seqs[i], first) >= 1 && seq_diff(seqs[i], first) <= 16)
            mask |= (uint16_t)(1u << (seq_diff(seqs[i++], first) - 1));
        write_u16(w, first);
        write_u16(w, mask);
    }
    if (!w->failed)
        put_u16(start + 2, (uint16_t)(FEEDBACK / 4 - 1 + entries));
}

void rtcp_write_pli(struct writer *w, uint32_t sender_ssrc, uint32_t media_ssrc)
{
    write_feedback_head(w, RTCP_PLI, RTCP_PSFB, 0, sender_ssrc, media_ssrc);
}

void rtcp_write_fir(struct writer *w, uint32_t sender_ssrc, uint32_t media_ssrc, uint8_t seq)
{
    write_feedback_head(w, RTCP_FIR, RTCP_PSFB, 8, sender_ssrc, 0); /* RFC 5104, 4.3.1.2: media source 0 */
    write_u32(w, media_ssrc);
    write_u8(w, seq);
    write_u24(w, 0);
}

void rtcp_write_remb(struct writer *w, uint32_t sender_ssrc, uint64_t bps, const uint32_t *ssrcs, size_t n)
{
    unsigned exponent = 0;
    while (bps >> exponent > 0x3ffff)
        exponent++;
    write_feedback_head(w, RTCP_AFB, RTCP_PSFB, 8 + n * 4, sender_ssrc, 0);
    write_bytes(w, "REMB", 4);
    write_u8(w, (uint8_t)n);
    write_u24(w, exponent << 18 | (uint32_t)(bps >> exponent));
    for (size_t i = 0; i < n; i++)
        write_u32(w, ssrcs[i]);
}

int64_t rtcp_round_trip_us(const struct rtcp_report *report, int64_t now_us)
{
    if (report->lsr == 0)
        return -1;
    uint32_t rtt = ntp_short(ntp_from_us(now_us)) - report->lsr - report->dlsr;
    if (rtt > 60u << 16) /* negative, or a minute: the report makes no sense */
        return -1;
    return (int64_t)((uint64_t)rtt * 1000000u >> 16);
}
