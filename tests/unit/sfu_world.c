#include "sfu_world.h"

#include "base/err.h"
#include "rtp/vp8.h"
#include "rtp/vp9.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum {
    PT_OPUS = 111,
    PT_VP8 = 96,
    PT_RTX = 97,
    PT_VP9 = 98,
    PT_VP9_RTX = 99,
    PT_RED = 63,
    EXT_TRANSPORT = 3,
    EXT_LEVEL = 1,
    EXT_MID = 4,
    EXT_RID = 10,
    EXT_RRID = 11
};

static const enum slot_role roles[WORLD_SLOTS] = {SLOT_STAGE_SOUND,   SLOT_STAGE_PICTURE, SLOT_SHARED_SCREEN,
                                                  SLOT_FURTHER_SOUND, SLOT_FURTHER_SOUND, SLOT_FURTHER_SOUND,
                                                  SLOT_TILE,          SLOT_TILE};
static const uint8_t indexes[WORLD_SLOTS] = {0, 0, 0, 0, 1, 2, 0, 1};

uint32_t world_ssrc(uint32_t number, unsigned slot)
{
    return number * 1000 + 100 + slot;
}

static uint32_t tag_of(const uint8_t *end)
{
    return (uint32_t)end[-4] << 24 | (uint32_t)end[-3] << 16 | (uint32_t)end[-2] << 8 | end[-1];
}

static int send_rtp(void *transport, enum sfu_class class, const uint8_t *header, size_t header_len, const uint8_t *payload,
                    size_t payload_len, uint8_t padding)
{
    struct line *l = transport;
    struct rtp_packet v;
    uint8_t bytes[2048];
    memcpy(bytes, header, header_len);
    memcpy(bytes + header_len, payload, payload_len);
    memset(bytes + header_len + payload_len, 0, padding);
    if (padding)
        bytes[header_len + payload_len + padding - 1] = padding;
    assert_int_equal(rtp_parse(bytes, header_len + payload_len + padding, &v), 0);
    struct arrived a = {
        .ssrc = v.ssrc,
        .ts = v.ts,
        .seq = v.seq,
        .len = (uint16_t)(header_len + payload_len + padding),
        .pt = v.pt,
        .padding = padding,
        .marker = v.marker,
        .at_us = l->world->now_us,
        .repair = v.pt == PT_RTX || v.pt == PT_VP9_RTX,
    };
    rtp_ext_transport_seq(&v, EXT_TRANSPORT, &a.transport_seq);
    const uint8_t *body = v.payload;
    size_t len = v.payload_len;
    if (a.repair && len >= 2) {
        a.original_seq = (uint16_t)(body[0] << 8 | body[1]);
        body += 2;
        len -= 2;
    }
    a.silence = v.pt == PT_OPUS && len == 3 && !memcmp(body, "\xf8\xff\xfe", 3);
    a.tag = len >= 4 ? tag_of(body + len) : 0;
    struct vp8_descriptor d;
    if ((v.pt == PT_VP8 || v.pt == PT_RTX) && vp8_parse(body, len, &d) == 0) {
        a.picture = true;
        a.start = d.start;
        a.keyframe = d.keyframe;
        a.picture_id = d.picture_id;
        a.tl0 = d.tl0picidx;
    }
    struct vp9_descriptor d9;
    if ((v.pt == PT_VP9 || v.pt == PT_VP9_RTX) && vp9_parse(body, len, &d9) == 0) {
        a.picture = true;
        a.start = d9.start;
        a.end = d9.end;
        a.sid = d9.sid;
        a.tid = d9.tid;
        a.keyframe = !d9.predicted;
        a.picture_id = d9.picture_id;
    }
    if (l->lose && l->lose(&a, l->lose_ctx))
        return 0;
    assert_true(l->n_arrived < WORLD_ARRIVED);
    l->arrived[l->n_arrived++] = a;
    return 0;
}

static void note_block(struct line *l, const struct rtcp_block *b)
{
    uint32_t ssrc;
    if (b->type == RTCP_PSFB && b->count == RTCP_PLI) {
        l->plis++;
        assert_int_equal(rtcp_get_pli(b, &l->last_pli_ssrc), 0);
        for (unsigned i = 0; i < SFU_LAYERS; i++)
            l->camera_plis[i] += l->world->cameras[l - l->world->lines].ssrc[i] == l->last_pli_ssrc;
    }
    if (b->type == RTCP_RTPFB && b->count == RTCP_TRANSPORT_CC)
        l->feedbacks++;
    if (b->type == RTCP_RR) {
        struct rtcp_report reports[RTCP_REPORTS_MAX];
        size_t n;
        l->reports++;
        assert_int_equal(rtcp_get_reports(b, &ssrc, NULL, reports, &n), 0);
        for (size_t i = 0; i < n; i++)
            if (reports[i].ssrc == (uint32_t)(l - l->world->lines + 1) * 1000 + 1) {
                l->sound_fraction = reports[i].fraction_lost;
                l->sound_lost = reports[i].lost;
            }
    }
    if (b->type == RTCP_RTPFB && b->count == RTCP_NACK) {
        size_t n;
        assert_int_equal(rtcp_get_nack(b, &ssrc, l->nacks + l->n_nacks, WORLD_NACKS - l->n_nacks, &n), 0);
        l->n_nacks += n;
    }
    if (b->type == RTCP_SR) {
        struct rtcp_report reports[RTCP_REPORTS_MAX];
        struct rtcp_sender_info info;
        size_t n;
        assert_int_equal(rtcp_get_reports(b, &ssrc, &info, reports, &n), 0);
        for (unsigned i = 0; i < WORLD_SLOTS; i++)
            if (l->peer && l->peer->slots[i].config.ssrc == ssrc)
                l->sr[i] = info;
    }
}

static int send_rtcp(void *transport, const uint8_t *bytes, size_t len)
{
    struct reader r = reader_make(bytes, len);
    struct rtcp_block b;
    while (rtcp_next(&r, &b) == 0)
        note_block(transport, &b);
    return 0;
}

struct world *world_new(void)
{
    static const struct sfu_shell shell = {.send_rtp = send_rtp, .send_rtcp = send_rtcp};
    struct world *w = calloc(1, sizeof *w);
    w->pool = packet_pool_new(16384);
    sfu_init(&w->sfu, &shell, 42);
    w->router = router_new(&w->sfu, "phien-thu");
    w->now_us = 1000000;
    strcpy(w->wish.id, "phien-thu");
    w->wish.endpoints = w->endpoints;
    return w;
}

void world_free(struct world *w)
{
    sfu_finish(&w->sfu);
    packet_pool_free(w->pool); /* asserts that every packet has come back */
    for (size_t i = 0; i < WORLD_PEERS; i++)
        free(w->lines[i].arrived);
    free(w);
}

struct line *world_line(struct world *w, uint32_t number)
{
    return &w->lines[number - 1];
}

struct slot *world_slot(struct world *w, uint32_t number, unsigned slot)
{
    return &w->lines[number - 1].peer->slots[slot];
}

struct wish_endpoint *world_wish(struct world *w, uint32_t number)
{
    return wish_find(&w->wish, number);
}

void world_apply(struct world *w)
{
    router_apply(w->router, &w->wish, w->now_us);
    sfu_turn(&w->sfu, w->now_us);
    world_check(w);
}

static void configure_publishing(struct peer_config *c, uint32_t number, unsigned layers, bool vp9)
{
    static const char *const rids[] = {"l", "m", "h"};
    struct rtp_ext_ids ids = {
        .mid = EXT_MID, .rid = EXT_RID, .rrid = EXT_RRID, .transport_seq = EXT_TRANSPORT, .audio_level = EXT_LEVEL};
    for (unsigned kind = WISH_MICROPHONE; kind < SFU_KINDS; kind++) {
        struct publish_config *p = &c->publish[kind];
        *p = (struct publish_config){
            .used = true, .codec = RTP_VP8, .pt = PT_VP8, .rtx_pt = PT_RTX, .ids = ids, .nack = true, .pli = true};
        p->mid[0] = (char)('0' + kind);
    }
    c->publish[WISH_MICROPHONE].codec = RTP_OPUS;
    c->publish[WISH_MICROPHONE].pt = PT_OPUS;
    c->publish[WISH_MICROPHONE].rtx_pt = SFU_NO_PT;
    c->publish[WISH_MICROPHONE].ssrc = number * 1000 + 1;
    c->publish[WISH_SCREEN].ssrc = number * 1000 + 20;
    c->publish[WISH_SCREEN].rtx_ssrc = number * 1000 + 21;
    if (vp9)
        c->publish[WISH_CAMERA].codec = RTP_VP9;
    if (layers == 1) {
        c->publish[WISH_CAMERA].ssrc = number * 1000 + 10;
        c->publish[WISH_CAMERA].rtx_ssrc = number * 1000 + 13;
        return;
    }
    c->publish[WISH_CAMERA].n_rids = (uint8_t)layers;
    for (unsigned i = 0; i < layers; i++)
        strcpy(c->publish[WISH_CAMERA].rids[i], rids[i]);
}

static void configure_slots(struct peer_config *c, uint32_t number)
{
    c->n_slots = WORLD_SLOTS;
    for (unsigned i = 0; i < WORLD_SLOTS; i++) {
        struct slot_config *s = &c->slots[i];
        s->role = roles[i];
        s->index = indexes[i];
        s->ssrc = world_ssrc(number, i);
        s->ids.transport_seq = EXT_TRANSPORT;
        for (unsigned k = 0; k <= RTP_H264; k++)
            s->codecs[k] = (struct slot_codec){.pt = SFU_NO_PT, .rtx_pt = SFU_NO_PT, .red_pt = SFU_NO_PT};
        s->codecs[RTP_OPUS].pt = PT_OPUS;
        s->codecs[RTP_OPUS].red_pt = PT_RED;
        s->codecs[RTP_VP9] = (struct slot_codec){.pt = PT_VP9, .rtx_pt = PT_VP9_RTX, .nack = true};
        s->codecs[RTP_VP8] = (struct slot_codec){.pt = PT_VP8, .rtx_pt = PT_RTX, .nack = true};
        if (roles[i] != SLOT_STAGE_SOUND && roles[i] != SLOT_FURTHER_SOUND)
            s->rtx_ssrc = s->ssrc + 50;
    }
}

static void set_camera(struct camera *c, struct line *l, uint32_t first_ssrc, unsigned layers)
{
    *c = (struct camera){.line = l, .tag = first_ssrc << 12, .layers = layers};
    for (unsigned i = 0; i < SFU_LAYERS; i++) {
        c->ssrc[i] = first_ssrc + i;
        c->rtx_ssrc[i] = layers == 1 && first_ssrc % 100 == 20 ? first_ssrc + 1 : first_ssrc + 3 + i;
        c->seq[i] = (uint16_t)(65500 + i * 7 + first_ssrc); /* wraps soon */
        c->base_ts[i] = 0xfff00000u + i * 1234567u + first_ssrc * 777u;
        c->ts[i] = c->base_ts[i];
        c->picture_id[i] = (uint16_t)((0x7ff0 + first_ssrc * 31) & 0x7fff);
        c->tl0[i] = (uint8_t)(250 + i);
        c->height[i] = (uint16_t)(layers == 1 ? 720 : 180 << i);
    }
}

void world_join_again(struct world *w, uint32_t number, unsigned layers, uint32_t incarnation)
{
    struct line *l = world_line(w, number);
    struct peer_config *config = calloc(1, sizeof *config);
    l->world = w;
    if (!l->arrived)
        l->arrived = calloc(WORLD_ARRIVED, sizeof *l->arrived);
    config->number = number;
    config->incarnation = incarnation;
    config->transport = l;
    config->estimates = w->estimates;
    configure_publishing(config, number, layers, w->vp9);
    configure_slots(config, number);
    struct peer *p;
    assert_int_equal(peer_new(&w->sfu, config, &p), 0);
    free(config);
    set_camera(&w->cameras[number - 1], l, number * 1000 + 10, layers);
    set_camera(&w->screens[number - 1], l, number * 1000 + 20, 1);
    assert_int_equal(router_attach(w->router, p, w->now_us), 0);
    l->peer = p;
    world_apply(w);
}

void world_join(struct world *w, uint32_t number, unsigned layers)
{
    struct wish_endpoint *e = &w->endpoints[w->wish.n_endpoints++];
    *e = (struct wish_endpoint){.number = number,
                                .incarnation = 1,
                                .may_send = 0xe,
                                .hears = true,
                                .stage_size = {1280, 720},
                                .screen_size = {1280, 720}};
    world_join_again(w, number, layers, 1);
}

void world_run(struct world *w, int64_t us)
{
    int64_t end_us = w->now_us + us;
    while (w->now_us < end_us) {
        w->now_us += 5000;
        sfu_turn(&w->sfu, w->now_us);
    }
    world_check(w);
}

void world_check(struct world *w)
{
    const char *broken = router_check(w->router);
    if (broken)
        fail_msg("%s", broken);
}

static void input(struct world *w, struct line *l, struct packet *p)
{
    p->arrival_us = w->now_us;
    peer_input_rtp(l->peer, p, w->now_us);
    packet_unref(p);
    if (!w->hold)
        sfu_turn(&w->sfu, w->now_us);
}

static void write_header(struct writer *x, struct world *w, struct line *l, uint8_t pt, bool marker, uint16_t seq,
                         uint32_t ts, uint32_t ssrc, uint8_t rid_id, char rid, char mid)
{
    write_u8(x, 0x90);
    write_u8(x, (uint8_t)((marker ? 0x80 : 0) | pt));
    write_u16(x, seq);
    write_u32(x, ts);
    write_u32(x, ssrc);
    write_u16(x, 0xbede);
    write_u16(x, rid ? 2 : 2);
    write_u8(x, EXT_TRANSPORT << 4 | 1);
    write_u16(x, w->transport_seq[l - w->lines]++);
    write_u8(x, EXT_MID << 4);
    write_u8(x, (uint8_t)mid);
    write_u8(x, rid ? (uint8_t)(rid_id << 4) : 0);
    write_u8(x, rid ? (uint8_t)rid : 0);
    write_u8(x, 0);
}

struct vp8_packet {
    uint16_t seq, picture_id, height;
    uint32_t ts, tag;
    uint8_t tl0;
    bool start, keyframe, marker;
    unsigned extra; /* bytes */
};

static void write_vp8(struct writer *x, const struct vp8_packet *v)
{
    write_u8(x, v->start ? 0x90 : 0x80);
    write_u8(x, 0xf0);
    write_u16(x, 0x8000 | v->picture_id);
    write_u8(x, v->tl0);
    write_u8(x, 0x00);
    if (v->start) {
        write_u8(x, v->keyframe ? 0x10 : 0x11);
        write_u16(x, 0);
        if (v->keyframe) {
            write_u24(x, 0x9d012a);
            write_u8(x, (uint8_t)(v->height * 16 / 9 & 0xff));
            write_u8(x, (uint8_t)(v->height * 16 / 9 >> 8));
            write_u8(x, (uint8_t)(v->height & 0xff));
            write_u8(x, (uint8_t)(v->height >> 8));
        }
    }
    for (unsigned i = 0; i < v->extra; i++)
        write_u8(x, 0xaa);
    write_u32(x, v->tag);
}

static bool is_simulcast(const struct camera *c)
{
    return c->layers > 1;
}

static void send_vp8(struct world *w, struct camera *c, unsigned layer, const struct vp8_packet *v, bool repair)
{
    struct packet *p = packet_get(w->pool);
    struct writer x = writer_make(p->bytes, 1500);
    bool screen = c >= w->screens && c < w->screens + WORLD_PEERS;
    write_header(&x, w, c->line, repair ? PT_RTX : PT_VP8, v->marker, repair ? c->rtx_seq[layer]++ : v->seq, v->ts,
                 repair ? c->rtx_ssrc[layer] : c->ssrc[layer], repair ? EXT_RRID : EXT_RID,
                 is_simulcast(c) ? "lmh"[layer] : 0, screen ? '3' : '2');
    if (repair)
        write_u16(&x, v->seq);
    write_vp8(&x, v);
    assert_false(x.failed);
    p->len = (uint16_t)writer_len(&x);
    input(w, c->line, p);
}

static void send_payload(struct world *w, struct camera *c, uint16_t seq, uint32_t ts, bool marker, const uint8_t *payload,
                         size_t len, bool repair)
{
    struct packet *p = packet_get(w->pool);
    struct writer x = writer_make(p->bytes, 1500);
    write_header(&x, w, c->line, repair ? PT_RTX : PT_VP8, marker, repair ? c->rtx_seq[0]++ : seq, ts,
                 repair ? c->rtx_ssrc[0] : c->ssrc[0], 0, 0, '2');
    if (repair)
        write_u16(&x, seq);
    write_bytes(&x, payload, len);
    assert_false(x.failed);
    p->len = (uint16_t)writer_len(&x);
    input(w, c->line, p);
}

void world_payload(struct world *w, struct camera *c, uint32_t ts, bool marker, const uint8_t *payload, size_t len,
                   bool lost)
{
    uint16_t seq = c->seq[0]++;
    if (lost)
        w->transport_seq[c->line - w->lines]++;
    else
        send_payload(w, c, seq, ts, marker, payload, len, false);
}

void world_payload_again(struct world *w, struct camera *c, uint16_t seq, uint32_t ts, bool marker, const uint8_t *payload,
                         size_t len)
{
    send_payload(w, c, seq, ts, marker, payload, len, true);
}

void world_frame(struct world *w, struct camera *c, unsigned layer, unsigned packets, bool keyframe, uint32_t lost)
{
    /* captured now; two frames of one moment are a millisecond apart */
    uint32_t ts = c->base_ts[layer] + (uint32_t)(w->now_us * 9 / 100);
    c->ts[layer] = (int32_t)(ts - c->ts[layer]) > 0 ? ts : c->ts[layer] + 90;
    c->picture_id[layer] = (c->picture_id[layer] + 1) & 0x7fff;
    c->tl0[layer]++;
    for (unsigned i = 0; i < packets; i++) {
        struct vp8_packet v = {
            .seq = c->seq[layer]++,
            .picture_id = c->picture_id[layer],
            .height = c->height[layer],
            .ts = c->ts[layer],
            .tag = c->tag++,
            .tl0 = c->tl0[layer],
            .start = i == 0,
            .keyframe = keyframe,
            .marker = i + 1 == packets,
            .extra = (w->packet_bytes ? w->packet_bytes : 100) + i % 2,
        };
        if (lost & 1u << i)
            w->transport_seq[c->line - w->lines]++;
        else
            send_vp8(w, c, layer, &v, false);
    }
}

void world_repair(struct world *w, struct camera *c, unsigned layer, uint16_t seq, uint32_t ts, uint16_t picture_id,
                  uint8_t tl0, bool start, bool keyframe, bool marker, uint32_t tag)
{
    struct vp8_packet v = {.seq = seq,
                           .picture_id = picture_id,
                           .height = c->height[layer],
                           .ts = ts,
                           .tag = tag,
                           .tl0 = tl0,
                           .start = start,
                           .keyframe = keyframe,
                           .marker = marker,
                           .extra = 100};
    send_vp8(w, c, layer, &v, true);
}

void world_sound(struct world *w, uint32_t number, uint8_t level)
{
    struct line *l = world_line(w, number);
    struct packet *p = packet_get(w->pool);
    struct writer x = writer_make(p->bytes, 1500);
    write_u8(&x, 0x90);
    write_u8(&x, PT_OPUS);
    write_u16(&x, w->sound_seq[number - 1]++);
    write_u32(&x, w->sound_ts[number - 1] += 960);
    write_u32(&x, number * 1000 + 1);
    write_u16(&x, 0xbede);
    write_u16(&x, 1);
    write_u8(&x, EXT_LEVEL << 4);
    write_u8(&x, level);
    write_u16(&x, 0);
    for (unsigned i = 0; i < 60; i++)
        write_u8(&x, 0x55);
    write_u32(&x, number << 20 | w->sound_seq[number - 1]);
    p->len = (uint16_t)writer_len(&x);
    input(w, l, p);
}

void world_live(struct world *w, int64_t ms, uint32_t cameras, uint32_t sounds, uint8_t level)
{
    for (int64_t t = 0; t < ms; t += 5) {
        for (uint32_t n = 1; n <= WORLD_PEERS; n++) {
            if ((sounds & 1u << n) && t % 20 == 0)
                world_sound(w, n, level);
            for (unsigned i = 0; (cameras & 1u << n) && t % 35 == 0 && i < SFU_LAYERS; i++)
                if (i == 0 || is_simulcast(&w->cameras[n - 1]))
                    world_frame(w, &w->cameras[n - 1], i, 3, false, 0);
        }
        world_run(w, 5000);
    }
}

void world_nack(struct world *w, uint32_t number, uint32_t ssrc, const uint16_t *seqs, size_t n)
{
    uint8_t bytes[1000];
    struct writer x = writer_make(bytes, sizeof bytes);
    rtcp_write_nack(&x, 1, ssrc, seqs, n);
    peer_input_rtcp(world_line(w, number)->peer, bytes, writer_len(&x), w->now_us);
    sfu_turn(&w->sfu, w->now_us);
}

void world_pli(struct world *w, uint32_t number, uint32_t ssrc)
{
    uint8_t bytes[100];
    struct writer x = writer_make(bytes, sizeof bytes);
    rtcp_write_pli(&x, 1, ssrc);
    peer_input_rtcp(world_line(w, number)->peer, bytes, writer_len(&x), w->now_us);
    sfu_turn(&w->sfu, w->now_us);
}

size_t world_received(struct world *w, uint32_t number, uint32_t ssrc, const struct arrived **ret, size_t cap)
{
    struct line *l = world_line(w, number);
    size_t n = 0;
    for (size_t i = 0; i < l->n_arrived && n < cap; i++)
        if (l->arrived[i].ssrc == ssrc)
            ret[n++] = &l->arrived[i];
    return n;
}

void world_clear(struct world *w, uint32_t number)
{
    world_line(w, number)->n_arrived = 0;
}
