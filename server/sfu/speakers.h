/* Speakers: who speaks in a briefing, from the levels inside the packets (RFC 6464).
 *
 * The dominant speaker by the method of Volfin and Cohen ("Dominant speaker identification for multipoint
 * videoconferencing", 2012): activity is counted over an immediate (20 ms), a medium (5 immediates) and a long (10 mediums)
 * time, each turned into a likelihood score; a challenger must beat the dominant speaker in all three at a decision, made
 * every SPEAKERS_DECIDE_US. So a cough does not win, and a pause does not lose.
 *
 * Besides, the loudest SPEAKERS_ROUTED of them are ranked by activity in the last second; one who is in keeps its place
 * until a challenger is clearly louder.
 *
 * Pure. Owner: one router. No allocation. Times in µs. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SPEAKERS_STEP_US = 20 * 1000,
    SPEAKERS_DECIDE_US = 300 * 1000,
    SPEAKERS_LONG = 10,                               /* mediums in a long window */
    SPEAKERS_MEDIUM = 5,                              /* immediates in a medium one */
    SPEAKERS_STEPS = SPEAKERS_LONG * SPEAKERS_MEDIUM, /* one second */
    SPEAKERS_MAX = 512,
    SPEAKERS_ROUTED = 5, /* three sound slots, and the two a subscriber may not get: itself and its stage */
};

struct speaker {
    bool used;
    int64_t newest_us;             /* the step that `at` stands on */
    uint8_t at;                    /* index of the newest step */
    uint8_t steps[SPEAKERS_STEPS]; /* activity of each step, 0 … 12 */
    uint16_t activity;             /* their sum */
    uint8_t floor, floor_next;     /* loudness of the background: the least of the last 7.5 to 15 s, 0: unknown */
    int64_t floor_us;
    double immediate, medium, longer; /* scores of the last decision */
};

struct speakers {
    struct speaker *speakers; /* SPEAKERS_MAX of them, indexed by endpoint number; the owner's array */
    uint32_t dominant;        /* number, 0: nobody has spoken yet */
    uint32_t loudest[SPEAKERS_ROUTED];
    size_t n_loudest;
    int64_t decide_us;
};

/* `array` holds SPEAKERS_MAX zeroed speakers and outlives the object. */
void speakers_init(struct speakers *s, struct speaker *array);

/* A sound packet of `number` with its RFC 6464 level (0 loudest … 127 silence, −dBov). */
void speakers_level(struct speakers *s, uint32_t number, uint8_t level, int64_t now_us);
/* Muted, or left: silent at once and out of the loudest. */
void speakers_remove(struct speakers *s, uint32_t number);

/* Makes the decision when it is due; true when dominant or loudest changed. */
bool speakers_poll(struct speakers *s, int64_t now_us);
int64_t speakers_next_us(const struct speakers *s);

/* Someone who has spoken within the last second. */
bool speakers_speaking(const struct speakers *s, uint32_t number, int64_t now_us);
