/* Sound of the programme: every microphone track decoded and placed to the sample, then added up.
 *
 * A packet's place is its session time. While packets follow each other a track runs on by its own samples; it is placed
 * anew after a gap, and when its clock has drifted more than SOUND_DRIFT_QUIET (in a quiet moment) or SOUND_DRIFT_MAX away
 * from its packets' times. Missing packets up to SOUND_CONCEAL are made up by the decoder (the next packet's repair data, or
 * concealment); longer gaps are silence. 48 kHz mono.
 *
 * Positions are absolute session samples: session µs × 48 / 1000. Thread: one. */
#pragma once

#include "recordings/tracklist.h"

#include <stddef.h>
#include <stdint.h>

enum {
    SOUND_HZ = 48000,
    SOUND_DRIFT_QUIET = 480, /* 10 ms */
    SOUND_DRIFT_MAX = 1200,  /* 25 ms */
    SOUND_CONCEAL = 4800,    /* 100 ms */
};

static inline int64_t sound_position(int64_t session_us)
{
    return session_us * (SOUND_HZ / 1000) / 1000;
}

struct sound_track;

int sound_track_new(int dir_fd, const struct tracklist_segment *segments, size_t n, struct sound_track **ret);
void sound_track_free(struct sound_track *s); /* NULL is fine */
/* Adds samples [at, at + n) to `mix`. Positions never go back. ERR_IO: a file can't be read, `ret_why` tells. */
int sound_track_add(struct sound_track *s, int64_t at, size_t n, float *mix, const char **ret_why);

/* To 16 bits, with a soft knee above −2 dBFS instead of clipping. */
void sound_to_s16(const float *mix, size_t n, int16_t *out);
