/* One slot as its subscriber sees it: continuity, layers, repair. Endpoint 1 watches; 2 and 3 send. */
#include "sfu_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static struct world *w;

enum { MS = 1000, CAP = 4096 };
static const struct arrived *got[CAP];

static int begin(void **state)
{
    w = world_new();
    world_join(w, 1, 1);
    world_join(w, 2, 1);
    world_join(w, 3, 3);
    return 0;
}

static int end(void **state)
{
    world_check(w);
    world_free(w);
    return 0;
}

static void stage(uint32_t number)
{
    world_wish(w, 1)->stage = number;
    world_apply(w);
}

static size_t stage_packets(void)
{
    return world_received(w, 1, world_ssrc(1, STAGE_PICTURE), got, CAP);
}

static struct camera *camera(uint32_t number)
{
    return &w->cameras[number - 1];
}

static void keyframe_on_all_layers(uint32_t number)
{
    world_frame(w, camera(number), 0, 3, true, 0);
    if (number != 3)
        return;
    world_frame(w, camera(number), 1, 3, true, 0);
    world_frame(w, camera(number), 2, 3, true, 0);
}

static void assert_continuous(size_t n)
{
    assert_true(n > 1);
    assert_true(got[0]->seq < 32768);
    for (size_t i = 1; i < n; i++) {
        assert_int_equal((uint16_t)(got[i]->seq - got[i - 1]->seq), 1);
        int32_t step = (int32_t)(got[i]->ts - got[i - 1]->ts);
        assert_true(step >= 0);
        assert_true(step < 90000);
        if (got[i]->start) {
            assert_true(step > 0);
            assert_int_equal((got[i]->picture_id - got[i - 1]->picture_id) & 0x7fff, 1);
            assert_int_equal((uint8_t)(got[i]->tl0 - got[i - 1]->tl0), 1);
        } else {
            assert_int_equal(step, 0);
            assert_int_equal(got[i]->picture_id, got[i - 1]->picture_id);
        }
    }
}

static void a_picture_begins_with_a_keyframe(void **state)
{
    stage(2);
    for (int i = 0; i < 5; i++)
        world_frame(w, camera(2), 0, 3, false, 0);
    assert_int_equal(stage_packets(), 0);
    keyframe_on_all_layers(2);
    assert_int_equal(stage_packets(), 3);
    assert_true(got[0]->keyframe && got[0]->start);
    assert_true(got[2]->marker);
}

static void another_source_continues_sequence_time_and_picture_numbers(void **state)
{
    stage(2);
    keyframe_on_all_layers(2);
    world_live(w, 500, 1 << 2, 0, 0);
    size_t before = stage_packets();
    stage(3);
    world_live(w, 100, 1 << 2 | 1 << 3, 0, 0);
    assert_int_equal(stage_packets(), before); /* nothing of 2 after the change, nothing of 3 before its keyframe */
    keyframe_on_all_layers(3);
    world_live(w, 500, 1 << 2 | 1 << 3, 0, 0);
    stage(2);
    keyframe_on_all_layers(2);
    world_live(w, 200, 1 << 2, 0, 0);
    size_t n = stage_packets();
    assert_true(n > before + 30);
    assert_continuous(n);
}

static void time_goes_on_by_what_has_passed_at_a_switch(void **state)
{
    stage(2);
    keyframe_on_all_layers(2);
    world_live(w, 1000, 1 << 2, 0, 0);
    uint32_t last_ts = got[stage_packets() - 1]->ts;
    int64_t last_us = got[stage_packets() - 1]->at_us;
    stage(3);
    world_run(w, 300 * MS);
    world_frame(w, camera(3), 0, 3, true, 0);
    size_t n = stage_packets();
    int64_t ticks = (int32_t)(got[n - 1]->ts - last_ts), expected = (got[n - 1]->at_us - last_us) * 90 / 1000;
    assert_in_range(ticks, expected - 2000, expected + 2000);
}

static unsigned layer_now(uint32_t number, unsigned slot)
{
    return world_slot(w, number, slot)->layer;
}

static void the_layer_follows_the_size_asked_for(void **state)
{
    static const struct {
        uint16_t height;
        unsigned layer;
    } rows[] = {{720, 2}, {360, 1}, {100, 0}, {180, 0}, {181, 1}, {2000, 2}};
    stage(3);
    keyframe_on_all_layers(3);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        world_wish(w, 1)->stage_size.height = rows[i].height;
        world_apply(w);
        world_live(w, 1100, 1 << 3, 0, 0); /* the limiter may defer the request */
        keyframe_on_all_layers(3);
        world_live(w, 100, 1 << 3, 0, 0);
        assert_int_equal(layer_now(1, STAGE_PICTURE), rows[i].layer);
    }
    assert_continuous(stage_packets());
}

static void the_former_layer_flows_until_the_keyframe_of_the_next(void **state)
{
    stage(3);
    world_wish(w, 1)->stage_size.height = 180;
    world_apply(w);
    keyframe_on_all_layers(3);
    world_live(w, 600, 1 << 3, 0, 0);
    world_line(w, 3)->plis = 0;
    world_wish(w, 1)->stage_size.height = 720;
    world_apply(w);
    size_t before = stage_packets();
    world_live(w, 105, 1 << 3, 0, 0);
    assert_true(stage_packets() >= before + 9);
    assert_int_equal(layer_now(1, STAGE_PICTURE), 0);
    assert_int_equal(world_line(w, 3)->plis, 1);
    assert_int_equal(world_line(w, 3)->last_pli_ssrc, camera(3)->ssrc[2]);
    world_frame(w, camera(3), 2, 3, true, 0);
    assert_int_equal(layer_now(1, STAGE_PICTURE), 2);
}

static void a_layer_that_falls_silent_gives_way_to_a_living_one(void **state)
{
    stage(3);
    keyframe_on_all_layers(3);
    world_live(w, 700, 1 << 3, 0, 0);
    keyframe_on_all_layers(3);
    assert_int_equal(layer_now(1, STAGE_PICTURE), 2);
    for (int i = 0; i < 20; i++) { /* the top layer stops: the publisher's line got worse */
        world_frame(w, camera(3), 0, 3, false, 0);
        world_frame(w, camera(3), 1, 3, i == 15, 0);
        world_run(w, 30 * MS);
    }
    assert_int_equal(layer_now(1, STAGE_PICTURE), 1);
    assert_continuous(stage_packets());
}

static void a_lost_packet_is_sent_again_on_the_repair_stream(void **state)
{
    stage(2);
    keyframe_on_all_layers(2);
    world_live(w, 200, 1 << 2, 0, 0);
    size_t n = stage_packets();
    const struct arrived lost = *got[n - 4];
    world_nack(w, 1, world_ssrc(1, STAGE_PICTURE), &lost.seq, 1);
    n = world_received(w, 1, world_ssrc(1, STAGE_PICTURE) + 50, got, CAP);
    assert_int_equal(n, 1);
    assert_true(got[0]->repair);
    assert_int_equal(got[0]->original_seq, lost.seq);
    assert_int_equal(got[0]->ts, lost.ts);
    assert_int_equal(got[0]->tag, lost.tag);
    assert_int_equal(got[0]->picture_id, lost.picture_id);
    assert_int_equal(got[0]->tl0, lost.tl0);
    assert_int_equal(got[0]->marker, lost.marker);
}

static void a_repair_is_not_sent_twice_within_a_round_trip_but_again_after_it(void **state)
{
    stage(2);
    keyframe_on_all_layers(2);
    uint16_t seq = got[stage_packets() - 2]->seq;
    uint32_t ssrc = world_ssrc(1, STAGE_PICTURE);
    world_nack(w, 1, ssrc, &seq, 1);
    world_run(w, 20 * MS);
    world_nack(w, 1, ssrc, &seq, 1);
    assert_int_equal(world_received(w, 1, ssrc + 50, got, CAP), 1);
    world_run(w, PEER_RTT_DEFAULT_US); /* the retransmission was lost too */
    world_nack(w, 1, ssrc, &seq, 1);
    assert_int_equal(world_received(w, 1, ssrc + 50, got, CAP), 2);
    assert_int_equal(got[0]->tag, got[1]->tag);
    assert_int_equal((uint16_t)(got[1]->seq - got[0]->seq), 1);
}

static void a_nack_for_what_never_was_is_ignored(void **state)
{
    stage(2);
    keyframe_on_all_layers(2);
    uint16_t seq = (uint16_t)(got[stage_packets() - 1]->seq + 100);
    world_nack(w, 1, world_ssrc(1, STAGE_PICTURE), &seq, 1);
    world_nack(w, 1, 123456, &seq, 1);
    assert_int_equal(world_received(w, 1, world_ssrc(1, STAGE_PICTURE) + 50, got, CAP), 0);
}

static void a_hole_from_the_publisher_is_asked_for_and_filled_in_place(void **state)
{
    stage(2);
    keyframe_on_all_layers(2);
    uint16_t hole = (uint16_t)(camera(2)->seq[0] + 1);
    uint32_t tag = camera(2)->tag + 1;
    world_frame(w, camera(2), 0, 3, false, 2); /* the middle one is lost on its way here */
    uint32_t ts = camera(2)->ts[0];
    uint16_t picture_id = camera(2)->picture_id[0];
    uint8_t tl0 = camera(2)->tl0[0];
    world_frame(w, camera(2), 0, 3, false, 0);
    world_run(w, 30 * MS);
    assert_int_equal(world_line(w, 2)->n_nacks, 1);
    assert_int_equal(world_line(w, 2)->nacks[0], hole);
    size_t n = stage_packets();
    assert_int_equal(n, 8);
    uint16_t missing = (uint16_t)(got[3]->seq + 1), picture = got[3]->picture_id;
    assert_int_equal((uint16_t)(got[4]->seq - missing), 1);
    world_repair(w, camera(2), 0, hole, ts, picture_id, tl0, false, false, false, tag);
    n = stage_packets();
    assert_int_equal(n, 9);
    assert_int_equal(got[8]->seq, missing);
    assert_int_equal(got[8]->tag, tag);
    assert_int_equal(got[8]->picture_id, picture);
    world_repair(w, camera(2), 0, hole, ts, picture_id, tl0, false, false, false, tag);
    assert_int_equal(stage_packets(), 9); /* the second copy goes nowhere */
    assert_int_equal(w->sfu.stats.drops[SFU_DROP_DUPLICATE], 1);
}

static void a_lost_request_is_repeated_until_the_packet_comes(void **state)
{
    stage(2);
    keyframe_on_all_layers(2);
    world_frame(w, camera(2), 0, 3, false, 2);
    for (int i = 0; i < 10; i++) {
        world_frame(w, camera(2), 0, 3, false, 0);
        world_run(w, 50 * MS);
    }
    assert_true(world_line(w, 2)->n_nacks >= 4); /* each round trip again */
    assert_true(world_line(w, 2)->n_nacks <= 10);
}

static void a_keyframe_whose_beginning_is_repaired_comes_whole(void **state)
{
    stage(2);
    uint16_t first = camera(2)->seq[0];
    uint32_t tag = camera(2)->tag;
    world_frame(w, camera(2), 0, 1, false, 0); /* so that the hole shows */
    first++;
    tag++;
    world_frame(w, camera(2), 0, 4, true, 1);
    world_repair(w, camera(2), 0, first, camera(2)->ts[0], camera(2)->picture_id[0], camera(2)->tl0[0], true, true, false,
                 tag);
    size_t n = stage_packets();
    assert_int_equal(n, 4);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(got[i]->tag, tag + i);
    assert_continuous(n);
}

static void packets_of_a_frame_leave_with_one_size(void **state)
{
    stage(2);
    w->hold = true;
    world_frame(w, camera(2), 0, 6, true, 0); /* odd ones are a byte longer, the first has the frame header */
    w->hold = false;
    sfu_turn(&w->sfu, w->now_us);
    size_t n = stage_packets();
    assert_int_equal(n, 6);
    for (size_t i = 1; i + 1 < n; i++)
        assert_int_equal(got[i]->len, got[0]->len);
    assert_true(got[n - 1]->len <= got[0]->len);
    assert_true(got[1]->padding > 0);
}

static void sound_and_picture_of_the_stage_are_on_one_clock(void **state)
{
    stage(2);
    keyframe_on_all_layers(2);
    world_live(w, 3000, 1 << 2, 1 << 2, 30);
    const struct rtcp_sender_info *sound = &world_line(w, 1)->sr[STAGE_SOUND],
                                  *picture = &world_line(w, 1)->sr[STAGE_PICTURE];
    assert_true(sound->ntp && picture->ntp);
    size_t n = stage_packets();
    int64_t picture_us = ntp_to_us(picture->ntp) + (int32_t)(got[n - 1]->ts - picture->rtp_ts) * 1000 / 90;
    assert_in_range(picture_us, got[n - 1]->at_us - 20 * MS, got[n - 1]->at_us + 20 * MS);
    n = world_received(w, 1, world_ssrc(1, STAGE_SOUND), got, CAP);
    int64_t sound_us = ntp_to_us(sound->ntp) + (int32_t)(got[n - 1]->ts - sound->rtp_ts) * 1000 / 48;
    assert_in_range(sound_us, got[n - 1]->at_us - 20 * MS, got[n - 1]->at_us + 20 * MS);
}

static void publishers_get_feedback_every_60_ms_and_a_report_each_second(void **state)
{
    stage(2);
    keyframe_on_all_layers(2);
    world_live(w, 3000, 1 << 2, 1 << 2, 30);
    assert_in_range(world_line(w, 2)->feedbacks, 40, 60);
    assert_in_range(world_line(w, 2)->reports, 2, 4);
}

/* ---- silence ---- */

static size_t stage_sounds(void)
{
    return world_received(w, 1, world_ssrc(1, STAGE_SOUND), got, CAP);
}

static void mute(uint32_t number, bool muted)
{
    uint8_t *may_send = &world_wish(w, number)->may_send;
    *may_send = (uint8_t)(muted ? *may_send & ~WISH_BIT(WISH_MICROPHONE) : *may_send | WISH_BIT(WISH_MICROPHONE));
    world_apply(w);
}

/* Every packet from `first` on is one number behind the one before it, and no time is told twice. */
static void assert_sound_goes_on(size_t first, size_t n)
{
    for (size_t i = first; i < n; i++) {
        assert_int_equal((uint16_t)(got[i]->seq - got[i - 1]->seq), 1);
        assert_true((int32_t)(got[i]->ts - got[i - 1]->ts) >= 960);
    }
}

static void a_mute_is_followed_by_five_frames_of_silence(void **state)
{
    stage(2);
    world_live(w, 500, 0, 1 << 2, 30);
    size_t before = stage_sounds();
    int64_t muted_us = w->now_us;
    mute(2, true);
    world_live(w, 1000, 0, 1 << 2, 30); /* the client ignores it */
    size_t n = stage_sounds();
    assert_int_equal(n, before + SLOT_SILENCE_FRAMES);
    for (size_t i = 0; i < SLOT_SILENCE_FRAMES; i++) {
        const struct arrived *a = got[before + i];
        int64_t due_us = muted_us + (int64_t)i * SLOT_SILENCE_EVERY_US;
        assert_true(a->silence);
        assert_in_range(a->at_us, due_us, due_us + SFU_TICK_US);
        assert_int_equal(a->ts - got[before + i - 1]->ts, 960);
        assert_int_equal((uint16_t)(a->seq - got[before + i - 1]->seq), 1);
        assert_false(a->marker);
    }
    mute(2, false);
    world_live(w, 200, 0, 1 << 2, 30);
    size_t after = stage_sounds();
    assert_true(after >= n + 9);
    assert_sound_goes_on(n, after);
    assert_in_range((got[n]->ts - got[n - 1]->ts) / 48, 900, 940); /* by what has passed */
}

static void a_slot_that_was_silent_stays_so(void **state)
{
    stage(2);
    mute(2, true); /* nothing has flowed yet */
    world_run(w, 300 * MS);
    assert_int_equal(stage_sounds(), 0);
    mute(2, false);
    world_live(w, 500, 0, 1 << 2, 30);
    size_t before = stage_sounds();
    world_run(w, SLOT_SILENT_US + 10 * MS); /* the client itself has stopped */
    mute(2, true);
    world_run(w, 300 * MS);
    assert_int_equal(stage_sounds(), before);
}

static void another_voice_ends_the_silence(void **state)
{
    stage(2);
    world_live(w, 500, 0, 1 << 2, 30);
    size_t before = stage_sounds();
    stage(3); /* it says nothing for 50 ms */
    world_run(w, 50 * MS);
    size_t silent = stage_sounds() - before;
    assert_in_range(silent, 2, 3);
    world_live(w, 300, 0, 1 << 3, 30);
    size_t n = stage_sounds();
    for (size_t i = before; i < n; i++)
        assert_int_equal(got[i]->silence, i < before + silent);
    assert_sound_goes_on(before, n);
}

static void a_voice_that_follows_at_once_leaves_no_room_for_silence(void **state)
{
    stage(2);
    world_live(w, 500, 0, 1 << 2 | 1 << 3, 30);
    size_t before = stage_sounds();
    stage(3);
    world_live(w, 300, 0, 1 << 3, 30);
    size_t n = stage_sounds();
    assert_true(n >= before + 14);
    for (size_t i = before; i < n; i++)
        assert_false(got[i]->silence);
    assert_sound_goes_on(before, n);
}

static void one_who_has_left_is_followed_by_silence(void **state)
{
    stage(2);
    world_live(w, 500, 0, 1 << 2, 30);
    size_t before = stage_sounds();
    peer_free(world_line(w, 2)->peer, w->now_us);
    world_line(w, 2)->peer = NULL;
    world_run(w, 300 * MS);
    size_t n = stage_sounds();
    assert_int_equal(n, before + SLOT_SILENCE_FRAMES);
    for (size_t i = before; i < n; i++)
        assert_true(got[i]->silence);
}

static void a_picture_ends_without_anything_of_ours(void **state)
{
    stage(2);
    keyframe_on_all_layers(2);
    world_live(w, 200, 1 << 2, 0, 0);
    size_t before = stage_packets();
    world_wish(w, 2)->may_send = 0;
    world_apply(w);
    world_run(w, 300 * MS);
    assert_int_equal(stage_packets(), before);
}

static bool lose_every_tenth(const struct arrived *a, void *ctx)
{
    unsigned *count = ctx;
    return !a->repair && (*count)++ % 10 == 9;
}

static bool lose_every_third_repair_too(const struct arrived *a, void *ctx)
{
    unsigned *count = ctx;
    return (*count)++ % (a->repair ? 3 : 10) == 2;
}

/* Asks for what is missing, as a receiver does, until `seen` has no hole. */
static void ask_for_holes(bool *seen, uint16_t first, uint16_t newest)
{
    uint16_t seqs[64];
    size_t n = 0;
    for (uint16_t seq = first; seq != newest && n < 64; seq++)
        if (!seen[(uint16_t)(seq - first)])
            seqs[n++] = seq;
    if (n)
        world_nack(w, 1, world_ssrc(1, STAGE_PICTURE), seqs, n);
}

static void run_lossy(bool (*lose)(const struct arrived *, void *))
{
    unsigned count = 0;
    bool *seen = calloc(65536, 1);
    stage(2);
    keyframe_on_all_layers(2);
    uint16_t first = got[stage_packets() - 3]->seq, newest = first;
    world_line(w, 1)->lose = lose;
    world_line(w, 1)->lose_ctx = &count;
    for (int i = 0; i < 40; i++) {
        world_live(w, 105, i < 34 ? 1 << 2 : 0, 0, 0); /* it ends, so that everything can be repaired */
        const struct line *l = world_line(w, 1);
        for (size_t k = 0; k < l->n_arrived; k++) {
            uint16_t seq = l->arrived[k].repair ? l->arrived[k].original_seq : l->arrived[k].seq;
            seen[(uint16_t)(seq - first)] = true;
            if (!l->arrived[k].repair && (int16_t)(seq - newest) > 0)
                newest = seq;
        }
        ask_for_holes(seen, first, newest);
    }
    assert_true((uint16_t)(newest - first) > 250);
    for (uint16_t seq = first; seq != newest; seq++)
        assert_true(seen[(uint16_t)(seq - first)]);
    free(seen);
}

static void a_line_that_loses_a_tenth_is_repaired_whole(void **state)
{
    run_lossy(lose_every_tenth);
}

static void retransmissions_that_are_lost_are_repaired_too(void **state)
{
    run_lossy(lose_every_third_repair_too);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(a_mute_is_followed_by_five_frames_of_silence),
        TEST(a_slot_that_was_silent_stays_so),
        TEST(another_voice_ends_the_silence),
        TEST(a_voice_that_follows_at_once_leaves_no_room_for_silence),
        TEST(one_who_has_left_is_followed_by_silence),
        TEST(a_picture_ends_without_anything_of_ours),
        TEST(a_picture_begins_with_a_keyframe),
        TEST(another_source_continues_sequence_time_and_picture_numbers),
        TEST(time_goes_on_by_what_has_passed_at_a_switch),
        TEST(the_layer_follows_the_size_asked_for),
        TEST(the_former_layer_flows_until_the_keyframe_of_the_next),
        TEST(a_layer_that_falls_silent_gives_way_to_a_living_one),
        TEST(a_lost_packet_is_sent_again_on_the_repair_stream),
        TEST(a_repair_is_not_sent_twice_within_a_round_trip_but_again_after_it),
        TEST(a_nack_for_what_never_was_is_ignored),
        TEST(a_hole_from_the_publisher_is_asked_for_and_filled_in_place),
        TEST(a_lost_request_is_repeated_until_the_packet_comes),
        TEST(a_keyframe_whose_beginning_is_repaired_comes_whole),
        TEST(packets_of_a_frame_leave_with_one_size),
        TEST(sound_and_picture_of_the_stage_are_on_one_clock),
        TEST(publishers_get_feedback_every_60_ms_and_a_report_each_second),
        TEST(a_line_that_loses_a_tenth_is_repaired_whole),
        TEST(retransmissions_that_are_lost_are_repaired_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
