/* Programme: pictures and sound in, an MP4 (H.264, AAC, index first) or a WebM (VP8, Opus, chapters inside) out.
 *
 * Picture n is shown at n / 25 s, sound sample m at m / 48000 s, exactly: what the AAC encoder puts in front of its output
 * (its priming) is taken off the beginning of its input. GStreamer's pipeline runs as fast as it is fed. The file is written
 * under a temporary name and renamed when it is whole. Thread: the caller's for all functions. */
#pragma once

#include "recordings/timeline.h"

#include <gst/gst.h>
#include <stddef.h>
#include <stdint.h>

enum { PROGRAMME_FPS = 25, PROGRAMME_SAMPLES = 48000 / PROGRAMME_FPS }; /* samples for each picture */

enum programme_format { PROGRAMME_MP4, PROGRAMME_WEBM };

struct programme;

const char *programme_file(enum programme_format format); /* "programme.mp4" */
int programme_format_parse(const char *name, enum programme_format *ret);

/* `dir` is the recording's directory. The timeline gives WebM its chapters. */
int programme_open(const char *dir, enum programme_format format, const struct timeline *t, struct programme **ret);
/* Removes an unfinished file. NULL is fine. */
void programme_free(struct programme *p);

/* Picture and sound of one 25th of a second; takes the buffer. ERR_IO: programme_error() tells. */
int programme_add(struct programme *p, GstBuffer *picture, const int16_t samples[PROGRAMME_SAMPLES]);
int programme_finish(struct programme *p);
const char *programme_error(const struct programme *p);
