/* Log lines of a fuzz target are made, so that their arguments are read, and thrown away: linked with --wrap=log_line. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

void __wrap_log_line(enum log_level level, const char *module, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

void __wrap_log_line(enum log_level level, const char *module, const char *format, ...)
{
    char line[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
}
