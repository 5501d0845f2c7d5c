/* A briefing: the wish folded into slots. */
#include "sfu_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct world *w;

enum { MS = 1000, CAP = 4096, SPEECH = 25, SILENCE = 120 };
static const struct arrived *got[CAP];

static int begin(void **state)
{
    w = world_new();
    for (uint32_t n = 1; n <= 6; n++)
        world_join(w, n, 1);
    return 0;
}

static int end(void **state)
{
    world_check(w);
    world_free(w);
    return 0;
}

static void stage_for_all(uint32_t number)
{
    for (uint32_t n = 1; n <= 6; n++)
        world_wish(w, n)->stage = n == number ? 0 : number;
    w->wish.stage = number;
    world_apply(w);
}

static void keyframe(uint32_t number)
{
    world_frame(w, &w->cameras[number - 1], 0, 3, true, 0);
}

static size_t on_stage(uint32_t viewer)
{
    return world_received(w, viewer, world_ssrc(viewer, STAGE_PICTURE), got, CAP);
}

static uint32_t shown(uint32_t viewer, unsigned slot)
{
    return world_slot(w, viewer, slot)->shown;
}

static uint32_t in_slot(uint32_t viewer, unsigned slot)
{
    const struct source *s = world_slot(w, viewer, slot)->source;
    return s ? s->number : 0;
}

static void everybody_sees_the_stage_but_the_one_on_it(void **state)
{
    stage_for_all(2);
    keyframe(2);
    world_sound(w, 2, SPEECH);
    for (uint32_t n = 1; n <= 6; n++) {
        assert_int_equal(on_stage(n), n == 2 ? 0 : 3);
        assert_int_equal(world_received(w, n, world_ssrc(n, STAGE_SOUND), got, CAP), n == 2 ? 0 : 1);
        assert_int_equal(shown(n, STAGE_PICTURE), n == 2 ? 0 : 2);
    }
}

static void the_same_wish_again_changes_nothing(void **state)
{
    stage_for_all(2);
    keyframe(2);
    world_live(w, 700, 1 << 2, 0, 0);
    uint32_t dirty = w->router->dirty;
    unsigned plis = world_line(w, 2)->plis;
    size_t n = on_stage(1);
    uint16_t seq = got[n - 1]->seq;
    for (int i = 0; i < 5; i++) {
        world_apply(w);
        world_run(w, 600 * MS);
    }
    assert_int_equal(w->router->dirty, dirty);
    assert_int_equal(world_line(w, 2)->plis, plis);
    world_frame(w, &w->cameras[1], 0, 3, false, 0);
    assert_int_equal(on_stage(1), n + 3);
    assert_int_equal((uint16_t)(got[n]->seq - seq), 1);
}

static void fifty_handovers_cost_one_keyframe_request_each(void **state)
{
    unsigned expected[WORLD_PEERS + 1] = {0};
    for (int i = 0; i < 50; i++) {
        uint32_t holder = (uint32_t)(1 + i % 6);
        stage_for_all(holder);
        expected[holder]++;
        world_live(w, 105, 0x7e, 0, 0);
        keyframe(holder);
        world_live(w, 595, 0x7e, 0, 0);
        for (uint32_t n = 1; n <= 6; n++)
            if (n != holder)
                assert_int_equal(shown(n, STAGE_PICTURE), holder);
        for (uint32_t n = 1; n <= 6; n++)
            world_clear(w, n);
    }
    for (uint32_t n = 1; n <= 6; n++)
        assert_int_equal(world_line(w, n)->plis, expected[n]);
}

static void joins_within_the_window_share_one_request(void **state)
{
    stage_for_all(2);
    keyframe(2);
    world_live(w, 1000, 1 << 2, 0, 0);
    world_line(w, 2)->plis = 0;
    for (uint32_t n = 7; n <= 12; n++) {
        world_join(w, n, 1);
        world_wish(w, n)->stage = 2;
        world_apply(w);
        world_run(w, 20 * MS);
    }
    assert_int_equal(world_line(w, 2)->plis, 1);
    keyframe(2);
    for (uint32_t n = 7; n <= 12; n++)
        assert_int_equal(on_stage(n), 3);
}

static void who_comes_right_after_a_keyframe_begins_with_it(void **state)
{
    stage_for_all(2);
    keyframe(2);
    world_frame(w, &w->cameras[1], 0, 2, false, 0);
    world_run(w, 200 * MS);
    unsigned plis = world_line(w, 2)->plis;
    world_join(w, 7, 1);
    world_wish(w, 7)->stage = 2;
    world_apply(w);
    assert_int_equal(on_stage(7), 5); /* the keyframe and what has followed, nobody was asked */
    assert_true(got[0]->keyframe);
    for (size_t i = 1; i < 5; i++)
        assert_int_equal((uint16_t)(got[i]->seq - got[i - 1]->seq), 1);
    assert_int_equal((got[3]->picture_id - got[0]->picture_id) & 0x7fff, 1);
    assert_int_equal((got[4]->picture_id - got[0]->picture_id) & 0x7fff, 1);
    world_run(w, 1000 * MS);
    assert_int_equal(world_line(w, 2)->plis, plis);
    world_frame(w, &w->cameras[1], 0, 3, false, 0);
    assert_int_equal(on_stage(7), 8);
    world_join(w, 8, 1);
    world_wish(w, 8)->stage = 2;
    world_apply(w);
    assert_int_equal(on_stage(8), 0); /* it is too old by now */
    assert_int_equal(world_line(w, 2)->plis, plis + 1);
}

static void a_late_joiner_of_a_still_screen_gets_a_keyframe(void **state)
{
    struct camera *screen = &w->screens[2];
    for (uint32_t n = 1; n <= 6; n++)
        world_wish(w, n)->screen = n == 3 ? 0 : 3;
    world_apply(w);
    world_frame(w, screen, 0, 8, true, 0);
    world_run(w, 60 * 1000 * MS); /* nothing moves for a minute */
    world_join(w, 7, 1);
    world_line(w, 3)->plis = 0;
    world_wish(w, 7)->screen = 3;
    world_apply(w);
    assert_int_equal(world_line(w, 3)->plis, 1);
    world_run(w, 1200 * MS); /* the first request was lost: it is repeated */
    assert_in_range(world_line(w, 3)->plis, 2, 3);
    world_frame(w, screen, 0, 8, true, 0);
    assert_int_equal(world_received(w, 7, world_ssrc(7, SHARED_SCREEN), got, CAP), 8);
    unsigned plis = world_line(w, 3)->plis;
    world_run(w, 5000 * MS);
    assert_int_equal(world_line(w, 3)->plis, plis); /* and then no more */
}

static void a_mute_silences_at_once_for_everybody(void **state)
{
    stage_for_all(2);
    world_live(w, 500, 0, 1 << 2 | 1 << 3, SPEECH);
    for (uint32_t n = 1; n <= 6; n++)
        world_clear(w, n);
    world_wish(w, 2)->may_send &= (uint8_t)~WISH_BIT(WISH_MICROPHONE);
    world_apply(w);
    world_live(w, 500, 0, 1 << 2, SPEECH);
    for (uint32_t n = 1; n <= 6; n++)
        for (unsigned slot = 0; slot < WORLD_SLOTS; slot++) {
            size_t heard = world_received(w, n, world_ssrc(n, slot), got, CAP);
            assert_int_equal(heard, slot == STAGE_SOUND && n != 2 ? SLOT_SILENCE_FRAMES : 0);
            for (size_t i = 0; i < heard; i++)
                assert_true(got[i]->silence);
        }
    for (uint32_t n = 1; n <= 6; n++)
        world_clear(w, n);
    assert_true(w->sfu.stats.drops[SFU_DROP_MUTED] >= 25);
    assert_int_not_equal(w->router->speaker, 2);
    world_wish(w, 2)->may_send |= WISH_BIT(WISH_MICROPHONE);
    world_apply(w);
    world_sound(w, 2, SPEECH);
    assert_int_equal(world_received(w, 1, world_ssrc(1, STAGE_SOUND), got, CAP), 1);
}

static void one_who_does_not_hear_gets_no_sound(void **state)
{
    stage_for_all(2);
    world_wish(w, 1)->hears = false;
    world_apply(w);
    world_live(w, 500, 0, 0x7c, SPEECH);
    for (unsigned slot = 0; slot < WORLD_SLOTS; slot++)
        assert_int_equal(world_received(w, 1, world_ssrc(1, slot), got, CAP), 0);
    assert_true(world_received(w, 3, world_ssrc(3, STAGE_SOUND), got, CAP) > 20);
}

static void tiles_show_what_the_layout_asks_and_never_the_stage_again(void **state)
{
    struct wish_endpoint *e = world_wish(w, 1);
    e->stage = 2;
    e->n_tiles = 2;
    e->tiles[0] = (struct wish_tile){.endpoint = 2, .size = {320, 180}};
    e->tiles[1] = (struct wish_tile){.endpoint = 4, .size = {320, 180}};
    world_apply(w);
    assert_int_equal(in_slot(1, STAGE_PICTURE), 2);
    assert_int_equal(in_slot(1, TILE_1), 0);
    assert_int_equal(in_slot(1, TILE_2), 4);
    e->tiles[1].size = (struct wish_size){0, 0}; /* not shown */
    e->stage_size = (struct wish_size){0, 0};
    world_apply(w);
    assert_int_equal(in_slot(1, STAGE_PICTURE), 0);
    assert_int_equal(in_slot(1, TILE_1), 2);
    assert_int_equal(in_slot(1, TILE_2), 0);
}

static void nobody_gets_its_own(void **state)
{
    struct wish_endpoint *e = world_wish(w, 1);
    e->stage = 1;
    e->screen = 1;
    e->n_tiles = 1;
    e->tiles[0] = (struct wish_tile){.endpoint = 1, .size = {320, 180}};
    world_apply(w);
    keyframe(1);
    world_live(w, 1000, 1 << 1, 1 << 1, SPEECH);
    assert_int_equal(world_line(w, 1)->n_arrived, 0);
}

static bool hears(uint32_t listener, uint32_t speaker)
{
    return in_slot(listener, SOUND_1) == speaker || in_slot(listener, SOUND_2) == speaker ||
           in_slot(listener, SOUND_3) == speaker;
}

static void the_loudest_three_others_are_heard_and_keep_their_slots(void **state)
{
    stage_for_all(2);
    world_live(w, 1000, 0, 1 << 3 | 1 << 4 | 1 << 5, SPEECH);
    for (uint32_t n = 3; n <= 5; n++)
        assert_true(hears(1, n));
    uint32_t before[3] = {in_slot(1, SOUND_1), in_slot(1, SOUND_2), in_slot(1, SOUND_3)};
    for (int i = 0; i < 5; i++) { /* 6 speaks as loud as they do; 4 pauses: no slot is taken from anybody */
        world_live(w, 300, 0, 1 << 3 | 1 << 5 | 1 << 6, SPEECH);
        world_live(w, 300, 0, 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6, SPEECH);
    }
    unsigned kept = 0;
    for (unsigned i = 0; i < 3; i++)
        kept += in_slot(1, SOUND_1 + i) == before[i];
    assert_true(kept >= 2);
    assert_false(hears(3, 3));
    assert_false(hears(1, 2)); /* the stage has a slot of its own */
}

static void the_floor_holder_is_heard_however_softly_it_speaks(void **state)
{
    stage_for_all(1);
    w->wish.floor = 6;
    world_wish(w, 6)->stage = 1;
    world_apply(w);
    for (int i = 0; i < 5; i++) {
        world_live(w, 300, 0, 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5, SPEECH);
        world_sound(w, 6, 80);
    }
    assert_true(hears(2, 6));
    assert_true(hears(1, 6));
}

static void the_one_who_speaks_is_named_and_silence_is_nobody(void **state)
{
    world_live(w, 1500, 0, 1 << 4, SPEECH);
    assert_int_equal(w->router->speaker, 4);
    world_live(w, 2000, 0, 1 << 4, SILENCE);
    assert_int_equal(w->router->speaker, 0);
}

static void a_new_incarnation_goes_on_in_the_same_slots(void **state)
{
    stage_for_all(2);
    keyframe(2);
    world_live(w, 500, 1 << 2, 1 << 2, SPEECH);
    size_t before = on_stage(1);
    struct arrived last = *got[before - 1];
    uint32_t dirty = w->router->dirty;
    world_join_again(w, 2, 1, 2);
    assert_int_equal(in_slot(1, STAGE_PICTURE), 2);
    assert_int_equal(shown(1, STAGE_PICTURE), 2); /* clients are not told that it was empty for a moment */
    assert_true(w->router->dirty > dirty);        /* but that the endpoint is another one */
    assert_int_equal(world_slot(w, 1, STAGE_PICTURE)->source->incarnation, 2);
    world_run(w, 200 * MS);
    keyframe(2);
    size_t n = on_stage(1);
    assert_int_equal(n, before + 3);
    assert_in_range((uint16_t)(got[before]->seq - last.seq), 1, 2);
    assert_true((int32_t)(got[before]->ts - last.ts) > 0);
    assert_int_equal((got[before]->picture_id - last.picture_id) & 0x7fff, 1);
}

static void one_who_leaves_empties_the_slots(void **state)
{
    stage_for_all(2);
    keyframe(2);
    peer_free(world_line(w, 2)->peer, w->now_us);
    world_line(w, 2)->peer = NULL;
    world_run(w, 20 * MS);
    for (uint32_t n = 1; n <= 6; n++)
        if (n != 2)
            assert_int_equal(shown(n, STAGE_PICTURE), 0);
}

/* ---- mirrors ---- */

static uint8_t wanted;
static unsigned asked;

static void note_want(void *ctx, struct source *s, uint8_t layers)
{
    wanted = layers;
}

static void note_keyframe(void *ctx, struct source *s, uint8_t layers)
{
    assert_int_equal(layers, 1);
    asked++;
}

static void mirror_frame(struct source *s, uint32_t frame, bool key)
{
    for (uint16_t i = 0; i < 3; i++) {
        struct packet *p = packet_get(w->pool);
        struct writer x = writer_make(p->bytes, 1500);
        uint64_t ext_seq = 70000 + frame * 3 + i;
        write_u8(&x, 0x80);
        write_u8(&x, (uint8_t)((i == 2 ? 0x80 : 0) | 120));
        write_u16(&x, (uint16_t)ext_seq);
        write_u32(&x, 5000 + frame * 3000);
        write_u32(&x, 4711);
        write_u32(&x, i == 0 ? 0x9080u << 16 | 0x8001 : 0x8080u << 16 | 0x8001);
        write_u8(&x, key ? 0x10 : 0x11);
        write_u16(&x, 0);
        write_u24(&x, 0x9d012a);
        write_u32(&x, 0x80024001); /* little endian sizes: 640 × 320 */
        struct rtp_packet v;
        p->len = (uint16_t)writer_len(&x);
        p->arrival_us = w->now_us;
        assert_int_equal(rtp_parse(p->bytes, p->len, &v), 0);
        source_input_mirrored(s, 0, p, &v, (int64_t)ext_seq, w->now_us - 2 * MS, 0xff, w->now_us);
        packet_unref(p);
    }
    sfu_turn(&w->sfu, w->now_us);
}

static void a_mirror_feeds_slots_and_tells_its_origin_what_it_wants(void **state)
{
    w->sfu.shell.mirror_want = note_want;
    w->sfu.shell.mirror_keyframe = note_keyframe;
    wanted = 0;
    asked = 0;
    struct wish_endpoint *e = &w->endpoints[w->wish.n_endpoints++];
    *e = (struct wish_endpoint){.number = 9, .incarnation = 1, .may_send = 0xe};
    world_apply(w);
    struct source *s = router_mirror(w->router, 9, WISH_CAMERA, 1, RTP_VP8, 1, w->now_us);
    assert_non_null(s);
    assert_ptr_equal(router_mirror(w->router, 9, WISH_CAMERA, 1, RTP_VP8, 1, w->now_us), s);
    world_run(w, 20 * MS);
    assert_int_equal(wanted, 0); /* nobody watches */
    stage_for_all(9);
    world_run(w, 20 * MS);
    assert_int_equal(wanted, 1);
    assert_int_equal(asked, 1);
    mirror_frame(s, 0, true);
    mirror_frame(s, 1, false);
    assert_int_equal(on_stage(1), 6);
    uint16_t seq = got[4]->seq;
    world_nack(w, 1, world_ssrc(1, STAGE_PICTURE), &seq, 1);
    assert_int_equal(world_received(w, 1, world_ssrc(1, STAGE_PICTURE) + 50, got, CAP), 1); /* answered here */
    router_mirror_end(w->router, 9, WISH_CAMERA, w->now_us);
    world_run(w, 20 * MS);
    assert_int_equal(shown(1, STAGE_PICTURE), 0);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(everybody_sees_the_stage_but_the_one_on_it),
        TEST(the_same_wish_again_changes_nothing),
        TEST(fifty_handovers_cost_one_keyframe_request_each),
        TEST(joins_within_the_window_share_one_request),
        TEST(who_comes_right_after_a_keyframe_begins_with_it),
        TEST(a_late_joiner_of_a_still_screen_gets_a_keyframe),
        TEST(a_mute_silences_at_once_for_everybody),
        TEST(one_who_does_not_hear_gets_no_sound),
        TEST(tiles_show_what_the_layout_asks_and_never_the_stage_again),
        TEST(nobody_gets_its_own),
        TEST(the_loudest_three_others_are_heard_and_keep_their_slots),
        TEST(the_floor_holder_is_heard_however_softly_it_speaks),
        TEST(the_one_who_speaks_is_named_and_silence_is_nobody),
        TEST(a_new_incarnation_goes_on_in_the_same_slots),
        TEST(one_who_leaves_empties_the_slots),
        TEST(a_mirror_feeds_slots_and_tells_its_origin_what_it_wants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
