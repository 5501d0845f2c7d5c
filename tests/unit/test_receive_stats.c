#include "rtp/receive_stats.h"

#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void report_counts_loss_of_the_interval_and_of_the_whole(void **state)
{
    struct receive_stats s;
    struct rtcp_report report;
    receive_stats_init(&s, 90000);
    assert_int_equal(receive_stats_report(&s, 5, 0, &report), ERR_AGAIN);
    for (int64_t i = 0; i < 100; i++) /* over the wrap; every fourth lost */
        if (i % 4 != 1)
            receive_stats_packet(&s, 0x10000 + 65500 + i, (uint32_t)i * 3000, 100, i * 33333);
    assert_int_equal(receive_stats_report(&s, 5, 0, &report), 0);
    assert_int_equal(report.ssrc, 5);
    assert_int_equal(report.lost, 25);
    assert_int_equal(report.fraction_lost, 64);
    assert_int_equal(report.highest_seq, 0x10000 + 63); /* one cycle, number 63 */
    assert_int_equal(receive_stats_loss_permille(&s), 250);
    for (int64_t i = 100; i < 200; i++)
        receive_stats_packet(&s, 0x10000 + 65500 + i, (uint32_t)i * 3000, 100, i * 33333);
    assert_int_equal(receive_stats_report(&s, 5, 0, &report), 0);
    assert_int_equal(report.fraction_lost, 0);
    assert_int_equal(report.lost, 25);
    assert_int_equal(receive_stats_loss_permille(&s), 0);
}

static void duplicates_may_make_the_loss_negative_but_no_fraction(void **state)
{
    struct receive_stats s;
    struct rtcp_report report;
    receive_stats_init(&s, 90000);
    for (int i = 0; i < 4; i++)
        receive_stats_packet(&s, 0x10000 + 7, 0, 100, 0);
    assert_int_equal(receive_stats_report(&s, 5, 0, &report), 0);
    assert_int_equal(report.lost, -3);
    assert_int_equal(report.fraction_lost, 0);
}

static void jitter_follows_the_arrival_and_not_the_burst_of_a_frame(void **state)
{
    struct receive_stats s;
    struct rtcp_report report;
    receive_stats_init(&s, 90000);
    int64_t seq = 0x10000;
    for (int64_t frame = 0; frame < 300; frame++)
        for (int packet = 0; packet < 5; packet++)
            receive_stats_packet(&s, seq++, (uint32_t)(0xfffff000 + frame * 3600), 100, frame * 40000 + packet * 3000);
    assert_int_equal(receive_stats_report(&s, 5, 0, &report), 0);
    assert_int_equal(report.jitter, 0);
    for (int64_t frame = 300; frame < 600; frame++)
        receive_stats_packet(&s, seq++, (uint32_t)(0xfffff000 + frame * 3600), 100, frame * 40000 + (frame % 2 ? 5000 : 0));
    assert_int_equal(receive_stats_report(&s, 5, 0, &report), 0);
    assert_in_range(report.jitter, 400, 450); /* ± 5 ms in 90 kHz */
}

static void report_carries_the_last_sender_report(void **state)
{
    struct receive_stats s;
    struct rtcp_report report;
    receive_stats_init(&s, 48000);
    receive_stats_packet(&s, 0x10000, 0, 100, 0);
    receive_stats_sender_report(&s, 0x1111222233334444, 1000000);
    assert_int_equal(receive_stats_report(&s, 5, 1500000, &report), 0);
    assert_int_equal(report.lsr, 0x22223333);
    assert_int_equal(report.dlsr, 32768);
}

static void loss_is_what_is_missing_now_and_never_negative(void **state)
{
    struct receive_stats s;
    receive_stats_init(&s, 48000);
    assert_int_equal(receive_stats_lost(&s), 0);
    receive_stats_packet(&s, 0x10000, 0, 100, 0);
    receive_stats_packet(&s, 0x10004, 0, 100, 0);
    assert_int_equal(receive_stats_lost(&s), 3);
    receive_stats_packet(&s, 0x10002, 0, 100, 0);
    assert_int_equal(receive_stats_lost(&s), 2);
    for (int i = 0; i < 5; i++) /* copies */
        receive_stats_packet(&s, 0x10002, 0, 100, 0);
    assert_int_equal(receive_stats_lost(&s), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(report_counts_loss_of_the_interval_and_of_the_whole),
        cmocka_unit_test(duplicates_may_make_the_loss_negative_but_no_fraction),
        cmocka_unit_test(jitter_follows_the_arrival_and_not_the_burst_of_a_frame),
        cmocka_unit_test(report_carries_the_last_sender_report),
        cmocka_unit_test(loss_is_what_is_missing_now_and_never_negative),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
