/* Site: rooms that share one line (wish.h, `site`; docs/lines.md, "Sites").
 *
 * Each room has its own estimate, and its own connection to believe in it; five of them behind 4 Mbit/s would find out by
 * turns that there is no more, at each other's expense. So what the line holds is divided here, by one rule for both
 * directions:
 *
 *   1. everybody's least, in the order of ranks: sound to those who listen, a picture of any use from those who send;
 *   2. the rest by rank, within a rank in max-min fair shares: nobody gets more than it wants while a smaller share could
 *      grow;
 *   3. what nobody wants in equal parts, so that who wants more a moment later need not wait.
 *
 * Shares never exceed the budget together. Downlinks: a share bounds the target and the probes of a subscriber (downlink.h);
 * all are of one rank. Uplinks: microphones are taken off first, a share bounds what a publisher is told to send of a
 * picture (uplink.h); screens before who is on the stage, both before tiles.
 *
 * A part of the line belongs to rooms that other workers have: as many as `elsewhere` says.
 *
 * Owner: sfu. Pure, one thread, times in µs, rates in bit/s. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct peer;
struct sfu;
struct source;

enum {
    SITE_EVERY_US = 100 * 1000,
    SITE_SOUND_BPS = 65000, /* of an open microphone, with its headers */
    SITE_UP_PERCENT = 88,   /* of an uplink, for what encoders make: headers and repairs need the rest */
    SITE_CLAIM_FACTOR = 2,  /* of its estimate: a room whose own network is narrower claims no more */
};

enum site_rank { SITE_SCREEN, SITE_STAGE, SITE_TILE, SITE_RANKS };

struct site_claim {
    enum site_rank rank;
    bool whole; /* the least in whole or nothing at all */
    uint32_t least_bps, want_bps;
    uint32_t share_bps; /* result */
};

/* The rule above. */
void site_divide(struct site_claim *claims, size_t n, uint32_t budget_bps);

/* Of all sites on this worker. */
struct sites {
    struct peer **peers; /* scratch: who belongs to one, by site */
    struct source **sources;
    struct site_claim *claims; /* two for each peer */
    size_t n, cap;
    int64_t tick_us;
};

/* Divides anew when it is due. */
void sites_tick(struct sfu *s, int64_t now_us);
/* Who belongs to them may have changed: with the next tick. */
void sites_unsettle(struct sfu *s);
void sites_finish(struct sfu *s);
