#include "sfu/source.h"

#include "base/err.h"
#include "sfu/peer.h"
#include "sfu/router.h"
#include "sfu/slot.h"

#include <stdlib.h>
#include <string.h>

enum { NACKS_AT_ONCE = 64, LOST_LAYER_US = 2 * 1000 * 1000, CHOOSE_US = 50 * 1000, CHOOSE_ANYWAY_US = 500 * 1000 };

struct source *source_new(struct router *r, uint32_t number, enum wish_kind kind, enum rtp_codec codec, uint8_t n_layers)
{
    struct source *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->router = r;
    s->uid = r->sfu->next_uid = (r->sfu->next_uid + 1) & 0x3fffffff;
    s->number = number;
    s->kind = kind;
    s->codec = codec;
    s->clock_hz = codec == RTP_OPUS ? 48000 : 90000;
    s->n_layers = n_layers ? n_layers : 1;
    s->level = 0xff;
    s->uplink.active = (uint8_t)((1u << s->n_layers) - 1);
    return s;
}

static void layer_free(struct layer *l)
{
    if (!l)
        return;
    history_free(l->history);
    free(l);
}

void source_free(struct source *s, int64_t now_us)
{
    if (!s)
        return;
    s->closing = true;
    while (s->n_slots)
        slot_bind(s->slots[s->n_slots - 1], NULL, now_us);
    for (size_t i = 0; i < SFU_LAYERS; i++)
        layer_free(s->layers[i]);
    free(s->slots);
    free(s);
}

static void layer_begin(const struct source *s, struct layer *l)
{
    clockmap_init(&l->clock, s->clock_hz);
    receive_stats_init(&l->stats, s->clock_hz);
    nack_init(&l->nack);
}

struct layer *source_layer(struct source *s, unsigned layer)
{
    if (layer >= SFU_LAYERS)
        return NULL;
    if (s->layers[layer])
        return s->layers[layer];
    struct layer *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->history = history_new(source_is_picture(s) ? SOURCE_HISTORY_PICTURE : SOURCE_HISTORY_SOUND);
    if (!l->history) {
        free(l);
        return NULL;
    }
    layer_begin(s, l);
    s->layers[layer] = l;
    return l;
}

void source_layer_restart(struct source *s, unsigned layer)
{
    if (layer >= SFU_LAYERS || !s->layers[layer])
        return;
    layer_free(s->layers[layer]);
    s->layers[layer] = NULL;
    for (size_t i = 0; i < s->n_slots; i++)
        if (s->slots[i]->layer == layer)
            s->slots[i]->layer = SLOT_NO_LAYER;
    s->unchosen = true;
}

int source_reserve(struct source *s, size_t slots)
{
    if (slots <= s->cap_slots)
        return 0;
    size_t cap = s->cap_slots ? s->cap_slots * 2 : 8;
    while (cap < slots)
        cap *= 2;
    struct slot **grown = realloc(s->slots, cap * sizeof(struct slot *));
    if (!grown)
        return ERR_NOMEM;
    s->slots = grown;
    s->cap_slots = cap;
    return 0;
}

void source_add_slot(struct source *s, struct slot *slot)
{
    s->slots[s->n_slots++] = slot;
}

void source_remove_slot(struct source *s, struct slot *slot)
{
    for (size_t i = 0; i < s->n_slots; i++) {
        if (s->slots[i] != slot)
            continue;
        s->slots[i] = s->slots[--s->n_slots];
        return;
    }
}

bool layer_alive(const struct layer *l, int64_t now_us)
{
    return l && l->first_us && now_us - l->newest_us < LAYER_SILENT_US;
}

bool source_layer_alive(const struct source *s, unsigned layer, int64_t now_us)
{
    return (!s->peer && s->origin_bps[layer]) || layer_alive(s->layers[layer], now_us) || uplink_rests(s, layer, now_us);
}

uint16_t source_known_height(const struct source *s, unsigned layer)
{
    const struct layer *l = s->layers[layer];
    return l && l->height ? l->height : s->origin_height[layer];
}

uint16_t source_layer_height(const struct source *s, unsigned layer)
{
    if (source_known_height(s, layer))
        return source_known_height(s, layer);
    for (unsigned known = 0; known < SFU_LAYERS; known++) {
        unsigned height = source_known_height(s, known);
        if (height)
            return (uint16_t)(known < layer ? height << (layer - known) : height >> (known - layer));
    }
    return (uint16_t)(180u << layer);
}

unsigned source_ideal_layer(const struct source *s, uint16_t height)
{
    unsigned ideal = s->n_layers - 1u;
    for (unsigned i = s->n_layers; i-- > 0;)
        if (source_layer_height(s, i) >= height)
            ideal = i;
    return ideal;
}

unsigned source_choose_layer(const struct source *s, uint16_t height, int64_t now_us)
{
    unsigned best = SFU_LAYERS;
    for (unsigned i = 0; i < s->n_layers; i++) {
        if (!source_layer_alive(s, i, now_us))
            continue;
        best = i;
        if (source_layer_height(s, i) >= height)
            break;
    }
    return best == SFU_LAYERS ? source_ideal_layer(s, height) : best;
}

unsigned source_highest_layer(const struct source *s, int64_t now_us)
{
    for (unsigned i = s->n_layers; i-- > 0;)
        if (layer_alive(s->layers[i], now_us))
            return i;
    return source_choose_layer(s, UINT16_MAX, now_us);
}

uint8_t source_slot_layers(const struct source *s)
{
    uint8_t mask = 0;
    for (size_t i = 0; i < s->n_slots; i++) {
        if (s->slots[i]->layer != SLOT_NO_LAYER)
            mask |= (uint8_t)(1u << s->slots[i]->layer);
        if (s->slots[i]->target != SLOT_NO_LAYER)
            mask |= (uint8_t)(1u << s->slots[i]->target);
    }
    return mask;
}

uint32_t source_bps(const struct source *s)
{
    uint64_t bps = 0;
    for (size_t i = 0; i < SFU_LAYERS; i++)
        if (s->layers[i])
            bps += rate_meter_bps(&s->layers[i]->rate, s->layers[i]->newest_us);
    return (uint32_t)bps;
}

int64_t source_session_us(struct source *s, unsigned layer, uint32_t ts, int64_t now_us)
{
    struct layer *l = s->layers[layer];
    if (s->peer)
        return clockmap_session_us(&l->clock, ts, now_us);
    return l->mirror_us + (int64_t)ts_diff(ts, l->newest_ts) * 1000000 / s->clock_hz;
}

uint32_t source_ts_at(struct source *s, unsigned layer, int64_t now_us)
{
    struct layer *l = s->layers[layer];
    if (s->peer)
        return clockmap_ts_at(&l->clock, now_us, now_us);
    return l->newest_ts + (uint32_t)((now_us - l->mirror_us) * s->clock_hz / 1000000);
}

static void tell_mirror(struct source *s)
{
    struct sfu_shell *shell = &s->router->sfu->shell;
    uint8_t wanted = s->open ? source_slot_layers(s) : 0;
    if (wanted == s->wanted || !shell->mirror_want)
        return;
    s->wanted = wanted;
    shell->mirror_want(shell->ctx, s, wanted);
}

static void source_ask(struct source *s, int64_t now_us)
{
    struct sfu_shell *shell = &s->router->sfu->shell;
    if (!s->keyframes.wanted)
        return;
    uint8_t layers = keyframes_poll(&s->keyframes, now_us, s->peer ? peer_rtt_us(s->peer) : 0);
    if (!layers)
        return;
    if (s->peer) {
        peer_send_keyframe_request(s->peer, s, layers);
        return;
    }
    tell_mirror(s); /* the origin sends only what is wanted */
    if (shell->mirror_keyframe)
        shell->mirror_keyframe(shell->ctx, s, layers);
}

void source_want_keyframe(struct source *s, unsigned layer, int64_t now_us)
{
    if (!source_is_picture(s) || !s->open || s->closing || layer >= s->n_layers)
        return;
    keyframes_want(&s->keyframes, layer);
    source_ask(s, now_us);
}

void source_set_open(struct source *s, bool open, int64_t now_us)
{
    if (s->open == open)
        return;
    s->open = open;
    if (open)
        return;
    keyframes_forget_all(&s->keyframes);
    for (size_t i = 0; i < SFU_LAYERS; i++) /* what comes while it is closed is nobody's to see later */
        if (s->layers[i])
            s->layers[i]->has_keyframe_ts = false;
    if (s->kind == WISH_MICROPHONE)
        speakers_remove(&s->router->speakers, s->number);
}

/* History first: it knows duplicates. False: the packet goes no further. Of a closed source nothing is kept, so that nothing
 * of that time can be asked for, or caught up with, when it is open again; its caller goes on with what is no content. */
static bool keep(struct source *s, struct layer *l, struct seen *seen)
{
    if (!s->open) {
        s->router->sfu->stats.drops[SFU_DROP_MUTED]++;
        return true;
    }
    struct history_entry e = {
        .packet = seen->packet,
        .ext_seq = seen->ext_seq,
        .ts = seen->ts,
        .payload_at = seen->payload_at,
        .payload_len = seen->payload_len,
        .marker = seen->marker,
        .keyframe = seen->starts_keyframe,
        .audio_level = seen->audio_level,
    };
    int err = history_put(l->history, &e);
    if (err)
        s->router->sfu->stats.drops[err == ERR_EXISTS ? SFU_DROP_DUPLICATE : SFU_DROP_OLD]++;
    return err == 0;
}

static bool look(struct source *s, struct seen *seen, const struct rtp_packet *v)
{
    seen->ends_frame = true;
    if (!source_is_picture(s))
        return true;
    if (video_parse(s->codec, v->payload, v->payload_len, v->marker, &seen->video)) {
        s->router->sfu->stats.drops[SFU_DROP_PAYLOAD]++;
        return false;
    }
    seen->ends_frame = v->marker || seen->video.end;
    seen->starts_keyframe = seen->video.keyframe;
    return true;
}

static void note_keyframe(struct source *s, struct layer *l, const struct seen *seen, int64_t now_us)
{
    if (!seen->starts_keyframe)
        return;
    s->router->sfu->stats.keyframes_received++;
    keyframes_arrived(&s->keyframes, seen->layer);
    l->has_keyframe_ts = true;
    l->keyframe_ts = seen->ts;
    l->keyframe_seq = seen->ext_seq;
    l->keyframe_us = now_us;
    if (seen->video.height) {
        s->unchosen |= l->height != seen->video.height;
        l->width = seen->video.width;
        l->height = seen->video.height;
    }
}

static void tap(struct source *s, const struct layer *l, const struct seen *seen, int64_t now_us)
{
    struct sfu_shell *shell = &s->router->sfu->shell;
    if (!shell->tap)
        return;
    struct sfu_tapped t = {
        .source = s,
        .layer = seen->layer,
        .ext_seq = seen->ext_seq,
        .session_us = seen->session_us,
        .ts = seen->ts,
        .pt = s->pt,
        .audio_level = seen->audio_level,
        .marker = seen->marker,
        .keyframe = l->has_keyframe_ts && l->keyframe_ts == seen->ts,
        .payload = seen->packet->bytes + seen->payload_at,
        .payload_len = seen->payload_len,
        .now_us = now_us,
    };
    shell->tap(shell->ctx, &t);
}

static void fan_out(struct source *s, const struct seen *seen, int64_t now_us)
{
    for (size_t i = 0; i < s->n_slots; i++)
        slot_forward(s->slots[i], seen, now_us);
}

bool source_seen_again(const struct source *s, unsigned layer, int64_t ext_seq, struct seen *ret)
{
    const struct layer *l = s->layers[layer];
    const struct history_entry *e = l ? history_get(l->history, ext_seq) : NULL;
    if (!e)
        return false;
    struct seen seen = {
        .packet = e->packet,
        .ext_seq = ext_seq,
        .ts = e->ts,
        .payload_at = e->payload_at,
        .payload_len = e->payload_len,
        .layer = (uint8_t)layer,
        .audio_level = e->audio_level,
        .marker = e->marker,
        .ends_frame = e->marker,
        .starts_keyframe = e->keyframe,
    };
    if (source_is_picture(s) &&
        video_parse(s->codec, e->packet->bytes + e->payload_at, e->payload_len, e->marker, &seen.video))
        return false;
    *ret = seen;
    return true;
}

bool source_recent_keyframe(const struct source *s, unsigned layer, int64_t age_us, int64_t now_us, int64_t *ret_ext_seq)
{
    const struct layer *l = s->layers[layer];
    if (!l || !l->has_keyframe_ts || now_us - l->keyframe_us > age_us || !history_get(l->history, l->keyframe_seq))
        return false;
    *ret_ext_seq = l->keyframe_seq;
    return true;
}

/* What is the same for a peer's and a mirror's packet. */
static void accept(struct source *s, struct layer *l, struct seen *seen, int64_t now_us)
{
    note_keyframe(s, l, seen, now_us);
    source_note_parts(s, l, seen, now_us);
    if (seen->audio_level != 0xff && !source_is_picture(s)) {
        s->level = seen->audio_level;
        speakers_level(&s->router->speakers, s->number, seen->audio_level & 0x7f, now_us);
    }
    tap(s, l, seen, now_us);
    fan_out(s, seen, now_us);
}

static void skip_padding(struct source *s, unsigned layer, int64_t ext_seq)
{
    for (size_t i = 0; i < s->n_slots; i++)
        slot_skip(s->slots[i], layer, ext_seq);
}

static void note_arrival(struct layer *l, const struct packet *p, uint32_t ts, int64_t ext_seq, int64_t now_us)
{
    if (!l->first_us || ext_seq > l->newest_seq)
        l->newest_seq = ext_seq;
    if (!l->first_us) {
        l->first_us = now_us;
        l->newest_ts = ts;
    }
    l->newest_us = now_us;
    if (ts_diff(ts, l->newest_ts) > 0)
        l->newest_ts = ts;
    rate_meter_add(&l->rate, p->len, now_us);
}

static struct seen seen_make(struct packet *p, const struct rtp_packet *v, unsigned layer, int64_t ext_seq,
                             uint8_t audio_level)
{
    return (struct seen){
        .packet = p,
        .ext_seq = ext_seq,
        .ts = v->ts,
        .payload_at = (uint16_t)(v->payload - p->bytes),
        .payload_len = v->payload_len,
        .layer = (uint8_t)layer,
        .audio_level = audio_level,
        .marker = v->marker,
    };
}

void source_input(struct source *s, unsigned layer, struct packet *p, const struct rtp_packet *v, bool repaired,
                  uint8_t audio_level, int64_t now_us)
{
    struct layer *l = source_layer(s, layer);
    if (!l)
        return;
    int64_t ext_seq = seq_extend(&l->seq, v->seq);
    if (!repaired && v->payload_len) /* repairs and probes are no sign of life */
        note_arrival(l, p, v->ts, ext_seq, now_us);
    if (!repaired)
        receive_stats_packet(&l->stats, ext_seq, v->ts, p->len, p->arrival_us);
    if (v->payload_len == 0) { /* a probe: nothing to forward, but its number is used up */
        nack_input(&l->nack, ext_seq, false, now_us);
        skip_padding(s, layer, ext_seq);
        return;
    }
    struct seen seen = seen_make(p, v, layer, ext_seq, audio_level);
    bool good = look(s, &seen, v);
    if (source_is_picture(s))
        nack_input(&l->nack, ext_seq, seen.starts_keyframe, now_us);
    if (!good)
        skip_padding(s, layer, ext_seq);
    if (!good || !keep(s, l, &seen))
        return;
    if (repaired)
        s->router->sfu->stats.repaired_packets++;
    else
        clockmap_packet(&l->clock, v->ts, p->arrival_us);
    if (!s->open)
        return;
    seen.session_us = clockmap_session_us(&l->clock, v->ts, now_us);
    accept(s, l, &seen, now_us);
}

void source_input_mirrored(struct source *s, unsigned layer, struct packet *p, const struct rtp_packet *v, int64_t ext_seq,
                           int64_t session_us, uint8_t audio_level, int64_t now_us)
{
    struct layer *l = source_layer(s, layer);
    if (!l)
        return;
    if (!l->first_us || ts_diff(v->ts, l->newest_ts) >= 0)
        l->mirror_us = session_us;
    note_arrival(l, p, v->ts, ext_seq, now_us);
    struct seen seen = seen_make(p, v, layer, ext_seq, audio_level);
    seen.session_us = session_us;
    if (v->payload_len == 0 || !look(s, &seen, v) || !keep(s, l, &seen) || !s->open)
        return;
    accept(s, l, &seen, now_us);
}

static void ask_for_losses(struct source *s, struct layer *l, unsigned layer, int64_t now_us)
{
    uint16_t seqs[NACKS_AT_ONCE];
    if (nack_next_timeout(&l->nack) <= now_us) {
        size_t n = nack_poll(&l->nack, now_us, s->peer->line.rtt_us, seqs, NACKS_AT_ONCE);
        if (n)
            peer_send_nack(s->peer, l->ssrc, seqs, n);
    }
    if (nack_take_keyframe_wish(&l->nack) && s->n_slots)
        source_want_keyframe(s, layer, now_us);
}

/* A layer that stopped while others go on will answer no request. */
static void forget_lost_layers(struct source *s, int64_t now_us)
{
    unsigned living = 0;
    if (!s->keyframes.wanted)
        return;
    for (unsigned i = 0; i < s->n_layers; i++)
        living += layer_alive(s->layers[i], now_us);
    if (!living)
        return;
    for (unsigned i = 0; i < s->n_layers; i++)
        if (!source_layer_alive(s, i, now_us) && (!s->layers[i] || now_us - s->layers[i]->newest_us > LOST_LAYER_US))
            keyframes_forget(&s->keyframes, i);
}

/* When packets get short, what is kept for repairs gets younger. */
static int64_t early_us(const struct sfu *sfu)
{
    enum { SHORT_PART = 8, EARLY_US = 700 * 1000 };
    bool few = sfu->pool && packet_pool_available(sfu->pool) < sfu->pool_packets / SHORT_PART;
    return few ? EARLY_US : 0;
}

/* Its slots' layers, when there is something to choose: hundreds of slots may be content. */
static void choose(struct source *s, int64_t now_us)
{
    uint8_t alive = 0;
    if (now_us - s->chosen_us < CHOOSE_US)
        return;
    for (unsigned i = 0; i < SFU_LAYERS; i++)
        alive |= (uint8_t)(source_layer_alive(s, i, now_us) << i);
    if (alive == s->alive && !s->unchosen && now_us - s->chosen_us < CHOOSE_ANYWAY_US)
        return;
    s->chosen_us = now_us;
    s->alive = alive;
    s->unchosen = false; /* a slot that goes on waiting says so again */
    for (size_t i = 0; i < s->n_slots; i++)
        slot_choose(s->slots[i], now_us);
}

void source_tick(struct source *s, int64_t now_us)
{
    int64_t earlier_us = early_us(s->router->sfu);
    bool picture = source_is_picture(s);
    for (unsigned i = 0; i < SFU_LAYERS; i++) {
        struct layer *l = s->layers[i];
        if (!l)
            continue;
        if (picture && s->peer && s->publish_nack)
            ask_for_losses(s, l, i, now_us);
        history_expire(l->history, now_us + earlier_us);
    }
    if (!picture)
        return;
    uplink_tick(s, now_us);
    choose(s, now_us);
    forget_lost_layers(s, now_us);
    source_ask(s, now_us);
    if (!s->peer)
        tell_mirror(s);
}
