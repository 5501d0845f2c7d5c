/* Look: decodes one camera's VP8 frames and measures them: size, brightness, whether anything moves.
 *
 * The bytes are a stranger's. A frame larger than LOOK_PIXELS_MAX is not decoded (memory, time), nor is anything after
 * LOOK_FRAMES_MAX frames; what the decoder refuses is counted. One frame costs a few milliseconds, so a caller with a
 * heartbeat takes one at a time.
 *
 * Moving means: against a reference picture at least a second younger than its keyframe, some pixels differ by
 * LOOK_DIFFERENCE levels. Less than that proves nothing: at a tile's bit rate an encoder goes on refining a still picture
 * for seconds, by up to eight levels, and that is as much as camera noise leaves. So a room in which nobody so much as
 * blinks looks like a capture that hangs.
 *
 * Pure: time is the RTP timestamp (90 kHz). Thread: one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LOOK_PIXELS_MAX = 1920 * 1088,
    LOOK_FRAMES_MAX = 240,
    LOOK_DIFFERENCE = 12,
    LOOK_SETTLED_TICKS = 90000,
};

struct look_result {
    uint16_t width, height;   /* of the newest picture, 0: none was decoded */
    uint32_t frames;          /* decoded */
    uint32_t keyframes;       /* of these */
    uint32_t broken;          /* refused by the decoder */
    uint32_t compared;        /* pictures held against a reference */
    uint16_t moved_permyriad; /* of 10,000 pixels, the most of all comparisons */
    uint8_t luma;             /* mean of the newest picture: 16 black … 235 white */
    uint16_t bright_permille; /* of its pixels clearly above black */
    bool too_large;
};

struct look;

/* ERR_NOMEM, ERR_UNSUPPORTED (no decoder). */
int look_new(struct look **ret);
void look_free(struct look *l); /* NULL is fine */
/* A whole frame as RFC 6386 has it. Frames before the first keyframe are skipped. */
void look_frame(struct look *l, const uint8_t *frame, size_t len, uint32_t ts);
const struct look_result *look_result(const struct look *l);
