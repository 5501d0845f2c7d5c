/* The programs start, say clearly why they don't, and come back. */
#include "giaoban_world.h"

#include "base/clock.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct world *world;

static int group_setup(void **state)
{
    world = calloc(1, sizeof *world);
    world_make(world);
    world_start(world);
    return 0;
}

static int group_teardown(void **state)
{
    world_remove(world);
    free(world);
    return 0;
}

static void a_port_in_use_is_named(void **state)
{
    char out[4096], port[16];
    int status = shell(out, sizeof out,
                       "mkdir -p %s/other && cp -r %s/tls %s/other/ && " BIN "/giaoban --config " CONFIG_DIR
                       "/giaoban.yaml --data %s/other --port %d --set plain_port=%d --set media.port=0 2>&1",
                       world->data, world->data, world->data, world->data, world->port, free_port());
    snprintf(port, sizeof port, "%d", world->port);
    assert_int_equal(status, 1);
    assert_non_null(strstr(out, "in use"));
    assert_non_null(strstr(out, port));
}

static void a_data_directory_in_use_is_named(void **state)
{
    char out[4096];
    int status = shell(out, sizeof out,
                       BIN "/giaoban --config " CONFIG_DIR
                           "/giaoban.yaml --data %s --port %d --set plain_port=%d --set media.port=0 2>&1",
                       world->data, free_port(), free_port());
    assert_int_equal(status, 1);
    assert_non_null(strstr(out, "in use by another giaoban"));
}

static void a_missing_certificate_is_named(void **state)
{
    char out[4096];
    int status = shell(out, sizeof out,
                       BIN "/giaoban --config " CONFIG_DIR "/giaoban.yaml --data %s/bare --port %d --set plain_port=%d 2>&1",
                       world->data, free_port(), free_port());
    assert_int_equal(status, 1);
    assert_non_null(strstr(out, "tls/server.crt"));
    assert_non_null(strstr(out, "make-certificate"));
}

static void an_unknown_key_is_named(void **state)
{
    char out[4096];
    int status = shell(out, sizeof out, BIN "/giaoban --data %s/bare --set colour=red 2>&1", world->data);
    assert_int_equal(status, 1);
    assert_non_null(strstr(out, "unknown configuration key \"colour\""));
}

static void a_first_link_is_printed_as_long_as_nobody_has_an_account(void **state)
{
    char out[4096];
    assert_int_equal(ctl(world, out, sizeof out, "first-link"), 0);
    assert_non_null(strstr(out, "/first/"));
    assert_int_equal(shell(out, sizeof out, "grep -c /first/ %s/log", world->data), 0);
}

static void a_foreign_unit_gets_no_link(void **state)
{
    char id[4096], out[4096];
    assert_int_equal(ctl(world, id, sizeof id, "briefing create --title Thử --units ubnd-tinh,h-quan-hoa"), 0);
    id[strcspn(id, "\n")] = '\0';
    assert_int_equal(ctl(world, out, sizeof out, "link --briefing %.40s --unit so-y-te --role delegate", id), 1);
    assert_non_null(strstr(out, "not-invited"));
    assert_int_equal(ctl(world, out, sizeof out, "link --briefing %.40s --unit h-quan-hoa --role delegate", id), 0);
    assert_int_equal(strncmp(out, "/j/", 3), 0);
    assert_int_equal(ctl(world, out, sizeof out, "briefing create --title Thử --units no-such-unit"), 1);
    assert_non_null(strstr(out, "unknown-unit"));
}

static void a_killed_giaoband_is_back_within_two_seconds_with_its_state(void **state)
{
    char before[4096], after[4096], id[4096];
    assert_int_equal(ctl(world, id, sizeof id, "briefing create --title Sống --units ubnd-tinh,h-quan-hoa --record"), 0);
    id[strcspn(id, "\n")] = '\0';
    assert_int_equal(ctl(world, before, sizeof before, "briefing open %.40s", id), 0);
    assert_int_equal(ctl(world, before, sizeof before, "status"), 0);
    assert_non_null(strstr(before, id));
    assert_non_null(strstr(before, "recording=yes"));
    pid_t former = world_child(world, "giaoband");
    assert_true(former > 0);
    assert_int_equal(kill(former, SIGKILL), 0);
    int64_t at_us = clock_now_us();
    while (!world_healthy(world) || world_child(world, "giaoband") == former)
        pause_ms(10);
    int64_t back_us = clock_now_us() - at_us;
    if (back_us > 2000000)
        fail_msg("back after %d ms", (int)(back_us / 1000));
    assert_int_equal(ctl(world, after, sizeof after, "status"), 0);
    assert_string_equal(after, before);
    assert_int_equal(ctl(world, after, sizeof after, "briefing close %.40s", id), 0);
}

static void a_hanging_giaoband_is_replaced(void **state)
{
    pid_t former = world_child(world, "giaoband");
    kill(former, SIGSTOP);
    int64_t deadline_us = clock_now_us() + 8000000;
    while (world_child(world, "giaoband") == former || !world_healthy(world)) {
        assert_true(clock_now_us() < deadline_us);
        pause_ms(50);
    }
}

static void an_orderly_stop_leaves_nobody_behind_and_a_second_start_works(void **state)
{
    char children[256], out[1024];
    shell(children, sizeof children, "pgrep -P %d | tr '\\n' ' '", (int)world->server);
    world_stop(world);
    for (char *pid = strtok(children, " "); pid; pid = strtok(NULL, " "))
        assert_int_equal(kill((pid_t)atol(pid), 0), -1);
    world_start(world);
    assert_int_equal(ctl(world, out, sizeof out, "briefing list"), 0);
    assert_non_null(strstr(out, "closed"));
    world_stop(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_port_in_use_is_named),
        cmocka_unit_test(a_data_directory_in_use_is_named),
        cmocka_unit_test(a_missing_certificate_is_named),
        cmocka_unit_test(an_unknown_key_is_named),
        cmocka_unit_test(a_first_link_is_printed_as_long_as_nobody_has_an_account),
        cmocka_unit_test(a_foreign_unit_gets_no_link),
        cmocka_unit_test(a_killed_giaoband_is_back_within_two_seconds_with_its_state),
        cmocka_unit_test(a_hanging_giaoband_is_replaced),
        cmocka_unit_test(an_orderly_stop_leaves_nobody_behind_and_a_second_start_works),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
