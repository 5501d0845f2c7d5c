/* giaoban-recorder --check FILE: decodes a programme and prints one JSON line:
 * {"duration_s","video_frames","width","height", "audio_seconds","av_skew_ms","flashes","beeps","chapters"}.
 *
 * av_skew_ms is for recordings of simulated rooms (client/sim/README.md): each second the rectangle x 11/16 … 15/16, y 4/12
 * … 8/12 of a room's picture is white, and at that moment a 5 kHz beep of 40 ms begins. For every flash the nearest beep's
 * onset minus the first white picture's time; the median of these, positive when sound is late; null without such pairs. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct check_result {
    int64_t video_frames, samples, end_us; /* end_us: of the last picture or sample */
    int width, height;
    int64_t *flashes_us, *beeps_us; /* onsets; owned */
    size_t n_flashes, n_beeps;
    int chapters; /* in the file, or in chapters.json beside it */
};

int check_file(const char *path, struct check_result *ret, char *why, size_t why_bytes);
void check_clear(struct check_result *r);
/* Median skew of the pairs whose flash lies in [from_us, to_us). ERR_NOTFOUND: none. */
int check_skew(const struct check_result *r, int64_t from_us, int64_t to_us, double *ret_ms);

/* Returns the process's exit status. */
int check_run(const char *path);
