#include "sfu/peer.h"

#include "base/err.h"
#include "rtp/rtx.h"
#include "sfu/router.h"

#include <stdlib.h>
#include <string.h>

enum {
    EQUAL_MAX = 32, /* bytes of padding that make a packet as long as its frame's longest; more is not worth it */
    NO_RTT_YET = PEER_RTT_DEFAULT_US,
};

static int make_room_in_ready(struct sfu *s)
{
    if (s->n_peers < s->cap_ready)
        return 0;
    size_t cap = s->cap_ready ? s->cap_ready * 2 : 16;
    struct peer **grown = realloc(s->ready, cap * sizeof(struct peer *));
    if (!grown)
        return ERR_NOMEM;
    s->ready = grown;
    s->cap_ready = cap;
    return 0;
}

static void add_stream(struct peer *p, uint32_t ssrc, unsigned kind, unsigned layer, bool repair)
{
    if (ssrc && p->n_streams < PEER_STREAMS_MAX)
        p->streams[p->n_streams++] =
            (struct peer_stream){.ssrc = ssrc, .kind = (uint8_t)kind, .layer = (uint8_t)layer, .repair = repair};
}

int peer_new(struct sfu *s, const struct peer_config *config, struct peer **ret_peer)
{
    if (config->n_slots > SFU_SLOTS_MAX || config->number == 0 || config->number > WISH_ENDPOINT_NUMBER_MAX)
        return ERR_RANGE;
    struct peer *p = calloc(1, sizeof *p);
    if (!p || make_room_in_ready(s))
        goto fail;
    p->sfu = s;
    p->transport = config->transport;
    p->user = config->user;
    p->number = config->number;
    p->incarnation = config->incarnation;
    p->ssrc = config->n_slots ? config->slots[0].ssrc : 1;
    p->repairs_left = PEER_REPAIRS_AT_ONCE;
    memcpy(p->publish, config->publish, sizeof p->publish);
    for (unsigned kind = WISH_MICROPHONE; kind < SFU_KINDS; kind++) {
        add_stream(p, p->publish[kind].ssrc, kind, 0, false);
        add_stream(p, p->publish[kind].rtx_ssrc, kind, 0, true);
    }
    p->pacer = pacer_new();
    p->slots = calloc(config->n_slots ? config->n_slots : 1, sizeof *p->slots);
    p->downlink = config->estimates ? malloc(sizeof *p->downlink) : NULL;
    if (!p->pacer || !p->slots || (config->estimates && !p->downlink))
        goto fail;
    if (p->downlink)
        downlink_init(p->downlink, config->start_bps);
    for (size_t i = 0; i < config->n_slots; i++)
        slot_init(&p->slots[i], p, &config->slots[i]);
    p->n_slots = config->n_slots;
    s->n_peers++;
    *ret_peer = p;
    return 0;
fail:
    if (p) {
        pacer_free(p->pacer);
        free(p->slots);
        free(p->downlink);
        free(p);
    }
    return ERR_NOMEM;
}

static void leave_ready(struct peer *p)
{
    struct sfu *s = p->sfu;
    for (size_t i = 0; p->queued && i < s->n_ready; i++) {
        if (s->ready[i] != p)
            continue;
        s->ready[i] = s->ready[--s->n_ready];
        return;
    }
}

void peer_free(struct peer *p, int64_t now_us)
{
    if (!p)
        return;
    router_detach(p, now_us);
    leave_ready(p);
    for (size_t i = 0; i < p->n_slots; i++)
        slot_finish(&p->slots[i], now_us);
    pacer_free(p->pacer);
    free(p->slots);
    free(p->feedback);
    free(p->downlink);
    p->sfu->n_peers--;
    free(p);
}

int64_t peer_rtt_us(const struct peer *p)
{
    return p->line.rtt_us > 0 ? p->line.rtt_us : NO_RTT_YET;
}

static const struct peer_stream *find_stream(const struct peer *p, uint32_t ssrc)
{
    for (size_t i = 0; i < p->n_streams; i++)
        if (p->streams[i].ssrc == ssrc)
            return &p->streams[i];
    return NULL;
}

static bool text_of(const struct peer *p, const struct rtp_packet *v, uint8_t (*id_of)(const struct rtp_ext_ids *),
                    char *text)
{
    for (unsigned kind = WISH_MICROPHONE; kind < SFU_KINDS; kind++)
        if (p->publish[kind].used && rtp_ext_text(v, id_of(&p->publish[kind].ids), text, SFU_MID_MAX))
            return true;
    return false;
}

static uint8_t mid_id(const struct rtp_ext_ids *ids)
{
    return ids->mid;
}

static uint8_t rid_id(const struct rtp_ext_ids *ids)
{
    return ids->rid;
}

static uint8_t rrid_id(const struct rtp_ext_ids *ids)
{
    return ids->rrid;
}

/* The section by mid, else the only one with that payload type. 0: none. */
static unsigned section_of(const struct peer *p, const struct rtp_packet *v)
{
    char mid[SFU_MID_MAX];
    unsigned found = 0;
    bool named = text_of(p, v, mid_id, mid);
    for (unsigned kind = WISH_MICROPHONE; kind < SFU_KINDS; kind++) {
        const struct publish_config *c = &p->publish[kind];
        if (!c->used || (v->pt != c->pt && v->pt != c->rtx_pt))
            continue;
        if (named ? strcmp(mid, c->mid) != 0 : found != 0)
            continue;
        found = kind;
    }
    return found;
}

static int rid_index(const struct publish_config *c, const char *rid)
{
    for (int i = 0; i < c->n_rids; i++)
        if (!strcmp(c->rids[i], rid))
            return i;
    return -1;
}

/* A new SSRC of that place: the former one is over. False: not so soon again. */
static bool replace_stream(struct peer *p, unsigned kind, unsigned layer, bool repair, uint32_t ssrc, int64_t now_us)
{
    for (size_t i = 0; i < p->n_streams; i++) {
        struct peer_stream *s = &p->streams[i];
        if (s->kind != kind || s->layer != layer || s->repair != repair)
            continue;
        if (!allowance_take(&p->ssrc_changes, PEER_SSRC_CHANGES_AT_ONCE, PEER_SSRC_CHANGE_US, now_us))
            return false;
        s->ssrc = ssrc;
        if (!repair && p->sources[kind])
            source_layer_restart(p->sources[kind], layer);
        return true;
    }
    add_stream(p, ssrc, kind, layer, repair);
    return true;
}

/* RFC 8843, 9.2 and RFC 8852: which track an unknown SSRC carries. NULL: `ret_why`. */
static const struct peer_stream *learn_stream(struct peer *p, const struct rtp_packet *v, int64_t now_us,
                                              enum sfu_drop *ret_why)
{
    *ret_why = SFU_DROP_UNKNOWN_SSRC;
    unsigned kind = section_of(p, v);
    if (!kind)
        return NULL;
    const struct publish_config *c = &p->publish[kind];
    bool repair = c->rtx_pt != SFU_NO_PT && v->pt == c->rtx_pt;
    int layer = 0;
    if (c->n_rids) {
        char rid[SFU_MID_MAX];
        if (!text_of(p, v, repair ? rrid_id : rid_id, rid))
            return NULL;
        layer = rid_index(c, rid);
        if (layer < 0)
            return NULL;
    }
    *ret_why = SFU_DROP_SSRC_CHANGES;
    if (!replace_stream(p, kind, (unsigned)layer, repair, v->ssrc, now_us))
        return NULL;
    return find_stream(p, v->ssrc);
}

static const struct peer_stream *media_stream(const struct peer *p, unsigned kind, unsigned layer)
{
    for (size_t i = 0; i < p->n_streams; i++)
        if (p->streams[i].kind == kind && p->streams[i].layer == layer && !p->streams[i].repair)
            return &p->streams[i];
    return NULL;
}

static void note_transport_seq(struct peer *p, const struct rtp_packet *v, const struct publish_config *c,
                               int64_t arrival_us)
{
    uint16_t seq;
    if (!rtp_ext_transport_seq(v, c->ids.transport_seq, &seq))
        return;
    if (!p->feedback) {
        p->feedback = malloc(sizeof *p->feedback);
        if (!p->feedback)
            return;
        transport_cc_init(p->feedback);
        p->feedback_us = arrival_us + PEER_FEEDBACK_US;
        peer_wake(p, p->feedback_us);
    }
    p->feedback_ssrc = v->ssrc;
    transport_cc_arrived(p->feedback, seq, arrival_us);
}

/* What one publisher sends goes out to all who see it: it may not fill their lines. */
static bool rate_allows(struct peer *p, size_t bytes, int64_t now_us)
{
    enum { AT_ONCE_US = 1000 * 1000 };
    uint32_t bps = p->sfu->peer_bps;
    return !bps || allowance_spend(&p->input, (int64_t)bytes * 8 * 1000000 / bps, AT_ONCE_US, now_us);
}

void peer_input_rtp(struct peer *p, struct packet *packet, int64_t now_us)
{
    struct sfu_stats *stats = &p->sfu->stats;
    struct rtp_packet v;
    if (!rate_allows(p, packet->len, now_us)) {
        stats->drops[SFU_DROP_RATE]++;
        return;
    }
    if (rtp_parse(packet->bytes, packet->len, &v)) {
        stats->drops[SFU_DROP_MALFORMED]++;
        return;
    }
    enum sfu_drop why;
    const struct peer_stream *stream = find_stream(p, v.ssrc);
    if (!stream)
        stream = learn_stream(p, &v, now_us, &why);
    if (!stream) {
        stats->drops[why]++;
        return;
    }
    const struct publish_config *c = &p->publish[stream->kind];
    note_transport_seq(p, &v, c, packet->arrival_us);
    struct source *source = p->sources[stream->kind];
    if (!source)
        return;
    bool repaired = stream->repair;
    unsigned layer = stream->layer;
    if (repaired) {
        const struct peer_stream *media = media_stream(p, stream->kind, layer);
        if (!media || rtx_unwrap(&v, c->pt, media->ssrc))
            return; /* a probe of padding only, or nothing of that layer has come yet */
    } else if (v.pt != c->pt) {
        stats->drops[SFU_DROP_UNKNOWN_SSRC]++;
        return;
    }
    struct layer *l = source_layer(source, layer);
    if (!l)
        return;
    l->ssrc = v.ssrc;
    uint8_t level = 0xff;
    if (!source_is_picture(source))
        rtp_ext_audio_level(&v, c->ids.audio_level, &level);
    source_input(source, layer, packet, &v, repaired, level, now_us);
}

bool peer_queue(struct peer *p, bool sound, const struct pacer_packet *item, int64_t now_us)
{
    if (pacer_put(p->pacer, sound, item)) {
        peer_flush(p, now_us);
        if (pacer_put(p->pacer, sound, item)) {
            p->sfu->stats.drops[SFU_DROP_QUEUE_FULL]++;
            return false;
        }
    }
    peer_get_ready(p);
    return true;
}

void peer_get_ready(struct peer *p)
{
    if (p->queued)
        return;
    p->queued = true;
    p->sfu->ready[p->sfu->n_ready++] = p;
}

int64_t peer_due_us(const struct peer *p, int64_t now_us)
{
    int64_t due_us = pacer_next_us(p->pacer, now_us);
    bool probes = p->downlink && p->downlink->cluster.id;
    if (due_us != INT64_MAX || !probes)
        return due_us;
    return (now_us / PACER_BURST_US + 1) * PACER_BURST_US;
}

static enum sfu_class class_of(const struct slot *s)
{
    if (!slot_is_picture(s))
        return SFU_SOUND;
    return s->config.role == SLOT_SHARED_SCREEN ? SFU_SCREEN : SFU_PICTURE;
}

enum { VP8_NUMBERS_MAX = 6 }; /* bytes of a descriptor up to its last number */

/* Writes this subscriber's numbers into the shared payload, and puts the publisher's back after it has been copied out. */
static void stamp_vp8(uint8_t *payload, const struct pacer_packet *item)
{
    struct vp8_descriptor d = {
        .picture_id_bits = item->picture_id_bits,
        .at_picture_id = item->at_picture_id,
        .has_tl0 = item->at_tl0 != 0,
        .at_tl0 = item->at_tl0,
        .has_keyidx = item->at_tid_keyidx != 0,
        .at_tid_keyidx = item->at_tid_keyidx,
    };
    vp8_rewrite(payload, &d, item->picture_id, item->tl0picidx, item->keyidx);
}

static void note_sent(struct peer *p, uint16_t seq, size_t bytes, int64_t now_us)
{
    bytes += PEER_OUTSIDE;
    p->sent[seq % PEER_SENT_RING] = (struct peer_sent){
        .sent_us = now_us, .seq = seq, .bytes = (uint16_t)bytes, .probe = downlink_sent(p, bytes, now_us), .waiting = true};
}

void peer_send_padding(struct peer *p, struct slot *s, uint8_t bytes, int64_t now_us)
{
    const struct rtp_header *h = &s->rtx_header;
    uint8_t header[RTP_HEADER_MAX];
    struct rtp_stamp stamp = {
        .padding = true,
        .seq = s->rtx_seq++,
        .ts = s->rewrite.newest_ts,
        .abs_time = h->at_abs_time ? rtp_abs_time(now_us) : 0,
    };
    if (h->at_transport_seq) {
        stamp.transport_seq = p->transport_seq++;
        note_sent(p, stamp.transport_seq, (size_t)h->len + bytes, now_us);
    }
    rtp_header_stamp(h, &stamp, header);
    if (p->sfu->shell.send_rtp(p->transport, class_of(s), header, h->len, header, 0, bytes))
        p->sfu->stats.drops[SFU_DROP_SEND]++;
    p->sfu->stats.padding_packets++;
}

static void release(struct peer *p, const struct pacer_packet *item, uint8_t padding, int64_t now_us)
{
    struct slot *s = item->slot;
    const struct rtp_header *h = item->repair ? &s->rtx_header : &s->header;
    uint8_t header[RTP_HEADER_MAX];
    uint8_t *payload = item->packet->bytes + item->offset;
    size_t len = item->len;
    struct rtp_stamp stamp = {
        .marker = item->marker,
        .padding = padding != 0,
        .seq = item->repair ? s->rtx_seq++ : item->seq,
        .ts = item->ts,
        .abs_time = h->at_abs_time ? rtp_abs_time(now_us) : 0,
    };
    uint8_t red_pt = 0;
    const uint8_t *red = slot_is_picture(s) ? NULL : slot_red_payload(s, item, &len, &red_pt);
    if (h->at_transport_seq) {
        stamp.transport_seq = p->transport_seq++;
        note_sent(p, stamp.transport_seq, h->len + len + padding, now_us);
    }
    uint8_t kept[VP8_NUMBERS_MAX];
    size_t n_kept = 0;
    if (item->picture_id_bits || item->at_tl0 || item->at_tid_keyidx) {
        n_kept = len < sizeof kept ? len : sizeof kept;
        memcpy(kept, payload, n_kept);
        stamp_vp8(payload, item);
    }
    rtp_header_stamp(h, &stamp, header);
    if (red)
        header[1] = (uint8_t)((header[1] & 0x80) | red_pt);
    struct rtx_wrapped wrapped = {0};
    if (item->repair) {
        wrapped = rtx_wrap(payload, len, item->seq);
        payload = wrapped.at;
        len = wrapped.len;
    }
    int err = p->sfu->shell.send_rtp(p->transport, class_of(s), header, h->len, red ? red : payload, len, padding);
    if (item->repair)
        rtx_unwrap_after_send(&wrapped);
    memcpy(item->packet->bytes + item->offset, kept, n_kept);
    if (err) {
        p->sfu->stats.drops[SFU_DROP_SEND]++;
        return;
    }
    p->sfu->stats.forwarded_packets++;
    if (!item->repair) {
        p->repairs_left += p->repairs_left < PEER_REPAIRS_AT_ONCE;
        s->packets++;
        s->octets += (uint32_t)len;
    }
}

static bool same_frame(const struct pacer_packet *a, const struct pacer_packet *b)
{
    return a->slot == b->slot && a->ts == b->ts && !a->repair && !b->repair;
}

/* Length of the longest packet queued behind `first` in its frame; `ret_more`: how many. */
static uint16_t longest_of_frame(const struct peer *p, const struct pacer_packet *first, size_t *ret_more)
{
    uint16_t longest = first->len;
    size_t i = 0;
    for (const struct pacer_packet *next; (next = pacer_peek(p->pacer, i)) && same_frame(first, next); i++)
        if (next->len > longest)
            longest = next->len;
    *ret_more = i;
    return longest;
}

/* Packets of a frame are made equal in size, so that they leave as one GSO run; the last may be shorter. */
void peer_flush(struct peer *p, int64_t now_us)
{
    struct pacer_packet item;
    uint16_t longest = 0;
    size_t more = 0;
    while (pacer_next(p->pacer, now_us, &item)) {
        if (more)
            more--;
        else
            longest = longest_of_frame(p, &item, &more);
        uint8_t padding = more && longest - item.len <= EQUAL_MAX ? (uint8_t)(longest - item.len) : 0;
        release(p, &item, padding, now_us);
        packet_unref(item.packet);
    }
    downlink_pad(p, now_us);
}
