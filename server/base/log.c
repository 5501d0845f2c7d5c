#include "base/log.h"

#include "base/allowance.h"
#include "base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
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
static _Atomic uint64_t lost_lines, unsaid_lines;

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

/* What one module says at one level. */
struct voice {
    const char *module;
    enum log_level level;
    struct allowance allowance;
    uint64_t left_out;
};

static struct voice voices[64];
static pthread_mutex_t voices_lock = PTHREAD_MUTEX_INITIALIZER;

/* The last one is shared by all that find no room. */
static struct voice *voice_of(enum log_level level, const char *module)
{
    struct voice *v = voices, *last = voices + sizeof voices / sizeof voices[0] - 1;
    while (v < last && v->module && (v->level != level || strcmp(v->module, module) != 0))
        v++;
    v->module = module;
    v->level = level;
    return v;
}

bool log_admit(enum log_level level, const char *module, int64_t now_us, uint64_t *ret_left_out)
{
    pthread_mutex_lock(&voices_lock);
    struct voice *v = voice_of(level, module);
    bool may = allowance_take(&v->allowance, LOG_LINES_AT_ONCE, LOG_LINE_US, now_us);
    if (may) {
        *ret_left_out = v->left_out;
        v->left_out = 0;
    } else {
        v->left_out++;
    }
    pthread_mutex_unlock(&voices_lock);
    return may;
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
    uint64_t left_out = 0;
    if (level > max_level)
        return;
    int saved_errno = errno;
    if (level < LOG_LEVEL_DEBUG && !log_admit(level, module, clock_now_us(), &left_out)) {
        errno = saved_errno;
        return;
    }
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
    if (left_out)
        len += clamp_len(snprintf(line + len, sizeof line - 1 - len, " left_out=%" PRIu64, left_out), sizeof line - 1 - len);
    uint64_t lost = atomic_exchange_explicit(&unsaid_lines, 0, memory_order_relaxed);
    if (lost)
        len += clamp_len(snprintf(line + len, sizeof line - 1 - len, " lost=%" PRIu64, lost), sizeof line - 1 - len);
    line[len++] = '\n';
    if (write(STDERR_FILENO, line, len) < 0) {
        atomic_fetch_add_explicit(&lost_lines, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&unsaid_lines, lost + 1, memory_order_relaxed);
    }
    errno = saved_errno;
}
