/* History: the publisher's packets of about one second, by extended sequence number; what retransmissions and mirrors read.
 *
 * A ring of references to struct packet; putting a packet in takes a reference, leaving drops it. One object for each
 * received layer; all subscribers share it. `sent` is its counterpart at a slot: which publisher packet went out under which
 * number. No allocation after new. Thread: one. */
#pragma once

#include "base/packet.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HISTORY_AGE_US = 1000000 };

struct history_entry {
    struct packet *packet; /* NULL: empty */
    int64_t ext_seq;
    uint32_t ts;
    uint16_t payload_at, payload_len; /* in packet->bytes, without padding */
    uint8_t padding;                  /* equal-size padding added at ingress */
    bool marker, keyframe;
    uint8_t audio_level;
};

struct history;

/* `capacity`: packets, a power of two. NULL: no memory. */
struct history *history_new(size_t capacity);
void history_free(struct history *h); /* drops all references; NULL is fine */
/* Copies `e` and takes a reference to its packet. A number older than the ring holds is refused: ERR_STALE; a repeated one,
 * even when what it brought has expired: ERR_EXISTS. */
int history_put(struct history *h, const struct history_entry *e);
/* NULL: never had it, or overwritten. Valid until the next put or expire. */
const struct history_entry *history_get(const struct history *h, int64_t ext_seq);
/* Drops what arrived before now − HISTORY_AGE_US, so that the pool gets its packets back on quiet streams. */
void history_expire(struct history *h, int64_t now_us);

/* One sent packet of a slot. */
struct sent_entry {
    int64_t source_seq;  /* publisher's extended number */
    uint32_t source;     /* the caller's mark of (track, layer); 0: empty */
    uint32_t ts;         /* as sent */
    int64_t resent_us;   /* last answer to a NACK, 0: none */
    uint16_t seq;        /* as sent */
    uint16_t picture_id; /* VP8 as sent */
    uint8_t tl0picidx, keyidx;
    bool marker; /* as sent */
};

enum { SENT_RING = 1024 };

struct sent {
    struct sent_entry ring[SENT_RING]; /* by seq modulo SENT_RING */
};

/* `e->source` must not be 0. */
static inline void sent_put(struct sent *s, const struct sent_entry *e)
{
    s->ring[e->seq % SENT_RING] = *e;
}

/* The packet sent under `seq`, or NULL. Returns it at most once within `rtt_us`: a second NACK in that time is a repetition
 * that crossed our answer. Marks it as resent at `now_us`. */
struct sent_entry *sent_take_for_resend(struct sent *s, uint16_t seq, int64_t now_us, int64_t rtt_us);
