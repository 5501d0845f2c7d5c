/* The list of a recording's segments, tracks.jsonl, read back, and one track's segments read as one stream of frames. */
#pragma once

#include "recordings/segment.h"

#include <stddef.h>
#include <stdint.h>

struct tracklist_segment {
    char file[64];
    uint32_t track; /* endpoint number × 4 + kind */
    unsigned layer, channels;
    enum rtp_codec codec;
    int64_t base_us;
};

struct tracklist {
    struct tracklist_segment *items; /* by track, layer, base_us */
    size_t n;
};

/* ERR_NOTFOUND: no tracks.jsonl; ERR_MALFORMED with the line's number in `why`. */
int tracklist_read(int dir_fd, struct tracklist *ret, char *why, size_t why_bytes);
void tracklist_clear(struct tracklist *l);

/* All segments of one (track, layer), one after the other. */
struct track_reader;
int track_reader_new(int dir_fd, const struct tracklist_segment *segments, size_t n, struct track_reader **ret);
void track_reader_free(struct track_reader *r); /* NULL is fine */
/* The next frame without taking it; its bytes are valid until track_reader_take(). NULL: none (any more). */
const struct segment_frame *track_reader_peek(struct track_reader *r, const struct tracklist_segment **ret_segment);
void track_reader_take(struct track_reader *r);
/* Why peek gave NULL: 0 at the end, else ERR_IO and a text. */
int track_reader_error(const struct track_reader *r, const char **ret_why);
