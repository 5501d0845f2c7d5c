#include "rtp/rewrite.h"

#include "base/err.h"

#include <string.h>

void rewrite_init(struct rewrite *r, uint16_t first_seq, uint32_t first_ts, uint32_t clock_hz, uint32_t frame_ticks)
{
    *r = (struct rewrite){.clock_hz = clock_hz,
                          .frame_ticks = frame_ticks,
                          .next_seq = first_seq & 0x7fff,
                          .newest_ts = first_ts,
                          .ended_frame = true};
}

static void mark(uint64_t *bits, uint64_t i, bool set)
{
    if (set)
        bits[i / 64] |= 1ull << (i % 64);
    else
        bits[i / 64] &= ~(1ull << (i % 64));
}

static bool marked(const uint64_t *bits, uint64_t i)
{
    return bits[i / 64] >> (i % 64) & 1;
}

/* ---- switching ---- */

/* Where the slot's line puts that session time. */
static uint32_t line_ts(const struct rewrite *r, int64_t session_us)
{
    return r->anchor_ts + (uint32_t)((session_us - r->anchor_us) * r->clock_hz / 1000000);
}

static bool doubtful(const struct rewrite *r, uint32_t ts, int64_t now_us)
{
    int64_t stepped_us = (int64_t)ts_diff(ts, r->newest_ts) * 1000000 / r->clock_hz;
    int64_t off = stepped_us - (now_us - r->newest_sent_us);
    return off > REWRITE_OFF_US || off < -REWRITE_OFF_US;
}

/* A picture may follow its predecessor by a millisecond: a whole frame would be more than what has passed, and each
 * hand-over would run further ahead of the line, which receivers answer with a longer and longer delay. A frame of sound
 * lasts, and a receiver throws away what overlaps. */
static uint32_t least_step(const struct rewrite *r)
{
    return r->clock_hz == 90000 ? r->clock_hz / 1000 : r->frame_ticks;
}

int rewrite_switch(struct rewrite *r, int64_t ext_seq, uint32_t ts, int64_t session_us, int64_t now_us)
{
    uint32_t out = r->newest_ts;
    if (!r->anchored) {
        r->anchored = true;
        r->anchor_ts = out;
        r->anchor_us = session_us;
    } else {
        out = line_ts(r, session_us);
        if (doubtful(r, out, now_us) && !r->doubted) {
            r->doubted = true;
            return ERR_AGAIN;
        }
        int32_t lack = ts_diff(r->newest_ts + least_step(r), out);
        if (lack > 0 && r->clock_hz != 90000 && (uint32_t)lack <= r->frame_ticks * REWRITE_WAIT_FRAMES)
            return ERR_BUSY;
        if (lack > 0)
            out += (uint32_t)lack;
        if (!r->ended_frame)
            r->next_seq++;
    }
    r->doubted = false;
    r->running = true;
    r->ended_frame = true;
    r->ts_offset = out - ts;
    r->first_in = ext_seq;
    r->newest_in = ext_seq - 1;
    memset(r->dropped, 0, sizeof r->dropped);
    r->picture_restart = true;
    return 0;
}

void rewrite_stop(struct rewrite *r)
{
    r->running = false;
    r->doubted = false;
}

int rewrite_own(struct rewrite *r, int64_t now_us, struct rewritten *ret)
{
    if (r->running || !r->anchored)
        return ERR_STATE;
    if (!r->ended_frame)
        r->next_seq++;
    r->ended_frame = true;
    r->newest_ts += r->frame_ticks;
    r->newest_sent_us = now_us;
    *ret = (struct rewritten){.seq = r->next_seq++, .ts = r->newest_ts};
    return 0;
}

/* ---- sequence ---- */

/* Moves the newest input number up to `ext_seq`; the numbers in between keep their holes. A break so long that nobody would
 * ask for them any more is closed up to a gap of one. */
static void advance(struct rewrite *r, int64_t ext_seq)
{
    int64_t between = ext_seq - r->newest_in - 1;
    if (between >= REWRITE_WINDOW) {
        memset(r->dropped, 0, sizeof r->dropped);
        r->first_in = ext_seq;
        r->next_seq++;
    } else {
        for (int64_t s = r->newest_in + 1; s < ext_seq; s++)
            mark(r->dropped, (uint64_t)s % REWRITE_WINDOW, false);
        r->next_seq = (uint16_t)(r->next_seq + between);
    }
    r->newest_in = ext_seq;
}

static int late_seq(const struct rewrite *r, int64_t ext_seq, uint16_t *ret_seq)
{
    if (ext_seq < r->first_in || r->newest_in - ext_seq >= REWRITE_WINDOW)
        return ERR_STALE;
    if (marked(r->dropped, (uint64_t)ext_seq % REWRITE_WINDOW))
        return ERR_EXISTS;
    int64_t behind = r->newest_in - ext_seq;
    for (int64_t s = ext_seq + 1; s <= r->newest_in; s++)
        behind -= marked(r->dropped, (uint64_t)s % REWRITE_WINDOW);
    *ret_seq = (uint16_t)(r->next_seq - 1 - behind);
    return 0;
}

int rewrite_packet(struct rewrite *r, int64_t ext_seq, uint32_t ts, bool ends_frame, int64_t now_us, struct rewritten *ret)
{
    if (!r->running)
        return ERR_STATE;
    uint32_t out_ts = ts + r->ts_offset;
    if (ext_seq <= r->newest_in) {
        uint16_t seq;
        int err = late_seq(r, ext_seq, &seq);
        if (err)
            return err;
        *ret = (struct rewritten){.seq = seq, .ts = out_ts, .late = true};
        return 0;
    }
    advance(r, ext_seq);
    mark(r->dropped, (uint64_t)ext_seq % REWRITE_WINDOW, false);
    *ret = (struct rewritten){.seq = r->next_seq++, .ts = out_ts};
    r->ended_frame = ends_frame;
    r->newest_sent_us = now_us;
    if (ts_diff(out_ts, r->newest_ts) > 0)
        r->newest_ts = out_ts;
    return 0;
}

void rewrite_drop(struct rewrite *r, int64_t ext_seq)
{
    if (!r->running || ext_seq <= r->newest_in)
        return;
    advance(r, ext_seq);
    mark(r->dropped, (uint64_t)ext_seq % REWRITE_WINDOW, true);
}

/* ---- VP8 ---- */

/* How far the picture is ahead of the newest known, in the source's own width. */
static int picture_ahead(const struct rewrite *r, const struct vp8_descriptor *d)
{
    int mask = d->picture_id_bits == 7 ? 0x7f : 0x7fff;
    int ahead = (d->picture_id - r->picture_in) & mask;
    return ahead > mask / 2 ? ahead - mask - 1 : ahead;
}

static void restart_pictures(struct rewrite *r, const struct vp8_descriptor *d)
{
    r->picture_restart = false;
    r->picture_in = (uint16_t)(d->picture_id - 1);
    r->pictures_known = 0;
    memset(r->dropped_pictures, 0, sizeof r->dropped_pictures);
    if (r->has_picture) {
        r->tl0_offset = (uint8_t)(r->newest_tl0 + 1 - d->tl0picidx);
        r->keyidx_offset = (uint8_t)(r->newest_keyidx + 1 - d->keyidx);
    }
    r->has_picture = true;
}

/* Makes `d`'s picture the newest one, `ahead` > 0. */
static void advance_pictures(struct rewrite *r, const struct vp8_descriptor *d, int ahead, bool drop)
{
    for (int i = 0; i < ahead && i < REWRITE_PICTURES; i++)
        mark(r->dropped_pictures, (uint64_t)(d->picture_id - i) % REWRITE_PICTURES, false);
    mark(r->dropped_pictures, d->picture_id % REWRITE_PICTURES, drop);
    r->picture_in = d->picture_id;
    r->picture_out = (uint16_t)((r->picture_out + ahead - drop) & 0x7fff);
    int known = r->pictures_known + ahead;
    r->pictures_known = (uint16_t)(known < REWRITE_PICTURES ? known : REWRITE_PICTURES);
}

int rewrite_vp8(struct rewrite *r, const struct vp8_descriptor *d, struct rewritten_vp8 *ret)
{
    if (r->picture_restart)
        restart_pictures(r, d);
    uint8_t tl0 = (uint8_t)(d->tl0picidx + r->tl0_offset), keyidx = (d->keyidx + r->keyidx_offset) & 0x1f;
    uint16_t picture = r->picture_out;
    int ahead = d->picture_id_bits ? picture_ahead(r, d) : 0;
    if (ahead > 0) {
        advance_pictures(r, d, ahead, false);
        picture = r->picture_out;
    } else if (d->picture_id_bits) {
        if (-ahead >= r->pictures_known)
            return ERR_STALE;
        if (marked(r->dropped_pictures, d->picture_id % REWRITE_PICTURES))
            return ERR_EXISTS;
        for (int i = 0; i > ahead; i--)
            picture = (uint16_t)(picture - !marked(r->dropped_pictures, (uint64_t)(r->picture_in + i) % REWRITE_PICTURES));
    }
    if (ahead >= 0) {
        r->newest_tl0 = tl0;
        r->newest_keyidx = keyidx;
    }
    *ret = (struct rewritten_vp8){.picture_id = picture & 0x7fff, .tl0picidx = tl0, .keyidx = keyidx};
    return 0;
}

void rewrite_vp8_drop(struct rewrite *r, const struct vp8_descriptor *d)
{
    if (r->picture_restart || !d->picture_id_bits)
        return;
    int ahead = picture_ahead(r, d);
    if (ahead > 0)
        advance_pictures(r, d, ahead, true);
}
