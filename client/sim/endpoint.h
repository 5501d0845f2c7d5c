/* Endpoint: one simulated room, laptop or viewer: its seat in the briefing, its transport, its sender and receiver.
 *
 * It behaves as the web client does: hello, one offer, then commands and events; it comes back by itself after a lost
 * websocket (0–500 ms later, with its resume secret), after the notice `rejoin` and after a failed transport. Thread: the
 * media loop's; the clip is made on a thread of its own. Times in µs. */
#pragma once

#include "net/net.h"
#include "sim/hostile.h"
#include "sim/receiver.h"
#include "sim/sender.h"
#include "sim/sockets.h"

#include <stdbool.h>

struct endpoint;

struct endpoint_options {
    struct net *net;
    struct sockets *sockets;
    const char *cache_dir;
    int family; /* AF_INET or AF_INET6: which candidate is taken */
    bool tcp;   /* by a connection to its port */
    int width, height, fps;
    bool video;        /* a camera */
    bool speaks;       /* microphone on from the start */
    bool publishes;    /* false: sees and hears only, no clip is made */
    bool ignore_mute;  /* goes on sending sound whatever the server says */
    bool frozen;       /* its camera hangs, see sender_freeze() */
    bool tiles;        /* shows two others beside the stage */
    bool no_keyframes; /* never sends a keyframe when asked */
    enum hostile_kind hostile;
    unsigned hostile_rate; /* packets a second; 0: the kind's own */
    sender_tap *sent;      /* may be NULL */
    receiver_tap *received;
    void *tap_ctx;
};

struct endpoint_status {
    bool joined; /* websocket live and transport connected */
    bool microphone, has_floor;
    unsigned stage;  /* number of the endpoint in the stage slot, 0: nobody */
    unsigned paused; /* slots that its line does not hold */
    unsigned rejoins, resumes;
    uint64_t hostile, hostile_back_bytes; /* packets sent; what came back to strangers */
    struct sender_counts sent;
    struct receiver_counts received;
};

/* What it has heard and where it is, as of `now_us`; counts are since its beginning. */
struct endpoint_hearing {
    unsigned number, port; /* its own; of the server's media socket: which worker it is on. 0: not yet */
    unsigned rejoins, resumes;
    uint64_t stage_sound, lost;    /* packets of stage sound; packets that never came, of all slots */
    int64_t stage_gap_us;          /* longest between two packets of stage sound since endpoint_reset_gap(); 0: none came */
    int64_t live_us, connected_us; /* since when past hello, since when its transport is connected; 0: isn't */
    int64_t heard_us;              /* first stage sound on this transport; 0: none yet */
};

/* `options` is borrowed for the endpoint's life. NULL: no memory. */
struct endpoint *endpoint_new(const struct endpoint_options *options, unsigned index, unsigned source, const char *token,
                              int64_t now_us);
void endpoint_free(struct endpoint *e); /* NULL is fine */
void endpoint_start(struct endpoint *e);

/* Says goodbye, so that its seat is free at once and not after the server's patience. */
void endpoint_leave(struct endpoint *e);
bool endpoint_is_live(const struct endpoint *e); /* its websocket is past hello */

void endpoint_socket_event(struct endpoint *e, const struct socket_event *event, int64_t now_us);
void endpoint_packet(struct endpoint *e, struct packet *p, int64_t now_us);
void endpoint_rtcp(struct endpoint *e, const uint8_t *bytes, size_t len, int64_t now_us);
void endpoint_transport_state(struct endpoint *e, struct net_transport *t, enum net_state state, int64_t now_us);
int64_t endpoint_run(struct endpoint *e, int64_t now_us);
void endpoint_status(const struct endpoint *e, struct endpoint_status *ret);
void endpoint_hearing(const struct endpoint *e, int64_t now_us, struct endpoint_hearing *ret);
void endpoint_reset_gap(struct endpoint *e, int64_t now_us);
/* From now on no keyframe is sent when asked. */
void endpoint_ignore_keyframe_requests(struct endpoint *e);
