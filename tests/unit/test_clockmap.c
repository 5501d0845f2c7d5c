#include "rtp/clockmap.h"

#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void before_a_report_time_comes_from_the_arrival(void **state)
{
    struct clockmap m;
    clockmap_init(&m, 90000);
    assert_int_equal(clockmap_session_us(&m, 5, 0), 0);
    clockmap_packet(&m, 0xffffff00, 1000000);
    assert_int_equal(clockmap_session_us(&m, 0xffffff00, 1000000), 1000000);
    assert_int_equal(clockmap_session_us(&m, 0xffffff00 + 9000, 1000000), 1100000); /* over the wrap */
    assert_int_equal(clockmap_ts_at(&m, 1100000, 1000000), 0xffffff00 + 9000);
}

static void one_publisher_aligns_its_streams_whatever_the_line_did_to_them(void **state)
{
    struct publisher_clock c = {0};
    struct clockmap sound, picture;
    clockmap_init(&sound, 48000);
    clockmap_init(&picture, 90000);
    /* sound comes 20 ms, picture 120 ms after its capture; both say when they were captured */
    int64_t ntp0_us = 3900000000000000;
    for (int64_t t_us = 0; t_us < 60000000; t_us += 20000) {
        clockmap_packet(&sound, (uint32_t)(t_us * 48 / 1000), 1000000 + t_us + 20000);
        if (t_us % 40000 == 0)
            clockmap_packet(&picture, (uint32_t)(7 + t_us * 9 / 100), 1000000 + t_us + 120000);
        if (t_us % 2000000 == 0) {
            publisher_clock_report(&c, ntp0_us + t_us, 1000000 + t_us + 20000);
            clockmap_report(&sound, &c, ntp0_us + t_us, (uint32_t)(t_us * 48 / 1000), 1000000 + t_us + 20000);
            publisher_clock_report(&c, ntp0_us + t_us, 1000000 + t_us + 120000);
            clockmap_report(&picture, &c, ntp0_us + t_us, (uint32_t)(7 + t_us * 9 / 100), 1000000 + t_us + 120000);
        }
    }
    int64_t now_us = 61000000, t_us = 59000000;
    int64_t a = clockmap_session_us(&sound, (uint32_t)(t_us * 48 / 1000), now_us);
    int64_t b = clockmap_session_us(&picture, (uint32_t)(7 + t_us * 9 / 100), now_us);
    assert_in_range(llabs(a - b), 0, 200);
    assert_in_range(llabs(a - (1000000 + t_us + 20000)), 0, 200); /* the smallest delay */
}

static void a_report_moves_the_time_by_no_more_than_five_ms_a_second(void **state)
{
    struct publisher_clock c = {0};
    struct clockmap m;
    clockmap_init(&m, 90000);
    clockmap_packet(&m, 0, 1000000);
    publisher_clock_report(&c, 500, 900500); /* the timestamp 0 was captured at 900 000: 100 ms before it came */
    clockmap_report(&m, &c, 0, 0, 1000000);
    int64_t last_us = clockmap_session_us(&m, 0, 1000000);
    assert_int_equal(last_us, 1000000);
    for (int64_t now_us = 1020000; now_us < 1000000 + 25000000; now_us += 20000) {
        int64_t us = clockmap_session_us(&m, 0, now_us);
        assert_in_range(last_us - us, 0, 100);
        last_us = us;
    }
    assert_int_equal(last_us, 900000);
}

static void the_quickest_report_sets_the_offset_until_it_is_old(void **state)
{
    struct publisher_clock c = {0};
    publisher_clock_report(&c, 0, 80000);
    publisher_clock_report(&c, 1000000, 1030000);
    assert_int_equal(c.offset_us, 30000);
    for (int64_t t_us = 2000000; t_us <= 70000000; t_us += 1000000)
        publisher_clock_report(&c, t_us, t_us + 50000); /* its clock drifts, or the line got longer */
    assert_int_equal(c.offset_us, 50000);
    publisher_clock_report(&c, 500000000, 71000000); /* its clock was stepped */
    assert_int_equal(c.offset_us, 71000000 - 500000000);
}

static void a_jump_of_the_timestamps_begins_anew(void **state)
{
    struct clockmap m;
    clockmap_init(&m, 90000);
    clockmap_packet(&m, 1000, 1000000);
    clockmap_packet(&m, 0x40000000, 1040000);
    assert_int_equal(clockmap_session_us(&m, 0x40000000, 1040000), 1040000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_a_report_time_comes_from_the_arrival),
        cmocka_unit_test(one_publisher_aligns_its_streams_whatever_the_line_did_to_them),
        cmocka_unit_test(a_report_moves_the_time_by_no_more_than_five_ms_a_second),
        cmocka_unit_test(the_quickest_report_sets_the_offset_until_it_is_old),
        cmocka_unit_test(a_jump_of_the_timestamps_begins_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
