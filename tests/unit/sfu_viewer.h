/* A subscriber behind a modelled line (tests/link/access.h) that does what a browser does with the stage: transport-wide
 * feedback, requests for what is lost, for a keyframe when that is in vain; it shows each frame once all before it are
 * whole, or from a keyframe on. And a publisher that obeys: it sends the layers it is told to, no larger than it is told. */
#pragma once

#include "sfu_world.h"

#include "link/access.h"
#include "rtp/nack.h"
#include "rtp/transport_cc.h"

enum { VIEWER_PENDING = 4096, VIEWER_RING = 2048, VIEWER_STEP_MS = 5 };

struct on_the_way {
    int64_t at_us;
    struct arrived a;
};

struct viewer {
    struct world *world;
    uint32_t number;
    struct access access, *line; /* line: its own, or one that several share */
    uint32_t lose_repairs_ppm;   /* of packets of the repair stream, besides what the line does */
    int64_t return_us;           /* of what it tells */
    bool mute;                   /* gives no transport-wide feedback */
    struct on_the_way pending[VIEWER_PENDING];
    size_t n_pending;
    struct transport_cc_receiver receiver;
    struct nack_generator nack;
    struct seq_extender seq;
    struct {
        int64_t ext_seq; /* 0: nothing */
        bool marker, keyframe;
    } got[VIEWER_RING];
    int64_t next, newest_keyframe; /* next: number that is shown next, 0: a keyframe is awaited */
    int64_t feedback_us, stuck_us, pli_us;
    /* what came of it, since viewer_watch() */
    int64_t shown_us, longest_us; /* the newest frame; the longest time between two */
    int64_t waited_us;            /* longest wait on the line */
    unsigned frames, sounds, plis;
    uint64_t picture_bytes;
    uint64_t random;
};

/* Watches the stage; its line begins now. `number` has joined. */
void viewer_begin(struct viewer *v, struct world *w, uint32_t number, const struct access_config *line);
/* What has come by now, and what the viewer says to it. */
void viewer_run(struct viewer *v);
void viewer_watch(struct viewer *v);
unsigned viewer_layer(const struct viewer *v);

/* A camera in three layers of about 150, 500 and 1,700 kbit/s, 28 frames/s. */
struct obeying {
    struct camera *camera;
    uint32_t number;
    int64_t delay_us; /* until it does what it is told */
    struct {
        int64_t at_us;
        uint8_t active;
        uint32_t max_bps[SFU_LAYERS];
    } told[64], now;
    size_t n_told;
    uint32_t version;
    unsigned plis_answered[SFU_LAYERS];
    uint64_t bytes[SFU_LAYERS];
    unsigned frames;
};
void obeying_begin(struct obeying *o, struct world *w, uint32_t number);
/* What it and its microphone send at `ms`, a multiple of VIEWER_STEP_MS. */
void obeying_send(struct obeying *o, struct world *w, int64_t ms);

/* `ms` of time: the publisher (NULL: nobody) and sound of the same endpoint; each viewer runs. */
void viewers_live(struct obeying *o, struct viewer *const *viewers, size_t n, int64_t ms);
