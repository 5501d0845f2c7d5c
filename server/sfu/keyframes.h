/* Keyframe requests of one source: a limiter with no way round it.
 *
 * A picture request (PLI, RFC 4585 6.3.1; FIR, RFC 5104 4.3.1) costs the publisher a burst and everybody else quality, so
 * each layer is asked for at most every KEYFRAME_APART_US; what comes sooner is deferred, never dropped, and everybody who
 * wants that layer by then shares one request. A request is repeated until the keyframe of its layer begins. A simulcast
 * layer is an encoder's stream of its own with an SSRC of its own, so nobody who needs the top layer waits because somebody
 * else has just asked for the lowest. Where a publisher answers with keyframes of all layers, their arrival ends the other
 * wishes too.
 *
 *   invariant: sent(layer, n + 1) − sent(layer, n) ≥ KEYFRAME_APART_US
 *   invariant: a wanted layer is in `wanted` until keyframes_arrived() for it
 *
 * Pure. Times in µs, any origin. */
#pragma once

#include <stdint.h>

enum {
    KEYFRAME_LAYERS = 3,
    KEYFRAME_APART_US = 500 * 1000,
    KEYFRAME_RETRY_MIN_US = 200 * 1000, /* retry every clamp(2 × RTT, min, max), and never under the distance above */
    KEYFRAME_RETRY_MAX_US = 1000 * 1000,
};

struct keyframes {
    int64_t sent_us[KEYFRAME_LAYERS]; /* of each layer's last request; holds for the layers in `ever` */
    uint64_t sent;                    /* requests so far, one for each layer named */
    uint8_t ever;                     /* bit mask of layers that have been asked for at least once */
    uint8_t wanted;                   /* layers somebody waits for and whose keyframe has not begun since */
    uint8_t asked;                    /* those of them whose request is on its way */
};

void keyframes_want(struct keyframes *k, unsigned layer);
/* Nobody waits for that layer any more. */
void keyframes_forget(struct keyframes *k, unsigned layer);
void keyframes_forget_all(struct keyframes *k);
void keyframes_arrived(struct keyframes *k, unsigned layer);
/* The layers to ask for now, as a mask; 0: none. The caller sends the request when it is not 0. */
uint8_t keyframes_poll(struct keyframes *k, int64_t now_us, int64_t rtt_us);
/* When keyframes_poll() may yield something; INT64_MAX: nothing is wanted. */
int64_t keyframes_next_us(const struct keyframes *k, int64_t rtt_us);
