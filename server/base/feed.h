/* Feed: a bounded ring of copied packets in a memfd, one writer process, one reader process, acknowledged.
 *
 * Everything that leaves a worker by another door than the network goes through a feed: another worker (mirror), the
 * recorder, the check. Two memfds: the data (written by the writer, mapped read-only by the reader) and the tail (written
 * by the reader). Nothing is overwritten before it is acknowledged, so nothing is torn; when the ring is full the newest
 * record is dropped and counted, and the first record written afterwards is preceded by a FEED_GAP.
 *
 * One feed serves one briefing and one (writer, reader) pair. Numbers in it:
 *   track  = endpoint number × 4 + kind (WISH_MICROPHONE 1, WISH_CAMERA 2, WISH_SCREEN 3): stable for a briefing's life;
 *   cell   = endpoint number × 2 + (1 for the screen): the reader's wish about one video track, see feed_want();
 *   layer  = 0 lowest … 2 highest simulcast layer; a track without simulcast has layer 0 only.
 *
 * Seals: both memfds are sealed SHRINK|GROW at creation, checked by both sides, so no side can take pages away. FUTURE_WRITE
 * is not added: a restarted worker must map the same ring writable again. A reader is kept from writing by handing it a
 * read-only descriptor of the data (feed_readonly()), a writer by a read-only one of the tail; both work with either.
 *
 * Thread: a writer or reader object belongs to one thread. The reader copies a record out, then validates; it never parses
 * in place. Times are CLOCK_MONOTONIC µs. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FEED_CELLS = 1024,
    FEED_BODY_MAX = 2048, /* bytes of a record's body */
    FEED_ALIGN = 16,
    FEED_LAYERS = 4, /* that a cell has counters for; three are in use */
};

enum feed_kind {
    FEED_RTP = 1,   /* body: RTP packet in the clear, fixed header (no CSRC, no extension, no padding) and payload */
    FEED_META = 2,  /* body: JSON about the track, see below; repeated every 2 s so that a reader may begin anywhere */
    FEED_RATES = 3, /* body: three big-endian uint32, bits/s of layers 0…2 of the track (0: not alive), once a
                       second and when a layer begins or ends */
    FEED_GAP = 4,   /* body: big-endian uint64, records dropped here because the ring was full */
    FEED_END = 5,   /* the track is not written here any more, for now: its sender left, was muted, is off the stage, or
                       recording is off. Empty body. Packets of the same incarnation may follow later; the sequence
                       numbers in between are then no loss. (A missing END makes the recorder count them as lost.) */
};

/* FEED_META body: {"endpoint":"…","number":7,"kind":"microphone|camera|screen","codec":"opus|VP8|VP9|H264","clock":48000,
 * "channels":2,"layers":3,"heights":[180,360,720],"fmtp":"…"}. Heights: of each layer's newest keyframe, 0 unknown;
 * when they change the record is repeated at once. */

/* `flags` of FEED_RTP. Video: layer in bits 0–1, FEED_FLAG_KEYFRAME on the packets of a keyframe. Sound: the RFC 6464 byte
 * (voice bit 0x80, level in −dBov), 0xFF when the sender gives none. */
#define FEED_FLAG_LAYER_MASK 0x03
#define FEED_FLAG_KEYFRAME 0x04

struct feed_record {
    uint16_t len; /* bytes of the body */
    uint8_t kind, flags;
    uint32_t track, incarnation, zero;
    uint64_t ext_seq;   /* FEED_RTP: extended sequence number of (track, layer) as its publisher numbered it */
    int64_t session_us; /* FEED_RTP: capture time, mapped by the publisher's sender reports; others: time of writing */
};

struct feed_writer;
struct feed_reader;

/* Makes and populates both memfds and seals them against resizing. Slow (12 µs a page): call it on a helper thread.
 * `ring_bytes` is rounded up to a power of two. The caller owns the descriptors. ERR_IO, ERR_RANGE. */
int feed_create(size_t ring_bytes, uint64_t feed_id, int *ret_data_fd, int *ret_tail_fd);

/* A second, read-only descriptor of the same memfd: the data's for a reader, the tail's for a writer. ERR_IO. */
int feed_readonly(int fd, int *ret_fd);

/* For who only keeps a feed for others, without mapping it: has its writer ended it, and is everything in it acknowledged?
 * ERR_IO. */
int feed_look(int data_fd, int tail_fd, bool *ret_ended, bool *ret_drained);

/* Maps a feed for writing; checks seals and size. `wake_fd` is a non-blocking eventfd to bump when the reader sleeps, or −1
 * when the reader polls (recorder). Takes over no descriptor: the caller may close its own. Continues after the last
 * published record when another writer has used the ring before (a restarted worker: `generation` must be higher, at least
 * 1, else ERR_STALE; ERR_STATE after feed_end()). Drops that a killed predecessor did not announce are announced by us.
 * ERR_INVAL, ERR_DENIED (not sealed), ERR_MALFORMED, ERR_IO. */
int feed_writer_open(int data_fd, int tail_fd, int wake_fd, uint64_t generation, struct feed_writer **ret_writer);
void feed_writer_close(struct feed_writer *w); /* NULL is fine */

/* Appends one record. ERR_FULL: dropped and counted. ERR_RANGE: body too long. No system call. */
int feed_write(struct feed_writer *w, const struct feed_record *record, const void *body);

/* Once a loop turn: wakes a sleeping reader, at most once a millisecond. One write(2) when it wakes, else none. */
void feed_flush(struct feed_writer *w, int64_t now_us);
/* When feed_flush() must be called again because a wake-up was put off by that limit; INT64_MAX: not needed. A loop that
 * can sleep takes this into its time-out, or a record may wait until the next one. */
int64_t feed_next_flush_us(const struct feed_writer *w);

/* The reader's wish about a cell: layers wanted as a bit mask (0: none), and for each layer a counter that rises with every
 * keyframe request (it wraps: what differs from the last look was asked for). Cheap: a load each. */
uint32_t feed_wanted_layers(const struct feed_writer *w, unsigned cell);
uint8_t feed_keyframe_seq(const struct feed_writer *w, unsigned cell, unsigned layer);

uint64_t feed_dropped(const struct feed_writer *w);
/* Bytes between the newest record and the acknowledged one. */
uint64_t feed_backlog(const struct feed_writer *w);
/* Marks the end of the feed: no record follows. */
void feed_end(struct feed_writer *w);

/* Maps a feed for reading and begins at its `ack`. `wake_fd` as above or −1. */
int feed_reader_open(int data_fd, int tail_fd, int wake_fd, struct feed_reader **ret_reader);
void feed_reader_close(struct feed_reader *r); /* NULL is fine */

/* Copies the next record out. `body` holds FEED_BODY_MAX bytes. ERR_AGAIN: none now. ERR_CLOSED: ended and drained.
 * ERR_MALFORMED: the writer broke the format; the feed is unusable from here on. */
int feed_read(struct feed_reader *r, struct feed_record *ret_record, uint8_t *body);

/* A random number made with the feed: tells one ring from another whose id was used again (a restart of everything). */
uint64_t feed_birth(const struct feed_reader *r);
/* feed_read() has found the format broken. */
bool feed_broken(const struct feed_reader *r);
/* Where the writer is: byte offset behind its newest record, and whether it has dropped records that no GAP record announces
 * yet. For telling why something is missing, nothing else: the writer may lie. */
void feed_writer_state(const struct feed_reader *r, uint64_t *ret_head, bool *ret_drops);
uint64_t feed_acknowledged(const struct feed_reader *r);
/* Byte offset behind the last record read: what to hand to feed_ack(). */
uint64_t feed_position(const struct feed_reader *r);
/* Everything before `position` is on disk or given up. Frees room for the writer. */
void feed_ack(struct feed_reader *r, uint64_t position);
/* Skips to the newest record and acknowledges everything (a consumer that was stopped). */
void feed_skip(struct feed_reader *r);

void feed_want(struct feed_reader *r, unsigned cell, uint32_t layers);
void feed_request_keyframe(struct feed_reader *r, unsigned cell, unsigned layer);

/* Before waiting on `wake_fd`: true when the ring is empty and the writer will wake us; false when a record came meanwhile.
 */
bool feed_sleep(struct feed_reader *r);
void feed_wake(struct feed_reader *r);
