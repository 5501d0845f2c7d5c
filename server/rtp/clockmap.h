/* Clock map: RTP timestamps of one publisher's stream → session time (CLOCK_MONOTONIC µs here).
 *
 * A publisher's sender reports tie its RTP clocks to one NTP clock of its own; our clock is tied to that by the report's
 * smallest arrival delay. What matters is that all streams of one publisher share one `struct publisher_clock` (NTP →
 * session), so that its sound and picture are aligned exactly as it captured them, whatever the network did to the single
 * reports. Before the first report a stream is mapped by arrival time, then converges by at most 5 ms a second: no jump is
 * heard.
 *
 * Thread: any, one at a time. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* One for each publisher (transport). */
struct publisher_clock {
    bool known;
    int64_t offset_us; /* session = ntp_us + offset: the smallest seen lately */
    int64_t window_us; /* when the current window of the minimum began */
    int64_t window_min_us;
};

/* A sender report with this NTP time (in µs) arrived now. */
void publisher_clock_report(struct publisher_clock *c, int64_t ntp_us, int64_t arrival_us);

/* One for each stream. */
struct clockmap {
    uint32_t clock_hz;
    bool started, reported;
    int64_t base_ts;                  /* extended timestamp … */
    int64_t base_us;                  /* … and the session time it stands for, without the correction */
    int64_t newest_ts;                /* for extension */
    int64_t correction_us, target_us; /* correction moves to the target by 5 ms a second */
    int64_t moved_us;                 /* when it moved last */
};

enum { CLOCKMAP_CONVERGE_US_PER_S = 5000 };

void clockmap_init(struct clockmap *m, uint32_t clock_hz);
/* Every packet, in any order. */
void clockmap_packet(struct clockmap *m, uint32_t ts, int64_t arrival_us);
/* A sender report of this stream; `c` has had it already. */
void clockmap_report(struct clockmap *m, const struct publisher_clock *c, int64_t ntp_us, uint32_t rtp_ts, int64_t now_us);
/* Session time of a timestamp. 0 before the first packet. */
int64_t clockmap_session_us(struct clockmap *m, uint32_t ts, int64_t now_us);
/* The timestamp that stands for a session time (for sender reports). */
uint32_t clockmap_ts_at(struct clockmap *m, int64_t session_us, int64_t now_us);
