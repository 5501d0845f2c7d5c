/* giaoban-media as a child of the test, which plays the supervisor and control, and clients in this process. */
#pragma once

#include "base/clock.h"
#include "base/err.h"
#include "base/feed.h"
#include "base/link.h"
#include "net/net.h"
#include "rtp/packet.h"
#include "rtp/rtcp.h"
#include "rtp/transport_cc.h"
#include "rtp/vp8.h"
#include "sim/offer.h"
#include "wish/message.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { WORKERS = 2, CLIENTS = 4, TAKEN = 4096 };

struct taken { /* a packet that a client received */
    uint32_t ssrc, ts, tag;
    uint16_t seq, picture_id;
    bool start, keyframe, marker;
    int64_t at_us;
};

struct client {
    struct world *world;
    unsigned worker;
    uint32_t number;
    struct net_transport *t;
    struct answer answer;
    bool answered, connected;
    char refused[64];
    struct taken *taken;
    size_t n_taken;
    unsigned plis;
    uint16_t seq[OFFER_SECTIONS], transport_seq, picture_id;
    uint32_t tag;
    /* pictures of the camera on their way: every so manieth packet is lost, 0: none; what is asked for again comes by RTX,
     * unless it is one of a hundred that are given up */
    unsigned lose_every, gives_up_every;
    struct {
        uint16_t seq;
        uint32_t ts;
        bool marker;
        uint8_t bytes[1000];
        size_t len;
    } kept[64];
    uint16_t rtx_seq;
    unsigned lost, repaired;
    bool sends_sound, sends_picture, sends_screen, keyframe_due;
    int64_t sound_us, picture_us, report_us, feedback_us;
    struct transport_cc_receiver feedback;
};

struct worker {
    pid_t pid;
    int link, control;
    uint64_t *heartbeat;
    json_t *hello, *layouts; /* the newest */
    json_t *metrics;         /* newest counters */
    json_t *states;          /* newest state of each endpoint, by number as text */
    json_t *acted;
    json_int_t speaker;
    unsigned feeds_ready, refusals;
    char refusal[64];
};

struct world {
    struct worker workers[WORKERS];
    unsigned n_workers;
    struct net *net;
    struct client clients[CLIENTS]; /* endpoint number is index + 1 */
    struct wish_briefing wish;
    struct wish_endpoint endpoints[CLIENTS];
    uint64_t version;
    json_int_t req;
};

struct world *world_new(unsigned workers);
void world_free(struct world *w);
/* A turn of everything. */
void world_step(struct world *w);

#define wait_until(w, condition)                                                                                            \
    do {                                                                                                                    \
        int64_t give_up_us = clock_now_us() + 8000000;                                                                      \
        while (!(condition) && clock_now_us() < give_up_us)                                                                 \
            world_step(w);                                                                                                  \
        assert_true(condition);                                                                                             \
    } while (0)

/* Steps until then: for what must not happen. */
void world_let(struct world *w, int64_t us);

/* Sends the wish as it stands to every worker, whole. */
void world_wish(struct world *w);
/* Puts endpoint `number` on `worker` into the wish; it may send everything. */
void world_place(struct world *w, uint32_t number, unsigned worker);
/* Offer, answer, connected. */
void world_join(struct world *w, uint32_t number);
void world_offer(struct world *w, uint32_t number, const char *sdp, uint32_t incarnation);
void world_send(struct world *w, unsigned worker, json_t *message, const int *fds, size_t n_fds);
/* Closes the control link and hands the worker a new one. */
void world_replace_control(struct world *w, unsigned worker);
struct client *world_client(struct world *w, uint32_t number);
/* Packets that `number` got in that section, since the last world_forget(). */
size_t world_got(struct world *w, uint32_t number, enum offer_section section);
const struct taken *world_newest(struct world *w, uint32_t number, enum offer_section section);
void world_forget(struct world *w);
/* Who is in that section, by the worker's state reports. */
json_int_t world_slot(struct world *w, uint32_t number, enum offer_section section);
json_int_t world_metric(struct world *w, unsigned worker, const char *name);
