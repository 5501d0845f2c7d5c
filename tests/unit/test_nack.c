#include "rtp/nack.h"

#include "base/seq.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static struct nack_generator g;
static uint16_t seqs[NACK_LIST];

static void nothing_is_asked_for_within_the_reordering_tolerance(void **state)
{
    nack_init(&g);
    nack_input(&g, 100, false, 0);
    nack_input(&g, 102, false, 1000);
    assert_int_equal(nack_poll(&g, 11999, 50000, seqs, 8), 0);
    assert_int_equal(nack_next_timeout(&g), 12000);
    nack_input(&g, 101, false, 11000); /* was only late */
    assert_int_equal(nack_poll(&g, 12000, 50000, seqs, 8), 0);
    assert_int_equal(nack_next_timeout(&g), INT64_MAX);
}

static void a_hole_is_asked_for_each_round_trip_until_it_is_filled(void **state)
{
    nack_init(&g);
    nack_input(&g, 65534, false, 0);
    nack_input(&g, 65538, false, 0); /* 65535, 0 and 1 on the wire */
    assert_int_equal(nack_poll(&g, 11000, 50000, seqs, 8), 3);
    assert_int_equal(seqs[0], 65535);
    assert_int_equal(seqs[1], 0);
    assert_int_equal(seqs[2], 1);
    assert_int_equal(nack_poll(&g, 60999, 50000, seqs, 8), 0);
    nack_input(&g, 65536, false, 60999);
    assert_int_equal(nack_poll(&g, 61000, 50000, seqs, 8), 2);
    assert_int_equal(seqs[1], 1);
}

static void nack_gives_up_after_ten_tries(void **state)
{
    nack_init(&g);
    nack_input(&g, 1, false, 0);
    nack_input(&g, 3, false, 0);
    unsigned asked = 0;
    for (int64_t now_us = 0; now_us < 5000000; now_us += 1000)
        asked += (unsigned)nack_poll(&g, now_us, 30000, seqs, 8);
    assert_int_equal(asked, NACK_TRIES);
    assert_int_equal(g.given_up, 1);
    assert_int_equal(nack_next_timeout(&g), INT64_MAX);
    assert_true(nack_take_keyframe_wish(&g));
    assert_false(nack_take_keyframe_wish(&g)); /* once */
}

static void a_loss_before_a_newer_keyframe_wishes_for_no_other(void **state)
{
    nack_init(&g);
    nack_input(&g, 1, false, 0);
    nack_input(&g, 3, true, 0);
    for (int64_t now_us = 0; now_us < 5000000; now_us += 10000)
        nack_poll(&g, now_us, 30000, seqs, 8);
    assert_int_equal(g.given_up, 1);
    assert_false(nack_take_keyframe_wish(&g));
}

static void a_full_list_forgets_what_a_keyframe_made_needless(void **state)
{
    nack_init(&g);
    nack_input(&g, 1000, false, 0);
    nack_input(&g, 1401, true, 0);  /* 400 holes, then a keyframe */
    nack_input(&g, 1602, false, 0); /* 200 more: the first 400 go */
    assert_int_equal(g.n, 200);
    assert_int_equal(g.list[0].ext_seq, 1402);
    assert_false(nack_take_keyframe_wish(&g));
    nack_input(&g, 2003, false, 0); /* 400 more and no keyframe: all are given up, the newest 400 kept */
    assert_int_equal(g.n, 400);
    assert_true(nack_take_keyframe_wish(&g));
}

static void a_gap_longer_than_the_list_is_a_break(void **state)
{
    nack_init(&g);
    nack_input(&g, 1, false, 0);
    nack_input(&g, 30000, false, 0);
    assert_int_equal(g.n, 0);
    assert_true(nack_take_keyframe_wish(&g));
    nack_input(&g, 30002, false, 0); /* and goes on from there */
    assert_int_equal(nack_poll(&g, 20000, 0, seqs, 8), 1);
    assert_int_equal(seqs[0], 30001);
}

static void what_does_not_fit_one_message_is_asked_for_in_the_next(void **state)
{
    nack_init(&g);
    nack_input(&g, 1, false, 0);
    nack_input(&g, 12, false, 0);
    assert_int_equal(nack_poll(&g, 11000, 50000, seqs, 4), 4);
    assert_int_equal(nack_poll(&g, 11000, 50000, seqs, 16), 6);
    assert_int_equal(seqs[0], 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_asked_for_within_the_reordering_tolerance),
        cmocka_unit_test(a_hole_is_asked_for_each_round_trip_until_it_is_filled),
        cmocka_unit_test(nack_gives_up_after_ten_tries),
        cmocka_unit_test(a_loss_before_a_newer_keyframe_wishes_for_no_other),
        cmocka_unit_test(a_full_list_forgets_what_a_keyframe_made_needless),
        cmocka_unit_test(a_gap_longer_than_the_list_is_a_break),
        cmocka_unit_test(what_does_not_fit_one_message_is_asked_for_in_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
