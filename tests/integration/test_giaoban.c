/* The real programs over a temporary data directory: they start, say clearly why they don't, and come back. */
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
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

struct world {
    char data[64];
    int port, plain_port;
    pid_t server;
};

static struct world *world;

static void pause_ms(long ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

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
static int shell(char *out, size_t cap, const char *format, ...) __attribute__((format(printf, 3, 4)));
static int shell(char *out, size_t cap, const char *format, ...)
{
    char command[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t len = fread(out, 1, cap - 1, pipe);
    out[len] = '\0';
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool healthy(const struct world *w)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)w->plain_port)};
    static const char request[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    struct timeval patience = {.tv_sec = 5};
    char answer[2048] = "";
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    size_t len = 0;
    if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0 && send(fd, request, sizeof request - 1, MSG_NOSIGNAL) > 0) {
        ssize_t n;
        while (len < sizeof answer - 1 && (n = recv(fd, answer + len, sizeof answer - 1 - len, 0)) > 0)
            len += (size_t)n;
    }
    close(fd);
    return strstr(answer, "200") && strstr(answer, "\"ok\":true");
}

static pid_t start(const struct world *w)
{
    char port[16], plain[32], log[96];
    snprintf(port, sizeof port, "%d", w->port);
    snprintf(plain, sizeof plain, "plain_port=%d", w->plain_port);
    snprintf(log, sizeof log, "%s/log", w->data);
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(fd, 1);
    dup2(fd, 2);
    execl(BIN "/giaoban", "giaoban", "--config", CONFIG_DIR "/giaoban.yaml", "--data", w->data, "--port", port, "--set",
          plain, "--set", "media.port=0", "--set", "media.addresses=127.0.0.1", "--set", "workers=1", NULL);
    _exit(127);
}

static void wait_healthy(struct world *w)
{
    int64_t deadline_us = clock_now_us() + 20000000;
    int status;
    while (!healthy(w)) {
        if (waitpid(w->server, &status, WNOHANG) == w->server || clock_now_us() > deadline_us) {
            char log[8192];
            shell(log, sizeof log, "tail -c 4000 %s/log", w->data);
            fail_msg("not healthy:\n%s", log);
        }
        pause_ms(20);
    }
}

/* The only child of that name of our server; 0: none. */
static pid_t child_named(const struct world *w, const char *name)
{
    char out[64];
    shell(out, sizeof out, "pgrep -P %d -x %s | head -1", (int)w->server, name);
    return (pid_t)atol(out);
}

static int ctl(const struct world *w, char *out, size_t cap, const char *arguments)
{
    return shell(out, cap, BIN "/giaobanctl --data %s --server http://127.0.0.1:%d %s 2>&1", w->data, w->plain_port,
                 arguments);
}

static int group_setup(void **state)
{
    char out[1024];
    world = calloc(1, sizeof *world);
    snprintf(world->data, sizeof world->data, "/tmp/giaoban-test-XXXXXX");
    assert_non_null(mkdtemp(world->data));
    world->port = free_port();
    world->plain_port = free_port();
    assert_int_equal(shell(out, sizeof out, CONFIG_DIR "/make-certificate %s/tls 2>&1", world->data), 0);
    world->server = start(world);
    wait_healthy(world);
    return 0;
}

static void stop_server(struct world *w)
{
    int status = -1;
    kill(w->server, SIGTERM);
    assert_int_equal(waitpid(w->server, &status, 0), w->server);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static int group_teardown(void **state)
{
    char out[64];
    if (world->server > 0)
        kill(world->server, SIGTERM);
    while (waitpid(-1, NULL, 0) > 0) {
    }
    shell(out, sizeof out, "rm -rf %s", world->data);
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
    char id[4096], out[4096], command[256];
    assert_int_equal(ctl(world, id, sizeof id, "briefing create --title Thử --units ubnd-tinh,h-quan-hoa"), 0);
    id[strcspn(id, "\n")] = '\0';
    snprintf(command, sizeof command, "link --briefing %.40s --unit so-y-te --role delegate", id);
    assert_int_equal(ctl(world, out, sizeof out, command), 1);
    assert_non_null(strstr(out, "not-invited"));
    snprintf(command, sizeof command, "link --briefing %.40s --unit h-quan-hoa --role delegate", id);
    assert_int_equal(ctl(world, out, sizeof out, command), 0);
    assert_int_equal(strncmp(out, "/j/", 3), 0);
    assert_int_equal(ctl(world, out, sizeof out, "briefing create --title Thử --units no-such-unit"), 1);
    assert_non_null(strstr(out, "unknown-unit"));
}

static void a_killed_giaoband_is_back_within_two_seconds_with_its_state(void **state)
{
    char before[4096], after[4096], id[4096], command[128];
    assert_int_equal(ctl(world, id, sizeof id, "briefing create --title Sống --units ubnd-tinh,h-quan-hoa --record"), 0);
    id[strcspn(id, "\n")] = '\0';
    snprintf(command, sizeof command, "briefing open %.40s", id);
    assert_int_equal(ctl(world, before, sizeof before, command), 0);
    assert_int_equal(ctl(world, before, sizeof before, "status"), 0);
    assert_non_null(strstr(before, id));
    assert_non_null(strstr(before, "recording=yes"));
    pid_t former = child_named(world, "giaoband");
    assert_true(former > 0);
    assert_int_equal(kill(former, SIGKILL), 0);
    int64_t at_us = clock_now_us();
    while (!healthy(world) || child_named(world, "giaoband") == former)
        pause_ms(10);
    int64_t back_us = clock_now_us() - at_us;
    if (back_us > 2000000)
        fail_msg("back after %d ms", (int)(back_us / 1000));
    assert_int_equal(ctl(world, after, sizeof after, "status"), 0);
    assert_string_equal(after, before);
    snprintf(command, sizeof command, "briefing close %.40s", id);
    assert_int_equal(ctl(world, after, sizeof after, command), 0);
}

static void a_hanging_giaoband_is_replaced(void **state)
{
    pid_t former = child_named(world, "giaoband");
    kill(former, SIGSTOP);
    int64_t deadline_us = clock_now_us() + 8000000;
    while (child_named(world, "giaoband") == former || !healthy(world)) {
        assert_true(clock_now_us() < deadline_us);
        pause_ms(50);
    }
}

static void an_orderly_stop_leaves_nobody_behind_and_a_second_start_works(void **state)
{
    char children[256], out[1024];
    shell(children, sizeof children, "pgrep -P %d | tr '\\n' ' '", (int)world->server);
    stop_server(world);
    for (char *pid = strtok(children, " "); pid; pid = strtok(NULL, " "))
        assert_int_equal(kill((pid_t)atol(pid), 0), -1);
    world->server = start(world);
    wait_healthy(world);
    assert_int_equal(ctl(world, out, sizeof out, "briefing list"), 0);
    assert_non_null(strstr(out, "closed"));
    stop_server(world);
    world->server = 0;
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
