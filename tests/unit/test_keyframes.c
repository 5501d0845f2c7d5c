#include "sfu/keyframes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum { MS = 1000 };

static void first_wish_is_asked_for_at_once(void **state)
{
    struct keyframes k = {0};
    assert_int_equal(keyframes_poll(&k, 0, 0), 0);
    keyframes_want(&k, 1);
    assert_int_equal(keyframes_poll(&k, 5 * MS, 0), 2);
}

static void requests_are_half_a_second_apart_whatever_comes_between(void **state)
{
    struct keyframes k = {0};
    int64_t last = -KEYFRAME_APART_US;
    unsigned asked = 0;
    for (int64_t t = 0; t < 5000 * MS; t += 7 * MS) {
        keyframes_want(&k, (unsigned)(t / (7 * MS)) % 3);
        if (t % (5 * MS) == 0)
            keyframes_arrived(&k, 0);
        if (!keyframes_poll(&k, t, 0))
            continue;
        assert_true(t - last >= KEYFRAME_APART_US);
        last = t;
        asked++;
    }
    assert_in_range(asked, 9, 10);
}

static void wishes_within_the_window_share_one_deferred_request(void **state)
{
    struct keyframes k = {0};
    keyframes_want(&k, 0);
    assert_int_equal(keyframes_poll(&k, 0, 0), 1);
    keyframes_arrived(&k, 0);
    for (int i = 1; i <= 50; i++) {
        keyframes_want(&k, 0);
        assert_int_equal(keyframes_poll(&k, i * MS, 0), 0);
    }
    assert_int_equal(keyframes_next_us(&k, 0), 500 * MS);
    assert_int_equal(keyframes_poll(&k, 500 * MS, 0), 1);
    assert_int_equal(k.sent, 2);
}

static void a_request_is_repeated_until_the_keyframe_comes(void **state)
{
    static const struct {
        int64_t rtt_us, expected_us; /* clamp(2 × RTT, 200 ms, 1 s), never under 500 ms */
    } rows[] = {{0, 500 * MS}, {50 * MS, 500 * MS}, {300 * MS, 600 * MS}, {900 * MS, 1000 * MS}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct keyframes k = {0};
        keyframes_want(&k, 2);
        assert_int_equal(keyframes_poll(&k, 0, rows[i].rtt_us), 4);
        assert_int_equal(keyframes_poll(&k, rows[i].expected_us - 1, rows[i].rtt_us), 0);
        assert_int_equal(keyframes_poll(&k, rows[i].expected_us, rows[i].rtt_us), 4);
        keyframes_arrived(&k, 2);
        assert_int_equal(keyframes_next_us(&k, rows[i].rtt_us), INT64_MAX);
    }
}

static void a_layer_that_is_not_waited_for_any_more_is_left_out(void **state)
{
    struct keyframes k = {0};
    keyframes_want(&k, 0);
    keyframes_want(&k, 2);
    keyframes_forget(&k, 2);
    assert_int_equal(keyframes_poll(&k, 0, 0), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_wish_is_asked_for_at_once),
        cmocka_unit_test(requests_are_half_a_second_apart_whatever_comes_between),
        cmocka_unit_test(wishes_within_the_window_share_one_deferred_request),
        cmocka_unit_test(a_request_is_repeated_until_the_keyframe_comes),
        cmocka_unit_test(a_layer_that_is_not_waited_for_any_more_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
