/* Listen: decodes one microphone's Opus packets and measures them: level, peak, clipping.
 *
 * The level is the loudest tenth of a second's, in dBFS by root mean square: somebody who speaks now and then is heard, and
 * a pause does not make a room quiet. A full-scale sine has −3 dBFS.
 *
 * Pure. Thread: one. Mono is decoded: two channels are mixed. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
    LISTEN_RATE = 48000,
    LISTEN_FLOOR_DB = -96,
    LISTEN_SETTLE = LISTEN_RATE / 5, /* samples: a decoder that begins in mid-stream takes so long to find the true level */
    LISTEN_CONCEAL_MAX = 10,         /* lost packets in a row that the decoder bridges */
    LISTEN_CLIPPED = 32000, /* a sample at least so far out counts as clipped: decoding smooths the cut-off tops a little */
};

struct listen_result {
    uint32_t packets, broken;  /* decoded, refused by the decoder */
    uint32_t samples;          /* measured */
    int8_t level_db, peak_db;  /* dBFS, LISTEN_FLOOR_DB … 0 */
    uint16_t clipped_permille; /* of the samples */
};

struct listen;

/* ERR_NOMEM. */
int listen_new(struct listen **ret);
void listen_free(struct listen *l); /* NULL is fine */
void listen_packet(struct listen *l, const uint8_t *packet, size_t len);
/* So many packets are missing here. */
void listen_lost(struct listen *l, uint64_t packets);
struct listen_result listen_result(const struct listen *l);
