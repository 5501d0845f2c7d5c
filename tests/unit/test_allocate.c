#include "sfu/allocate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

enum { OFF = ALLOCATE_PAUSED };

/* A camera of three layers with two temporal layers each, none of which flows. */
static struct allocate_track camera(enum allocate_rank rank)
{
    return (struct allocate_track){
        .rank = rank,
        .steps = {{0, 0, 90000}, {0, 1, 150000}, {1, 0, 300000}, {1, 1, 500000}, {2, 0, 1500000}, {2, 1, 2500000}},
        .n_steps = 6,
        .current = OFF,
    };
}

static struct allocate_track screen(uint32_t bps)
{
    return (struct allocate_track){.rank = ALLOCATE_SCREEN, .steps = {{0, 0, bps}}, .n_steps = 1, .current = OFF};
}

static void a_line_is_filled_in_order(void **state)
{
    static const struct {
        uint32_t available;
        int screen, stage, tiles[2];
    } rows[] = {
        {10000000, 0, 5, {5, 5}},     {3900000, 0, 5, {3, 3}},    {1100000, 0, 3, {1, 0}},      {700000, 0, 1, {0, 0}},
        {550000, 0, 0, {0, OFF}},     {450000, 0, 0, {OFF, OFF}}, {350000, 0, OFF, {OFF, OFF}}, /* the page before the
                                                                                                   picture */
        {100000, 0, OFF, {OFF, OFF}},                                                           /* and beyond the line */
        {0, 0, OFF, {OFF, OFF}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct allocate_track t[] = {screen(310000), camera(ALLOCATE_STAGE), camera(ALLOCATE_TILE), camera(ALLOCATE_TILE)};
        allocate(t, 4, rows[i].available);
        if (t[0].chosen != rows[i].screen || t[1].chosen != rows[i].stage || t[2].chosen != rows[i].tiles[0] ||
            t[3].chosen != rows[i].tiles[1])
            fail_msg("row %d: %d %d %d %d", (int)i, t[0].chosen, t[1].chosen, t[2].chosen, t[3].chosen);
    }
}

static void every_lowest_layer_comes_before_any_second(void **state)
{
    struct allocate_track t[] = {camera(ALLOCATE_STAGE), camera(ALLOCATE_TILE), camera(ALLOCATE_TILE)};
    allocate(t, 3, 310000);
    assert_int_equal(t[0].chosen, 0);
    assert_int_equal(t[1].chosen, 0);
    assert_int_equal(t[2].chosen, 0);
}

static void a_step_up_needs_a_tenth_more_and_a_step_that_flows_does_not(void **state)
{
    struct allocate_track t = camera(ALLOCATE_STAGE);
    allocate(&t, 1, 510000);
    assert_int_equal(t.chosen, 2);
    t.current = 3;
    allocate(&t, 1, 510000);
    assert_int_equal(t.chosen, 3);
    allocate(&t, 1, 490000);
    assert_int_equal(t.chosen, 2);
}

static void what_is_used_never_exceeds_the_line_without_a_screen(void **state)
{
    for (uint32_t available = 0; available < 6000000; available += 7919) {
        struct allocate_track t[] = {camera(ALLOCATE_STAGE), camera(ALLOCATE_TILE), camera(ALLOCATE_TILE)};
        struct allocation a = allocate(t, 3, available);
        assert_true(a.used_bps <= available);
        assert_int_equal(a.wanted_bps, 7500000);
        assert_true(a.next_bps > a.used_bps);
        assert_true(a.next_bps <= a.wanted_bps);
    }
}

/* Encoders share a small rate among their layers as they like. */
static void a_larger_layer_may_take_less_than_a_smaller_one(void **state)
{
    struct allocate_track t = {.rank = ALLOCATE_STAGE,
                               .steps = {{0, 0, 37758}, {0, 2, 86914}, {1, 0, 70851}, {1, 2, 163057}, {2, 2, 546718}},
                               .n_steps = 5,
                               .current = 4};
    struct allocation a = allocate(&t, 1, 3000000);
    assert_int_equal(t.chosen, 4);
    assert_int_equal(a.used_bps, 546718);
    assert_int_equal(a.next_bps, 546718);
    a = allocate(&t, 1, 90000);
    assert_int_equal(t.chosen, 2);
    assert_int_equal(a.used_bps, 70851);
    assert_int_equal(a.next_bps, 163057);
}

static void with_everything_there_nothing_is_next(void **state)
{
    struct allocate_track t[] = {camera(ALLOCATE_STAGE), {.rank = ALLOCATE_TILE, .current = OFF}};
    struct allocation a = allocate(t, 2, 10000000);
    assert_int_equal(a.used_bps, 2500000);
    assert_int_equal(a.next_bps, 2500000);
    assert_int_equal(t[1].chosen, OFF);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_filled_in_order),
        cmocka_unit_test(every_lowest_layer_comes_before_any_second),
        cmocka_unit_test(a_step_up_needs_a_tenth_more_and_a_step_that_flows_does_not),
        cmocka_unit_test(what_is_used_never_exceeds_the_line_without_a_screen),
        cmocka_unit_test(a_larger_layer_may_take_less_than_a_smaller_one),
        cmocka_unit_test(with_everything_there_nothing_is_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
