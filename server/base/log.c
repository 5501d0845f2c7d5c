#include "base/log.h"

#include "base/clock.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024 /* below PIPE_BUF: a line is written whole or not at all */

static const char *program_name = "giaoban";
static enum log_level max_level = LOG_LEVEL_INFO;
static _Atomic uint64_t lost_lines;

void log_setup(const char *program, enum log_level level)
{
    program_name = program;
    prctl(PR_SET_NAME, program); /* executed through a descriptor, a process is named after its number */
    max_level = level;
}

uint64_t log_lost(void)
{
    return atomic_load_explicit(&lost_lines, memory_order_relaxed);
}

static size_t clamp_len(int printed, size_t cap)
{
    if (printed < 0)
        return 0;
    return (size_t)printed < cap ? (size_t)printed : cap - 1;
}

void log_line(enum log_level level, const char *module, const char *format, ...)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    if (level > max_level)
        return;
    int saved_errno = errno;
    char line[LINE_MAX_BYTES];
    int64_t wall_us = clock_wall_us();
    time_t seconds = (time_t)(wall_us / 1000000);
    struct tm tm;
    localtime_r(&seconds, &tm);
    size_t len = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &tm);
    len += clamp_len(snprintf(line + len, sizeof line - len, ".%03d %s %s/%s ", (int)(wall_us / 1000 % 1000), names[level],
                              program_name, module),
                     sizeof line - len);
    va_list args;
    va_start(args, format);
    len += clamp_len(vsnprintf(line + len, sizeof line - 1 - len, format, args), sizeof line - 1 - len);
    va_end(args);
    line[len++] = '\n';
    if (write(STDERR_FILENO, line, len) < 0)
        atomic_fetch_add_explicit(&lost_lines, 1, memory_order_relaxed);
    errno = saved_errno;
}
