/* Segments: one stretch of one stream as a streamed Matroska file, written and read frame by frame.
 *
 * Written by matroskamux in its streamed form (no index, no duration at the end), so a file is whole at every block's end.
 * Block times are session time minus base_us, in milliseconds. VP8's caps keep one nominal size, since the muxer refuses a
 * change and every keyframe carries the true one. Read by matroskademux in the caller's thread.
 *
 * Thread: one object a thread. Errors: ERR_IO with a text, ERR_UNSUPPORTED (codec). */
#pragma once

#include "recordings/spool.h"
#include "rtp/packet.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct segment; /* being written */

/* `avcc` for H.264 only. The file is made new in `dir_fd`: ERR_EXISTS. */
int segment_open(int dir_fd, const char *name, enum rtp_codec codec, unsigned channels, const void *avcc, size_t avcc_len,
                 int64_t base_us, struct segment **ret);
void segment_free(struct segment *s); /* NULL is fine; doesn't flush */
/* `session_us` below the last one is taken as the last one: sender reports may turn a clock back a little. */
int segment_write(struct segment *s, const void *bytes, size_t len, int64_t session_us, bool keyframe);
/* The muxer's last bytes. The spool is flushed by its owner. */
int segment_finish(struct segment *s);
struct spool *segment_spool(struct segment *s);
int64_t segment_base_us(const struct segment *s);

struct segment_reader;

struct segment_frame {
    int64_t session_us;
    bool keyframe;
    const uint8_t *bytes; /* valid until the next call */
    size_t len;
    const void *caps; /* GstCaps of the segment, for a decoder; as long as the reader */
};

int segment_reader_open(int dir_fd, const char *name, int64_t base_us, struct segment_reader **ret);
void segment_reader_free(struct segment_reader *r);
/* ERR_CLOSED: the end (a torn last block is no error). ERR_IO: not a recording, segment_reader_error() tells. */
int segment_read(struct segment_reader *r, struct segment_frame *ret);
const char *segment_reader_error(struct segment_reader *r);

const char *codec_name(enum rtp_codec codec);
enum rtp_codec codec_parse(const char *name); /* RTP_CODEC_NONE: unknown */
