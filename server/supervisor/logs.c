#include "supervisor/supervisor.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* A second description of standard error, so that O_NONBLOCK is ours alone. A socket (the journal) can't be opened again:
 * there our own lines go through the pipe too, and only logs_pass() writes to it, without waiting. */
int logs_open(struct supervisor *s)
{
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_NONBLOCK | O_CLOEXEC) < 0)
        return -1;
    fcntl(pipe_fds[1], F_SETPIPE_SZ, 1 << 20);
    s->log_pipe = pipe_fds[0];
    s->children.log_pipe = pipe_fds[1];
    s->log_out = STDERR_FILENO;
    int again = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_APPEND | O_CLOEXEC);
    if (again < 0)
        s->log_out = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
    dup2(again < 0 ? pipe_fds[1] : again, STDERR_FILENO);
    if (again >= 0)
        close(again);
    return s->log_out < 0 ? -1 : 0;
}

static ssize_t put(const struct supervisor *s, const char *text, size_t len)
{
    ssize_t n = send(s->log_out, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    return n < 0 && errno == ENOTSOCK ? write(s->log_out, text, len) : n;
}

/* What was lost is said as soon as somebody reads again. */
static bool confess(struct supervisor *s)
{
    char line[96];
    if (!s->log_lost)
        return true;
    int len = snprintf(line, sizeof line, "giaoban: nobody read standard error: lost=%" PRIu64 " lines\n", s->log_lost);
    if (put(s, line, (size_t)len) != len)
        return false;
    s->log_lost = 0;
    return true;
}

void logs_pass(struct supervisor *s)
{
    char text[16384];
    for (int i = 0; i < 16; i++) {
        ssize_t n = read(s->log_pipe, text, sizeof text);
        if (n <= 0)
            return;
        ssize_t put_bytes = confess(s) ? put(s, text, (size_t)n) : 0;
        for (ssize_t at = put_bytes < 0 ? 0 : put_bytes; at < n; at++)
            s->log_lost += text[at] == '\n'; /* a stopped terminal stops nobody */
    }
}
