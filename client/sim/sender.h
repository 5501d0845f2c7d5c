/* Sender: a simulated endpoint's microphone and camera, as a browser sends them.
 *
 * One clock for both: frame n of the camera and sample n × 48000 / fps of the sound are captured together. A keyframe is
 * sent at the start of each layer and when asked by PLI or FIR; every request is counted. Retransmissions are made again
 * from the clip, so nothing is copied. Sender reports once a second. Thread: the media loop's. Times in µs. */
#pragma once

#include "rtp/packet.h"
#include "sim/clip.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct net_transport;
struct sender;

struct sender_counts {
    uint64_t packets, keyframe_requests, keyframes, retransmissions;
    uint64_t skipped; /* pictures left out because this process had no processor for too long */
};

/* Called for every RTP packet with its payload behind the VP8 descriptor, when it is handed to the net: for measuring. */
typedef void sender_tap(void *ctx, const uint8_t *media, size_t len, int64_t now_us);

/* `clip` is borrowed. NULL: no memory. */
struct sender *sender_new(const struct clip *clip, uint32_t ssrc_base, int64_t start_us);
void sender_free(struct sender *s); /* NULL is fine */
/* A new transport (first join or re-join): streams begin anew with a keyframe, transport-wide numbers from 0. */
void sender_attach(struct sender *s, struct net_transport *t, int64_t now_us);
void sender_set(struct sender *s, bool microphone, bool camera);
/* Layers of the camera that are wanted, as a mask; the clip's rates are fixed. One that begins again begins with a keyframe.
 * A new transport sends all. */
void sender_want_layers(struct sender *s, unsigned layers);
/* Keyframes only at the start, never when asked (a source that leaves the recorder nothing to start from). */
void sender_ignore_keyframe_requests(struct sender *s);
/* The camera hangs: the same picture, sent only when somebody asks for a keyframe. */
void sender_freeze(struct sender *s);
void sender_set_tap(struct sender *s, sender_tap *tap, void *ctx);

/* Sends what is due; returns when it wants to run again. */
int64_t sender_run(struct sender *s, int64_t now_us);
/* One RTCP block about our streams: NACK, PLI, FIR; others are ignored. */
struct rtcp_block;
void sender_feedback(struct sender *s, const struct rtcp_block *b, int64_t now_us);
const struct sender_counts *sender_counts(const struct sender *s);
