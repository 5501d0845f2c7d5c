/* Frame: packets in a TCP stream, RFC 4571, 2: two bytes of length in network order, then the packet. Pure.
 *
 * What arrives is put at frame_room(), then frame_next() gives the whole packets one after the other, in place: they are
 * valid until frame_room() is asked again. A stream that says an impossible length can't be read any further. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { FRAME_HEADER = 2, FRAME_MAX = 2048, FRAME_BUFFER = 4096 };

struct frame_reader {
    uint16_t at, len;            /* bytes[at … len) are not taken yet */
    uint8_t bytes[FRAME_BUFFER]; /* room for the longest packet behind the beginning of another */
};

/* Where to put what arrives, and how much: never 0. */
uint8_t *frame_room(struct frame_reader *r, size_t *ret_room);
void frame_filled(struct frame_reader *r, size_t len);

/* 0 with a packet of 1 … FRAME_MAX bytes; empty frames are passed over. ERR_AGAIN: more must arrive. ERR_MALFORMED: a length
 * beyond `most`, now and whenever it is asked again. */
int frame_next(struct frame_reader *r, size_t most, const uint8_t **ret_packet, size_t *ret_len);
