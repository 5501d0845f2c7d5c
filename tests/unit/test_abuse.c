/* What one subscriber or publisher can make the others do has an end. Endpoint 1 is wicked, 2 and 3 are not. */
#include "sfu_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static struct world *w;

enum { MS = 1000, FRAME_US = 33 * MS };

static int begin(void **state)
{
    w = world_new();
    world_join(w, 1, 1);
    world_join(w, 2, 3);
    world_join(w, 3, 1);
    for (uint32_t n = 1; n <= 3; n++)
        world_wish(w, n)->stage = n == 2 ? 0 : 2;
    world_apply(w);
    return 0;
}

static int end(void **state)
{
    world_check(w);
    world_free(w);
    return 0;
}

static void frame_on_all_layers(uint32_t number, bool keyframe)
{
    struct camera *c = &w->cameras[number - 1];
    for (unsigned layer = 0; layer < c->layers; layer++)
        world_frame(w, c, layer, 3, keyframe, 0);
}

/* A report that makes our packets look as if they had been back at once. */
static void claim_no_distance(uint32_t number, uint32_t ssrc)
{
    uint8_t bytes[100];
    struct writer x = writer_make(bytes, sizeof bytes);
    struct rtcp_report r = {.ssrc = ssrc, .lsr = ntp_short(ntp_from_us(w->now_us))};
    rtcp_write_rr(&x, 1, &r, 1);
    peer_input_rtcp(world_line(w, number)->peer, bytes, writer_len(&x), w->now_us);
}

static void repairs_never_exceed_what_was_sent(void **state)
{
    uint32_t ssrc = world_ssrc(1, STAGE_PICTURE);
    const struct arrived *got[4096];
    frame_on_all_layers(2, true);
    for (unsigned i = 0; i < 60; i++) {
        frame_on_all_layers(2, false);
        claim_no_distance(1, ssrc);
        size_t n = world_received(w, 1, ssrc, got, 4096);
        for (unsigned again = 0; again < 10; again++) {
            uint16_t seqs[100];
            size_t n_seqs = 0;
            for (size_t k = n > 100 ? n - 100 : 0; k < n; k++)
                seqs[n_seqs++] = got[k]->seq;
            world_nack(w, 1, ssrc, seqs, n_seqs);
            world_run(w, MS);
        }
        world_run(w, FRAME_US - 10 * MS);
    }
    size_t sent = world_received(w, 1, ssrc, got, 4096), repaired = world_received(w, 1, ssrc + 50, got, 4096);
    assert_true(sent > 150 && repaired > PEER_REPAIRS_AT_ONCE);
    assert_true(repaired <= sent + PEER_REPAIRS_AT_ONCE);
    assert_true(w->sfu.stats.drops[SFU_DROP_REPAIRS] > 1000);
    assert_int_equal(world_line(w, 3)->n_arrived, sent); /* the same picture for the one beside it */
}

/* 30 s in which `number` asks `per_frame` times a frame and the publisher answers every request. Its requests. */
static unsigned requests_in_30_s(uint32_t number, unsigned per_frame)
{
    struct line *publisher = world_line(w, 2);
    frame_on_all_layers(2, true);
    unsigned before = publisher->plis;
    for (unsigned i = 0; i < 30 * 30; i++) {
        unsigned asked = publisher->plis;
        for (unsigned k = 0; k < per_frame; k++)
            world_pli(w, number, world_ssrc(number, STAGE_PICTURE));
        world_run(w, FRAME_US);
        frame_on_all_layers(2, publisher->plis != asked);
    }
    return publisher->plis - before;
}

static void a_storm_of_requests_costs_a_keyframe_in_two_seconds(void **state)
{
    unsigned requests = requests_in_30_s(1, 3);
    assert_in_range(requests, 10, SLOT_REQUESTS_AT_ONCE + 30 / 2 + 1);
    assert_true(w->sfu.stats.drops[SFU_DROP_REQUESTS] > 1000);
    unsigned before = world_line(w, 2)->plis;
    world_run(w, 600 * MS);
    world_pli(w, 3, world_ssrc(3, STAGE_PICTURE));
    assert_int_equal(world_line(w, 2)->plis, before + 1); /* who has asked for little is served at once */
}

static void a_request_that_is_repeated_until_the_keyframe_comes_is_one(void **state)
{
    frame_on_all_layers(2, true);
    for (unsigned i = 0; i < 100; i++) { /* 10 s without an answer: the publisher is asked on and on */
        world_pli(w, 1, world_ssrc(1, STAGE_PICTURE));
        world_run(w, 100 * MS);
        frame_on_all_layers(2, false);
    }
    assert_int_equal(w->sfu.stats.drops[SFU_DROP_REQUESTS], 0);
}

static void a_track_that_changes_its_ssrc_with_every_packet_is_counted(void **state)
{
    const struct arrived *got[4096];
    world_wish(w, 3)->stage = world_wish(w, 2)->stage = 1;
    world_apply(w);
    struct camera *c = &w->cameras[0];
    for (unsigned i = 0; i < 300; i++) {
        c->ssrc[0] = 0x5000 + i % 90;
        world_frame(w, c, 0, 1, true, 0);
        world_run(w, 10 * MS);
    }
    uint64_t refused = w->sfu.stats.drops[SFU_DROP_SSRC_CHANGES];
    assert_in_range(refused, 300 - PEER_SSRC_CHANGES_AT_ONCE - 5, 300 - PEER_SSRC_CHANGES_AT_ONCE);
    world_run(w, 2000 * MS); /* at rest: it is taken again */
    world_clear(w, 3);
    for (unsigned i = 0; i < 20; i++) {
        world_frame(w, c, 0, 1, i == 0, 0);
        world_run(w, FRAME_US);
    }
    assert_int_equal(world_received(w, 3, world_ssrc(3, STAGE_PICTURE), got, 4096), 20);
}

static void one_publisher_does_not_fill_the_lines_of_all(void **state)
{
    const struct arrived *got[WORLD_ARRIVED];
    w->sfu.peer_bps = 200000;
    struct camera *c = &w->cameras[0];
    world_wish(w, 3)->stage = 1;
    world_apply(w);
    frame_on_all_layers(1, true);
    world_clear(w, 3);
    int64_t began_us = w->now_us;
    for (unsigned i = 0; i < 3000; i++) {
        world_frame(w, c, 0, 3, false, 0);
        world_run(w, MS);
    }
    int64_t took_us = w->now_us - began_us;
    size_t n = world_received(w, 3, world_ssrc(3, STAGE_PICTURE), got, WORLD_ARRIVED), bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += got[i]->len;
    assert_true(w->sfu.stats.drops[SFU_DROP_RATE] > 1000);
    assert_in_range(n, 100, 8000);
    assert_true((int64_t)bytes * 8 <= (took_us / MS + 1000) * 200); /* what time has brought, and a second of it before */
}

static void a_layout_that_flickers_is_followed_at_a_measured_pace(void **state)
{
    struct line *publisher = world_line(w, 2);
    frame_on_all_layers(2, true);
    for (unsigned i = 0; i < 30 * 30; i++) {
        unsigned asked = publisher->plis;
        world_wish(w, 1)->stage_size.height = i % 2 ? 720 : 100;
        world_apply(w);
        world_run(w, FRAME_US);
        frame_on_all_layers(2, publisher->plis != asked);
    }
    assert_in_range(publisher->plis, 1, SLOT_HEIGHTS_AT_ONCE + 30 + 5);
    world_wish(w, 1)->stage_size.height = 100; /* the last word counts, a little later */
    world_apply(w);
    for (unsigned i = 0; i < 90; i++) {
        world_run(w, FRAME_US);
        frame_on_all_layers(2, i % 10 == 0);
    }
    assert_int_equal(world_slot(w, 1, STAGE_PICTURE)->layer, 0);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(repairs_never_exceed_what_was_sent),
        TEST(a_storm_of_requests_costs_a_keyframe_in_two_seconds),
        TEST(a_request_that_is_repeated_until_the_keyframe_comes_is_one),
        TEST(a_track_that_changes_its_ssrc_with_every_packet_is_counted),
        TEST(one_publisher_does_not_fill_the_lines_of_all),
        TEST(a_layout_that_flickers_is_followed_at_a_measured_pace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
