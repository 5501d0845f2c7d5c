#include "giaoban_world.h"

#include "base/clock.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void pause_ms(long ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

int free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    close(fd);
    return ntohs(a.sin_port);
}

int shell(char *out, size_t cap, const char *format, ...)
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

bool world_healthy(const struct world *w)
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
    char port[16], plain[32], log[96], workers[32];
    snprintf(workers, sizeof workers, "workers=%u", w->workers ? w->workers : 1);
    snprintf(port, sizeof port, "%d", w->port);
    snprintf(plain, sizeof plain, "plain_port=%d", w->plain_port);
    snprintf(log, sizeof log, "%s/log", w->data);
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int fd = w->log_fd ? w->log_fd : open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(fd, 1);
    dup2(fd, 2);
    const char *arguments[40] = {"giaoban",
                                 "--config",
                                 w->config ? w->config : CONFIG_DIR "/giaoban.yaml",
                                 "--data",
                                 w->data,
                                 "--port",
                                 port,
                                 "--set",
                                 plain,
                                 "--set",
                                 "media.port=0",
                                 "--set",
                                 "media.addresses=127.0.0.1",
                                 "--set",
                                 workers,
                                 "--set",
                                 w->spread ? "placement=spread" : "placement=home"};
    size_t n = 17;
    for (size_t i = 0; w->more && w->more[i]; i++)
        arguments[n++] = w->more[i];
    execv(BIN "/giaoban", (char *const *)arguments);
    _exit(127);
}

static void wait_healthy(struct world *w)
{
    int64_t deadline_us = clock_now_us() + 20000000;
    int status;
    while (!world_healthy(w)) {
        if (waitpid(w->server, &status, WNOHANG) == w->server || clock_now_us() > deadline_us) {
            char log[8192];
            shell(log, sizeof log, "tail -c 4000 %s/log", w->data);
            fail_msg("not healthy:\n%s", log);
        }
        pause_ms(20);
    }
}

pid_t world_child(const struct world *w, const char *name)
{
    char out[64];
    shell(out, sizeof out, "pgrep -P %d -x %s | head -1", (int)w->server, name);
    return (pid_t)atol(out);
}

int ctl(const struct world *w, char *out, size_t cap, const char *format, ...)
{
    char arguments[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(arguments, sizeof arguments, format, args);
    va_end(args);
    return shell(out, cap, BIN "/giaobanctl --data %s --server http://127.0.0.1:%d %s 2>&1", w->data, w->plain_port,
                 arguments);
}

void world_make(struct world *w)
{
    char out[1024];
    snprintf(w->data, sizeof w->data, "/tmp/giaoban-test-XXXXXX");
    assert_non_null(mkdtemp(w->data));
    w->port = free_port();
    w->plain_port = free_port();
    assert_int_equal(shell(out, sizeof out, CONFIG_DIR "/make-certificate %s/tls 2>&1", w->data), 0);
}

void world_start(struct world *w)
{
    w->server = start(w);
    wait_healthy(w);
}

void world_stop(struct world *w)
{
    int status = -1;
    kill(w->server, SIGTERM);
    assert_int_equal(waitpid(w->server, &status, 0), w->server);
    w->server = 0;
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

void world_remove(struct world *w)
{
    char out[64];
    if (w->server > 0) {
        kill(w->server, SIGTERM);
        waitpid(w->server, NULL, 0);
    }
    shell(out, sizeof out, "rm -rf %s", w->data);
}
