/* Wall time that is not stepped. */
#include "base/steady.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define S INT64_C(1000000)
#define HOUR (3600 * S)
#define WALL (1700000000 * S)

static void slewing_is_followed_and_a_step_is_not(void **state)
{
    static const struct {
        int64_t now_us, wall_us, steady_us, step_us;
        unsigned steps;
    } rows[] = {
        {10 * S, WALL, WALL, 0, 0},
        {11 * S, WALL + S + 400000, WALL + S + 400000, 0, 0},         /* slewed */
        {12 * S, WALL + 4 * S + 400000, WALL + 4 * S + 400000, 0, 0}, /* a small step counts as slewed */
        {13 * S, WALL + 5 * S + HOUR, WALL + 5 * S + 400000, HOUR - 400000, 1},
        {14 * S, WALL + 6 * S + HOUR, WALL + 6 * S + 400000, HOUR - 400000, 1},
        {15 * S, WALL + 7 * S - HOUR, WALL + 7 * S + 400000, -HOUR - 400000, 2}, /* and back, beyond */
        {16 * S, WALL + 8 * S, WALL + 8 * S, 0, 2},                              /* set right */
        {17 * S, WALL + 365 * 24 * HOUR, WALL + 9 * S, 365 * 24 * HOUR - 9 * S, 3},
    };
    struct steady s = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        steady_look(&s, rows[i].now_us, rows[i].wall_us);
        assert_int_equal(rows[i].now_us + s.offset_us, rows[i].steady_us);
        assert_int_equal(s.step_us, rows[i].step_us);
        assert_int_equal(s.steps, rows[i].steps);
    }
    assert_int_equal(s.stepped_us, 17 * S);
}

static void a_restart_goes_on_with_it_and_knows_a_slow_drift(void **state)
{
    struct steady s;
    steady_resume(&s, WALL, 100 * S, 100 * S + 24 * HOUR, WALL + 100 * S + 24 * HOUR + 80 * S); /* 0.9 per mille in a day */
    assert_int_equal(s.steps, 0);
    assert_int_equal(s.offset_us, WALL + 80 * S);
    steady_resume(&s, WALL, 100 * S, 101 * S, WALL + 101 * S + HOUR);
    assert_int_equal(s.steps, 1);
    assert_int_equal(s.offset_us, WALL);
    assert_int_equal(s.step_us, HOUR);
}

static void an_open_briefing_has_one_clock(void **state)
{
    struct people p = {0};
    people_look(&p, false, 10 * S, WALL);
    assert_int_equal(people_ms(&p, 10 * S), WALL / 1000);
    people_look(&p, false, 20 * S, WALL + HOUR); /* nothing runs yet: what people see on the wall */
    assert_int_equal(people_ms(&p, 20 * S), (WALL + HOUR) / 1000);
    people_look(&p, true, 30 * S, WALL);
    assert_int_equal(people_ms(&p, 30 * S), (WALL + HOUR) / 1000 + 10000);
    people_look(&p, true, 40 * S, WALL + 3 * HOUR);
    assert_int_equal(people_ms(&p, 41 * S), (WALL + HOUR) / 1000 + 21000);
    people_look(&p, true, 42 * S, WALL + HOUR + 21 * S); /* slewed back by a second */
    assert_int_equal(people_ms(&p, 42 * S), (WALL + HOUR) / 1000 + 21000);
    assert_int_equal(people_ms(&p, 43 * S), (WALL + HOUR) / 1000 + 22000);
}

static void a_log_s_times_never_run_backwards(void **state)
{
    struct people p = {0};
    people_follow(&p, 5000);
    people_follow(&p, 4000);
    people_look(&p, false, 1 * S, 3 * S);
    assert_int_equal(people_ms(&p, 1 * S), 5000);
    assert_int_equal(people_ms(&p, 2 * S), 5000);
    assert_int_equal(people_ms(&p, 4 * S), 6000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slewing_is_followed_and_a_step_is_not),
        cmocka_unit_test(a_restart_goes_on_with_it_and_knows_a_slow_drift),
        cmocka_unit_test(an_open_briefing_has_one_clock),
        cmocka_unit_test(a_log_s_times_never_run_backwards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
