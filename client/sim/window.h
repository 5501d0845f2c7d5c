/* Window: what each endpoint heard between two lines on standard input, for tests that break the server in between.
 *
 * The line `begin` starts a window; `end` ends it and yields one JSON line,
 *   {"window":{"from_us","to_us","rooms":[{"number","port","sound","gap_us","lost","rejoins","resumes","live_us",
 *    "connected_us","heard_us"}]}}
 * a room for each endpoint: `sound` packets of stage sound came, `gap_us` is the longest time without one, the window's both
 * ends included (null: it has never heard any), `lost` of all slots never came. The rest is as in struct endpoint_hearing.
 * Times are CLOCK_MONOTONIC µs of the media loop's turn in which a packet was taken from the socket, so they contain this
 * process's own waiting for a processor.
 *
 * Thread: one. */
#pragma once

#include <stdint.h>

struct endpoint;
struct window;

/* `endpoints` is borrowed for the window's life. NULL: no memory. */
struct window *window_new(struct endpoint *const *endpoints, unsigned n);
void window_free(struct window *w); /* NULL is fine */
/* The line to print, to be freed; NULL: none. Other lines than the two are ignored. */
char *window_line(struct window *w, const char *line, int64_t now_us);
