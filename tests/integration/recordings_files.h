/* What a recorder has left in its directory, for tests. */
#pragma once

#include "recordings_source.h"

#include <jansson.h>

/* The lines of tracks.jsonl or ledger.jsonl as an array. */
json_t *lines_of(const char *dir, const char *name);
/* Frames that all segments of a track, in their order, hold: exactly the first of `frames`, at these times, and nothing
 * behind the last one but what a file torn in the middle of a block has. */
size_t track_frames(const char *dir, uint32_t track, const struct room_frame *frames, size_t n, int64_t base_us,
                    int64_t step_us);
/* All of them. */
void assert_track_is(const char *dir, uint32_t track, const struct room_frame *frames, size_t n, int64_t base_us,
                     int64_t step_us);
