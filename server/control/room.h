/* Room on the disk in time: how fast recordings write, how long it lasts.
 *
 * Pure: time is a parameter, in µs. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* What one recorder writes. */
struct room_rate {
    uint64_t bytes; /* as last told; falls when the recorder starts anew */
    int64_t told_us;
    int64_t watched_us; /* how long in all */
    double bps;         /* mean with a time constant of ROOM_MEMORY_US */
};

#define ROOM_MEMORY_US 30000000
#define ROOM_TRUST_US 20000000 /* watched for less, a recording is taken to write what it may write at most */
#define ROOM_FOREVER_S (100 * 86400)

void room_told(struct room_rate *r, uint64_t bytes, int64_t now_us);
/* `expected_bps` as long as it has not been watched for long enough. */
double room_bps(const struct room_rate *r, double expected_bps);

/* What a briefing's recording writes at most: microphones, stage and screen, or every unit's camera. */
double room_expected_bps(bool cameras, unsigned units);

/* Seconds until no more than `spare_bytes` are free, at most ROOM_FOREVER_S. */
int64_t room_left_s(uint64_t free_bytes, uint64_t spare_bytes, double bps);

/* An alarm below `limit_s` that ends a tenth above it, lest it comes and goes. */
bool room_is_short(bool was_short, int64_t left_s, int64_t limit_s);
