/* Rooms that misbehave after they have joined properly: the others see and hear on, the worker lives, what it drops is
 * counted. The real programs over a temporary data directory, one worker, 127.0.0.1 only. */
#include "base/clock.h"

#include <fcntl.h>
#include <jansson.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char data[64] = "/tmp/giaoban-hostile-XXXXXX";
static int port, plain_port;
static pid_t server;

static int free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    close(fd);
    return ntohs(a.sin_port);
}

/* The output of a shell command; its status. */
static char *shell(int *ret_status, const char *format, ...) __attribute__((format(printf, 2, 3)));
static char *shell(int *ret_status, const char *format, ...)
{
    static char out[1 << 20];
    char command[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t len = fread(out, 1, sizeof out - 1, pipe);
    out[len] = '\0';
    int status = pclose(pipe);
    if (ret_status)
        *ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return out;
}

static void start(void)
{
    char number[16], plain[32], log[96];
    snprintf(number, sizeof number, "%d", port);
    snprintf(plain, sizeof plain, "plain_port=%d", plain_port);
    snprintf(log, sizeof log, "%s/log", data);
    server = fork();
    if (server != 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(fd, 1);
    dup2(fd, 2);
    execl(BIN "/giaoban", "giaoban", "--config", CONFIG_DIR "/giaoban.yaml", "--data", data, "--port", number, "--set",
          plain, "--set", "media.port=0", "--set", "media.addresses=127.0.0.1", "--set", "workers=1", NULL);
    _exit(127);
}

static int ctl(const char *command)
{
    int status;
    shell(&status, BIN "/giaobanctl --data %s --server http://127.0.0.1:%d %s 2>&1", data, plain_port, command);
    return status;
}

static int group_setup(void **state)
{
    int status;
    assert_non_null(mkdtemp(data));
    port = free_port();
    plain_port = free_port();
    shell(&status, CONFIG_DIR "/make-certificate %s/tls 2>&1", data);
    assert_int_equal(status, 0);
    start();
    int64_t deadline_us = clock_now_us() + 20000000;
    while (ctl("status") != 0) {
        assert_true(clock_now_us() < deadline_us);
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
    assert_int_equal(ctl("demo"), 0);
    return 0;
}

static int group_teardown(void **state)
{
    if (server > 0) {
        kill(server, SIGTERM);
        waitpid(server, NULL, 0);
    }
    shell(NULL, "rm -rf %s", data);
    return 0;
}

/* Runs the chair and rooms 1–2 as good clients beside rooms `first`–`first + 1` as hostile ones. The good ones' summary. */
static json_t *run_beside(const char *kind, unsigned first, json_t **ret_hostile)
{
    shell(NULL,
          "cd %s && head -2 demo/rooms.txt > good && sed -n '%u,%up' demo/rooms.txt > bad && sim='" BIN
          "/giaoban-sim --cache %s/cache --size 320x192 --fps 10 --duration 9 --server http://127.0.0.1:%d' && "
          "{ $sim --source 9 --speak --links demo/chair.txt > chair.json 2> chair.log & "
          "$sim --source 20 --hostile %s --links bad > bad.json 2> bad.log & "
          "$sim --links good > good.json 2> good.log; wait; }",
          data, first, first + 1, data, plain_port, kind);
    char *line = shell(NULL, "tail -1 %s/bad.json", data);
    *ret_hostile = json_loads(line, 0, NULL);
    line = shell(NULL, "tail -1 %s/good.json", data);
    json_t *good = json_loads(line, 0, NULL);
    assert_non_null(good);
    assert_non_null(*ret_hostile);
    return good;
}

static json_int_t number(const json_t *o, const char *name)
{
    assert_non_null(json_object_get(o, name));
    return json_integer_value(json_object_get(o, name));
}

static long long metric(const char *name)
{
    char *text = shell(NULL, BIN "/giaobanctl --data %s --server http://127.0.0.1:%d metrics", data, plain_port);
    char *at = strstr(text, name);
    at = at ? strchr(at, '}') : NULL;
    assert_non_null(at);
    return atoll(at + 1);
}

static long worker_pid(void)
{
    return atol(shell(NULL, "pgrep -P %d -x giaoban-media", (int)server));
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
    long worker = worker_pid();
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
    long worker = worker_pid();
    json_t *good = run_beside("keyframes", 5, &bad);
    expect_undisturbed(good);
    assert_true(number(bad, "hostile_packets") > 500);
    json_t *chair = json_loads(shell(NULL, "tail -1 %s/chair.json", data), 0, NULL);
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
