/* NACK generator (RFC 4585, 6.2.1), receive side, one object for each received stream (SSRC).
 *
 * A gap becomes a list entry; it is asked for after REORDER_US (most holes are reordering), again each round trip, at most
 * NACK_TRIES times. The list is bounded: when it is full, everything before the newest keyframe is given up, and failing
 * that everything, and `want_keyframe` says so. Numbers are extended (base/seq.h), so nothing here wraps.
 *
 * Thread: any, one at a time. Pure: time is a parameter. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    NACK_REORDER_US = 11000,
    NACK_TRIES = 10,
    NACK_LIST = 512, /* entries; a longer gap is a break, not a loss */
    NACK_RTT_DEFAULT_US = 100000,
    NACK_RTT_MIN_US = 20000,
};

struct nack_entry {
    int64_t ext_seq, ask_at_us;
    uint8_t tries;
};

struct nack_generator {
    struct nack_entry list[NACK_LIST]; /* ascending by ext_seq */
    uint16_t n;
    bool started, want_keyframe;
    int64_t newest, newest_keyframe;
    uint64_t given_up, recovered; /* counters */
};

void nack_init(struct nack_generator *g);
/* A packet arrived, directly or out of an RTX packet. `keyframe`: it starts a keyframe. */
void nack_input(struct nack_generator *g, int64_t ext_seq, bool keyframe, int64_t now_us);
/* Sequence numbers (low 16 bits, ascending) that are due; at most `cap`. `rtt_us` ≤ 0: unknown. */
size_t nack_poll(struct nack_generator *g, int64_t now_us, int64_t rtt_us, uint16_t *seqs, size_t cap);
/* When nack_poll() will have something; INT64_MAX: nothing missing. */
int64_t nack_next_timeout(const struct nack_generator *g);
/* True once after the list was flushed without a keyframe behind it: ask for one. */
bool nack_take_keyframe_wish(struct nack_generator *g);
