/* Rooms that share one line: the rule by tables, then five of them behind 4 Mbit/s in virtual time. Endpoint 1 is elsewhere,
 * 2 … 6 are the site's. */
#include "sfu_viewer.h"

#include "sfu/downlink.h"
#include "sfu/site.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { MS = 1000, MBIT = 1000000, ROOMS = 5, FIRST = 2 };

/* ---- the rule ---- */

#define DOWN(least, want)                                                                                                   \
    {                                                                                                                       \
        .least_bps = (least), .want_bps = (want)                                                                            \
    }
#define UP(of_rank, least, want)                                                                                            \
    {                                                                                                                       \
        .rank = (of_rank), .whole = true, .least_bps = (least), .want_bps = (want)                                          \
    }

static void a_line_is_divided(void **state)
{
    static const struct {
        const char *what;
        uint32_t budget;
        struct site_claim claims[4];
        size_t n;
        uint32_t shares[4];
    } rows[] = {
        {"nobody", 1000, {{0}}, 0, {0}},
        {"one has all of it", 1000, {DOWN(50, 200)}, 1, {1000}},
        {"equal wants", 1000, {DOWN(50, 900), DOWN(50, 900)}, 2, {500, 500}},
        {"who wants little gets it, the others what it leaves",
         1000,
         {DOWN(50, 100), DOWN(50, 900), DOWN(50, 600)},
         3,
         {100, 450, 450}},
        {"nobody gets more than it wants while others could",
         1000,
         {DOWN(50, 100), DOWN(50, 300), DOWN(50, 900)},
         3,
         {100, 300, 600}},
        {"what is left over is everybody's", 1000, {DOWN(50, 100), DOWN(50, 300)}, 2, {400, 600}},
        {"sound goes ahead of a picture", 200, {DOWN(60, 60), DOWN(60, 900), DOWN(60, 900)}, 3, {60, 70, 70}},
        {"sound alone, and not even that", 90, {DOWN(60, 900), DOWN(60, 60), DOWN(60, 900)}, 3, {30, 30, 30}},
        {"a want below the least", 100, {DOWN(60, 0)}, 1, {100}},
        {"no line", 0, {DOWN(60, 900)}, 1, {0}},
        {"the stage before tiles",
         1000,
         {UP(SITE_TILE, 60, 500), UP(SITE_STAGE, 60, 700), UP(SITE_TILE, 60, 500)},
         3,
         {150, 700, 150}},
        {"a screen before the stage",
         1000,
         {UP(SITE_STAGE, 60, 900), UP(SITE_SCREEN, 60, 800), UP(SITE_TILE, 60, 500)},
         3,
         {140, 800, 60}},
        {"a picture's least in whole or not at all",
         150,
         {UP(SITE_TILE, 60, 500), UP(SITE_TILE, 60, 500), UP(SITE_STAGE, 60, 500)},
         3,
         {60, 0, 90}},
        {"a picture that is not sent takes nothing away", 300, {UP(SITE_TILE, 0, 0), UP(SITE_STAGE, 60, 300)}, 2, {0, 300}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct site_claim claims[4];
        memcpy(claims, rows[i].claims, sizeof claims);
        site_divide(claims, rows[i].n, rows[i].budget);
        for (size_t k = 0; k < rows[i].n; k++)
            if (claims[k].share_bps != rows[i].shares[k])
                fail_msg("%s: claim %zu gets %u, not %u", rows[i].what, k, claims[k].share_bps, rows[i].shares[k]);
    }
}

static void shares_never_exceed_the_line(void **state)
{
    uint32_t random = 1;
    for (int run = 0; run < 2000; run++) {
        struct site_claim claims[40];
        uint32_t draws[3];
        size_t n = 1 + (size_t)run % 40;
        for (size_t i = 0; i < n; i++) {
            for (size_t k = 0; k < 3; k++)
                draws[k] = (random = random * 1664525 + 1013904223) >> 8;
            claims[i] = (struct site_claim){.rank = (enum site_rank)(draws[0] % SITE_RANKS),
                                            .whole = run & 1,
                                            .least_bps = draws[1] % 100000,
                                            .want_bps = draws[2] % 3000000};
        }
        uint32_t budget = (random >> 8) % 20000000;
        uint64_t sum = 0;
        site_divide(claims, n, budget);
        for (size_t i = 0; i < n; i++)
            sum += claims[i].share_bps;
        assert_true(sum <= budget);
    }
}

/* ---- five rooms ---- */

static struct world *w;
static struct obeying stage, rooms_send[ROOMS];
static struct viewer rooms[ROOMS];
static struct access line;
static uint32_t highest_bps; /* that all targets have been together */

static void belongs(uint32_t number, uint16_t elsewhere, uint16_t kbps)
{
    world_wish(w, number)->site =
        (struct wish_site){.number = 1, .elsewhere = elsewhere, .down_kbps = kbps, .up_kbps = kbps};
}

static void shows(uint32_t number, uint32_t whom, uint16_t height)
{
    world_wish(w, number)->stage = whom;
    world_wish(w, number)->stage_size = (struct wish_size){(uint16_t)(height * 16 / 9), height};
}

/* Rooms behind one line of `kbps`; `known`: the server has been told of it. */
static void begin(uint16_t kbps, bool known)
{
    struct access_config config = {.rate_bps = kbps * 1000u, .queue_us = 250 * MS, .delay_us = 20 * MS};
    w = world_new();
    w->estimates = true;
    world_join(w, 1, 3);
    obeying_begin(&stage, w, 1);
    access_init(&line, &config, 1);
    for (uint32_t i = 0; i < ROOMS; i++) {
        world_join(w, FIRST + i, 3);
        obeying_begin(&rooms_send[i], w, FIRST + i);
        viewer_begin(&rooms[i], w, FIRST + i, &config);
        rooms[i].line = &line;
        shows(FIRST + i, 1, 720);
        if (known)
            belongs(FIRST + i, 0, kbps);
    }
    world_apply(w);
    highest_bps = 0;
}

static void end(void)
{
    world_check(w);
    world_free(w);
}

static struct downlink *downlink_of(size_t room)
{
    return world_line(w, FIRST + (uint32_t)room)->peer->downlink;
}

static void live(int64_t ms)
{
    for (int64_t t = 0; t < ms; t += VIEWER_STEP_MS) {
        uint32_t sum = 0;
        obeying_send(&stage, w, t);
        world_run(w, VIEWER_STEP_MS * 1000);
        for (size_t i = 0; i < ROOMS; i++) {
            viewer_run(&rooms[i]);
            sum += downlink_target_bps(downlink_of(i));
        }
        highest_bps = sum > highest_bps ? sum : highest_bps;
    }
}

static void watch(void)
{
    for (size_t i = 0; i < ROOMS; i++)
        viewer_watch(&rooms[i]);
    highest_bps = 0;
}

struct outcome {
    unsigned least_frames, least_sounds;
    uint64_t least_bytes, most_bytes;
    int64_t waited_us, longest_us;
};

static struct outcome outcome(const char *what, int64_t seconds)
{
    struct outcome o = {.least_frames = UINT32_MAX, .least_sounds = UINT32_MAX, .least_bytes = UINT64_MAX};
    for (size_t i = 0; i < ROOMS; i++) {
        const struct viewer *v = &rooms[i];
        o.least_frames = v->frames < o.least_frames ? v->frames : o.least_frames;
        o.least_sounds = v->sounds < o.least_sounds ? v->sounds : o.least_sounds;
        o.least_bytes = v->picture_bytes < o.least_bytes ? v->picture_bytes : o.least_bytes;
        o.most_bytes = v->picture_bytes > o.most_bytes ? v->picture_bytes : o.most_bytes;
        o.waited_us = v->waited_us > o.waited_us ? v->waited_us : o.waited_us;
        o.longest_us = v->longest_us > o.longest_us ? v->longest_us : o.longest_us;
    }
    print_message(
        "%s: at least %u frames and %u sounds, pictures %u … %u kbit/s, all targets at most %u kbit/s, waited %d ms, "
        "longest without a frame %d ms\n",
        what, o.least_frames, o.least_sounds, (unsigned)(o.least_bytes * 8 / 1000 / (uint64_t)seconds),
        (unsigned)(o.most_bytes * 8 / 1000 / (uint64_t)seconds), highest_bps / 1000, (int)(o.waited_us / MS),
        (int)(o.longest_us / MS));
    return o;
}

static void five_rooms_behind_one_line_starve_none(void **state)
{
    begin(4000, false);
    live(10000);
    watch();
    live(20000);
    outcome("not known", 20);
    end();
    begin(4000, true);
    live(10000);
    watch();
    live(20000);
    struct outcome o = outcome("known", 20);
    assert_true(highest_bps <= 4 * MBIT);
    assert_true(o.least_sounds >= 990);
    assert_true(o.least_frames > 18 * 20);
    assert_true(o.least_bytes > o.most_bytes * 8 / 10);
    assert_true(o.least_bytes * 8 / 20 > 480000); /* the middle layer as it is: 650 kbit/s of the top one would look worse */
    assert_true(o.waited_us < 150 * MS);
    assert_int_equal(line.stats.dropped, 0);
    end();
}

static void what_one_room_does_not_show_is_the_others(void **state)
{
    begin(4000, true);
    for (uint32_t i = 0; i < 3; i++)
        shows(FIRST + i, 1, 180);
    world_apply(w);
    live(10000);
    watch();
    live(20000);
    outcome("three small, two large", 20);
    for (size_t i = 0; i < ROOMS; i++) {
        unsigned kbps = (unsigned)(rooms[i].picture_bytes * 8 / 20000);
        assert_true(i < 3 ? kbps > 100 && kbps < 200 : kbps > 1000);
        assert_true(rooms[i].sounds >= 990);
        assert_true(rooms[i].frames > 18 * 20);
    }
    assert_true(highest_bps <= 4 * MBIT);
    end();
}

static void a_line_that_holds_little_keeps_every_rooms_sound(void **state)
{
    begin(512, true);
    live(15000);
    watch();
    live(20000);
    struct outcome o = outcome("512 kbit/s for five", 20);
    assert_true(o.least_sounds >= 980);
    assert_true(o.waited_us < 150 * MS);
    assert_true(highest_bps <= 512000);
    end();
}

static void another_worker_has_its_part(void **state)
{
    begin(4000, true);
    for (uint32_t i = 0; i < ROOMS; i++)
        belongs(FIRST + i, 15, 4000);
    world_apply(w);
    live(2000);
    watch();
    live(5000);
    assert_true(highest_bps <= 1 * MBIT);
    end();
}

static void a_room_on_another_line_is_bounded_no_more(void **state)
{
    begin(1000, true);
    live(5000);
    assert_true(downlink_of(0)->share_bps <= MBIT);
    viewer_begin(&rooms[0], w, FIRST,
                 &(struct access_config){.rate_bps = 10 * MBIT, .queue_us = 250 * MS, .delay_us = 20 * MS});
    world_wish(w, FIRST)->site = (struct wish_site){0};
    world_apply(w);
    live(6000);
    assert_int_equal(downlink_of(0)->share_bps, DOWNLINK_MAX_BPS);
    assert_int_equal(viewer_layer(&rooms[0]), 2);
    uint32_t sum = 0;
    for (size_t i = 1; i < ROOMS; i++)
        sum += downlink_of(i)->share_bps;
    assert_in_range(sum, MBIT - ROOMS, MBIT);
    end();
}

/* ---- what five rooms send ---- */

static const struct uplink *sends(uint32_t number, enum wish_kind kind)
{
    return &router_source(w->router, number, kind)->uplink;
}

/* What they may send together, an unbounded layer by what it makes. */
static uint32_t told_bps(void)
{
    static const uint32_t makes[SFU_LAYERS] = {150000, 500000, 1700000};
    uint32_t sum = ROOMS * SITE_SOUND_BPS;
    for (uint32_t i = FIRST; i < FIRST + ROOMS; i++)
        for (unsigned k = 0; k < SFU_LAYERS; k++)
            if (sends(i, WISH_CAMERA)->active & 1u << k)
                sum += sends(i, WISH_CAMERA)->max_bps[k] ? sends(i, WISH_CAMERA)->max_bps[k] : makes[k];
    return sum;
}

/* Outside everybody is seen: the first room on the stage, two as tiles there, two more at another place. */
static void begin_sending(uint16_t kbps)
{
    static const struct access_config good = {.rate_bps = 20 * MBIT, .queue_us = 250 * MS, .delay_us = 10 * MS};
    static struct viewer elsewhere[2];
    begin(kbps, true);
    world_join(w, FIRST + ROOMS, 1);
    viewer_begin(&elsewhere[0], w, 1, &good);
    viewer_begin(&elsewhere[1], w, FIRST + ROOMS, &good);
    for (uint32_t i = 0; i < ROOMS; i++)
        world_wish(w, FIRST + i)->stage = 0;
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t number = i ? FIRST + ROOMS : 1;
        struct wish_endpoint *e = world_wish(w, number);
        shows(number, FIRST, 720);
        e->n_tiles = 2;
        for (uint32_t k = 0; k < 2; k++)
            e->tiles[k] = (struct wish_tile){.endpoint = FIRST + 1 + 2 * i + k, .size = {640, 360}};
    }
    w->wish.stage = FIRST;
    world_apply(w);
    for (int64_t t = 0; t < 12000; t += VIEWER_STEP_MS) {
        for (size_t i = 0; i < ROOMS; i++)
            obeying_send(&rooms_send[i], w, t);
        world_run(w, VIEWER_STEP_MS * 1000);
        viewer_run(&elsewhere[0]);
        viewer_run(&elsewhere[1]);
        if (t > 1000)
            highest_bps = told_bps() > highest_bps ? told_bps() : highest_bps;
    }
}

static void what_rooms_send_stays_within_their_line(void **state)
{
    static const struct {
        uint16_t kbps;
        uint8_t stage, tile; /* layers */
    } rows[] = {{20000, 4, 2}, {4000, 4, 1}, {2000, 4, 1}, {1000, 1, 1}, {400, 1, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        begin_sending(rows[i].kbps);
        print_message("%u kbit/s up: told at most %u kbit/s, stage %x at most %u %u %u, tiles", rows[i].kbps,
                      highest_bps / 1000, sends(FIRST, WISH_CAMERA)->active, sends(FIRST, WISH_CAMERA)->max_bps[0],
                      sends(FIRST, WISH_CAMERA)->max_bps[1], sends(FIRST, WISH_CAMERA)->max_bps[2]);
        for (uint32_t k = FIRST + 1; k < FIRST + ROOMS; k++)
            print_message(" %x (%u)", sends(k, WISH_CAMERA)->active, sends(k, WISH_CAMERA)->max_bps[0]);
        print_message("\n");
        assert_true(highest_bps <= rows[i].kbps * 1000u);
        assert_true(sends(FIRST, WISH_CAMERA)->active & rows[i].stage);
        for (uint32_t k = FIRST + 1; k < FIRST + ROOMS; k++)
            assert_true(!rows[i].tile || sends(k, WISH_CAMERA)->active & rows[i].tile);
        end();
    }
}

static void a_picture_that_a_line_does_not_hold_is_said_to_be_paused(void **state)
{
    begin_sending(400);
    const struct slot *tile = world_slot(w, 1, TILE_1);
    assert_int_equal(sends(FIRST + 1, WISH_CAMERA)->active, 0);
    assert_true(slot_told_paused(tile));
    assert_int_equal(slot_told_number(tile), FIRST + 1);
    end();
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_divided),
        cmocka_unit_test(shares_never_exceed_the_line),
        cmocka_unit_test(five_rooms_behind_one_line_starve_none),
        cmocka_unit_test(what_one_room_does_not_show_is_the_others),
        cmocka_unit_test(a_line_that_holds_little_keeps_every_rooms_sound),
        cmocka_unit_test(another_worker_has_its_part),
        cmocka_unit_test(a_room_on_another_line_is_bounded_no_more),
        cmocka_unit_test(what_rooms_send_stays_within_their_line),
        cmocka_unit_test(a_picture_that_a_line_does_not_hold_is_said_to_be_paused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
