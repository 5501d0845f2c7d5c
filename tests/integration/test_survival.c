/* Rooms of the simulator on two workers, while one part of the server after the other is killed. */
#include "giaoban_world.h"

#include "base/clock.h"

#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROOMS = 4 };

static struct world world = {.workers = 2, .spread = true};
static char briefing[64];
static pid_t sim;

/* A number of the simulator's newest status line; −1: none yet. */
static long long status(const char *key)
{
    char line[16384];
    shell(line, sizeof line, "grep '^{' %s/sim.log | tail -1", world.data);
    json_t *o = json_loads(line, 0, NULL);
    json_t *value = json_object_get(o, key);
    long long n = value ? json_integer_value(value) : -1;
    json_decref(o);
    return n;
}

static void wait_for(const char *key, long long at_least, int seconds)
{
    int64_t deadline_us = clock_now_us() + (int64_t)seconds * 1000000;
    while (status(key) < at_least) {
        if (clock_now_us() > deadline_us) {
            char log[16384];
            shell(log, sizeof log, "tail -n 60 %s/log; grep -v '^{' %s/sim.log | tail -n 20", world.data, world.data);
            fprintf(stderr, "%s\n", log); /* cmocka cuts long messages */
            fail_msg("%s is %lld, not %lld", key, status(key), at_least);
        }
        pause_ms(200);
    }
}

static void start_rooms(void)
{
    char links[96], log[96], server[64];
    snprintf(links, sizeof links, "%s/links", world.data);
    snprintf(log, sizeof log, "%s/sim.log", world.data);
    snprintf(server, sizeof server, "http://127.0.0.1:%d", world.plain_port);
    sim = fork();
    if (sim != 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(open(log, O_WRONLY | O_CREAT | O_APPEND, 0600), 1);
    dup2(1, 2);
    execl(BIN "/giaoban-sim", "giaoban-sim", "--server", server, "--links", links, NULL);
    _exit(127);
}

static int group_setup(void **state)
{
    static const char *const units[ROOMS] = {"ubnd-tinh", "h-quan-hoa", "h-muong-lat", "h-ba-thuoc"};
    char out[4096], path[96];
    world_make(&world);
    world_start(&world);
    assert_int_equal(ctl(&world, out, sizeof out, "briefing create --title Sống --record --units %s,%s,%s,%s", units[0],
                         units[1], units[2], units[3]),
                     0);
    snprintf(briefing, sizeof briefing, "%.*s", (int)strcspn(out, "\n"), out);
    snprintf(path, sizeof path, "%s/links", world.data);
    FILE *links = fopen(path, "w");
    for (int i = 0; i < ROOMS; i++) {
        assert_int_equal(ctl(&world, out, sizeof out, "link --briefing %s --unit %s --role %s", briefing, units[i],
                             i ? "delegate" : "chair"),
                         0);
        fputs(out, links);
    }
    fclose(links);
    assert_int_equal(ctl(&world, out, sizeof out, "briefing open %s", briefing), 0);
    start_rooms();
    wait_for("joined", ROOMS, 90);
    assert_int_equal(ctl(&world, out, sizeof out, "briefing grant %s 2", briefing), 0);
    return 0;
}

static int group_teardown(void **state)
{
    kill(sim, SIGTERM);
    waitpid(sim, NULL, 0);
    world_remove(&world);
    return 0;
}

static void receive_more(void)
{
    wait_for("received_packets", status("received_packets") + 500, 20);
}

static void a_killed_giaoband_costs_no_packet_and_no_connection(void **state)
{
    char before[4096], after[4096];
    receive_more();
    assert_int_equal(ctl(&world, before, sizeof before, "status"), 0);
    long long lost = status("lost_packets"), rejoins = status("rejoins");
    assert_int_equal(kill(world_child(&world, "giaoband"), SIGKILL), 0);
    wait_for("resumes", ROOMS, 10);
    receive_more();
    assert_int_equal(status("joined"), ROOMS);
    assert_int_equal(status("rejoins"), rejoins);
    assert_int_equal(status("lost_packets"), lost);
    assert_int_equal(ctl(&world, after, sizeof after, "status"), 0);
    assert_string_equal(after, before);
    assert_int_equal(ctl(&world, after, sizeof after, "briefing grant %s 3", briefing), 0);
}

static void a_killed_worker_s_rooms_come_back(void **state)
{
    long long rejoins = status("rejoins");
    assert_int_equal(kill(world_child(&world, "giaoban-media"), SIGKILL), 0);
    wait_for("rejoins", rejoins + 1, 10);
    wait_for("joined", ROOMS, 10);
    receive_more();
}

static void a_killed_recorder_is_replaced_and_the_ledger_stays_empty(void **state)
{
    char out[4096];
    pid_t former = world_child(&world, "giaoban-recorde");
    assert_true(former > 0);
    kill(former, SIGKILL);
    int64_t deadline_us = clock_now_us() + 10000000;
    while (world_child(&world, "giaoban-recorde") == former || world_child(&world, "giaoban-recorde") == 0) {
        assert_true(clock_now_us() < deadline_us);
        pause_ms(50);
    }
    receive_more();
    assert_int_equal(ctl(&world, out, sizeof out, "briefing close %s", briefing), 0);
    deadline_us = clock_now_us() + 20000000;
    while (shell(out, sizeof out, "cat %s/recordings/%s/manifest.json 2>&1", world.data, briefing) != 0) {
        assert_true(clock_now_us() < deadline_us);
        pause_ms(100);
    }
    assert_int_equal(shell(out, sizeof out, "grep -c recorder-down %s/recordings/%s/ledger.jsonl", world.data, briefing), 1);
    assert_int_equal(
        shell(out, sizeof out, "grep '\"event\":\"closed\"' %s/recordings/%s/events.jsonl", world.data, briefing), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_giaoband_costs_no_packet_and_no_connection),
        cmocka_unit_test(a_killed_worker_s_rooms_come_back),
        cmocka_unit_test(a_killed_recorder_is_replaced_and_the_ledger_stays_empty),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
