#include "rtp/rewrite.h"

#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

enum { FRAME_US = 40000, FRAME = 3600 };

static struct rewrite r;

static uint16_t seq_of(int64_t ext_seq, bool ends_frame)
{
    struct rewritten out;
    assert_int_equal(rewrite_packet(&r, ext_seq, 0, ends_frame, 0, &out), 0);
    return out.seq;
}

static void start(uint16_t first_seq)
{
    rewrite_init(&r, first_seq, 5000, 90000, 3000);
    assert_int_equal(rewrite_switch(&r, 70000, 1000, 1000000, 1000000), 0);
}

static void the_first_number_is_below_32768(void **state)
{
    start(0xffff);
    assert_int_equal(seq_of(70000, true), 0x7fff);
}

static void losses_keep_their_hole_and_drops_leave_none(void **state)
{
    start(32766);
    assert_int_equal(seq_of(70000, true), 32766);
    assert_int_equal(seq_of(70002, true), 32768); /* 70001 lost */
    rewrite_drop(&r, 70003);
    rewrite_drop(&r, 70004);
    assert_int_equal(seq_of(70005, true), 32769);
    assert_int_equal(seq_of(70007, true), 32771);
}

static void late_packets_get_the_number_they_would_have_had(void **state)
{
    static const struct {
        int64_t in;
        int err;
        uint16_t out;
    } rows[] = {{70001, 0, 101}, {70003, ERR_EXISTS, 0}, {70004, 0, 103}, {70006, 0, 104}, {69999, ERR_STALE, 0}};
    start(100);
    seq_of(70000, true);
    seq_of(70002, true);
    rewrite_drop(&r, 70003);
    seq_of(70005 - 1, true);
    rewrite_drop(&r, 70005);
    assert_int_equal(seq_of(70007, true), 105);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rewritten out = {0};
        assert_int_equal(rewrite_packet(&r, rows[i].in, 0, true, 0, &out), rows[i].err);
        assert_int_equal(out.seq, rows[i].out);
        if (!rows[i].err)
            assert_true(out.late);
    }
    assert_int_equal(seq_of(70008, true), 106); /* late ones move nothing */
}

static void numbers_wrap_and_very_late_packets_are_refused(void **state)
{
    start(0x7fff);
    struct rewritten out;
    uint16_t expected = 0x7fff;
    for (int64_t s = 70000; s < 70000 + 40000; s++)
        assert_int_equal(seq_of(s, true), expected++);
    assert_int_equal(rewrite_packet(&r, 110000 - 1 - 1023, 0, true, 0, &out), 0);
    assert_int_equal(out.seq, (uint16_t)(expected - 1 - 1023));
    assert_int_equal(rewrite_packet(&r, 110000 - 1 - 1024, 0, true, 0, &out), ERR_STALE);
}

static void a_switch_continues_at_plus_one_after_a_whole_frame(void **state)
{
    start(10);
    seq_of(70000, false);
    seq_of(70001, true);
    assert_int_equal(rewrite_switch(&r, 66000, 9, 1000000 + FRAME_US, 0), 0);
    assert_int_equal(seq_of(66000, false), 12);
    struct rewritten out;
    assert_int_equal(rewrite_packet(&r, 65999, 0, true, 0, &out), ERR_STALE);
}

static void a_switch_leaves_a_gap_of_one_after_a_broken_frame(void **state)
{
    start(10);
    seq_of(70000, true);
    seq_of(70001, false);
    assert_int_equal(rewrite_switch(&r, 66000, 9, 1000000 + FRAME_US, 0), 0);
    assert_int_equal(seq_of(66000, true), 13);
}

static void timestamps_of_all_sources_lie_on_one_line(void **state)
{
    start(10);
    struct rewritten out;
    rewrite_packet(&r, 70000, 1000, true, 1000000, &out);
    assert_int_equal(out.ts, 5000);
    rewrite_packet(&r, 70001, 1000 + FRAME, true, 1000000 + FRAME_US, &out);
    assert_int_equal(out.ts, 5000 + FRAME);
    /* another source, near the wrap of its own clock, 60 ms of session time later */
    assert_int_equal(rewrite_switch(&r, 66000, 0xffffff00, 1000000 + FRAME_US + 60000, 1000000 + FRAME_US + 60000), 0);
    rewrite_packet(&r, 66000, 0xffffff00, true, 1000000 + FRAME_US + 60000, &out);
    assert_int_equal(out.ts, 5000 + FRAME + 5400);
    rewrite_packet(&r, 66001, 0x00000d10, true, 1000000 + 2 * FRAME_US + 60000, &out);
    assert_int_equal(out.ts, 5000 + 2 * FRAME + 5400);
    assert_int_equal(rewrite_ts(&r, 0x00000d10), out.ts);
}

static void a_picture_that_is_not_ahead_follows_by_a_millisecond(void **state)
{
    start(10);
    struct rewritten out;
    rewrite_packet(&r, 70000, 1000, true, 1000000, &out);
    assert_int_equal(rewrite_switch(&r, 66000, 777, 1000000 - 20000, 1000000 + 5000), 0); /* captured before */
    rewrite_packet(&r, 66000, 777, true, 1005000, &out);
    assert_int_equal(out.ts, 5000 + 90);
    /* the line itself has not moved */
    assert_int_equal(rewrite_switch(&r, 80000, 1, 1100000, 1100000), 0);
    rewrite_packet(&r, 80000, 1, true, 1100000, &out);
    assert_int_equal(out.ts, 5000 + 9000);
}

static void a_time_far_off_is_doubted_once(void **state)
{
    start(10);
    struct rewritten out;
    rewrite_packet(&r, 70000, 1000, true, 1000000, &out);
    assert_int_equal(rewrite_switch(&r, 66000, 777, 1200000, 1040000), ERR_AGAIN);
    assert_int_equal(rewrite_packet(&r, 70001, 1000 + FRAME, true, 1040000, &out), 0); /* the old source goes on */
    assert_int_equal(rewrite_switch(&r, 66010, 4000, 1300000, 1100000), 0);
    assert_int_equal(rewrite_packet(&r, 66010, 4000, true, 1100000, &out), 0);
    assert_int_equal(out.ts, 5000 + 27000);
}

static void a_stopped_slot_forwards_nothing(void **state)
{
    start(10);
    struct rewritten out;
    seq_of(70000, true);
    rewrite_stop(&r);
    assert_int_equal(rewrite_packet(&r, 70001, 0, true, 0, &out), ERR_STATE);
}

static struct vp8_descriptor picture(unsigned bits, uint16_t id, uint8_t tl0, uint8_t tid, uint8_t keyidx)
{
    return (struct vp8_descriptor){.picture_id_bits = (uint8_t)bits,
                                   .picture_id = id,
                                   .has_tl0 = true,
                                   .tl0picidx = tl0,
                                   .has_tid = true,
                                   .tid = tid,
                                   .has_keyidx = true,
                                   .keyidx = keyidx};
}

static void expect_vp8(struct vp8_descriptor d, uint16_t picture_id, uint8_t tl0, uint8_t keyidx)
{
    struct rewritten_vp8 out = {0};
    assert_int_equal(rewrite_vp8(&r, &d, &out), 0);
    assert_int_equal(out.picture_id, picture_id);
    assert_int_equal(out.tl0picidx, tl0);
    assert_int_equal(out.keyidx, keyidx);
}

static void vp8_numbers_are_continuous_over_a_switch(void **state)
{
    start(10);
    expect_vp8(picture(15, 32767, 254, 0, 31), 1, 254, 31);
    expect_vp8(picture(15, 0, 255, 0, 31), 2, 255, 31);
    expect_vp8(picture(15, 0, 255, 0, 31), 2, 255, 31); /* second packet of it */
    assert_int_equal(rewrite_switch(&r, 66000, 9, 1040000, 0), 0);
    expect_vp8(picture(15, 700, 9, 0, 4), 3, 0, 0);
    expect_vp8(picture(15, 702, 10, 0, 4), 5, 1, 0); /* 701 lost: its hole stays */
}

static void dropped_pictures_leave_no_hole_and_late_ones_fit(void **state)
{
    start(10);
    expect_vp8(picture(7, 126, 5, 0, 0), 1, 5, 0);
    struct vp8_descriptor upper = picture(7, 127, 5, 2, 0), lost = picture(7, 1, 6, 1, 0);
    struct rewritten_vp8 out;
    rewrite_vp8_drop(&r, &upper);
    rewrite_vp8_drop(&r, &upper); /* its second packet */
    expect_vp8(picture(7, 0, 6, 0, 0), 2, 6, 0);
    struct vp8_descriptor upper2 = picture(7, 2, 6, 2, 0);
    rewrite_vp8_drop(&r, &upper2); /* 1 is still on its way */
    expect_vp8(picture(7, 3, 7, 0, 0), 4, 7, 0);
    expect_vp8(lost, 3, 6, 0);
    assert_int_equal(rewrite_vp8(&r, &upper, &out), ERR_EXISTS);
    struct vp8_descriptor before = picture(7, 125, 4, 0, 0);
    assert_int_equal(rewrite_vp8(&r, &before, &out), ERR_STALE); /* before the first */
}

/* One sequence number never stands for two packets, whatever is lost, late, dropped, repeated or switched: SRTP's safety. */
static void no_number_is_ever_given_to_two_packets(void **state)
{
    static int64_t owner[0x10000]; /* of the out number: source × 2^32 + in number */
    uint64_t random = 88172645463325252;
    int64_t newest = 70000, source = 0;
    uint32_t forwarded = 0;
    uint16_t forgotten = 5;
    start(5);
    for (unsigned i = 0; i < 300000; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        unsigned what = random % 100, far = random >> 32 & 31;
        struct rewritten out;
        if (what == 0) {
            source++;
            newest = 70000 + (int64_t)(random >> 40 & 0xffff);
            if (rewrite_switch(&r, newest, 0, 1000000 + i, i))
                assert_int_equal(rewrite_switch(&r, newest, 0, 1000000 + i, i), 0);
        }
        int64_t ext = what < 70    ? ++newest
                      : what < 80  ? newest += far
                      : what == 80 ? newest += 1000 + far * 8
                                   : newest - far * far;
        if (what % 7 == 3) {
            rewrite_drop(&r, ext);
        } else if (rewrite_packet(&r, ext, 0, what % 3 == 0, i, &out) == 0) {
            int64_t me = source << 32 | ext;
            for (uint16_t s = r.next_seq; forgotten != (uint16_t)(s + 0x4000); forgotten++)
                owner[forgotten] = 0; /* a quarter of the circle ahead: another turn of the rollover counter */
            assert_true(owner[out.seq] == 0 || owner[out.seq] == me);
            owner[out.seq] = me;
            forwarded++;
        }
    }
    assert_true(forwarded > 200000);
}

static void a_packet_of_our_own_follows_the_last_source_and_the_next_one_follows_it(void **state)
{
    struct rewritten out;
    rewrite_init(&r, 100, 5000, 48000, 960);
    assert_int_equal(rewrite_own(&r, 0, &out), ERR_STATE); /* nobody has been in the slot */
    assert_int_equal(rewrite_switch(&r, 70000, 1000, 1000000, 1000000), 0);
    assert_int_equal(rewrite_own(&r, 0, &out), ERR_STATE); /* somebody is */
    assert_int_equal(rewrite_packet(&r, 70000, 1000, true, 1000000, &out), 0);
    uint32_t ts = out.ts;
    rewrite_stop(&r);
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(rewrite_own(&r, 1000000 + i * 20000, &out), 0);
        assert_int_equal(out.seq, 100 + i);
        assert_int_equal(out.ts, ts + i * 960);
    }
    /* the next one's sound is 10 ms ahead of ours by its clock: frames do not overlap, its second one fits */
    assert_int_equal(rewrite_switch(&r, 5, 777, 1070000, 1075000), ERR_BUSY);
    assert_int_equal(rewrite_switch(&r, 6, 777 + 960, 1090000, 1095000), 0);
    assert_int_equal(rewrite_packet(&r, 6, 777 + 960, true, 1095000, &out), 0);
    assert_int_equal(out.seq, 104);
    assert_int_equal(out.ts, ts + 4 * 960 + 480);
    assert_int_equal(rewrite_packet(&r, 5, 777, true, 1095000, &out), ERR_STALE);
}

/* Sources of 25 pictures or 50 sounds a second, each with its own phase, take turns every 300 ms for an hour. */
static void no_number_of_switches_makes_a_slot_run_ahead(void **state)
{
    static const struct {
        uint32_t clock_hz, step;
        int64_t frame_us;
    } rows[] = {{90000, 3000, 40000}, {48000, 960, 20000}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rewritten out;
        int64_t first_us = -1, worst_us = 0;
        uint32_t start_ts = 4000000000u;
        rewrite_init(&r, 1, start_ts, rows[i].clock_hz, rows[i].step);
        srand(7);
        for (int turn = 0; turn < 12000; turn++) {
            int64_t now_us = (int64_t)turn * 300000 + rand() % rows[i].frame_us;
            bool in = false;
            for (int k = 0; k < 4; k++, now_us += rows[i].frame_us) {
                uint32_t ts = (uint32_t)(now_us * rows[i].clock_hz / 1000000) + (uint32_t)turn * 77777;
                if (first_us < 0)
                    first_us = now_us;
                in = in || rewrite_switch(&r, 100 + k, ts, now_us, now_us) == 0;
                if (!in || rewrite_packet(&r, 100 + k, ts, true, now_us, &out))
                    continue;
                int64_t ahead_us = (int64_t)ts_diff(out.ts, start_ts) * 1000000 / rows[i].clock_hz - (now_us - first_us);
                if (ahead_us > worst_us)
                    worst_us = ahead_us;
            }
        }
        assert_in_range(worst_us, 0, rows[i].frame_us);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_number_is_below_32768),
        cmocka_unit_test(losses_keep_their_hole_and_drops_leave_none),
        cmocka_unit_test(late_packets_get_the_number_they_would_have_had),
        cmocka_unit_test(numbers_wrap_and_very_late_packets_are_refused),
        cmocka_unit_test(a_switch_continues_at_plus_one_after_a_whole_frame),
        cmocka_unit_test(a_switch_leaves_a_gap_of_one_after_a_broken_frame),
        cmocka_unit_test(timestamps_of_all_sources_lie_on_one_line),
        cmocka_unit_test(a_picture_that_is_not_ahead_follows_by_a_millisecond),
        cmocka_unit_test(a_time_far_off_is_doubted_once),
        cmocka_unit_test(a_stopped_slot_forwards_nothing),
        cmocka_unit_test(a_packet_of_our_own_follows_the_last_source_and_the_next_one_follows_it),
        cmocka_unit_test(no_number_of_switches_makes_a_slot_run_ahead),
        cmocka_unit_test(vp8_numbers_are_continuous_over_a_switch),
        cmocka_unit_test(no_number_is_ever_given_to_two_packets),
        cmocka_unit_test(dropped_pictures_leave_no_hole_and_late_ones_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
