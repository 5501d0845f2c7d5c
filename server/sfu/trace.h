/* Trace: what the estimators were told and what they decided, to be replayed (tests/unit/test_bwe_replay.c) and drawn
 * (tests/link/plot). Times, sizes and rates of packets, numbers of endpoints; nothing of their content, no addresses or
 * names.
 *
 * Text, a record a line. The first line is `giaoban-trace 1 BASE`: BASE, decimal, is what all times begin at, µs. In the
 * others numbers are in base 36, separated by spaces; ID is a peer's, from 1.
 *
 * `n ID now number incarnation start_bps min_bps max_bps`: a peer with its estimator.
 *
 * `f ID now rtt_us P P …`: feedback, in the order of sequence. P is sent:took:bytes[:probe]; sent is later than that of the
 * P before it (the first: than BASE) by so much; took is arrival (the receiver's clock) − sent, `!` when lost.
 *
 * `p ID now probe bytes`: a packet of a probe left.
 *
 * `r ID now bps`: REMB.
 *
 * `t ID now flags want_bps target_bps acked_bps queue_us loss_permille chosen_bps share_bps sent_bytes [probe bps bytes]`:
 * every 50 ms, after the look. flags 1: packets wait for feedback; 2: a paused picture waits for a probe by now +
 * DOWNLINK_PAUSED_PROBE_US; 4: whether to probe was asked, and then the answer, if it is one. loss: the window's that the
 * estimator looks at; chosen: sound and layers; sent_bytes: since the look before.
 *
 * Bounded: after `bytes` nothing more is written, and the last line may be cut.
 *
 * Owner: the shell. Pure but for its `write`. Thread: one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bwe_packet;
struct peer;

enum { TRACE_BUFFER_BYTES = 64 * 1024 };
enum { TRACE_WAITING = 1, TRACE_PAUSED = 2, TRACE_ASKED = 4 };

struct trace {
    void (*write)(void *ctx, const char *bytes, size_t len);
    void *ctx;
    uint64_t left; /* bytes that may still be written */
    int64_t base_us;
    uint32_t next_id;
    size_t len;
    char bytes[TRACE_BUFFER_BYTES];
};

void trace_init(struct trace *t, void (*write)(void *ctx, const char *bytes, size_t len), void *ctx, uint64_t bytes,
                int64_t now_us);
/* Hands on what has been gathered; NULL is fine. */
void trace_flush(struct trace *t);

/* All of these do nothing when the peer's sfu has no trace. */
void trace_feedback(struct peer *p, const struct bwe_packet *packets, size_t n, int64_t now_us);
void trace_probe(struct peer *p, uint8_t probe, size_t bytes, int64_t now_us);
void trace_remb(struct peer *p, uint64_t bps, int64_t now_us);
/* After a tick: p->downlink says the rest. */
void trace_tick(struct peer *p, unsigned flags, int64_t now_us);
