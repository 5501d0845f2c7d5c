/* What publishers are told to send: the rule by tables, then a publisher that obeys and viewers behind modelled lines, in
 * virtual time. Endpoint 1 publishes, 2 and 3 watch. */
#include "sfu_viewer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { MS = 1000, MBIT = 1000000 };

/* ---- the rule ---- */

static void a_layer_is_as_large_as_fits_the_best_line_that_shows_it(void **state)
{
    static const struct {
        struct uplink_viewer viewers[3];
        size_t n;
        uint8_t there, active, layers;
        uint32_t bps[SFU_LAYERS];
    } rows[] = {
        {{{0}}, 0, 7, 7, 0, {0}}, /* nobody looks */
        {{{2, UPLINK_ANY}}, 1, 7, 7, 5, {UPLINK_ANY, 0, UPLINK_ANY}},
        {{{0, UPLINK_ANY}}, 1, 7, 7, 1, {UPLINK_ANY, 0, 0}},
        {{{2, 1200000}}, 1, 7, 7, 5, {UPLINK_ANY, 0, 1200000}},                   /* one viewer: what fits its line */
        {{{2, 1200000}, {2, 900000}}, 2, 7, 7, 7, {UPLINK_ANY, 900000, 1200000}}, /* the best line decides … */
        {{{2, 1200000}, {2, 1190000}}, 2, 7, 7, 5, {UPLINK_ANY, 0, 1200000}},     /* … for those nearly as good too */
        {{{2, 400000}}, 1, 7, 7, 3, {UPLINK_ANY, 400000, 0}},                     /* too little for the top layer */
        {{{2, 10000000}, {2, 400000}}, 2, 7, 7, 7, {UPLINK_ANY, 400000, 10000000}},
        {{{2, 50000}}, 1, 7, 7, 1, {50000, 0, 0}},
        {{{2, 0}}, 1, 7, 7, 1, {0, 0, 0}}, /* paused: the lowest layer goes on, to come back with */
        {{{2, UPLINK_ANY}}, 1, 3, 7, 7, {UPLINK_ANY, UPLINK_ANY, UPLINK_ANY}}, /* the top one does not come: the next serves
                                                                                */
        {{{2, 680000}}, 1, 7, 4, 5, {UPLINK_ANY, 0, 680000}}, /* one that is being sent stays for longer … */
        {{{2, 680000}}, 1, 7, 3, 3, {UPLINK_ANY, 680000, 0}}, /* … than it takes to begin */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct uplink_track t = {
            .n_layers = 3, .there = rows[i].there, .active = rows[i].active, .usual_bps = {129600, 518400, 2073600}};
        struct uplink_viewer viewers[3];
        memcpy(viewers, rows[i].viewers, sizeof viewers);
        struct uplink_need need = uplink_needs(&t, viewers, rows[i].n);
        if (need.layers != rows[i].layers || memcmp(need.bps, rows[i].bps, sizeof need.bps) != 0)
            fail_msg("row %zu: layers %x, %u %u %u", i, need.layers, need.bps[0], need.bps[1], need.bps[2]);
    }
}

/* ---- with a publisher ---- */

static struct world *w;
static struct obeying camera;
static struct viewer near_one, far_one;
static struct viewer *both[] = {&near_one, &far_one};
static const struct access_config good = {.rate_bps = 10 * MBIT, .queue_us = 250 * MS, .delay_us = 20 * MS};

static int setup(void **state)
{
    w = world_new();
    w->estimates = true;
    for (uint32_t n = 1; n <= 3; n++)
        world_join(w, n, n == 1 ? 3 : 1);
    obeying_begin(&camera, w, 1);
    viewer_begin(&near_one, w, 2, &good);
    viewer_begin(&far_one, w, 3, &good);
    return 0;
}

static int teardown(void **state)
{
    world_free(w);
    return 0;
}

static void look(uint32_t number, uint16_t height)
{
    world_wish(w, number)->stage = height ? 1 : 0;
    world_wish(w, number)->stage_size = (struct wish_size){(uint16_t)(height * 16 / 9), height};
    world_apply(w);
}

static void live(int64_t ms)
{
    viewers_live(&camera, both, 2, ms);
}

static struct source *source(void)
{
    return router_source(w->router, 1, WISH_CAMERA);
}

static unsigned active(void)
{
    return source()->uplink.active;
}

static void where_nobody_looks_nothing_is_sent(void **state)
{
    live(200);
    assert_int_equal(active(), 0);
    live(300);
    memset(camera.bytes, 0, sizeof camera.bytes);
    live(2000);
    assert_int_equal(camera.bytes[0] + camera.bytes[1] + camera.bytes[2], 0);
    assert_int_equal(router_source(w->router, 1, WISH_SCREEN)->uplink.active, 0);
}

static void more_is_sent_at_once_and_less_after_two_seconds(void **state)
{
    look(2, 720);
    live(12000);
    assert_int_equal(active(), 5);
    look(2, 180);
    live(2000);
    assert_int_equal(active(), 5);
    live(1200);
    assert_int_equal(active(), 1);
    look(2, 360);
    live(100);
    assert_int_equal(active(), 3);
    look(2, 0);
    live(3200);
    assert_int_equal(active(), 0);
}

static void a_layout_that_changes_to_and_fro_stops_nothing(void **state)
{
    look(2, 720);
    live(12000);
    for (int i = 0; i < 10; i++) {
        look(2, 180);
        live(700);
        look(2, 720);
        live(700);
        assert_true(active() & 4);
    }
}

static void a_layer_that_rests_is_there_within_one_request(void **state)
{
    live(3000);
    assert_int_equal(active(), 0);
    unsigned asked = world_line(w, 1)->plis;
    viewer_watch(&near_one);
    look(2, 720);
    live(250); /* told after 50 ms at most, done after 50 more, 40 on the line: a frame is due */
    assert_true(near_one.frames > 0);
    print_message("first frame after %d ms at most\n", (int)(near_one.longest_us / MS));
    assert_true(near_one.longest_us < 230 * MS);
    live(250);
    assert_in_range(world_line(w, 1)->plis - asked, 0, 3); /* one for each layer */
    live(4000);
    assert_int_equal(viewer_layer(&near_one), 2);
}

static void what_is_recorded_goes_on_in_full(void **state)
{
    struct access_config narrow = good;
    narrow.rate_bps = MBIT / 2;
    access_change(&near_one.access, &narrow);
    look(2, 720);
    for (int i = 0; i < 1500; i++) {
        source()->taken_elsewhere = 4; /* as feeds say with each look */
        live(10);
        assert_true(i < 10 || active() & 4);
    }
    assert_int_equal(source()->uplink.max_bps[2], 0);
    source()->taken_elsewhere = 0;
    live(4000);
    assert_false(active() & 4);
}

static void the_only_viewers_line_is_used(void **state)
{
    static const uint32_t rates[] = {2000000, 1000000, 512000, 300000};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        struct access_config line = good;
        line.rate_bps = rates[i];
        if (i)
            setup(NULL);
        access_change(&near_one.access, &line);
        look(2, 720);
        live(20000);
        viewer_watch(&near_one);
        uint64_t before = near_one.access.stats.delivered_bytes;
        live(20000);
        double used_bps = (double)(near_one.access.stats.delivered_bytes - before) * 8 / 20;
        double could_bps = rates[i] < 1800000 ? rates[i] : 1800000;
        print_message("%u bit/s: %.0f %% used, layers %x at most %u %u, waited %d ms, %u frames\n", rates[i],
                      100 * used_bps / could_bps, active(), source()->uplink.max_bps[1], source()->uplink.max_bps[2],
                      (int)(near_one.waited_us / 1000), near_one.frames);
        assert_true(used_bps > 0.8 * could_bps);
        assert_true(near_one.waited_us < (rates[i] < 500000 ? 240 : 150) * MS); /* a keyframe or probe at its longest */
        assert_true(near_one.frames > 26 * 20);
        assert_true(near_one.sounds > 980);
        if (i + 1 < sizeof rates / sizeof *rates)
            teardown(NULL);
    }
}

/* What the viewer on the good line sees, alone and beside one on a line of 512 kbit/s. */
static void a_narrow_line_changes_nothing_for_a_good_one(void **state)
{
    look(2, 720);
    live(10000);
    viewer_watch(&near_one);
    live(10000);
    unsigned alone = near_one.frames;
    int64_t longest_us = near_one.longest_us;
    struct access_config narrow = good;
    narrow.rate_bps = 512000;
    narrow.loss_ppm = 50000;
    access_change(&far_one.access, &narrow);
    look(3, 720);
    live(10000);
    viewer_watch(&near_one);
    viewer_watch(&far_one);
    live(10000);
    assert_int_equal(viewer_layer(&near_one), 2);
    assert_int_equal(source()->uplink.max_bps[2], 0);
    assert_int_equal(near_one.frames, alone);
    assert_true(near_one.longest_us <= longest_us + 5 * MS);
    assert_true(viewer_layer(&far_one) <= 1);
    assert_true(far_one.frames > 100);
}

static void a_layer_that_was_asked_for_and_does_not_come_is_done_without(void **state)
{
    look(2, 180);
    live(6000);
    assert_int_equal(active(), 1);
    camera.delay_us = INT64_MAX / 2; /* it hears nothing any more */
    look(2, 720);
    live(UPLINK_START_US / 1000 + 1000);
    assert_true(active() & 4);
    assert_int_equal(viewer_layer(&near_one), 0);
    viewer_watch(&near_one);
    live(5000);
    assert_true(near_one.longest_us < 100 * MS);
    assert_true(world_line(w, 1)->plis < 40); /* nor is it asked for all the time */
}

static void a_publisher_that_is_away_is_asked_for_nothing_else(void **state)
{
    look(2, 720);
    live(12000);
    assert_int_equal(active(), 5);
    viewers_live(NULL, both, 2, 1000);
    assert_int_equal(active(), 5);
    live(1000);
    assert_int_equal(viewer_layer(&near_one), 2);
    assert_int_equal(active(), 5);
}

/* ---- sound ---- */

static uint8_t reported_fraction(void)
{
    live(1100);
    return world_line(w, 1)->sound_fraction;
}

static void lossy(uint32_t number, unsigned permille)
{
    struct peer *p = world_line(w, number)->peer;
    for (size_t i = 0; i < p->n_slots; i++)
        p->slots[i].config.codecs[RTP_OPUS].red_pt = SFU_NO_PT;
    p->line.loss_permille = permille;
    world_line(w, number)->lose = NULL;
    both[number - 2]->mute = true; /* the figure stays as it is set */
    p->line.since_us = INT64_MAX / 2;
}

static void a_listener_without_redundancy_raises_the_reported_loss(void **state)
{
    look(2, 180);
    look(3, 180);
    assert_int_equal(reported_fraction(), 0);
    lossy(2, 60);
    assert_int_equal(reported_fraction(), 60 * 256 / 1000);
    lossy(3, 400);
    assert_int_equal(reported_fraction(), 150 * 256 / 1000); /* the worst listener, and not beyond 15 % */
    world_line(w, 2)->peer->line.loss_permille = world_line(w, 3)->peer->line.loss_permille = 0;
    live(5000);
    assert_int_equal(reported_fraction(), 150 * 256 / 1000); /* losses come in groups */
    live(6000);
    assert_int_equal(reported_fraction(), 0);
    assert_int_equal(world_line(w, 1)->sound_lost, 0); /* the count stays true */
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_layer_is_as_large_as_fits_the_best_line_that_shows_it),
        TEST(where_nobody_looks_nothing_is_sent),
        TEST(more_is_sent_at_once_and_less_after_two_seconds),
        TEST(a_layout_that_changes_to_and_fro_stops_nothing),
        TEST(a_layer_that_rests_is_there_within_one_request),
        TEST(what_is_recorded_goes_on_in_full),
        TEST(the_only_viewers_line_is_used),
        TEST(a_narrow_line_changes_nothing_for_a_good_one),
        TEST(a_layer_that_was_asked_for_and_does_not_come_is_done_without),
        TEST(a_publisher_that_is_away_is_asked_for_nothing_else),
        TEST(a_listener_without_redundancy_raises_the_reported_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
