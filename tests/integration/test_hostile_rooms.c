/* Rooms that misbehave after they have joined properly: the others see and hear on, the worker lives, what it drops is
 * counted. The real programs over a temporary data directory, one worker, 127.0.0.1 only. */
#include "giaoban_world.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static struct world world = {.workers = 1};
static char out[1 << 20];

static int group_setup(void **state)
{
    world_make(&world);
    world_start(&world);
    assert_int_equal(ctl(&world, out, sizeof out, "demo"), 0);
    return 0;
}

static int group_teardown(void **state)
{
    world_remove(&world);
    return 0;
}

static json_t *last_line(const char *name)
{
    assert_int_equal(shell(out, sizeof out, "tail -1 %s/%s", world.data, name), 0);
    json_t *o = json_loads(out, 0, NULL);
    assert_non_null(o);
    return o;
}

/* Runs the chair and rooms 1–2 as good clients beside rooms `first`–`first + 1` as hostile ones. The good ones' summary. */
static json_t *run_beside(const char *kind, unsigned first, json_t **ret_hostile)
{
    shell(out, sizeof out,
          "cd %s && head -2 demo/rooms.txt > good && sed -n '%u,%up' demo/rooms.txt > bad && sim='" BIN
          "/giaoban-sim --cache %s/cache --size 320x192 --fps 10 --duration 9 --server http://127.0.0.1:%d' && "
          "{ $sim --source 9 --speak --links demo/chair.txt > chair.json 2> chair.log & "
          "$sim --source 20 --hostile %s --links bad > bad.json 2> bad.log & "
          "$sim --links good > good.json 2> good.log; wait; }",
          world.data, first, first + 1, world.data, world.plain_port, kind);
    *ret_hostile = last_line("bad.json");
    return last_line("good.json");
}

static json_int_t number(const json_t *o, const char *name)
{
    assert_non_null(json_object_get(o, name));
    return json_integer_value(json_object_get(o, name));
}

static long long metric(const char *name)
{
    assert_int_equal(ctl(&world, out, sizeof out, "metrics"), 0);
    char *at = strstr(out, name);
    at = at ? strchr(at, '}') : NULL;
    assert_non_null(at);
    return atoll(at + 1);
}

static pid_t worker_pid(void)
{
    return world_child(&world, "giaoban-media");
}

static void expect_undisturbed(const json_t *good)
{
    assert_int_equal(number(good, "joined"), 2);
    assert_int_equal(number(good, "rejoins"), 0);
    assert_int_equal(number(good, "lost_packets"), 0);
    assert_true(number(good, "received_packets") > 200); /* stage sound alone is 50 a second for each of the two */
}

static void packets_that_make_no_sense_are_counted_drops(void **state)
{
    json_t *bad;
    pid_t worker = worker_pid();
    json_t *good = run_beside("noise", 3, &bad);
    expect_undisturbed(good);
    assert_true(number(bad, "hostile_packets") > 500);
    assert_true(metric("giaoban_media_drop_malformed_total") > 0);
    assert_true(worker > 0);
    assert_int_equal(worker_pid(), worker);
    json_decref(good);
    json_decref(bad);
}

static void a_storm_of_requests_reaches_the_source_twice_a_second_at_most(void **state)
{
    json_t *bad;
    pid_t worker = worker_pid();
    json_t *good = run_beside("keyframes", 5, &bad);
    expect_undisturbed(good);
    assert_true(number(bad, "hostile_packets") > 500);
    json_t *chair = last_line("chair.json");
    /* 9 s, three layers of which one or two are watched; without the limiter it would be hundreds */
    assert_in_range(number(chair, "keyframe_requests"), 1, 2 * 20);
    assert_int_equal(worker_pid(), worker);
    json_decref(chair);
    json_decref(good);
    json_decref(bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_that_make_no_sense_are_counted_drops),
        cmocka_unit_test(a_storm_of_requests_reaches_the_source_twice_a_second_at_most),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
