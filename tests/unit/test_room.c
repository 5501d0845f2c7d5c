/* Room on the disk in time. */
#include "control/room.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define S_US INT64_C(1000000)

static void what_is_left_is_what_is_not_spared_at_the_present_rate(void **state)
{
    static const struct {
        uint64_t free_bytes, spare_bytes;
        double bps;
        int64_t left_s;
    } rows[] = {
        {1000000000, 100000000, 7200000, 1000}, {100000000, 100000000, 8, 0}, {99999999, 100000000, 8, 0},
        {100000001, 100000000, 8, 1},           {5, 0, 0, ROOM_FOREVER_S},    {UINT64_MAX, 0, 1, ROOM_FOREVER_S},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(room_left_s(rows[i].free_bytes, rows[i].spare_bytes, rows[i].bps), rows[i].left_s);
}

static void a_rate_is_believed_after_twenty_seconds(void **state)
{
    struct room_rate r = {0};
    for (int i = 0; i <= 19; i++) {
        room_told(&r, (uint64_t)i * 125000, 1000 * S_US + i * S_US);
        assert_true(room_bps(&r, 7e6) == 7e6);
    }
    room_told(&r, 20 * 125000, 1020 * S_US);
    assert_float_equal(room_bps(&r, 7e6), 1e6, 1);
}

static void a_rate_follows_in_a_minute(void **state)
{
    struct room_rate r = {0};
    uint64_t bytes = 0;
    int64_t now_us = S_US;
    for (int i = 0; i < 60; i++)
        room_told(&r, bytes += 125000, now_us += S_US);
    for (int i = 0; i < 90; i++)
        room_told(&r, bytes += 1250000, now_us += S_US);
    assert_true(room_bps(&r, 0) > 9.4e6 && room_bps(&r, 0) < 1e7);
}

static void a_recorder_that_starts_anew_is_no_negative_rate(void **state)
{
    struct room_rate r = {0};
    for (int i = 0; i <= 30; i++)
        room_told(&r, (uint64_t)i * 125000, (1 + i) * S_US);
    room_told(&r, 0, 40 * S_US);
    assert_float_equal(room_bps(&r, 0), 1e6, 1);
    room_told(&r, 125000, 41 * S_US);
    room_told(&r, 125000, 41 * S_US); /* told twice */
    assert_float_equal(room_bps(&r, 0), 1e6, 1);
}

static void cameras_count_for_each_unit(void **state)
{
    assert_float_equal(room_expected_bps(false, 60), 7e6, 1);
    assert_float_equal(room_expected_bps(true, 60), 148e6, 1);
}

static void an_alarm_ends_a_tenth_above_its_limit(void **state)
{
    assert_false(room_is_short(false, 900, 900));
    assert_true(room_is_short(false, 899, 900));
    assert_true(room_is_short(true, 989, 900));
    assert_false(room_is_short(true, 990, 900));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_left_is_what_is_not_spared_at_the_present_rate),
        cmocka_unit_test(a_rate_is_believed_after_twenty_seconds),
        cmocka_unit_test(a_rate_follows_in_a_minute),
        cmocka_unit_test(a_recorder_that_starts_anew_is_no_negative_rate),
        cmocka_unit_test(cameras_count_for_each_unit),
        cmocka_unit_test(an_alarm_ends_a_tenth_above_its_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
