/* Wall time that is not stepped.
 *
 * Media, recordings and time-outs are on CLOCK_MONOTONIC and know no wall clock. What people read (a log's times) and what
 * runs out (sessions, locks) is wall time, which an administrator or a time server may set at any moment. `steady` follows
 * it while it is slewed, or set by at most STEADY_TOLERANCE_US at a look, and goes on by itself when it is stepped further;
 * `people` is a briefing's own clock: free as long as nothing runs, steady while the briefing is open, never backwards.
 *
 * Pure: both clocks are parameters, in µs; look at least every few seconds. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define STEADY_TOLERANCE_US 2000000

struct steady {
    bool set;
    int64_t offset_us;  /* steady time is monotonic time and this */
    int64_t step_us;    /* what the wall clock is ahead of it; 0: no more than the tolerance */
    int64_t stepped_us; /* monotonic time of the last step */
    unsigned steps;
};

void steady_look(struct steady *s, int64_t now_us, int64_t wall_us);
/* Goes on with an offset that was kept at `saved_us` of this boot: meanwhile the wall clock may have been slewed by a
 * thousandth. */
void steady_resume(struct steady *s, int64_t offset_us, int64_t saved_us, int64_t now_us, int64_t wall_us);

struct people {
    bool set;
    int64_t offset_us, last_ms;
};

/* `open`: it doesn't follow steps. */
void people_look(struct people *p, bool open, int64_t now_us, int64_t wall_us);
/* For the log: never before what it said last. Look first. */
int64_t people_ms(struct people *p, int64_t now_us);
/* A replayed event: the next one is not before it. */
void people_follow(struct people *p, int64_t at_ms);
