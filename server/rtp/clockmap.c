#include "rtp/clockmap.h"

#include "base/seq.h"

enum {
    WINDOW_US = 30 * 1000 * 1000, /* how long the smallest delay is believed: clocks drift */
    SNAP_US = 1000 * 1000,        /* further off than this: another clock, not a drift */
    BREAK_US = 10 * 1000 * 1000,  /* timestamps that jump this far begin anew */
};

void publisher_clock_report(struct publisher_clock *c, int64_t ntp_us, int64_t arrival_us)
{
    int64_t offset = arrival_us - ntp_us;
    int64_t off = offset - c->offset_us;
    if (!c->known || off > SNAP_US || off < -SNAP_US) {
        *c = (struct publisher_clock){.known = true, .offset_us = offset, .window_us = arrival_us, .window_min_us = offset};
        return;
    }
    if (offset < c->window_min_us)
        c->window_min_us = offset;
    if (offset < c->offset_us)
        c->offset_us = offset;
    if (arrival_us - c->window_us >= WINDOW_US) {
        c->offset_us = c->window_min_us;
        c->window_us = arrival_us;
        c->window_min_us = offset;
    }
}

void clockmap_init(struct clockmap *m, uint32_t clock_hz)
{
    *m = (struct clockmap){.clock_hz = clock_hz};
}

static int64_t extended(const struct clockmap *m, uint32_t ts)
{
    return m->newest_ts + ts_diff(ts, (uint32_t)m->newest_ts);
}

static int64_t uncorrected_us(const struct clockmap *m, int64_t ts)
{
    return m->base_us + (ts - m->base_ts) * 1000000 / m->clock_hz;
}

static void begin(struct clockmap *m, uint32_t ts, int64_t session_us)
{
    *m = (struct clockmap){.clock_hz = m->clock_hz,
                           .started = true,
                           .base_ts = 0x100000000LL + ts,
                           .newest_ts = 0x100000000LL + ts,
                           .base_us = session_us,
                           .moved_us = session_us};
}

/* Towards the target by 5 ms a second. */
static void converge(struct clockmap *m, int64_t now_us)
{
    int64_t step = (now_us - m->moved_us) * CLOCKMAP_CONVERGE_US_PER_S / 1000000;
    if (step <= 0)
        return;
    m->moved_us = now_us;
    int64_t off = m->target_us - m->correction_us;
    if (off > step)
        off = step;
    else if (off < -step)
        off = -step;
    m->correction_us += off;
}

void clockmap_packet(struct clockmap *m, uint32_t ts, int64_t arrival_us)
{
    if (!m->started) {
        begin(m, ts, arrival_us);
        return;
    }
    int64_t x = extended(m, ts), delay = arrival_us - uncorrected_us(m, x);
    if (delay - m->correction_us > BREAK_US || delay - m->correction_us < -BREAK_US) {
        begin(m, ts, arrival_us);
        return;
    }
    if (x > m->newest_ts)
        m->newest_ts = x;
    if (!m->reported && delay < m->target_us) /* the first packet came late: the quickest one is nearer to the truth */
        m->target_us = delay;
    converge(m, arrival_us);
}

void clockmap_report(struct clockmap *m, const struct publisher_clock *c, int64_t ntp_us, uint32_t rtp_ts, int64_t now_us)
{
    if (!c->known)
        return;
    int64_t session_us = ntp_us + c->offset_us;
    if (!m->started)
        begin(m, rtp_ts, session_us);
    m->reported = true;
    m->target_us = session_us - uncorrected_us(m, extended(m, rtp_ts));
    int64_t off = m->target_us - m->correction_us;
    if (off > SNAP_US || off < -SNAP_US)
        m->correction_us = m->target_us;
    converge(m, now_us);
}

int64_t clockmap_session_us(struct clockmap *m, uint32_t ts, int64_t now_us)
{
    if (!m->started)
        return 0;
    converge(m, now_us);
    return uncorrected_us(m, extended(m, ts)) + m->correction_us;
}

uint32_t clockmap_ts_at(struct clockmap *m, int64_t session_us, int64_t now_us)
{
    converge(m, now_us);
    return (uint32_t)(m->base_ts + (session_us - m->correction_us - m->base_us) * m->clock_hz / 1000000);
}
