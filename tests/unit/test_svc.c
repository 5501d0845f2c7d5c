/* VP9 with spatial and temporal layers in one stream (L3T3), as a subscriber sees it. Endpoint 1 watches, 2 sends. */
#include "sfu_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { MS = 1000, CAP = 4096, SIDS = 3, FRAME_MS = 35, PACKETS = 2, EXTRA_MAX = 1000 };

static struct world *w;
static const struct arrived *got[CAP];

/* The publisher: pictures of temporal layers 0 2 1 2. */
static struct {
    unsigned picture, sids;
    uint16_t id;
    bool switch_up;
    unsigned extra[SIDS]; /* bytes of each layer's packets */
} pub;

static int begin(void **state)
{
    w = world_new();
    w->estimates = *state != NULL;
    world_join(w, 1, 1);
    w->vp9 = true;
    world_join(w, 2, 1);
    world_wish(w, 1)->stage = 2;
    world_apply(w);
    memset(&pub, 0, sizeof pub);
    pub.sids = SIDS;
    pub.id = 0x7ff0;
    return 0;
}

static int end(void **state)
{
    world_check(w);
    world_free(w);
    return 0;
}

struct place {
    unsigned sid, packet;
    bool keyframe;
};

static size_t write_packet(uint8_t *out, size_t cap, const struct place *p, uint8_t tid)
{
    struct writer x = writer_make(out, cap);
    bool structure = p->keyframe && p->sid == 0 && p->packet == 0;
    write_u8(&x, (uint8_t)(0xa0 | (p->keyframe ? 0 : 0x40) | (p->packet == 0 ? 8 : 0) | (p->packet + 1 == PACKETS ? 4 : 0) |
                           (structure ? 2 : 0)));
    write_u16(&x, 0x8000 | pub.id);
    write_u8(&x, (uint8_t)(tid << 5 | (pub.switch_up && tid == 0 ? 0x10 : 0) | p->sid << 1 | (p->keyframe && p->sid > 0)));
    write_u8(&x, 0);
    if (structure) {
        write_u8(&x, (uint8_t)((pub.sids - 1) << 5 | 0x10));
        for (unsigned i = 0; i < pub.sids; i++) {
            write_u16(&x, (uint16_t)(320u << i));
            write_u16(&x, (uint16_t)(180u << i));
        }
    }
    for (unsigned i = 0; i < 20 + pub.extra[p->sid]; i++)
        write_u8(&x, 0xaa);
    assert_false(x.failed);
    return writer_len(&x);
}

static uint32_t ts_now(void)
{
    return w->cameras[1].base_ts[0] + (uint32_t)(w->now_us * 9 / 100);
}

/* One picture, a frame's time after the last; `lost`: bit sid × PACKETS + packet. */
static void picture(bool keyframe, unsigned lost)
{
    static const uint8_t tids[] = {0, 2, 1, 2};
    uint8_t bytes[EXTRA_MAX + 100];
    world_run(w, FRAME_MS * MS);
    pub.picture = keyframe ? 0 : pub.picture + 1;
    pub.id = (pub.id + 1) & 0x7fff;
    for (unsigned i = 0; i < pub.sids * PACKETS; i++) {
        struct place p = {i / PACKETS, i % PACKETS, keyframe};
        size_t len = write_packet(bytes, sizeof bytes, &p, tids[pub.picture % 4]);
        world_payload(w, &w->cameras[1], ts_now(), i + 1 == pub.sids * PACKETS, bytes, len, lost >> i & 1);
    }
}

static void live(unsigned pictures)
{
    for (unsigned i = 0; i < pictures; i++)
        picture(false, 0);
}

static struct slot *stage(void)
{
    return world_slot(w, 1, STAGE_PICTURE);
}

static size_t received(void)
{
    return world_received(w, 1, world_ssrc(1, STAGE_PICTURE), got, CAP);
}

static void size(uint16_t height)
{
    world_wish(w, 1)->stage_size.height = height;
    world_apply(w);
    live(4); /* the next look at the layers */
}

/* No number is missing, and the marker is on the last packet of each picture and nowhere else. */
static void assert_whole(size_t n)
{
    assert_true(n > 2);
    for (size_t i = 1; i < n; i++) {
        bool next = got[i]->ts != got[i - 1]->ts;
        assert_int_equal((uint16_t)(got[i]->seq - got[i - 1]->seq), 1);
        assert_int_equal(got[i - 1]->marker, next);
        assert_true(next || (got[i]->picture_id == got[i - 1]->picture_id && got[i]->sid >= got[i - 1]->sid));
    }
    assert_true(got[n - 1]->marker);
}

static unsigned highest_sid(size_t from, size_t n)
{
    unsigned sid = 0;
    for (size_t i = from; i < n; i++)
        sid = got[i]->sid > sid ? got[i]->sid : sid;
    return sid;
}

static unsigned highest_tid(size_t from, size_t n)
{
    unsigned tid = 0;
    for (size_t i = from; i < n; i++)
        tid = got[i]->tid > tid ? got[i]->tid : tid;
    return tid;
}

static void the_size_shown_decides_which_spatial_layers_are_sent(void **state)
{
    static const struct {
        uint16_t height;
        unsigned sid;
    } rows[] = {{720, 2}, {180, 0}, {360, 1}, {181, 1}, {361, 2}, {2000, 2}, {90, 0}};
    picture(true, 0);
    live(4);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size(rows[i].height);
        world_run(w, 600 * MS);
        picture(true, 0);
        size_t before = received();
        live(8);
        assert_int_equal(highest_sid(before, received()), rows[i].sid);
        assert_int_equal(highest_tid(before, received()), 2);
    }
    assert_whole(received());
}

static void one_who_looks_at_it_small_never_gets_the_larger_layers(void **state)
{
    world_wish(w, 1)->stage_size.height = 180;
    world_apply(w);
    picture(true, 0);
    live(8);
    size_t n = received();
    assert_int_equal(n, 9 * PACKETS);
    assert_int_equal(highest_sid(0, n), 0);
    assert_whole(n);
}

static void a_larger_size_waits_for_a_keyframe_that_is_asked_for(void **state)
{
    world_wish(w, 1)->stage_size.height = 180;
    world_apply(w);
    picture(true, 0);
    live(20);
    unsigned plis = world_line(w, 2)->plis;
    size_t before = received();
    size(720);
    assert_int_equal(highest_sid(before, received()), 0);
    assert_int_equal(world_line(w, 2)->plis, plis + 1);
    before = received();
    picture(true, 0);
    live(1);
    size_t n = received();
    assert_int_equal(n, before + 2 * SIDS * PACKETS);
    assert_int_equal(got[before]->sid, 0);
    assert_int_equal(got[before + SIDS * PACKETS - 1]->sid, 2);
    assert_whole(n);
    live(40);
    assert_int_equal(world_line(w, 2)->plis, plis + 1); /* it has what it wants */
}

static void a_step_down_is_between_two_pictures_and_asks_for_nothing(void **state)
{
    picture(true, 0);
    live(20);
    unsigned plis = world_line(w, 2)->plis;
    uint8_t bytes[200];
    size_t before = received();
    world_run(w, FRAME_MS * MS);
    uint32_t ts = ts_now();
    pub.picture++;
    pub.id = (pub.id + 1) & 0x7fff;
    for (unsigned i = 0; i < SIDS * PACKETS; i++) { /* the line gives way in the middle of a picture */
        struct place p = {i / PACKETS, i % PACKETS, false};
        size_t len = write_packet(bytes, sizeof bytes, &p, 0);
        world_payload(w, &w->cameras[1], ts, i == SIDS * PACKETS - 1, bytes, len, false);
        if (i == 2)
            slot_limit(stage(), 0, (struct slot_parts){0, SLOT_ALL_TIDS}, w->now_us);
    }
    assert_int_equal(received() - before, SIDS * PACKETS);
    before = received();
    live(5);
    size_t n = received();
    assert_int_equal(n - before, 5 * PACKETS);
    assert_whole(n);
    assert_int_equal(world_line(w, 2)->plis, plis);
}

static void fewer_frames_at_once_more_where_the_stream_allows_it(void **state)
{
    picture(true, 0);
    live(7);
    slot_limit(stage(), 0, (struct slot_parts){SLOT_ALL_SIDS, 0}, w->now_us);
    size_t before = received();
    live(8);
    size_t n = received();
    assert_int_equal(n - before, 2 * SIDS * PACKETS);
    assert_int_equal(highest_tid(before, n), 0);
    slot_limit(stage(), 0, slot_all_parts, w->now_us);
    live(8);
    assert_int_equal(highest_tid(n, received()), 0); /* no picture has said that one may */
    live(1);
    n = received();
    pub.switch_up = true;
    live(7); /* 2 1 2, then 0, which allows it, 2 1 2 */
    assert_int_equal(received() - n, 4 * SIDS * PACKETS);
    assert_whole(received());
}

static void a_late_packet_belongs_to_what_was_sent_then(void **state)
{
    uint8_t bytes[200];
    picture(true, 0);
    live(6);
    uint16_t seq = (uint16_t)(w->cameras[1].seq[0] + SIDS * PACKETS - 1);
    picture(false, 1u << (SIDS * PACKETS - 1)); /* the last packet of the highest layer */
    uint8_t tid = got[received() - 1]->tid;
    uint32_t ts = ts_now();
    uint16_t before = got[received() - 1]->seq;
    slot_limit(stage(), 0, (struct slot_parts){0, SLOT_ALL_TIDS}, w->now_us);
    live(2);
    size_t n = received();
    assert_int_equal((uint16_t)(got[n - 1]->seq - before), 1 + 2 * PACKETS);
    uint16_t id = pub.id;
    pub.id = (id - 2) & 0x7fff;
    size_t len = write_packet(bytes, sizeof bytes, &(struct place){2, PACKETS - 1, false}, tid);
    pub.id = id;
    world_payload_again(w, &w->cameras[1], seq, ts, true, bytes, len);
    assert_int_equal(received(), n + 1);
    assert_int_equal(got[n]->seq, (uint16_t)(before + 1));
    assert_int_equal(got[n]->sid, 2);
    assert_true(got[n]->marker);
}

static void a_repair_carries_the_marker_that_was_sent(void **state)
{
    world_wish(w, 1)->stage_size.height = 180;
    world_apply(w);
    picture(true, 0);
    live(3);
    const struct arrived last = *got[received() - 1];
    assert_true(last.marker);
    world_nack(w, 1, world_ssrc(1, STAGE_PICTURE), &last.seq, 1);
    assert_int_equal(world_received(w, 1, world_ssrc(1, STAGE_PICTURE) + 50, got, CAP), 1);
    assert_true(got[0]->repair && got[0]->marker);
    assert_int_equal(got[0]->original_seq, last.seq);
    assert_int_equal(got[0]->sid, 0);
}

static void a_stream_that_loses_its_top_layer_and_gets_it_back_needs_nothing(void **state)
{
    picture(true, 0);
    live(4);
    pub.sids = 2; /* its uplink is narrow */
    picture(true, 0);
    live(20);
    assert_whole(received());
    unsigned plis = world_line(w, 2)->plis;
    pub.sids = 3;
    size_t before = received();
    picture(true, 0);
    live(8);
    assert_int_equal(highest_sid(before, received()), 2);
    assert_whole(received());
    assert_int_equal(world_line(w, 2)->plis, plis);
}

static void a_narrow_line_gets_the_layers_that_fit(void **state)
{
    pub.extra[0] = 180; /* 91, 460 and 920 kbit/s; a client that tells nothing has 300 */
    pub.extra[1] = pub.extra[2] = 980;
    pub.switch_up = true;
    picture(true, 0);
    live(80);
    size_t before = received();
    picture(true, 0);
    live(40);
    world_run(w, 100 * MS); /* what waits leaves */
    size_t n = received();
    assert_true(n > before + 40);
    assert_int_equal(highest_sid(before, n), 0);
    assert_int_equal(highest_tid(before, n), 2);
    assert_whole(n);
    pub.extra[1] = 180; /* its two lower layers take less from now on */
    live(80);
    picture(true, 0);
    before = received();
    live(40);
    world_run(w, 100 * MS);
    assert_int_equal(highest_sid(before, received()), 1);
    assert_whole(received());
}

static void a_mirrored_stream_whose_layers_are_not_known_yet_is_tried_on_a_narrow_line(void **state)
{
    w->endpoints[w->wish.n_endpoints++] = (struct wish_endpoint){.number = 3, .incarnation = 1, .may_send = 0xe};
    struct source *s = router_mirror(w->router, 3, WISH_CAMERA, 1, RTP_VP9, 1, w->now_us);
    assert_non_null(s);
    s->origin_bps[0] = 2000000; /* the line has 300 kbit/s */
    s->origin_height[0] = 720;
    world_wish(w, 1)->stage = 3;
    world_apply(w);
    world_run(w, 2000 * MS);
    assert_ptr_equal(stage()->source, s);
    assert_false(slot_paused(stage()));
    assert_int_equal(stage()->most.sid, 0);
    assert_int_equal(source_slot_layers(s), 1);
}

int main(void)
{
    static int estimates;
#define TEST(t) cmocka_unit_test_setup_teardown(t, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(the_size_shown_decides_which_spatial_layers_are_sent),
        TEST(one_who_looks_at_it_small_never_gets_the_larger_layers),
        TEST(a_larger_size_waits_for_a_keyframe_that_is_asked_for),
        TEST(a_step_down_is_between_two_pictures_and_asks_for_nothing),
        TEST(fewer_frames_at_once_more_where_the_stream_allows_it),
        TEST(a_late_packet_belongs_to_what_was_sent_then),
        TEST(a_repair_carries_the_marker_that_was_sent),
        TEST(a_stream_that_loses_its_top_layer_and_gets_it_back_needs_nothing),
        cmocka_unit_test_prestate_setup_teardown(a_mirrored_stream_whose_layers_are_not_known_yet_is_tried_on_a_narrow_line,
                                                 begin, end, &estimates),
        cmocka_unit_test_prestate_setup_teardown(a_narrow_line_gets_the_layers_that_fit, begin, end, &estimates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
