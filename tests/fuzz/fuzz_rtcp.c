/* A compound RTCP packet, every getter on every block; and what we write out of the same bytes, read back. */
#include "rtp/transport_cc.h"

#include "require.h"

#include <stdlib.h>
#include <string.h>

enum { NUMBERS = 40 };

/* A compound of every block that we write. */
struct written {
    struct rtcp_sender_info info;
    struct rtcp_report report;
    uint16_t seqs[NUMBERS];
    size_t n_seqs;
    uint64_t bps;
    uint8_t fir_seq;
};

static struct rtcp_block next_block(struct reader *r, uint8_t type, uint8_t format)
{
    struct rtcp_block b;
    require(rtcp_next(r, &b) == 0 && b.type == type && (!format || b.count == format));
    return b;
}

static void make(struct written *x, const uint8_t *data, size_t size)
{
    struct reader r = reader_make(data, size);
    memset(x, 0, sizeof *x);
    x->info = (struct rtcp_sender_info){read_u64(&r), read_u32(&r), read_u32(&r), read_u32(&r)};
    x->report =
        (struct rtcp_report){read_u32(&r), read_u8(&r), (int32_t)(int16_t)read_u16(&r) * 256, read_u32(&r), read_u32(&r),
                             read_u32(&r), read_u32(&r)};
    x->bps = read_u32(&r);
    x->fir_seq = read_u8(&r);
    uint16_t seq = read_u16(&r);
    while (reader_left(&r) && x->n_seqs < NUMBERS)
        x->seqs[x->n_seqs++] = (seq = (uint16_t)(seq + 1 + read_u8(&r)));
}

static void check_nack(const struct written *x, const struct rtcp_block *b)
{
    uint16_t back[NUMBERS];
    uint32_t ssrc;
    size_t n;
    require(!rtcp_get_nack(b, &ssrc, back, NUMBERS, &n) && ssrc == 2 && n == x->n_seqs);
    require(!memcmp(back, x->seqs, n * sizeof *back));
}

static bool same_report(const struct rtcp_report *a, const struct rtcp_report *b)
{
    return a->ssrc == b->ssrc && a->fraction_lost == b->fraction_lost && a->lost == b->lost &&
           a->highest_seq == b->highest_seq && a->jitter == b->jitter && a->lsr == b->lsr && a->dlsr == b->dlsr;
}

static void write_and_read(const struct written *x)
{
    uint8_t bytes[1200];
    struct writer w = writer_make(bytes, sizeof bytes);
    struct rtcp_sender_info info;
    struct rtcp_report reports[RTCP_REPORTS_MAX];
    struct rtcp_fir fir;
    uint32_t ssrc, left[2];
    uint64_t bps;
    size_t n;
    rtcp_write_sr(&w, 1, &x->info, &x->report, 1);
    rtcp_write_cname(&w, 1, "c");
    if (x->n_seqs)
        rtcp_write_nack(&w, 1, 2, x->seqs, x->n_seqs);
    rtcp_write_pli(&w, 1, 2);
    rtcp_write_fir(&w, 1, 2, x->fir_seq);
    rtcp_write_remb(&w, 1, x->bps, (const uint32_t[]){2}, 1);
    rtcp_write_bye(&w, (const uint32_t[]){1, 2}, 2);
    struct reader r = reader_make(bytes, writer_len(&w));
    struct rtcp_block b = next_block(&r, RTCP_SR, 1);
    require(!rtcp_get_reports(&b, &ssrc, &info, reports, &n) && ssrc == 1 && n == 1);
    require(info.ntp == x->info.ntp && info.rtp_ts == x->info.rtp_ts && info.packets == x->info.packets &&
            info.octets == x->info.octets && same_report(&reports[0], &x->report));
    next_block(&r, RTCP_SDES, 1);
    if (x->n_seqs) {
        b = next_block(&r, RTCP_RTPFB, 1);
        check_nack(x, &b);
    }
    b = next_block(&r, RTCP_PSFB, 1);
    require(!rtcp_get_pli(&b, &ssrc) && ssrc == 2);
    b = next_block(&r, RTCP_PSFB, 4);
    require(!rtcp_get_fir(&b, &fir, 1, &n) && n == 1 && fir.ssrc == 2 && fir.seq == x->fir_seq);
    b = next_block(&r, RTCP_PSFB, 15);
    require(!rtcp_get_remb(&b, &bps) && bps <= x->bps && bps >= x->bps - x->bps / 100000);
    b = next_block(&r, RTCP_BYE, 2);
    require(!rtcp_get_bye(&b, left, 2, &n) && n == 2 && left[0] == 1 && left[1] == 2);
    require(rtcp_next(&r, &b) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct transport_cc_feedback feedback;
    struct reader r = reader_make(data, size);
    struct rtcp_block b;
    while (rtcp_next(&r, &b) == 0) {
        struct rtcp_report reports[RTCP_REPORTS_MAX];
        struct rtcp_sender_info info;
        struct rtcp_fir firs[4];
        uint16_t seqs[32];
        uint32_t ssrc, ssrcs[8];
        uint64_t bps;
        size_t n;
        if (rtcp_get_reports(&b, &ssrc, &info, reports, &n) == 0 && n > RTCP_REPORTS_MAX)
            abort();
        if (rtcp_get_nack(&b, &ssrc, seqs, 32, &n) == 0 && n > 32)
            abort();
        (void)rtcp_get_pli(&b, &ssrc);
        if (rtcp_get_fir(&b, firs, 4, &n) == 0 && n > 4)
            abort();
        (void)rtcp_get_remb(&b, &bps);
        if (rtcp_get_bye(&b, ssrcs, 8, &n) == 0 && n > 8)
            abort();
        if (transport_cc_parse(&b, &feedback) == 0 && feedback.n > TRANSPORT_CC_MAX)
            abort();
    }
    struct written x;
    make(&x, data, size);
    write_and_read(&x);
    return 0;
}
