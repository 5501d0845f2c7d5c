/* Film: one (track, layer) as pictures in time. Frames are gathered without decoding; only what is shown is decoded, from
 * the newest keyframe on, so a camera off the stage costs next to nothing. Segments are joined as encoded frames in one
 * decoder.
 *
 * A decoder that chokes on a stranger's bytes is replaced; pictures go on at the next keyframe. Thread: one. */
#pragma once

#include "recordings/tracklist.h"

#include <gst/video/video.h>

#define FILM_NEVER INT64_MIN

struct film;

int film_new(int dir_fd, const struct tracklist_segment *segments, size_t n, struct film **ret);
void film_free(struct film *f); /* NULL is fine */

/* Takes in all frames up to `session_us`. ERR_IO: a file can't be read, `ret_why` tells. */
int film_gather(struct film *f, int64_t session_us, const char **ret_why);
int64_t film_newest_us(const struct film *f); /* of the frames taken in; FILM_NEVER: none */
int64_t film_next_us(struct film *f);         /* of the one after them; FILM_NEVER: none */
/* The newest picture: I420, borrowed until the next call. False: nothing could be decoded yet. */
bool film_picture(struct film *f, GstBuffer **ret_buffer, GstVideoInfo *ret_info);
