/* RED: redundant audio data (RFC 2198): a packet of sound carries its predecessors once more, so that one that is lost alone
 * costs nothing and no round trip.
 *
 * We make it for subscribers whose line loses, from plain Opus; the simulator and the tests read it. Thread: any. Pure.
 * Errors: ERR_TRUNCATED, ERR_MALFORMED. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
    RED_BLOCKS_MAX = 4,         /* the newest among them */
    RED_BLOCK_BYTES_MAX = 1023, /* of an older one: ten bits */
    RED_OFFSET_MAX = 16383,     /* of its timestamp: fourteen bits */
};

struct red_block {
    const uint8_t *bytes;
    uint16_t len;
    uint32_t ts;
    uint8_t pt;
};

/* Writes `n` blocks, 1 … RED_BLOCKS_MAX, oldest first, the last one being the packet's own. Older ones that do not fit into
 * the format are left out. Returns the payload's length, 0: `cap` is too small for the newest. */
size_t red_write(const struct red_block *blocks, size_t n, uint8_t *out, size_t cap);

/* Blocks of a payload whose packet has timestamp `ts`, oldest first; they point into it. */
int red_parse(const uint8_t *payload, size_t len, uint32_t ts, struct red_block ret[RED_BLOCKS_MAX], size_t *ret_n);
