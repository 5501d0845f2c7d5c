/* One line a log entry on standard error, written with one write(2): time, level, module, text with key=value.
 *
 * Only shells log (main programs, net, signaling, recordings); pure cores return facts. The descriptor may be a
 * non-blocking pipe: a line that doesn't fit is dropped and counted; the next one that fits says so, `lost=N`. Thread: any.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* `program` is kept, not copied. Default: level info. */
void log_setup(const char *program, enum log_level level);

void log_line(enum log_level level, const char *module, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Lines dropped because the pipe was full. */
uint64_t log_lost(void);

/* A stranger can make us say the same again and again, but not fill the disk: each module has so many lines of each level at
 * once and then five a second; the next one says how many were left out. Debugging is not limited. */
enum { LOG_LINES_AT_ONCE = 1000, LOG_LINE_US = 200 * 1000 };

/* False: not now, counted. Else `ret_left_out` lines were left out before. log_line() asks by itself. */
bool log_admit(enum log_level level, const char *module, int64_t now_us, uint64_t *ret_left_out);

#define log_error(module, ...) log_line(LOG_LEVEL_ERROR, module, __VA_ARGS__)
#define log_warn(module, ...) log_line(LOG_LEVEL_WARN, module, __VA_ARGS__)
#define log_info(module, ...) log_line(LOG_LEVEL_INFO, module, __VA_ARGS__)
#define log_debug(module, ...) log_line(LOG_LEVEL_DEBUG, module, __VA_ARGS__)
