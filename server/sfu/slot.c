#include "sfu/slot.h"

#include "base/err.h"
#include "rtp/red.h"
#include "sfu/peer.h"
#include "sfu/router.h"

#include <stdlib.h>
#include <string.h>

enum { PICTURE_FRAME_TICKS = 3000, SOUND_FRAME_TICKS = 960 };

enum wish_kind slot_kind(const struct slot *s)
{
    switch (s->config.role) {
    case SLOT_STAGE_SOUND:
    case SLOT_FURTHER_SOUND: return WISH_MICROPHONE;
    case SLOT_SHARED_SCREEN: return WISH_SCREEN;
    default: return WISH_CAMERA;
    }
}

void slot_init(struct slot *s, struct peer *p, const struct slot_config *config)
{
    bool picture;
    *s = (struct slot){.config = *config,
                       .peer = p,
                       .layer = SLOT_NO_LAYER,
                       .target = SLOT_NO_LAYER,
                       .room_bps = UPLINK_ANY,
                       .limit = SFU_LAYERS - 1,
                       .line = slot_all_parts,
                       .most = slot_all_parts};
    picture = slot_is_picture(s);
    s->rtx_seq = (uint16_t)(sfu_random(p->sfu) & 0x7fff);
    rewrite_init(&s->rewrite, (uint16_t)sfu_random(p->sfu), sfu_random(p->sfu), picture ? 90000 : 48000,
                 picture ? PICTURE_FRAME_TICKS : SOUND_FRAME_TICKS);
}

static void forget_said(struct slot *s)
{
    for (unsigned i = 0; i < SLOT_RED_MAX; i++) {
        if (s->said[i].packet)
            packet_unref(s->said[i].packet);
        s->said[i].packet = NULL;
    }
}

void slot_finish(struct slot *s, int64_t now_us)
{
    slot_bind(s, NULL, now_us);
    forget_said(s);
    free(s->sent);
    s->sent = NULL;
}

/* What its receiver is told is another thing. */
static void note_change(struct slot *s)
{
    if (s->peer->router)
        s->peer->router->dirty++;
}

static void show(struct slot *s, uint32_t number)
{
    if (s->shown == number)
        return;
    s->shown = number;
    note_change(s);
}

void slot_settle(struct slot *s)
{
    if (!s->source)
        show(s, 0);
}

static int build_headers(struct slot *s, const struct slot_codec *codec)
{
    struct rtp_header_plan plan = {.pt = codec->pt, .ssrc = s->config.ssrc};
    plan.ids.transport_seq = s->config.ids.transport_seq;
    if (!plan.ids.transport_seq) /* abs-send-time serves receivers that estimate themselves (REMB) */
        plan.ids.abs_time = s->config.ids.abs_time;
    int err = rtp_header_build(&plan, &s->header);
    if (err || codec->rtx_pt == SFU_NO_PT)
        return err;
    plan.pt = codec->rtx_pt;
    plan.ssrc = s->config.rtx_ssrc;
    return rtp_header_build(&plan, &s->rtx_header);
}

static const struct slot_codec *codec_of(const struct slot *s, const struct source *source)
{
    return &s->config.codecs[source->codec];
}

static bool can_repair(const struct slot *s)
{
    return s->sent && s->config.rtx_ssrc && codec_of(s, s->source)->rtx_pt != SFU_NO_PT;
}

/* Everything a source needs in this slot, before anything is changed. */
static bool prepare(struct slot *s, struct source *source)
{
    const struct slot_codec *codec = codec_of(s, source);
    if (codec->pt == SFU_NO_PT || source->closing || source_reserve(source, source->n_slots + 1))
        return false;
    if (slot_is_picture(s) && !s->sent && s->config.rtx_ssrc)
        s->sent = calloc(1, sizeof *s->sent); /* without it losses are not repaired, the picture goes on */
    bool other = s->header.len && (s->header.bytes[1] & 0x7f) != codec->pt;
    if (build_headers(s, codec))
        return false;
    if (other) /* what waits would be stamped with the new codec's payload type */
        pacer_forget(s->peer->pacer, s);
    return true;
}

/* Its source is about to leave. */
static void begin_silence(struct slot *s, int64_t now_us)
{
    if (!slot_flows(s) || s->source->codec != RTP_OPUS || now_us - s->rewrite.newest_sent_us > SLOT_SILENT_US)
        return;
    s->silence_left = SLOT_SILENCE_FRAMES;
    s->silence_us = now_us;
    peer_wake(s->peer, now_us);
}

/* Another sound follows: when it is flowing, its next packet is soon here and takes the former's place without a gap. */
static void put_silence_off(struct slot *s, int64_t now_us)
{
    if (s->silence_left && layer_alive(s->source->layers[0], now_us))
        s->silence_us = now_us + 2 * SLOT_SILENCE_EVERY_US;
}

void slot_silence(struct slot *s, int64_t now_us)
{
    struct rewritten numbers;
    if (!s->silence_left || now_us < s->silence_us)
        return;
    s->silence_left--;
    s->silence_us += SLOT_SILENCE_EVERY_US;
    if (rewrite_own(&s->rewrite, now_us, &numbers))
        return;
    struct pacer_packet item = {
        .packet = packet_ref(&s->peer->sfu->silence),
        .slot = s,
        .ts = numbers.ts,
        .seq = numbers.seq,
        .offset = SFU_SILENCE_AT,
        .len = SFU_SILENCE_BYTES,
    };
    if (!peer_queue(s->peer, true, &item, now_us))
        packet_unref(item.packet);
}

void slot_bind(struct slot *s, struct source *source, int64_t now_us)
{
    if (s->source == source)
        return;
    if (source && !prepare(s, source))
        source = NULL;
    if (s->source) {
        begin_silence(s, now_us);
        source_remove_slot(s->source, s);
        rewrite_stop(&s->rewrite);
    }
    s->source = source;
    s->layer = s->target = SLOT_NO_LAYER;
    s->bound_us = now_us;
    downlink_unsettle(s->peer);
    if (slot_paused(s))
        note_change(s);
    if (!source)
        return; /* what is shown is settled by the router: another source may follow at once */
    source_add_slot(source, s);
    if (slot_is_picture(s)) {
        slot_choose(s, now_us);
        return;
    }
    s->target = 0;
    put_silence_off(s, now_us);
    if (s->shown != source->number)
        show(s, 0);
}

void slot_set_height(struct slot *s, uint16_t height, int64_t now_us)
{
    s->asked_height = height;
    if (s->want_height == height)
        return;
    downlink_unsettle(s->peer);
    slot_choose(s, now_us);
}

/* The last picture may be of somebody who has left the slot meanwhile. */
static void end_pause(struct slot *s)
{
    note_change(s);
    if (s->source && s->shown != s->source->number)
        s->shown = 0;
}

/* Of one VP8 layer less is sent at once; a picture that has begun is one of those that none refers to. */
static void limit_parts(struct slot *s, struct slot_parts line)
{
    s->line = line;
    s->most.tid = line.tid;
    if (s->parts.tid > line.tid && s->source && s->source->codec == RTP_VP8)
        s->parts.tid = line.tid;
}

void slot_limit(struct slot *s, unsigned layer, struct slot_parts line, int64_t now_us)
{
    bool other_size = s->line.sid != line.sid;
    limit_parts(s, line);
    if (s->limit == layer) {
        if (other_size)
            slot_choose(s, now_us);
        return;
    }
    bool was_paused = slot_paused(s);
    s->limit = (uint8_t)layer;
    if (slot_paused(s)) {
        begin_silence(s, now_us);
        s->layer = s->target = SLOT_NO_LAYER;
        rewrite_stop(&s->rewrite);
        note_change(s);
        return;
    }
    if (was_paused)
        end_pause(s);
    s->target = 0;
    slot_choose(s, now_us);
}

void slot_begin_again(struct slot *s, int64_t now_us)
{
    if (!s->source || s->layer == SLOT_NO_LAYER)
        return;
    s->layer = SLOT_NO_LAYER;
    s->rewrite.ended_frame = false;
    slot_choose(s, now_us);
}

/* ---- redundant sound ---- */

void slot_set_red(struct slot *s, unsigned n)
{
    s->red = (uint8_t)n;
    if (!n)
        forget_said(s);
}

static void note_said(struct slot *s, const struct pacer_packet *item)
{
    if (s->said[SLOT_RED_MAX - 1].packet)
        packet_unref(s->said[SLOT_RED_MAX - 1].packet);
    memmove(s->said + 1, s->said, sizeof s->said - sizeof s->said[0]);
    s->said[0] = (struct slot_spoken){packet_ref(item->packet), item->offset, item->len, item->ts};
}

const uint8_t *slot_red_payload(struct slot *s, const struct pacer_packet *item, size_t *ret_len, uint8_t *ret_pt)
{
    enum { PAYLOAD_MAX = 1000 };
    static uint8_t payload[PAYLOAD_MAX];
    const struct slot_codec *codec = &s->config.codecs[RTP_OPUS];
    struct red_block blocks[SLOT_RED_MAX + 1];
    size_t n = 0;
    if (!s->red || codec->red_pt == SFU_NO_PT)
        return NULL;
    for (unsigned i = s->red; i-- > 0;)
        if (s->said[i].packet)
            blocks[n++] =
                (struct red_block){s->said[i].packet->bytes + s->said[i].offset, s->said[i].len, s->said[i].ts, codec->pt};
    blocks[n++] = (struct red_block){item->packet->bytes + item->offset, item->len, item->ts, codec->pt};
    *ret_len = red_write(blocks, n, payload, sizeof payload);
    *ret_pt = codec->red_pt;
    note_said(s, item);
    return *ret_len ? payload : NULL;
}

/* Of its stream, the spatial layers that suit its height and its line. True: more than flows. */
static bool choose_parts(struct slot *s)
{
    unsigned last = source_sids(s->source, s->target) - 1u, sid = source_choose_sid(s->source, s->target, s->want_height);
    if (sid == last)
        sid = SLOT_ALL_SIDS;
    s->most.sid = (uint8_t)(sid < s->line.sid ? sid : s->line.sid);
    return s->layer == s->target && s->parts.sid < last && s->most.sid > s->parts.sid;
}

/* The packet's layer begins to flow, if it may here. */
static bool enter(struct slot *s, const struct seen *seen, int64_t now_us)
{
    if (slot_is_picture(s)) {
        if (!seen->starts_keyframe || slot_paused(s) || seen->layer > s->limit)
            return false;
        if (s->layer != SLOT_NO_LAYER && seen->layer != s->target)
            return false;
    }
    int err;
    while ((err = rewrite_switch(&s->rewrite, seen->ext_seq, seen->ts, seen->session_us, now_us))) {
        if (err == ERR_BUSY) {
            s->silence_left = 0; /* the voice comes with its next packet */
            s->peer->sfu->stats.drops[SFU_DROP_SWITCHED]++;
            return false;
        }
        if (s->layer == SLOT_NO_LAYER)
            continue; /* a doubtful time beats a picture that stands still; the next sender report says what it was */
        source_want_keyframe(s->source, seen->layer, now_us);
        return false;
    }
    s->layer = seen->layer;
    if (s->source->codec == RTP_VP9 && seen->layer == s->target) { /* its structure may be as new as the packet */
        choose_parts(s);
        downlink_unsettle(s->peer);
    }
    s->parts = s->former = s->most;
    s->parts_ts = s->picture_ts = seen->ts;
    s->silence_left = 0;
    s->report_us = now_us;
    peer_wake(s->peer, now_us);
    s->peer->sfu->stats.slot_switches++;
    show(s, s->source->number);
    return true;
}

static uint32_t mark_of(const struct slot *s, unsigned layer)
{
    return s->source->uid << 2 | layer;
}

static void remember(struct slot *s, const struct seen *seen, const struct pacer_packet *item)
{
    struct sent_entry e = {
        .source_seq = seen->ext_seq,
        .source = mark_of(s, seen->layer),
        .ts = item->ts,
        .seq = item->seq,
        .picture_id = item->picture_id,
        .tl0picidx = item->tl0picidx,
        .keyidx = item->keyidx,
        .marker = item->marker,
    };
    sent_put(s->sent, &e);
}

static void place_vp8(struct pacer_packet *item, const struct vp8_descriptor *d)
{
    item->picture_id_bits = d->picture_id_bits;
    item->at_picture_id = d->at_picture_id;
    item->at_tl0 = d->at_tl0;
    item->at_tid_keyidx = d->has_keyidx ? d->at_tid_keyidx : 0;
}

/* A temporal layer that the line does not hold is left out. One more is taken up where nothing of it is needed: at a frame
 * that says so (RFC 7741: Y), or at the next keyframe. */
static bool leave_out_vp8(struct slot *s, const struct seen *seen)
{
    const struct vp8_descriptor *d = &seen->video.vp8;
    if (!d->has_tid || d->tid <= s->parts.tid)
        return false;
    if (d->layer_sync && d->tid <= s->most.tid) {
        s->parts.tid = s->most.tid;
        return false;
    }
    rewrite_drop(&s->rewrite, seen->ext_seq);
    rewrite_vp8_drop(&s->rewrite, d);
    return true;
}

/* A new picture: the only place where what is sent of them changes. */
static void begin_picture(struct slot *s, const struct seen *seen)
{
    const struct vp9_descriptor *d = &seen->video.vp9;
    struct slot_parts next = s->parts;
    s->picture_ts = seen->ts;
    next.sid = next.sid < s->most.sid ? next.sid : s->most.sid;
    next.tid = next.tid < s->most.tid ? next.tid : s->most.tid;
    if (seen->starts_keyframe)
        next = s->most;
    else if (d->start && d->switch_up && d->tid <= next.tid)
        next.tid = s->most.tid;
    if (next.sid == s->parts.sid && next.tid == s->parts.tid)
        return;
    s->former = s->parts;
    s->parts = next;
    s->parts_ts = seen->ts;
}

/* What is sent of the picture that this packet is of: a late one belongs to what was sent then. */
static struct slot_parts parts_at(const struct slot *s, uint32_t ts)
{
    return ts_diff(ts, s->parts_ts) < 0 ? s->former : s->parts;
}

static bool leave_out_vp9(struct slot *s, const struct seen *seen, bool *marker)
{
    const struct vp9_descriptor *d = &seen->video.vp9;
    if (!d->has_layers)
        return false;
    if (ts_diff(seen->ts, s->picture_ts) > 0)
        begin_picture(s, seen);
    struct slot_parts parts = parts_at(s, seen->ts);
    *marker |= d->end && d->sid == parts.sid;
    if (d->sid <= parts.sid && d->tid <= parts.tid)
        return false;
    rewrite_drop(&s->rewrite, seen->ext_seq);
    return true;
}

/* `marker` becomes that of the packet as it is sent. */
static bool leave_out(struct slot *s, const struct seen *seen, bool *marker)
{
    if (s->source->codec == RTP_VP8)
        return leave_out_vp8(s, seen);
    return s->source->codec == RTP_VP9 && leave_out_vp9(s, seen, marker);
}

static void emit(struct slot *s, const struct seen *seen, int64_t now_us)
{
    struct sfu_stats *stats = &s->peer->sfu->stats;
    struct rewritten numbers;
    bool marker = seen->marker;
    if (leave_out(s, seen, &marker))
        return;
    if (rewrite_packet(&s->rewrite, seen->ext_seq, seen->ts, seen->ends_frame || marker, now_us, &numbers)) {
        stats->drops[SFU_DROP_SWITCHED]++;
        return;
    }
    struct pacer_packet item = {
        .packet = seen->packet,
        .slot = s,
        .ts = numbers.ts,
        .seq = numbers.seq,
        .offset = seen->payload_at,
        .len = seen->payload_len,
        .marker = marker,
    };
    if (s->source->codec == RTP_VP8) {
        struct rewritten_vp8 picture;
        if (rewrite_vp8(&s->rewrite, &seen->video.vp8, &picture)) {
            stats->drops[SFU_DROP_SWITCHED]++;
            return;
        }
        item.picture_id = picture.picture_id;
        item.tl0picidx = picture.tl0picidx;
        item.keyidx = picture.keyidx;
        place_vp8(&item, &seen->video.vp8);
    }
    if (s->sent)
        remember(s, seen, &item);
    packet_ref(item.packet);
    if (!peer_queue(s->peer, !slot_is_picture(s), &item, now_us))
        packet_unref(item.packet);
}

/* The keyframe's first packet was repaired: what came meanwhile is in the history. */
static void catch_up(struct slot *s, const struct seen *entered, int64_t now_us)
{
    const struct layer *l = s->source->layers[entered->layer];
    int64_t reach = l->newest_seq - SOURCE_HISTORY_PICTURE; /* what the history can hold */
    struct seen seen;
    for (int64_t ext_seq = (entered->ext_seq > reach ? entered->ext_seq : reach) + 1; ext_seq <= l->newest_seq; ext_seq++)
        if (source_seen_again(s->source, entered->layer, ext_seq, &seen))
            emit(s, &seen, now_us);
}

void slot_forward(struct slot *s, const struct seen *seen, int64_t now_us)
{
    bool entered = false;
    if (slot_paused(s))
        return;
    if (seen->layer != s->layer) {
        if (!enter(s, seen, now_us))
            return;
        entered = true;
    }
    emit(s, seen, now_us);
    if (entered && slot_is_picture(s))
        catch_up(s, seen, now_us);
}

/* Begins with a keyframe that has just come for somebody else. */
static void replay(struct slot *s, int64_t now_us)
{
    int64_t ext_seq;
    struct seen seen;
    if (!source_recent_keyframe(s->source, s->target, SLOT_REPLAY_US, now_us, &ext_seq) ||
        !source_seen_again(s->source, s->target, ext_seq, &seen))
        return;
    seen.session_us = source_session_us(s->source, s->target, seen.ts, now_us);
    slot_forward(s, &seen, now_us);
}

/* Another size costs its publisher a keyframe: a layout that flickers is followed at a measured pace. */
static void take_height(struct slot *s, int64_t now_us)
{
    if (s->asked_height != s->want_height && allowance_take(&s->heights, SLOT_HEIGHTS_AT_ONCE, SLOT_HEIGHT_US, now_us))
        s->want_height = s->asked_height;
}

/* The layer that suits it rests still: one that is there shows something meanwhile. */
static void begin_with_what_flows(struct slot *s, int64_t now_us)
{
    if (s->layer != SLOT_NO_LAYER || !s->source->peer || layer_alive(s->source->layers[s->target], now_us))
        return;
    for (unsigned i = s->target; i-- > 0;)
        if (layer_alive(s->source->layers[i], now_us)) {
            source_want_keyframe(s->source, i, now_us);
            return;
        }
}

void slot_choose(struct slot *s, int64_t now_us)
{
    enum { EMPTY_US = 1500 * 1000 };
    take_height(s, now_us);
    if (!s->source || !slot_is_picture(s) || slot_paused(s))
        return;
    s->target = (uint8_t)source_choose_layer(s->source, s->want_height, now_us);
    if (s->target > s->limit)
        s->target = s->limit;
    if (s->layer == SLOT_NO_LAYER)
        replay(s, now_us);
    if (choose_parts(s) || s->target != s->layer) {
        s->source->unchosen = true;
        begin_with_what_flows(s, now_us);
        source_want_keyframe(s->source, s->target, now_us);
    }
    if (s->layer == SLOT_NO_LAYER && now_us - s->bound_us > EMPTY_US)
        show(s, 0); /* the former picture stands still by now, and nothing has come for it */
}

void slot_skip(struct slot *s, unsigned layer, int64_t ext_seq)
{
    if (s->layer == layer)
        rewrite_drop(&s->rewrite, ext_seq);
}

void slot_resend(struct slot *s, uint16_t seq, int64_t now_us)
{
    if (!s->source || !can_repair(s))
        return;
    if (s->peer->repairs_left == 0) {
        s->peer->sfu->stats.drops[SFU_DROP_REPAIRS]++;
        return;
    }
    struct sent_entry *e = sent_take_for_resend(s->sent, seq, now_us, peer_rtt_us(s->peer));
    struct seen seen;
    if (!e || e->source >> 2 != s->source->uid || !source_seen_again(s->source, e->source & 3, e->source_seq, &seen))
        return;
    struct pacer_packet item = {
        .packet = packet_ref(seen.packet),
        .slot = s,
        .ts = e->ts,
        .seq = e->seq,
        .offset = seen.payload_at,
        .len = seen.payload_len,
        .marker = e->marker,
        .repair = true,
        .picture_id = e->picture_id,
        .tl0picidx = e->tl0picidx,
        .keyidx = e->keyidx,
    };
    if (s->source->codec == RTP_VP8)
        place_vp8(&item, &seen.video.vp8);
    s->peer->sfu->stats.retransmitted_packets++;
    s->peer->repairs_left--;
    if (!peer_queue(s->peer, false, &item, now_us))
        packet_unref(item.packet);
}

void slot_keyframe(struct slot *s, int64_t now_us)
{
    if (!slot_flows(s))
        return;
    /* One that is on its way serves again and again. */
    if (!source_wants_keyframe(s->source, s->layer) &&
        !allowance_take(&s->requests, SLOT_REQUESTS_AT_ONCE, SLOT_REQUEST_US, now_us)) {
        s->peer->sfu->stats.drops[SFU_DROP_REQUESTS]++;
        return;
    }
    source_want_keyframe(s->source, s->layer, now_us);
}
