/* Feeds that we write: mirrors for other workers, the recorder's, and the check's. */
#include "media/media.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { TRACKS = (WISH_ENDPOINT_NUMBER_MAX + 1) * 4, META_AGAIN_US = 100 * 1000 };

struct feed *feeds_find(struct media *m, uint64_t id)
{
    for (struct briefing *b = m->briefings; b; b = b->next)
        for (struct feed *f = b->feeds; f; f = f->next)
            if (f->id == id)
                return f;
    return NULL;
}

static void wake_ready(void *ctx, uint32_t events, int64_t now_us)
{
    struct feed *f = ctx;
    uint64_t count;
    if (read(f->wake_fd, &count, sizeof count) < 0)
        return; /* nothing to clear: another turn has read it */
    feed_wake(f->reader);
}

static int open_reader(struct feed *f, struct net *net, const int *fds)
{
    int err = feed_reader_open(fds[0], fds[1], f->wake_fd, &f->reader);
    if (!err && f->wake_fd >= 0)
        err = net_watch(net, f->wake_fd, EPOLLIN, wake_ready, f);
    return err;
}

static int open_writer(struct feed *f, uint32_t generation, const int *fds)
{
    f->tracks = calloc(TRACKS, sizeof *f->tracks);
    if (!f->tracks)
        return ERR_NOMEM;
    for (size_t i = 0; i < TRACKS; i++)
        f->tracks[i].layer = SLOT_NO_LAYER;
    return feed_writer_open(fds[0], fds[1], f->wake_fd, generation, &f->writer);
}

static void feed_free(struct feed *f)
{
    if (f->reader && f->wake_fd >= 0)
        net_unwatch(f->briefing->media->net, f->wake_fd);
    feed_writer_close(f->writer);
    feed_reader_close(f->reader);
    if (f->wake_fd >= 0)
        close(f->wake_fd);
    free(f->tracks);
    free(f);
}

int feeds_open(struct briefing *b, uint64_t id, enum feed_role role, unsigned peer, const int *fds, size_t n_fds)
{
    if (n_fds < 2)
        return ERR_INVAL;
    if (feeds_find(b->media, id))
        return 0; /* the same again */
    struct feed *f = calloc(1, sizeof *f);
    if (!f)
        return ERR_NOMEM;
    f->briefing = b;
    f->id = id;
    f->role = role;
    f->peer = peer;
    f->wake_fd = n_fds > 2 ? fcntl(fds[2], F_DUPFD_CLOEXEC, 0) : -1;
    int err = role == FEED_ROLE_READER ? open_reader(f, b->media->net, fds) : open_writer(f, b->media->generation, fds);
    if (err) {
        feed_free(f);
        return err;
    }
    f->next = b->feeds;
    b->feeds = f;
    log_info("media", "feed=%llu briefing=%s role=%d peer=%u", (unsigned long long)id, b->id, (int)role, peer);
    return 0;
}

void feed_close(struct feed *f, int64_t now_us)
{
    struct feed **at = &f->briefing->feeds;
    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    if (f->reader)
        mirrors_end(f, now_us);
    if (f->writer && !f->briefing->media->stop) /* a successor of this process continues the feed */
        feed_end(f->writer);
    feed_free(f);
}

/* ---- records ---- */

static bool put(struct feed *f, const struct feed_record *r, const void *body)
{
    struct feed_counters *c = &f->briefing->media->feeds;
    if (feed_write(f->writer, r, body)) {
        c->dropped++;
        return false;
    }
    c->records_written++;
    return true;
}

static const char *codec_name(enum rtp_codec codec)
{
    static const char *const names[] = {[RTP_OPUS] = "opus", [RTP_VP8] = "VP8", [RTP_VP9] = "VP9", [RTP_H264] = "H264"};
    return names[codec];
}

static void put_meta(struct feed *f, struct feed_track *t, const struct source *s, int64_t now_us)
{
    const struct wish_endpoint *w = wish_find(&f->briefing->wish, s->number);
    const struct endpoint *e = s->peer->user;
    json_t *o = json_pack("{ss sI ss ss si si si s[iii] ss}", "endpoint", w ? w->id : "", "number", (json_int_t)s->number,
                          "kind", report_kind(s->kind), "codec", codec_name(s->codec), "clock", (int)s->clock_hz, "channels",
                          s->codec == RTP_OPUS ? 2 : 0, "layers", s->n_layers, "heights", source_known_height(s, 0),
                          source_known_height(s, 1), source_known_height(s, 2), "fmtp", e->fmtp[s->kind]);
    char body[FEED_BODY_MAX];
    size_t len = o ? json_dumpb(o, body, sizeof body, JSON_COMPACT) : 0;
    json_decref(o);
    if (!len || len > sizeof body)
        return;
    struct feed_record r = {
        .len = (uint16_t)len,
        .kind = FEED_META,
        .track = wish_track(s->number, s->kind),
        .incarnation = s->incarnation,
        .session_us = now_us,
    };
    if (!put(f, &r, body)) {
        t->meta_us = now_us - FEED_META_US + META_AGAIN_US; /* the ring is full: not again with each packet */
        return;
    }
    t->meta_us = now_us;
    for (unsigned i = 0; i < SFU_LAYERS; i++)
        t->heights[i] = source_known_height(s, i);
}

static bool heights_changed(const struct feed_track *t, const struct source *s)
{
    for (unsigned i = 0; i < SFU_LAYERS; i++)
        if (t->heights[i] != source_known_height(s, i))
            return true;
    return false;
}

static void put_rates(struct feed *f, struct feed_track *t, const struct source *s, int64_t now_us)
{
    uint8_t body[12];
    struct writer w = writer_make(body, sizeof body);
    for (unsigned i = 0; i < SFU_LAYERS; i++) {
        uint32_t bps[SFU_TIDS];
        write_u32(&w, t->alive & 1u << i ? bps[source_layer_rates(s, i, now_us, bps) - 1] : 0);
    }
    struct feed_record r = {
        .len = sizeof body,
        .kind = FEED_RATES,
        .track = wish_track(s->number, s->kind),
        .incarnation = s->incarnation,
        .session_us = now_us,
    };
    put(f, &r, body);
    t->rates_us = now_us;
}

/* Once a second, and at once when a layer begins or falls silent: the mirror chooses among the living. */
static void tell_rates(struct feed *f, struct feed_track *t, const struct source *s, int64_t now_us)
{
    uint8_t alive = 0;
    for (unsigned i = 0; i < SFU_LAYERS; i++)
        alive |= (uint8_t)((unsigned)source_layer_alive(s, i, now_us) << i);
    if (alive == t->alive && now_us - t->rates_us < RATES_US)
        return;
    t->alive = alive;
    put_rates(f, t, s, now_us);
}

static struct feed_track *track_of(struct feed *f, const struct source *s)
{
    return &f->tracks[wish_track(s->number, s->kind)];
}

/* A canonical RTP packet: fixed header without CSRC, extension or padding, in the bytes in front of the payload, which held
 * the publisher's header until it was parsed. */
static const uint8_t *canonical(const struct sfu_tapped *t)
{
    uint8_t *at = t->payload - RTP_FIXED_HEADER;
    at[0] = 0x80;
    at[1] = (uint8_t)((t->marker ? 0x80 : 0) | t->pt);
    put_u16(at + 2, (uint16_t)t->ext_seq);
    put_u32(at + 4, t->ts);
    put_u32(at + 8, t->source->layers[t->layer]->ssrc);
    return at;
}

static bool mirror_takes(const struct feed *f, const struct sfu_tapped *t)
{
    const struct source *s = t->source;
    if (s->kind == WISH_MICROPHONE)
        return true;
    return feed_wanted_layers(f->writer, wish_cell(s->number, s->kind)) & 1u << t->layer;
}

static void put_end(struct feed *f, const struct source *s, int64_t now_us)
{
    struct feed_record r = {
        .kind = FEED_END,
        .track = wish_track(s->number, s->kind),
        .incarnation = s->incarnation,
        .session_us = now_us,
    };
    put(f, &r, NULL);
}

/* The recorder's picture changes its layer where a keyframe of the target begins. FEED_END tells it that the former layer's
 * missing numbers are no loss. */
static bool recorder_takes(struct feed *f, struct feed_track *track, const struct sfu_tapped *t)
{
    if (!track->chosen)
        return false;
    if (t->source->kind == WISH_MICROPHONE)
        return true;
    if (t->layer == track->target && track->layer != track->target && t->keyframe) {
        if (track->layer != SLOT_NO_LAYER)
            put_end(f, t->source, t->now_us);
        track->layer = (uint8_t)t->layer;
    }
    return t->layer == track->layer;
}

static uint8_t flags_of(const struct sfu_tapped *t)
{
    if (t->source->kind == WISH_MICROPHONE)
        return t->audio_level;
    return (uint8_t)(t->layer | (t->keyframe ? FEED_FLAG_KEYFRAME : 0));
}

static void put_packet(struct feed *f, struct feed_track *track, const struct sfu_tapped *t, const uint8_t *body,
                       int64_t now_us)
{
    const struct source *s = t->source;
    if (!track->started || track->incarnation != s->incarnation) {
        track->started = true;
        track->incarnation = s->incarnation;
        memset(track->newest_seq, 0, sizeof track->newest_seq);
        put_meta(f, track, s, now_us);
    }
    if (t->ext_seq > track->newest_seq[t->layer])
        track->newest_seq[t->layer] = t->ext_seq;
    struct feed_record r = {
        .len = (uint16_t)(RTP_FIXED_HEADER + t->payload_len),
        .kind = FEED_RTP,
        .flags = flags_of(t),
        .track = wish_track(s->number, s->kind),
        .incarnation = s->incarnation,
        .ext_seq = (uint64_t)t->ext_seq,
        .session_us = t->session_us,
    };
    put(f, &r, body);
}

void feeds_tap(void *ctx, const struct sfu_tapped *t)
{
    struct briefing *b = t->source->router->user;
    const uint8_t *body = NULL;
    if (!t->source->peer) /* only the origin writes: a mirror's packets have been through a feed */
        return;
    for (struct feed *f = b->feeds; f; f = f->next) {
        if (!f->writer)
            continue;
        struct feed_track *track = track_of(f, t->source);
        if (f->role == FEED_ROLE_WRITER ? !mirror_takes(f, t) : !recorder_takes(f, track, t))
            continue;
        if (!body)
            body = canonical(t);
        put_packet(f, track, t, body, t->now_us);
    }
}

void feeds_track_ended(struct briefing *b, const struct source *s, int64_t now_us)
{
    for (struct feed *f = b->feeds; f; f = f->next) {
        if (!f->writer)
            continue;
        struct feed_track *t = track_of(f, s);
        if (t->started)
            put_end(f, s, now_us);
        struct feed_track none = {.layer = SLOT_NO_LAYER};
        memcpy(none.keyframe_seq, t->keyframe_seq, sizeof none.keyframe_seq);
        *t = none;
    }
}

/* ---- what is wanted ---- */

static bool is_chosen(const struct feed *f, const struct source *s)
{
    const struct wish_briefing *w = &f->briefing->effective;
    if (f->role == FEED_ROLE_CHECK)
        return s->number == f->peer && s->kind != WISH_SCREEN;
    if (!w->record)
        return false;
    switch (s->kind) {
    case WISH_MICROPHONE: return true;
    case WISH_SCREEN: return s->number == w->screen;
    default: return w->record_cameras || s->number == w->stage;
    }
}

/* Begins a layer with a keyframe that has come for somebody else, out of the history: no request, no gap. False: there is
 * none so young, or it has been written. */
static bool replay(struct feed *f, struct feed_track *track, struct source *s, unsigned layer, int64_t age_us,
                   int64_t now_us)
{
    int64_t first;
    if (!source_recent_keyframe(s, layer, age_us, now_us, &first))
        return false;
    if (track->incarnation == s->incarnation && first <= track->newest_seq[layer])
        return false;
    for (int64_t ext_seq = first; ext_seq <= s->layers[layer]->newest_seq; ext_seq++) {
        struct seen seen;
        if (!source_seen_again(s, layer, ext_seq, &seen))
            continue; /* on its way still: it will be tapped when it comes */
        struct sfu_tapped t = {
            .source = s,
            .layer = layer,
            .ext_seq = ext_seq,
            .session_us = source_session_us(s, layer, seen.ts, now_us),
            .ts = seen.ts,
            .pt = s->pt,
            .audio_level = 0xff,
            .marker = seen.marker,
            .keyframe = seen.ts == s->layers[layer]->keyframe_ts,
            .payload = seen.packet->bytes + seen.payload_at,
            .payload_len = seen.payload_len,
        };
        put_packet(f, track, &t, canonical(&t), now_us);
    }
    return true;
}

/* Layers whose keyframe the reader has asked for since the last look. */
static uint8_t newly_requested(const struct feed *f, struct feed_track *t, const struct source *s)
{
    uint8_t layers = 0;
    for (unsigned i = 0; i < SFU_LAYERS; i++) {
        uint8_t seq = feed_keyframe_seq(f->writer, wish_cell(s->number, s->kind), i);
        layers |= (uint8_t)((seq != t->keyframe_seq[i]) << i);
        t->keyframe_seq[i] = seq;
    }
    return layers;
}

/* The recorder has the best layer there is. A check has the lowest: it is there on the poorest line, and decodes in no time.
 */
static uint8_t target_layer(const struct feed *f, const struct feed_track *t, const struct source *s, int64_t now_us)
{
    if (f->role == FEED_ROLE_RECORDER)
        return (uint8_t)source_highest_layer(s, now_us);
    return t->layer != SLOT_NO_LAYER ? t->layer : (uint8_t)source_choose_layer(s, 1, now_us);
}

/* The publisher goes on sending what is written and what should be. */
static uint8_t takes(const struct feed *f, const struct feed_track *t, const struct source *s)
{
    unsigned layers = 1u << t->target;
    if (f->role == FEED_ROLE_RECORDER)
        layers |= 1u << (s->n_layers - 1);
    if (t->layer != SLOT_NO_LAYER)
        layers |= 1u << t->layer;
    return (uint8_t)layers;
}

static void choose_recorded(struct feed *f, struct feed_track *t, struct source *s, int64_t now_us)
{
    bool chosen = s->open && is_chosen(f, s);
    if (t->chosen && !chosen && t->started)
        put_end(f, s, now_us); /* muted, off the stage, recording off: what is missing from here on is no loss */
    if (!chosen)
        t->layer = SLOT_NO_LAYER; /* it begins with a keyframe when it is chosen again */
    t->chosen = chosen;
    if (!chosen || s->kind == WISH_MICROPHONE)
        return;
    uint8_t requested = newly_requested(f, t, s);
    if (t->layer != SLOT_NO_LAYER && (requested & 1u << t->layer)) /* the recorder misses something */
        source_want_keyframe(s, t->layer, now_us);
    t->target = target_layer(f, t, s, now_us);
    s->taken_elsewhere |= takes(f, t, s);
    if (t->layer == SLOT_NO_LAYER && replay(f, t, s, t->target, HISTORY_AGE_US, now_us))
        t->layer = t->target;
    if (t->target != t->layer)
        source_want_keyframe(s, t->target, now_us);
}

/* The reader's cells: more layers, or a request. */
static void heed_cells(struct feed *f, struct feed_track *t, struct source *s, int64_t now_us)
{
    uint8_t wanted = (uint8_t)(feed_wanted_layers(f->writer, wish_cell(s->number, s->kind)) & 7);
    uint8_t fresh = wanted & (uint8_t)~t->wanted;
    uint8_t ask = (newly_requested(f, t, s) & wanted) | fresh;
    for (unsigned i = 0; i < SFU_LAYERS; i++)
        if ((fresh & 1u << i) && replay(f, t, s, i, SLOT_REPLAY_US, now_us))
            ask &= (uint8_t) ~(1u << i);
    t->wanted = wanted;
    s->taken_elsewhere |= wanted;
    for (unsigned i = 0; i < SFU_LAYERS; i++)
        if (ask & 1u << i)
            source_want_keyframe(s, i, now_us);
}

static void tick_track(struct feed *f, struct source *s, int64_t now_us)
{
    struct feed_track *t = track_of(f, s);
    if (f->role != FEED_ROLE_WRITER) {
        choose_recorded(f, t, s, now_us);
        if (t->started && t->chosen && now_us - t->meta_us >= FEED_META_US)
            put_meta(f, t, s, now_us);
        return;
    }
    if (s->kind != WISH_MICROPHONE)
        heed_cells(f, t, s, now_us);
    if (!t->started || t->incarnation != s->incarnation) { /* the reader must know of it to want it */
        t->started = true;
        t->incarnation = s->incarnation;
        t->wanted = t->alive = 0;
        memset(t->newest_seq, 0, sizeof t->newest_seq);
        put_meta(f, t, s, now_us);
    }
    if (now_us - t->meta_us >= FEED_META_US || heights_changed(t, s))
        put_meta(f, t, s, now_us);
    if (s->kind != WISH_MICROPHONE)
        tell_rates(f, t, s, now_us);
}

static int64_t tick_feed(struct feed *f, bool due, int64_t now_us)
{
    struct router *r = f->briefing->router;
    if (!f->writer)
        return INT64_MAX;
    for (uint32_t n = 1; due && n <= WISH_ENDPOINT_NUMBER_MAX; n++)
        for (unsigned kind = WISH_MICROPHONE; kind < SFU_KINDS; kind++)
            if (r->sources[n][kind] && r->sources[n][kind]->peer)
                tick_track(f, r->sources[n][kind], now_us);
    feed_flush(f->writer, now_us);
    return feed_next_flush_us(f->writer);
}

/* Every feed says again what it takes. */
static void forget_taken(struct router *r)
{
    for (uint32_t n = 1; n <= WISH_ENDPOINT_NUMBER_MAX; n++)
        for (unsigned kind = WISH_CAMERA; kind < SFU_KINDS; kind++)
            if (r->sources[n][kind])
                r->sources[n][kind]->taken_elsewhere = 0;
}

int64_t feeds_tick(struct media *m, int64_t now_us)
{
    int64_t next_us = INT64_MAX;
    bool due = now_us >= m->feed_us;
    if (due)
        m->feed_us = now_us + FEED_TICK_US;
    for (struct briefing *b = m->briefings; b; b = b->next) {
        if (due)
            forget_taken(b->router);
        for (struct feed *f = b->feeds; f; f = f->next) {
            int64_t us = tick_feed(f, due, now_us);
            if (us < next_us)
                next_us = us;
            if (f->writer && m->feed_us < next_us)
                next_us = m->feed_us;
        }
    }
    return next_us;
}
