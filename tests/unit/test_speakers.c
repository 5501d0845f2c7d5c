#include "sfu/speakers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

static struct speaker array[SPEAKERS_MAX];
static struct speakers s;
static int64_t now_us;

enum { SPEECH = 25, SOFT = 45, NOISE = 70, SILENCE = 127 };

static int begin(void **state)
{
    memset(array, 0, sizeof array);
    speakers_init(&s, array);
    now_us = 1000000;
    return 0;
}

/* `levels[i]` is what endpoint i + 1 sends every 20 ms for `ms`; 255: nothing (DTX). Returns how often something changed. */
static unsigned talk(int ms, const uint8_t *levels, size_t n)
{
    unsigned changes = 0;
    for (int t = 0; t < ms; t += 20, now_us += 20000) {
        for (size_t i = 0; i < n; i++)
            if (levels[i] != 255)
                speakers_level(&s, (uint32_t)i + 1, levels[i], now_us);
        changes += speakers_poll(&s, now_us);
    }
    return changes;
}

static void the_one_who_speaks_is_dominant_within_half_a_second(void **state)
{
    talk(500, (const uint8_t[]){NOISE, SPEECH, SILENCE}, 3);
    assert_int_equal(s.dominant, 2);
    assert_true(speakers_speaking(&s, 2, now_us));
    assert_false(speakers_speaking(&s, 1, now_us));
}

static void a_cough_does_not_take_over(void **state)
{
    talk(3000, (const uint8_t[]){SPEECH, NOISE}, 2);
    talk(80, (const uint8_t[]){SPEECH, 5}, 2);
    talk(2000, (const uint8_t[]){SPEECH, NOISE}, 2);
    assert_int_equal(s.dominant, 1);
}

static void a_pause_for_breath_does_not_lose(void **state)
{
    talk(3000, (const uint8_t[]){SPEECH, NOISE}, 2);
    talk(300, (const uint8_t[]){NOISE, NOISE}, 2);
    talk(300, (const uint8_t[]){SPEECH, NOISE}, 2);
    assert_int_equal(s.dominant, 1);
}

static void another_takes_over_when_the_first_has_ended(void **state)
{
    talk(3000, (const uint8_t[]){SPEECH, NOISE}, 2);
    talk(1500, (const uint8_t[]){NOISE, SPEECH}, 2);
    assert_int_equal(s.dominant, 2);
    assert_false(speakers_speaking(&s, 1, now_us));
}

static void packets_that_stop_are_silence(void **state)
{
    talk(2000, (const uint8_t[]){SPEECH, 255}, 2);
    talk(1500, (const uint8_t[]){255, SPEECH}, 2);
    assert_int_equal(s.dominant, 2);
}

static bool routed(uint32_t number)
{
    for (size_t i = 0; i < s.n_loudest; i++)
        if (s.loudest[i] == number)
            return true;
    return false;
}

static void the_loudest_stay_while_equals_speak(void **state)
{
    const uint8_t five[] = {SPEECH, SPEECH, SPEECH, SPEECH, SPEECH, SILENCE, SILENCE};
    talk(2000, five, 7);
    assert_int_equal(s.n_loudest, SPEAKERS_ROUTED);
    const uint8_t seven[] = {SPEECH, SPEECH, SPEECH, SPEECH, SPEECH, SPEECH, SPEECH};
    assert_int_equal(talk(5000, seven, 7), 0); /* nobody is stolen from for a draw */
    assert_false(routed(6));
}

static void a_clearly_louder_one_takes_the_quietest_place(void **state)
{
    talk(2000, (const uint8_t[]){SPEECH, SPEECH, SPEECH, SPEECH, SOFT, SILENCE}, 6);
    assert_true(routed(5));
    talk(2000, (const uint8_t[]){SPEECH, SPEECH, SPEECH, SPEECH, SOFT, SPEECH}, 6);
    assert_true(routed(6));
    assert_false(routed(5));
}

static void a_muted_one_is_out_at_once(void **state)
{
    talk(2000, (const uint8_t[]){SPEECH, SPEECH}, 2);
    speakers_remove(&s, 1);
    assert_false(routed(1));
    assert_int_not_equal(s.dominant, 1);
    assert_false(speakers_speaking(&s, 1, now_us));
    assert_true(routed(2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_one_who_speaks_is_dominant_within_half_a_second, begin),
        cmocka_unit_test_setup(a_cough_does_not_take_over, begin),
        cmocka_unit_test_setup(a_pause_for_breath_does_not_lose, begin),
        cmocka_unit_test_setup(another_takes_over_when_the_first_has_ended, begin),
        cmocka_unit_test_setup(packets_that_stop_are_silence, begin),
        cmocka_unit_test_setup(the_loudest_stay_while_equals_speak, begin),
        cmocka_unit_test_setup(a_clearly_louder_one_takes_the_quietest_place, begin),
        cmocka_unit_test_setup(a_muted_one_is_out_at_once, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
