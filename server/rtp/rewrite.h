/* Rewriting: one slot is one continuous RTP stream, whatever sources pass through it.
 *
 * Sequence: +1 for each packet forwarded; packets that are dropped on purpose leave no hole; a switch of source continues at
 * +1, or leaves a gap of one when the last forwarded packet did not end its frame (so that a decoder drops the broken
 * frame). Numbers that the network loses keep their hole. The first number is below 32768: a wrap with loss at the start
 * would break the receiver's SRTP rollover counter.
 *
 * Timestamp: a slot has one line from session time to timestamps. A switch puts the new source on that line by its session
 * time (clockmap.h). A picture that is not ahead of the last one sent follows it by a millisecond. Sound that would overlap
 * the last frame sent waits for its next packet. So no number of switches makes a slot run ahead of its line.
 *
 * VP8: PictureID, TL0PICIDX and KEYIDX are continuous as well, dropped pictures leave no hole.
 *
 * Late packets (reordered, or repaired from the publisher) get the number that they would have had: the last
 * REWRITE_WINDOW packets and REWRITE_PICTURES pictures are remembered. A packet from before the switch is refused.
 *
 * Thread: any, one at a time. Pure. */
#pragma once

#include "base/seq.h"
#include "rtp/vp8.h"

enum {
    REWRITE_WINDOW = 1024,
    REWRITE_PICTURES = 128,
    REWRITE_OFF_US = 75000,  /* a mapped time that is further off is doubted once */
    REWRITE_WAIT_FRAMES = 5, /* sound that overlaps by more than that has a wrong time: it follows at once */
};

struct rewrite {
    uint32_t clock_hz;
    uint32_t frame_ticks; /* one frame: video 1/30 s, sound 20 ms */

    /* sequence */
    bool running;      /* a source is in the slot */
    bool ended_frame;  /* the newest packet sent ended its frame */
    uint16_t next_seq; /* of the next packet in order */
    int64_t first_in, newest_in;
    uint64_t dropped[REWRITE_WINDOW / 64]; /* bit: that input number was dropped on purpose */

    /* timestamp: out = in + ts_offset; the slot's line passes through (anchor_us, anchor_ts) */
    uint32_t ts_offset, newest_ts, anchor_ts;
    int64_t anchor_us, newest_sent_us;
    bool anchored, doubted;

    /* VP8 */
    bool has_picture;
    uint16_t picture_in;  /* newest picture id in, 15 bits (or 7) */
    uint16_t picture_out; /* what it became */
    uint8_t tl0_offset, keyidx_offset, newest_tl0, newest_keyidx;
    uint64_t dropped_pictures[REWRITE_PICTURES / 64];
    uint16_t pictures_known; /* how far back the source's pictures reach */
    bool picture_restart;    /* the next picture is the first of a new source */
};

struct rewritten {
    uint16_t seq;
    uint32_t ts;
    bool late; /* not the newest: keep what the slot knows about its end of frame */
};

/* `first_seq` and `first_ts` are random numbers from the caller; the former is cut to 15 bits. */
void rewrite_init(struct rewrite *r, uint16_t first_seq, uint32_t first_ts, uint32_t clock_hz, uint32_t frame_ticks);

/* The next packet comes from another source: its extended number, timestamp, session time, and the time now. ERR_AGAIN, once
 * for a switch: its time is more than 75 ms off what has passed since the last packet; ask for one more keyframe, then it is
 * taken. ERR_BUSY: sound that overlaps what has been sent; leave this packet out and try the next. Video calls this with the
 * first packet of a keyframe. */
int rewrite_switch(struct rewrite *r, int64_t ext_seq, uint32_t ts, int64_t session_us, int64_t now_us);
/* The source has left; the slot is quiet until the next rewrite_switch(). Late packets are refused from here on. */
void rewrite_stop(struct rewrite *r);

/* Numbers for a packet of our own, one frame behind the newest, while no source is in the slot; whoever enters goes on
 * behind it. ERR_STATE: a source is in it, or none has ever been. */
int rewrite_own(struct rewrite *r, int64_t now_us, struct rewritten *ret);

/* Numbers for a packet that is forwarded. `ends_frame`: it is the last of its frame (sound: always). ERR_STALE: from before
 * the switch or too old; ERR_EXISTS: it was dropped on purpose; ERR_STATE: no source. */
int rewrite_packet(struct rewrite *r, int64_t ext_seq, uint32_t ts, bool ends_frame, int64_t now_us, struct rewritten *ret);
/* A packet that is not forwarded on purpose (another temporal layer, padding only): it leaves no hole. */
void rewrite_drop(struct rewrite *r, int64_t ext_seq);

struct rewritten_vp8 {
    uint16_t picture_id;
    uint8_t tl0picidx, keyidx;
};

/* VP8 numbers of a packet that is forwarded (after rewrite_packet() for it). ERR_STALE: a picture older than remembered. */
int rewrite_vp8(struct rewrite *r, const struct vp8_descriptor *d, struct rewritten_vp8 *ret);
/* Its picture is not forwarded, on purpose; call for any or every packet of it. */
void rewrite_vp8_drop(struct rewrite *r, const struct vp8_descriptor *d);

/* The slot's timestamp for a timestamp of the current source (for sender reports: hand in clockmap_ts_at(now)). */
static inline uint32_t rewrite_ts(const struct rewrite *r, uint32_t source_ts)
{
    return source_ts + r->ts_offset;
}
