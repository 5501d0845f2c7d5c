/* Assembler: the packets of one stream (track, layer, incarnation) in any order → frames in order, and holes.
 *
 * Every sequence number from the first one on ends in exactly one of two places: in a frame, or in a hole. A number that
 * doesn't come is waited for while nothing behind it is older than ASSEMBLER_WAIT_US, then it is given up; a frame that
 * can't be completed is given up with it. So `assembler_next_seq()` is the border: everything below is done, and a recorder
 * that died goes on there (`assembler_new(…, first_seq)`), with nothing twice and nothing lost.
 *
 * Every packet carries the position of its record in the feed; assembler_oldest() tells the lowest one that is still needed.
 *
 * Pure: time is a parameter. Owns copies of the packets. Thread: one. Times in µs. Not here: what a frame means to a
 * decoder. */
#pragma once

#include "rtp/packet.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ASSEMBLER_WAIT_US = 1000000,
    ASSEMBLER_CODEC_WAIT_US = 10000000, /* for assembler_set_codec() */
    ASSEMBLER_PACKETS_MAX = 4096,       /* waiting; beyond it the oldest hole is given up at once */
};

enum hole_reason {
    HOLE_LOST,
    HOLE_GAVE_UP,
    HOLE_RING_FULL,
    HOLE_RECORDER_DOWN,
    HOLE_DISK_FULL,
    HOLE_NO_KEYFRAME,
    HOLE_FEED_BROKEN,
    HOLE_INTERRUPTED,
};

struct assembler_packet {
    uint64_t ext_seq;
    int64_t session_us;
    uint32_t ts; /* RTP timestamp: packets of a frame have the same */
    bool marker;
    enum hole_reason gap; /* why packets before this one may be missing: HOLE_LOST normally */
    const uint8_t *payload;
    size_t payload_len;
    uint64_t position; /* of its record in the feed */
};

enum assembled_kind { ASSEMBLED_FRAME, ASSEMBLED_HOLE };

struct assembled {
    enum assembled_kind kind;
    uint64_t from_seq, to_seq; /* inclusive */
    int64_t from_us, to_us;    /* frame: both its time. Hole: times of the packets on both sides */
    /* frame; valid until the next call */
    const uint8_t *bytes;
    size_t len;
    bool keyframe, parameters_changed;
    /* hole */
    uint64_t packets, missing; /* in the range; of these never arrived */
    enum hole_reason reason;
};

struct assembler;

/* `first_seq` 0: the first packet that comes begins the stream. `codec` RTP_CODEC_NONE: not known yet, packets wait for
 * assembler_set_codec(); after ASSEMBLER_CODEC_WAIT_US they are a hole. ERR_UNSUPPORTED, ERR_NOMEM. */
int assembler_new(enum rtp_codec codec, uint64_t first_seq, struct assembler **ret);
void assembler_set_codec(struct assembler *a, enum rtp_codec codec);
void assembler_free(struct assembler *a); /* NULL is fine */

/* ERR_EXISTS: done already or waiting already. ERR_NOMEM. */
int assembler_input(struct assembler *a, const struct assembler_packet *p, int64_t now_us);
/* The sender paused (muted, off the stage): numbers up to the next packet were not sent here and are no hole. Call it when
 * everything before is polled with `finish`. */
void assembler_resume(struct assembler *a);
/* The next frame or hole; false: none now. `finish`: nothing more will come, wait for nothing. */
bool assembler_poll(struct assembler *a, int64_t now_us, bool finish, struct assembled *ret);

uint64_t assembler_next_seq(const struct assembler *a); /* 0: nothing came yet */
/* Lowest feed position still needed. False: none. `ret_us`: the session time there. */
bool assembler_oldest(const struct assembler *a, uint64_t *ret_position, int64_t *ret_us);
/* For H.264's avcC. */
const struct depacket *assembler_depacket(const struct assembler *a);

const char *hole_reason_name(enum hole_reason reason);
