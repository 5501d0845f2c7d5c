/* Pacer: the queue between fan-out and line, one a subscriber.
 *
 * Fan-out puts a descriptor (a counted reference to the publisher's packet, and what the slot makes of it); the pacer says
 * which descriptor leaves and when; only then its header is stamped and its payload protected. Today every descriptor is
 * released at the end of the turn that brought it; a rate comes with the estimator and changes nothing for the callers.
 *
 * Sound has a queue of its own and is always released first. Order within a queue is kept.
 *
 * Pure. Owner: one subscriber. No allocation after pacer_new(). Times in µs. Errors: ERR_FULL. Left out: the budget. */
#pragma once

#include "base/packet.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PACER_SOUND_MAX = 32,    /* powers of two */
    PACER_PICTURE_MAX = 256, /* a keyframe of 2.5 Mbit/s and more than a burst of the line before it */
    PACER_BURST_US = 5000,
    PACER_HEADERS = 60, /* bytes that a packet takes besides its payload: IP, UDP, RTP with extensions, tag */
};

struct pacer_packet {
    struct packet *packet; /* one reference, moved in by put and out by next */
    void *slot;            /* the caller's */
    uint32_t ts;
    uint16_t seq;
    uint16_t offset, len; /* payload within the packet */
    /* VP8's numbers as this subscriber gets them, and where they stand in the payload (rtp/vp8.h); bits and places 0: absent
     */
    uint16_t picture_id;
    uint8_t tl0picidx, keyidx;
    uint8_t picture_id_bits, at_picture_id, at_tl0, at_tid_keyidx;
    bool marker, repair; /* repair: leaves on the slot's RTX stream */
};

struct pacer;

struct pacer *pacer_new(void);    /* NULL: no memory */
void pacer_free(struct pacer *p); /* gives the references back; NULL is fine */

/* What leaves in a second from `now_us` on; 0: no limit. */
void pacer_set_rate(struct pacer *p, uint32_t bps, int64_t now_us);
/* Bytes that left without having been queued (padding). */
void pacer_charge(struct pacer *p, size_t bytes, int64_t now_us);
/* Moves `item` in. ERR_FULL: nothing changed, the reference stays the caller's. */
int pacer_put(struct pacer *p, bool sound, const struct pacer_packet *item);
/* Moves the next descriptor that may leave at `now_us` out; false: none now. */
bool pacer_next(struct pacer *p, int64_t now_us, struct pacer_packet *ret_item);
/* The descriptor `ahead` places behind the next one, without moving it; NULL when there is none. */
const struct pacer_packet *pacer_peek(const struct pacer *p, size_t ahead);
/* Throws away what is queued for `slot`; returns how many packets. */
size_t pacer_forget(struct pacer *p, const void *slot);
bool pacer_empty(const struct pacer *p);
/* When something may be released next; INT64_MAX: the queue is empty. */
int64_t pacer_next_us(const struct pacer *p, int64_t now_us);
/* May padding leave now, with nothing queued? */
bool pacer_idle(const struct pacer *p, int64_t now_us);
/* Bytes of pictures that wait, with their headers. */
size_t pacer_waiting_bytes(const struct pacer *p);
