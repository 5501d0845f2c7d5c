/* Allocation: which layer of each picture fits on a subscriber's line.
 *
 * Sound has been taken off already. In the order of the tracks given (shared screen, stage, tiles): every track's lowest
 * step, as far as they fit; then each track in turn is raised as far as it fits, tiles side by side so that none is large
 * while its neighbour is small. What does not fit at its lowest step is paused. A shared screen with no line for it still
 * gets ALLOCATE_SCREEN_OVER_BPS: a page that is late beats a page that is not there.
 *
 * A step up needs a tenth more than it takes, so that a target that wavers around a border does not switch at each look.
 *
 * Pure. Thread: any. Rates in bit/s. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ALLOCATE_STEPS_MAX = 12, /* three layers, or spatial layers, of four temporal layers */
    ALLOCATE_PAUSED = -1,
    ALLOCATE_SCREEN_OVER_BPS = 500000,
};

enum allocate_rank { ALLOCATE_SCREEN, ALLOCATE_STAGE, ALLOCATE_TILE };

/* One way to send the track; by rising worth. Their rates may be in any order. */
struct allocate_step {
    uint8_t layer, tid; /* temporal layers up to tid */
    uint32_t bps;
    uint8_t sid; /* spatial layers of its stream up to sid */
};

struct allocate_track {
    enum allocate_rank rank;
    struct allocate_step steps[ALLOCATE_STEPS_MAX];
    uint8_t n_steps;
    int8_t current; /* step that flows, ALLOCATE_PAUSED: none */
    int8_t chosen;  /* result */
};

struct allocation {
    uint32_t used_bps;   /* of what was chosen */
    uint32_t wanted_bps; /* if everything fitted */
    uint32_t next_bps;   /* what the next step up would make of used_bps; = used_bps: there is none */
};

/* `tracks` by rising rank. Fills `chosen` of each. */
struct allocation allocate(struct allocate_track *tracks, size_t n, uint32_t available_bps);
