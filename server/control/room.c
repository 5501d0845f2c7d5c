#include "control/room.h"

#include <math.h>

/* docs/administration.md has the table that these come from. */
#define STAGE_AND_SCREEN_BPS 7e6
#define CAMERA_BPS 2.35e6

void room_told(struct room_rate *r, uint64_t bytes, int64_t now_us)
{
    int64_t passed_us = now_us - r->told_us;
    if (r->told_us && passed_us <= 0)
        return;
    if (r->told_us && bytes >= r->bytes) {
        double seen_bps = (double)(bytes - r->bytes) * 8e6 / (double)passed_us;
        double share = r->watched_us ? 1 - exp(-(double)passed_us / ROOM_MEMORY_US) : 1;
        r->bps += (seen_bps - r->bps) * share;
        r->watched_us += passed_us;
    }
    r->bytes = bytes;
    r->told_us = now_us;
}

double room_bps(const struct room_rate *r, double expected_bps)
{
    return r->watched_us < ROOM_TRUST_US ? expected_bps : r->bps;
}

double room_expected_bps(bool cameras, unsigned units)
{
    return STAGE_AND_SCREEN_BPS + (cameras ? units * CAMERA_BPS : 0);
}

int64_t room_left_s(uint64_t free_bytes, uint64_t spare_bytes, double bps)
{
    if (free_bytes <= spare_bytes)
        return 0;
    double left_s = bps > 0 ? (double)(free_bytes - spare_bytes) * 8 / bps : ROOM_FOREVER_S;
    return left_s < ROOM_FOREVER_S ? (int64_t)left_s : ROOM_FOREVER_S;
}

bool room_is_short(bool was_short, int64_t left_s, int64_t limit_s)
{
    return left_s < (was_short ? limit_s + limit_s / 10 : limit_s);
}
