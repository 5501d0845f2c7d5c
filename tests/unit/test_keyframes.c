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

/* Random wishes, arrivals and polls: what must hold of every layer at every step. */
static void requests_of_a_layer_are_half_a_second_apart_whatever_comes_between(void **state)
{
    static const int64_t rtts_us[] = {0, 80 * MS, 400 * MS, 3000 * MS};
    uint32_t random = 1;
    for (unsigned round = 0; round < 200; round++) {
        struct keyframes k = {0};
        int64_t last[KEYFRAME_LAYERS], wanted_us[KEYFRAME_LAYERS];
        unsigned asked = 0;
        for (unsigned i = 0; i < KEYFRAME_LAYERS; i++) {
            last[i] = INT64_MIN / 2;
            wanted_us[i] = -1;
        }
        for (int64_t t = 0; t < 5000 * MS; t += 1 * MS + (random >> 20) % (20 * MS)) {
            random = random * 1664525 + 1013904223;
            unsigned layer = (random >> 16) % KEYFRAME_LAYERS, what = (random >> 24) % 8;
            if (what < 3) {
                keyframes_want(&k, layer);
                wanted_us[layer] = wanted_us[layer] < 0 ? t : wanted_us[layer];
            } else if (what == 3) {
                keyframes_arrived(&k, layer);
                wanted_us[layer] = -1;
            }
            uint8_t now = keyframes_poll(&k, t, rtts_us[round % 4]);
            for (unsigned i = 0; i < KEYFRAME_LAYERS; i++) {
                if (now & 1u << i) {
                    assert_true(wanted_us[i] >= 0); /* nobody is asked for what nobody wants */
                    assert_true(t - last[i] >= KEYFRAME_APART_US);
                    last[i] = t;
                    asked++;
                }
                if (wanted_us[i] >= 0) /* nor does anybody wait longer than the longest distance */
                    assert_true(t - last[i] <= KEYFRAME_RETRY_MAX_US + 21 * MS);
            }
            assert_int_equal(keyframes_poll(&k, t, rtts_us[round % 4]), 0);
        }
        assert_int_equal(k.sent, asked);
        assert_in_range(asked, 6, 30);
    }
}

static void a_request_for_one_layer_does_not_hold_up_another(void **state)
{
    struct keyframes k = {0};
    keyframes_want(&k, 0);
    assert_int_equal(keyframes_poll(&k, 0, 0), 1);
    keyframes_want(&k, 2);
    assert_int_equal(keyframes_next_us(&k, 0), INT64_MIN);
    assert_int_equal(keyframes_poll(&k, 10 * MS, 0), 4);
    assert_int_equal(keyframes_poll(&k, 499 * MS, 0), 0);
    assert_int_equal(keyframes_poll(&k, 500 * MS, 0), 1);
    assert_int_equal(keyframes_poll(&k, 509 * MS, 0), 0);
    assert_int_equal(keyframes_poll(&k, 510 * MS, 0), 4);
}

static void a_keyframe_of_every_layer_ends_every_wish(void **state)
{
    struct keyframes k = {0};
    keyframes_want(&k, 0);
    assert_int_equal(keyframes_poll(&k, 0, 0), 1);
    keyframes_arrived(&k, 0);
    keyframes_want(&k, 0);
    keyframes_want(&k, 2);
    assert_int_equal(keyframes_poll(&k, 100 * MS, 0), 4); /* layer 0 has to wait */
    for (unsigned i = 0; i < KEYFRAME_LAYERS; i++)
        keyframes_arrived(&k, i);
    assert_int_equal(keyframes_next_us(&k, 0), INT64_MAX);
    assert_int_equal(keyframes_poll(&k, 5000 * MS, 0), 0);
    assert_int_equal(k.sent, 2);
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
        keyframes_want(&k, 2); /* another one waits for the same */
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
    keyframes_forget_all(&k);
    assert_int_equal(keyframes_next_us(&k, 0), INT64_MAX);
    keyframes_want(&k, 0); /* the distance outlives the wish */
    assert_int_equal(keyframes_poll(&k, 499 * MS, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_wish_is_asked_for_at_once),
        cmocka_unit_test(requests_of_a_layer_are_half_a_second_apart_whatever_comes_between),
        cmocka_unit_test(a_request_for_one_layer_does_not_hold_up_another),
        cmocka_unit_test(a_keyframe_of_every_layer_ends_every_wish),
        cmocka_unit_test(wishes_within_the_window_share_one_deferred_request),
        cmocka_unit_test(a_request_is_repeated_until_the_keyframe_comes),
        cmocka_unit_test(a_layer_that_is_not_waited_for_any_more_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
