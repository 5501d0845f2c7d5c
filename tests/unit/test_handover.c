/* The floor goes from hand to hand in a briefing on two workers, tied by feeds in both directions: what is asked of
 * publishers, and how long the picture takes. Endpoints 1 … 6 are on worker 0, 7 … 12 on worker 1. Virtual time. */
#include "media/media.h"
#include "sfu_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { MS = 1000, STEP_US = 5000, ENDPOINTS = 12, CHAIR = 1, ANSWER_US = 60 * MS, BROWSERS = 3, TILES = 2 };

static const uint32_t browsers[BROWSERS] = {1, 2, 7}; /* the others show no tiles */

struct worker {
    struct world *w;
    struct media media;
    struct briefing briefing;
    struct endpoint endpoints[ENDPOINTS + 1];
};

static struct worker workers[2];
static struct wish_endpoint wished[ENDPOINTS];
static bool answers_with_all_layers; /* as Chromium's encoder does */
static bool keeps_arrived;
static int64_t answer_us[ENDPOINTS + 1][SFU_LAYERS];
static unsigned seen_plis[ENDPOINTS + 1][SFU_LAYERS];

static struct worker *home(uint32_t number)
{
    return &workers[number > 6];
}

static struct camera *camera(uint32_t number)
{
    return &home(number)->w->cameras[number - 1];
}

static int64_t now_us(void)
{
    return workers[0].w->now_us;
}

static void start_worker(struct worker *k)
{
    struct world *w = k->w = world_new();
    struct sfu_shell *shell = &w->sfu.shell;
    shell->tap = feeds_tap;
    shell->mirror_want = mirrors_want;
    shell->mirror_keyframe = mirrors_keyframe;
    k->media.generation = 1;
    k->media.sfu.pool = w->pool;
    k->media.briefings = &k->briefing;
    k->briefing.media = &k->media;
    k->briefing.router = w->router;
    w->router->user = &k->briefing;
}

static void apply_at(struct worker *k)
{
    memcpy(k->w->endpoints, wished, sizeof wished);
    k->w->wish.n_endpoints = ENDPOINTS;
    k->briefing.wish = k->briefing.effective = k->w->wish;
    world_apply(k->w);
}

static void apply(void)
{
    apply_at(&workers[0]);
    apply_at(&workers[1]);
}

static void tie(struct worker *from, struct worker *to, uint64_t id)
{
    int fds[2];
    assert_int_equal(feed_create(1 << 20, id, &fds[0], &fds[1]), 0);
    assert_int_equal(feeds_open(&from->briefing, id, FEED_ROLE_WRITER, 0, fds, 2), 0);
    assert_int_equal(feeds_open(&to->briefing, id, FEED_ROLE_READER, 0, fds, 2), 0);
    close(fds[0]);
    close(fds[1]);
}

static void keyframe(uint32_t number, unsigned layer)
{
    world_frame(home(number)->w, camera(number), layer, 3, true, 0);
}

/* What publishers do: a frame of every layer each 35 ms, a keyframe 60 ms after a request. */
static void publish(uint32_t number)
{
    const struct line *l = world_line(home(number)->w, number);
    for (unsigned i = 0; i < SFU_LAYERS; i++) {
        if (l->camera_plis[i] != seen_plis[number][i])
            for (unsigned j = 0; j < SFU_LAYERS; j++)
                if ((i == j || answers_with_all_layers) && !answer_us[number][j])
                    answer_us[number][j] = now_us() + ANSWER_US;
        seen_plis[number][i] = l->camera_plis[i];
        bool answers = answer_us[number][i] && now_us() >= answer_us[number][i];
        if (answers)
            answer_us[number][i] = 0;
        if (answers || now_us() % (7 * STEP_US) == 0)
            world_frame(home(number)->w, camera(number), i, 3, answers, 0);
    }
}

static void run(int64_t us)
{
    for (int64_t end_us = now_us() + us; now_us() < end_us;) {
        for (uint32_t n = 1; n <= ENDPOINTS; n++)
            publish(n);
        for (uint32_t n = 1; !keeps_arrived && n <= ENDPOINTS; n++)
            world_clear(home(n)->w, n);
        for (unsigned i = 0; i < 2; i++) {
            struct worker *k = &workers[i];
            k->w->now_us += STEP_US;
            mirrors_turn(&k->media, k->w->now_us);
            sfu_turn(&k->w->sfu, k->w->now_us);
            feeds_tick(&k->media, k->w->now_us);
        }
    }
}

static int begin_with(const uint16_t *heights)
{
    memset(workers, 0, sizeof workers);
    memset(answer_us, 0, sizeof answer_us);
    memset(seen_plis, 0, sizeof seen_plis);
    answers_with_all_layers = keeps_arrived = false;
    for (unsigned i = 0; i < 2; i++)
        start_worker(&workers[i]);
    for (uint32_t n = 1; n <= ENDPOINTS; n++) {
        struct world *w = home(n)->w;
        world_join(w, n, 3);
        world_line(w, n)->peer->user = &home(n)->endpoints[n];
        wished[n - 1] = *world_wish(w, n);
        w->wish.n_endpoints = 0;
        for (unsigned i = 0; i < SFU_LAYERS; i++)
            camera(n)->height[i] = heights[i];
    }
    tie(&workers[0], &workers[1], 1);
    tie(&workers[1], &workers[0], 2);
    apply();
    for (uint32_t n = 1; n <= ENDPOINTS; n++)
        for (unsigned i = 0; i < SFU_LAYERS; i++)
            keyframe(n, i); /* a publisher begins with one */
    run(3000 * MS);
    return 0;
}

static int begin(void **state)
{
    return begin_with((const uint16_t[]){180, 360, 720});
}

static int begin_small(void **state)
{
    return begin_with((const uint16_t[]){120, 240, 480});
}

static int end(void **state)
{
    for (unsigned i = 0; i < 2; i++)
        while (workers[i].briefing.feeds)
            feed_close(workers[i].briefing.feeds, now_us());
    for (unsigned i = 0; i < 2; i++)
        world_free(workers[i].w);
    return 0;
}

static unsigned requests(uint32_t number)
{
    unsigned n = 0;
    for (unsigned i = 0; number && i < SFU_LAYERS; i++)
        n += world_line(home(number)->w, number)->camera_plis[i];
    return n;
}

static unsigned all_requests(void)
{
    unsigned n = 0;
    for (uint32_t i = 1; i <= ENDPOINTS; i++)
        n += requests(i);
    return n;
}

/* As the briefing core folds it: the holder sees the chair, everybody else the holder; tiles show the first others. */
static void give_floor(uint32_t holder)
{
    for (uint32_t n = 1; n <= ENDPOINTS; n++)
        wished[n - 1].stage = n == holder ? CHAIR : holder;
    for (unsigned b = 0; b < BROWSERS; b++) {
        struct wish_endpoint *e = &wished[browsers[b] - 1];
        e->n_tiles = 0;
        for (uint32_t n = 1; n <= ENDPOINTS && e->n_tiles < TILES; n++)
            if (n != e->number && n != e->stage)
                e->tiles[e->n_tiles++] = (struct wish_tile){.endpoint = n, .size = {256, 144}};
    }
    apply();
}

static const struct slot *stage_of(uint32_t viewer)
{
    return world_slot(home(viewer)->w, viewer, STAGE_PICTURE);
}

/* Until everybody sees it, in the layer of its size. */
static int64_t hand_over(uint32_t holder)
{
    int64_t from_us = now_us();
    bool all = false;
    give_floor(holder);
    while (!all && now_us() - from_us < 2000 * MS) {
        run(STEP_US);
        all = true;
        for (uint32_t n = 1; n <= ENDPOINTS; n++)
            if (n != holder && (stage_of(n)->shown != holder || stage_of(n)->layer != 2))
                all = false;
    }
    assert_true(all);
    int64_t took_us = now_us() - from_us;
    run(1500 * MS - took_us);
    return took_us;
}

static void a_handover_asks_for_the_top_layer_of_the_holder_once(void **state)
{
    for (unsigned b = 0; b < BROWSERS; b++)
        wished[browsers[b] - 1].n_tiles = 0;
    for (uint32_t n = 1; n <= ENDPOINTS; n++)
        wished[n - 1].stage = CHAIR;
    apply();
    run(2000 * MS);
    static const uint32_t holders[] = {4, 9, 5, 12, 7, 2};
    for (unsigned i = 0; i < 6; i++) {
        uint32_t holder = holders[i], before = all_requests(), of_holder = requests(holder), of_chair = requests(CHAIR);
        for (uint32_t n = 1; n <= ENDPOINTS; n++)
            wished[n - 1].stage = n == holder ? CHAIR : holder;
        apply();
        run(1500 * MS);
        assert_int_equal(requests(holder) - of_holder, 1);
        assert_in_range(requests(CHAIR) - of_chair, 0, 1); /* for the holder itself, who sees the chair */
        assert_int_equal(all_requests() - before, requests(CHAIR) - of_chair + 1);
    }
}

/* At a hand-over change: the holder's top layer for all, the chair's (the holder sees the chair), and a tile of the
 * browsers, since who was in it is on the stage. Nobody is asked twice, nor is a mirror's wish a second request. */
enum { REQUESTS_A_HANDOVER = 3 };

static void fifty_handovers(void)
{
    int64_t longest_us = 0;
    give_floor(3);
    run(2000 * MS);
    unsigned before = all_requests();
    for (uint32_t i = 0; i < 50; i++) {
        int64_t us = hand_over(2 + i * 5 % 11);
        longest_us = us > longest_us ? us : longest_us;
    }
    assert_in_range(longest_us, ANSWER_US, ANSWER_US + 30 * MS); /* the feed's ticks there and back */
    assert_in_range(all_requests() - before, 50, 50 * REQUESTS_A_HANDOVER);
}

static void fifty_handovers_with_tiles_ask_for_what_changes_and_no_more(void **state)
{
    fifty_handovers();
}

static void a_publisher_that_answers_with_all_layers_is_asked_no_more_often(void **state)
{
    answers_with_all_layers = true;
    fifty_handovers();
}

/* Endpoint 7 opens a tile of 144 lines of somebody on the other worker whom it has never seen; its layers have 120, 240
 * and 480 lines, which a guess from their number would get wrong. */
static void a_mirror_knows_the_heights_of_layers_that_do_not_flow_yet(void **state)
{
    struct wish_endpoint *e = &wished[7 - 1];
    uint32_t number = 5;
    e->stage = 9;
    e->n_tiles = 1;
    e->tiles[0] = (struct wish_tile){.endpoint = number, .size = {256, 144}};
    apply();
    run(1500 * MS);
    assert_int_equal(world_slot(home(7)->w, 7, TILE_1)->layer, 1);
    assert_int_equal(world_line(home(number)->w, number)->camera_plis[1], 1);
    assert_int_equal(requests(number), 1);
}

static size_t stage_sounds(uint32_t viewer, const struct arrived **got, size_t cap)
{
    return world_received(home(viewer)->w, viewer, world_ssrc(viewer, STAGE_SOUND), got, cap);
}

/* The origin is told before the briefing's log is written, the other worker with the wish afterwards. */
static void a_mute_ends_in_silence_on_both_workers(void **state)
{
    enum { SPEAKER = 4, CAP = 256 };
    static const struct arrived *got[CAP];
    for (uint32_t n = 1; n <= ENDPOINTS; n++)
        wished[n - 1].stage = n == SPEAKER ? CHAIR : SPEAKER;
    apply();
    keeps_arrived = true;
    for (unsigned i = 0; i < 60; i++) {
        if (i == 40) {
            wished[SPEAKER - 1].may_send &= (uint8_t)~WISH_BIT(WISH_MICROPHONE);
            apply_at(&workers[0]);
        }
        if (i == 42)
            apply();
        world_sound(home(SPEAKER)->w, SPEAKER, 30); /* the client ignores it */
        run(20 * MS);
    }
    for (uint32_t n = 1; n <= ENDPOINTS; n++) {
        size_t heard = stage_sounds(n, got, CAP);
        if (n == SPEAKER)
            continue;
        assert_in_range(heard, 40, 40 + SLOT_SILENCE_FRAMES);
        for (size_t i = 1; i < heard; i++) {
            assert_int_equal(got[i]->silence, i >= heard - SLOT_SILENCE_FRAMES);
            assert_int_equal((uint16_t)(got[i]->seq - got[i - 1]->seq), 1);
        }
        assert_true(!got[0]->silence);
    }
}

int main(void)
{
#define TEST(t, begin) cmocka_unit_test_setup_teardown(t, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(a_handover_asks_for_the_top_layer_of_the_holder_once, begin),
        TEST(fifty_handovers_with_tiles_ask_for_what_changes_and_no_more, begin),
        TEST(a_publisher_that_answers_with_all_layers_is_asked_no_more_often, begin),
        TEST(a_mute_ends_in_silence_on_both_workers, begin),
        TEST(a_mirror_knows_the_heights_of_layers_that_do_not_flow_yet, begin_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
