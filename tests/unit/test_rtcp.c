#include "rtp/rtcp.h"

#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static uint8_t room[1500];

static struct rtcp_block only_block(struct writer *w)
{
    assert_false(w->failed);
    struct reader r = reader_make(w->start, writer_len(w));
    struct rtcp_block b;
    assert_int_equal(rtcp_next(&r, &b), 0);
    struct rtcp_block rest;
    assert_int_equal(rtcp_next(&r, &rest), ERR_AGAIN);
    return b;
}

static void a_compound_is_cut_into_its_blocks(void **state)
{
    struct writer w = writer_make(room, sizeof room);
    const struct rtcp_sender_info info = {.ntp = 0x1122334455667788, .rtp_ts = 0xfffffffe, .packets = 7, .octets = 700};
    const struct rtcp_report report = {
        .ssrc = 5, .fraction_lost = 255, .lost = -3, .highest_seq = 0x1ffff, .jitter = 9, .lsr = 1, .dlsr = 2};
    rtcp_write_sr(&w, 99, &info, &report, 1);
    rtcp_write_cname(&w, 99, "giaoban");
    rtcp_write_bye(&w, (uint32_t[]){99, 100}, 2);
    struct reader r = reader_make(room, writer_len(&w));
    struct rtcp_block b;
    struct rtcp_sender_info got_info;
    struct rtcp_report got[RTCP_REPORTS_MAX];
    uint32_t ssrc, gone[4];
    size_t n;
    assert_int_equal(rtcp_next(&r, &b), 0);
    assert_int_equal(rtcp_get_reports(&b, &ssrc, &got_info, got, &n), 0);
    assert_int_equal(ssrc, 99);
    assert_int_equal(got_info.ntp, info.ntp);
    assert_int_equal(got_info.rtp_ts, info.rtp_ts);
    assert_int_equal(got_info.packets, info.packets);
    assert_int_equal(got_info.octets, info.octets);
    assert_int_equal(n, 1);
    assert_int_equal(got[0].ssrc, report.ssrc);
    assert_int_equal(got[0].fraction_lost, report.fraction_lost);
    assert_int_equal(got[0].lost, report.lost);
    assert_int_equal(got[0].highest_seq, report.highest_seq);
    assert_int_equal(got[0].jitter, report.jitter);
    assert_int_equal(got[0].lsr, report.lsr);
    assert_int_equal(got[0].dlsr, report.dlsr);
    assert_int_equal(rtcp_next(&r, &b), 0);
    assert_int_equal(b.type, RTCP_SDES);
    assert_memory_equal(b.bytes + 10, "giaoban", 8); /* the item, and the null that ends the list */
    assert_int_equal(rtcp_next(&r, &b), 0);
    assert_int_equal(rtcp_get_bye(&b, gone, 4, &n), 0);
    assert_int_equal(n, 2);
    assert_int_equal(gone[1], 100);
    assert_int_equal(rtcp_next(&r, &b), ERR_AGAIN);
}

static void nack_survives_the_wrap(void **state)
{
    static const uint16_t seqs[] = {65530, 65535, 0, 10, 11, 300};
    struct writer w = writer_make(room, sizeof room);
    rtcp_write_nack(&w, 1, 2, seqs, 6);
    assert_int_equal(writer_len(&w), 12 + 2 * 4 + 4); /* 65530…10, 11, 300 */
    struct rtcp_block b = only_block(&w);
    uint16_t got[64];
    uint32_t media;
    size_t n;
    assert_int_equal(rtcp_get_nack(&b, &media, got, 64, &n), 0);
    assert_int_equal(media, 2);
    assert_int_equal(n, 6);
    assert_memory_equal(got, seqs, sizeof seqs);
    assert_int_equal(rtcp_get_nack(&b, &media, got, 2, &n), 0);
    assert_int_equal(n, 2);
}

static void keyframe_requests_name_their_source(void **state)
{
    struct writer w = writer_make(room, sizeof room);
    uint32_t media = 0;
    rtcp_write_pli(&w, 1, 77);
    struct rtcp_block b = only_block(&w);
    assert_int_equal(rtcp_get_pli(&b, &media), 0);
    assert_int_equal(media, 77);
    w = writer_make(room, sizeof room);
    rtcp_write_fir(&w, 1, 78, 200);
    b = only_block(&w);
    struct rtcp_fir fir;
    size_t n;
    assert_int_equal(rtcp_get_pli(&b, &media), ERR_UNSUPPORTED);
    assert_int_equal(rtcp_get_fir(&b, &fir, 1, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(fir.ssrc, 78);
    assert_int_equal(fir.seq, 200);
}

static void remb_keeps_18_bits_of_the_estimate(void **state)
{
    static const struct {
        uint64_t in;
    } rows[] = {{0}, {262143}, {262145}, {2500000}, {10000000000}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct writer w = writer_make(room, sizeof room);
        rtcp_write_remb(&w, 1, rows[i].in, (uint32_t[]){3}, 1);
        struct rtcp_block b = only_block(&w);
        uint64_t bps = 1;
        assert_int_equal(rtcp_get_remb(&b, &bps), 0);
        assert_true(bps <= rows[i].in && rows[i].in - bps <= rows[i].in >> 17);
    }
    static const uint8_t too_big[] = {0x8f, 206, 0,   5,   0, 0,    0,    1,    0, 0, 0, 0,
                                      'R',  'E', 'M', 'B', 1, 0xff, 0xff, 0xff, 0, 0, 0, 3};
    struct reader r = reader_make(too_big, sizeof too_big);
    struct rtcp_block b;
    uint64_t bps;
    assert_int_equal(rtcp_next(&r, &b), 0);
    assert_int_equal(rtcp_get_remb(&b, &bps), ERR_MALFORMED);
}

static void broken_compounds_are_refused(void **state)
{
    static const struct {
        uint8_t bytes[16];
        size_t len;
        int err;
    } rows[] = {
        {{0x80, 200, 0}, 3, ERR_TRUNCATED},
        {{0x80, 200, 0, 1}, 4, ERR_TRUNCATED},
        {{0x00, 200, 0, 0}, 4, ERR_MALFORMED},
        {{0xa0, 200, 0, 0}, 4, ERR_MALFORMED},             /* padding where nothing is */
        {{0xa0, 200, 0, 1, 0, 0, 0, 5}, 8, ERR_MALFORMED}, /* padding longer than the body */
        {{0xa0, 200, 0, 1, 0, 0, 0, 0}, 8, ERR_MALFORMED}, /* padding of 0 */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct reader r = reader_make(rows[i].bytes, rows[i].len);
        struct rtcp_block b;
        assert_int_equal(rtcp_next(&r, &b), rows[i].err);
    }
    static const uint8_t short_report[] = {0x81, 201, 0, 1, 0, 0, 0, 9};
    struct reader r = reader_make(short_report, sizeof short_report);
    struct rtcp_block b;
    struct rtcp_report reports[RTCP_REPORTS_MAX];
    uint32_t ssrc;
    size_t n;
    assert_int_equal(rtcp_next(&r, &b), 0);
    assert_int_equal(rtcp_get_reports(&b, &ssrc, NULL, reports, &n), ERR_MALFORMED);
}

static void a_builder_without_room_says_so(void **state)
{
    struct writer w = writer_make(room, 20);
    rtcp_write_fir(&w, 1, 2, 3); /* 20 bytes */
    assert_false(w.failed);
    rtcp_write_pli(&w, 1, 2);
    assert_true(w.failed);
    w = writer_make(room, 13);
    rtcp_write_nack(&w, 1, 2, (uint16_t[]){1}, 1);
    assert_true(w.failed);
}

static void round_trip_comes_from_the_report(void **state)
{
    int64_t sent_us = 5000000000, now_us = sent_us + 150000;
    struct rtcp_report report = {.lsr = ntp_short(ntp_from_us(sent_us)), .dlsr = 65536 / 10};
    int64_t rtt_us = rtcp_round_trip_us(&report, now_us);
    assert_in_range(rtt_us, 49950, 50050);
    report.lsr = 0;
    assert_int_equal(rtcp_round_trip_us(&report, now_us), -1);
    report.lsr = ntp_short(ntp_from_us(now_us)) + 65536; /* from the future */
    assert_int_equal(rtcp_round_trip_us(&report, now_us), -1);
}

static void ntp_times_go_both_ways(void **state)
{
    static const int64_t rows[] = {0, 1, 999999, 1000000, 1234567890123};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(ntp_to_us(ntp_from_us(rows[i])), rows[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_compound_is_cut_into_its_blocks),   cmocka_unit_test(nack_survives_the_wrap),
        cmocka_unit_test(keyframe_requests_name_their_source), cmocka_unit_test(remb_keeps_18_bits_of_the_estimate),
        cmocka_unit_test(broken_compounds_are_refused),        cmocka_unit_test(a_builder_without_room_says_so),
        cmocka_unit_test(round_trip_comes_from_the_report),    cmocka_unit_test(ntp_times_go_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
