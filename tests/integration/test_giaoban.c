/* The programs start, say clearly why they don't, and come back. */
#include "giaoban_world.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* A reader of standard error with a small pipe, or a socket as the journal has one. */
static pid_t start_reader(const struct world *w, bool socket, int *ret_fd)
{
    int ends[2], bytes = 4096;
    char log[96];
    snprintf(log, sizeof log, "%s/log", w->data);
    assert_int_equal(socket ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) : pipe2(ends, O_CLOEXEC), 0);
    if (socket)
        setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    else
        fcntl(ends[1], F_SETPIPE_SZ, bytes);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(ends[0], STDIN_FILENO);
        dup2(open(log, O_WRONLY | O_CREAT | O_APPEND, 0600), STDOUT_FILENO);
        execlp("cat", "cat", NULL);
        _exit(127);
    }
    close(ends[0]);
    *ret_fd = ends[1];
    return pid;
}

/* Replaced, not opened: what lies there may point anywhere. */
static void a_trace_is_written_to_a_file_of_its_own(void **state)
{
    static const char *const more[] = {"--set", "media.trace=true", NULL};
    char out[4096] = "";
    assert_int_equal(
        shell(out, sizeof out, "echo kept > %s/other-file && ln -sf other-file %s/worker-0.trace", world->data, world->data),
        0);
    world->more = more;
    world_start(world);
    for (int i = 0; i < 100 && !strstr(out, "giaoban-trace 1 "); i++) {
        pause_ms(100);
        shell(out, sizeof out, "cd %s && cat worker-0.trace && stat -c %%a:%%F worker-0.trace && cat other-file",
              world->data);
    }
    assert_non_null(strstr(out, "giaoban-trace 1 "));
    assert_non_null(strstr(out, "600:regular file\nkept\n"));
    world_stop(world);
    world->more = NULL;
}

static void talk(const struct world *w, int lines)
{
    for (int i = 0; i < lines; i++) {
        kill(w->server, SIGHUP); /* giaoband says that it has read its configuration */
        pause_ms(30);
    }
}

static bool log_has(const struct world *w, const char *text)
{
    char out[64];
    return shell(out, sizeof out, "grep -c '%s' %s/log", text, w->data) == 0;
}

static void nobody_stops_with_its_log(bool socket)
{
    struct world w = {0};
    char out[1024];
    world_make(&w);
    pid_t reader = start_reader(&w, socket, &w.log_fd);
    world_start(&w);
    close(w.log_fd);
    kill(reader, SIGSTOP);
    talk(&w, 150);
    pid_t former = world_child(&w, "giaoban-media");
    assert_int_equal(kill(former, SIGKILL), 0);
    int64_t deadline_us = clock_now_us() + 5000000;
    while (world_child(&w, "giaoban-media") == former || world_child(&w, "giaoban-media") == 0) {
        assert_true(clock_now_us() < deadline_us);
        pause_ms(20);
    }
    assert_true(world_healthy(&w));
    assert_int_equal(ctl(&w, out, sizeof out, "status"), 0);
    kill(reader, SIGCONT);
    deadline_us = clock_now_us() + 5000000;
    while (!log_has(&w, "lost=[0-9]* lines")) { /* said with the next line that somebody reads */
        assert_true(clock_now_us() < deadline_us);
        talk(&w, 1);
    }
    kill(reader, SIGSTOP);
    world_stop(&w);
    kill(reader, SIGKILL);
    waitpid(reader, NULL, 0);
    world_remove(&w);
}

static void a_stopped_terminal_stops_nobody_and_lost_lines_are_counted(void **state)
{
    nobody_stops_with_its_log(false);
}

static void a_stopped_journal_stops_nobody_and_lost_lines_are_counted(void **state)
{
    nobody_stops_with_its_log(true);
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
        cmocka_unit_test(a_trace_is_written_to_a_file_of_its_own),
        cmocka_unit_test(a_stopped_terminal_stops_nobody_and_lost_lines_are_counted),
        cmocka_unit_test(a_stopped_journal_stops_nobody_and_lost_lines_are_counted),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
