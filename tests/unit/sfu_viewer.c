#include "sfu_viewer.h"

#include <stdlib.h>
#include <string.h>

enum {
    HEADERS = 28 + 16,
    FEEDBACK_US = 50000,
    STUCK_US = 250000, /* without what is missing: a keyframe is asked for … */
    PLI_US = 500000,   /* … again after so long */
    PICTURE = STAGE_PICTURE,
    FRAME_MS = 35,
};
static const uint32_t full_bps[SFU_LAYERS] = {150000, 500000, 1700000};

static bool over_the_line(const struct arrived *a, void *ctx)
{
    struct viewer *v = ctx;
    int64_t at[2], now_us = v->world->now_us, waits = access_waiting_us(v->line, now_us);
    v->waited_us = waits > v->waited_us ? waits : v->waited_us;
    unsigned copies = access_offer(v->line, a->len + HEADERS, now_us, at);
    v->random = v->random * 6364136223846793005u + 1442695040888963407u;
    if (a->repair && (v->random >> 33) % 1000000 < v->lose_repairs_ppm)
        return true;
    for (unsigned i = 0; i < copies && v->n_pending < VIEWER_PENDING; i++)
        v->pending[v->n_pending++] = (struct on_the_way){at[i], *a};
    return true; /* nothing is kept by the world */
}

void viewer_begin(struct viewer *v, struct world *w, uint32_t number, const struct access_config *line)
{
    *v = (struct viewer){.world = w, .number = number, .return_us = 20000, .random = number};
    access_init(&v->access, line, number);
    v->line = &v->access;
    transport_cc_init(&v->receiver);
    nack_init(&v->nack);
    world_line(w, number)->lose = over_the_line;
    world_line(w, number)->lose_ctx = v;
    v->shown_us = w->now_us;
}

void viewer_watch(struct viewer *v)
{
    v->longest_us = v->waited_us = 0;
    v->frames = v->sounds = v->plis = 0;
    v->picture_bytes = 0;
    v->shown_us = v->world->now_us;
}

unsigned viewer_layer(const struct viewer *v)
{
    return world_slot(v->world, v->number, PICTURE)->layer;
}

static void show(struct viewer *v)
{
    int64_t now_us = v->world->now_us;
    v->longest_us = now_us - v->shown_us > v->longest_us ? now_us - v->shown_us : v->longest_us;
    v->shown_us = now_us;
    v->frames++;
}

static bool has(const struct viewer *v, int64_t ext_seq)
{
    return v->got[ext_seq % VIEWER_RING].ext_seq == ext_seq;
}

/* On from what was shown, or from the newest keyframe when something before it is missing. */
static void decode(struct viewer *v)
{
    if (v->newest_keyframe > v->next && !(v->next && has(v, v->next)) && has(v, v->newest_keyframe))
        v->next = v->newest_keyframe;
    for (; v->next && has(v, v->next); v->next++) {
        v->stuck_us = 0;
        if (v->got[v->next % VIEWER_RING].marker)
            show(v);
    }
}

static void take_picture(struct viewer *v, const struct arrived *a)
{
    if (!a->picture)
        return; /* padding */
    int64_t ext_seq = seq_extend(&v->seq, a->repair ? a->original_seq : a->seq);
    bool begins = a->start && a->keyframe;
    v->got[ext_seq % VIEWER_RING].ext_seq = ext_seq;
    v->got[ext_seq % VIEWER_RING].marker = a->marker;
    v->got[ext_seq % VIEWER_RING].keyframe = begins;
    if (begins && ext_seq > v->newest_keyframe)
        v->newest_keyframe = ext_seq;
    nack_input(&v->nack, ext_seq, begins, v->world->now_us);
    decode(v);
}

static void take(struct viewer *v, const struct on_the_way *p)
{
    uint32_t picture = world_ssrc(v->number, PICTURE);
    transport_cc_arrived(&v->receiver, p->a.transport_seq, p->at_us);
    if (p->a.ssrc == world_ssrc(v->number, STAGE_SOUND))
        v->sounds++;
    else
        v->picture_bytes += p->a.len;
    if (p->a.ssrc == picture || p->a.ssrc == picture + 50)
        take_picture(v, &p->a);
}

static int by_time(const void *a, const void *b)
{
    const struct on_the_way *x = a, *y = b;
    if (x->at_us != y->at_us)
        return x->at_us < y->at_us ? -1 : 1;
    return (int16_t)(x->a.transport_seq - y->a.transport_seq);
}

static void receive(struct viewer *v)
{
    size_t n = 0;
    qsort(v->pending, v->n_pending, sizeof v->pending[0], by_time);
    while (n < v->n_pending && v->pending[n].at_us <= v->world->now_us - v->return_us)
        take(v, &v->pending[n++]);
    v->n_pending -= n;
    memmove(v->pending, v->pending + n, v->n_pending * sizeof v->pending[0]);
}

static void ask(struct viewer *v)
{
    uint16_t seqs[64];
    int64_t now_us = v->world->now_us;
    uint32_t ssrc = world_ssrc(v->number, PICTURE);
    size_t n = nack_poll(&v->nack, now_us, v->line->config.delay_us + v->return_us, seqs, 64);
    if (n)
        world_nack(v->world, v->number, ssrc, seqs, n);
    nack_take_keyframe_wish(&v->nack);
    bool missing = !v->next || v->seq.newest >= v->next;
    if (!missing || !v->seq.started)
        v->stuck_us = 0;
    else if (!v->stuck_us)
        v->stuck_us = now_us;
    else if (now_us - v->stuck_us > STUCK_US && now_us - v->pli_us > PLI_US) {
        v->pli_us = now_us;
        v->plis++;
        world_pli(v->world, v->number, ssrc);
    }
}

static void tell(struct viewer *v)
{
    struct world *w = v->world;
    if (w->now_us < v->feedback_us || v->mute)
        return;
    v->feedback_us = w->now_us + FEEDBACK_US;
    for (;;) {
        uint8_t bytes[1200];
        struct writer x = writer_make(bytes, sizeof bytes);
        if (transport_cc_build(&v->receiver, &x, 7, world_ssrc(v->number, PICTURE)))
            return;
        peer_input_rtcp(world_line(w, v->number)->peer, bytes, writer_len(&x), w->now_us);
    }
}

void viewer_run(struct viewer *v)
{
    receive(v);
    ask(v);
    tell(v);
    int64_t open_us = v->world->now_us - v->shown_us;
    v->longest_us = open_us > v->longest_us ? open_us : v->longest_us;
}

/* ---- the publisher ---- */

void obeying_begin(struct obeying *o, struct world *w, uint32_t number)
{
    *o = (struct obeying){.camera = &w->cameras[number - 1], .number = number, .delay_us = 50000};
    o->now.active = (1u << SFU_LAYERS) - 1;
}

static void obey(struct obeying *o, struct world *w)
{
    const struct uplink *u = &router_source(w->router, o->number, WISH_CAMERA)->uplink;
    if (u->version != o->version && o->n_told < 64) {
        o->version = u->version;
        o->told[o->n_told].at_us = w->now_us + o->delay_us;
        o->told[o->n_told].active = u->active;
        memcpy(o->told[o->n_told++].max_bps, u->max_bps, sizeof u->max_bps);
    }
    while (o->n_told && o->told[0].at_us <= w->now_us) {
        uint8_t begun = o->told[0].active & (uint8_t)~o->now.active;
        for (unsigned i = 0; i < SFU_LAYERS; i++)
            if (begun & 1u << i) /* begins with a keyframe by itself */
                o->plis_answered[i] = world_line(w, o->number)->camera_plis[i] - 1;
        o->now = o->told[0];
        memmove(o->told, o->told + 1, --o->n_told * sizeof o->told[0]);
    }
}

static void send_frame(struct obeying *o, struct world *w, unsigned layer)
{
    unsigned *asked = &world_line(w, o->number)->camera_plis[layer], payload = w->packet_bytes;
    uint32_t bound = o->now.max_bps[layer], bps = bound && bound < full_bps[layer] ? bound : full_bps[layer];
    unsigned bytes = bps / 8 * FRAME_MS / 1000, packets = bytes / 1050 + 1;
    bool keyframe = o->plis_answered[layer] != *asked || o->frames == 0;
    o->plis_answered[layer] = *asked;
    o->bytes[layer] += bytes;
    w->packet_bytes = bytes / packets - 40; /* headers are part of it */
    world_frame(w, o->camera, layer, packets, keyframe, 0);
    w->packet_bytes = payload;
}

void obeying_send(struct obeying *o, struct world *w, int64_t ms)
{
    if (ms % 20 == 0)
        world_sound(w, o->number, 30);
    obey(o, w);
    for (unsigned i = 0; ms % FRAME_MS == 0 && i < SFU_LAYERS; i++)
        if (o->now.active & 1u << i)
            send_frame(o, w, i);
    o->frames += ms % FRAME_MS == 0;
}

void viewers_live(struct obeying *o, struct viewer *const *viewers, size_t n, int64_t ms)
{
    struct world *w = viewers[0]->world;
    for (int64_t t = 0; t < ms; t += VIEWER_STEP_MS) {
        if (o)
            obeying_send(o, w, t);
        world_run(w, VIEWER_STEP_MS * 1000);
        for (size_t i = 0; i < n; i++)
            viewer_run(viewers[i]);
    }
}
