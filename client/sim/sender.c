#include "sim/sender.h"

#include "net/net.h"
#include "rtp/rtcp.h"
#include "rtp/vp8.h"
#include "sim/offer.h"

#include <stdlib.h>
#include <string.h>

enum {
    CHUNK = 1100, /* bytes of VP8 in a packet, at most */
    SENT = 512,   /* packets a layer remembers for retransmission */
    SOUND_US = 20000,
    REPORT_US = 1000000,
    LATE_US = 200000, /* further behind than that, the clock skips: a stopped process doesn't burst */
    PAYLOAD_MAX = 2 + VP8_DESCRIPTOR + CHUNK,
};

struct sent_packet {
    bool used, keyframe, marker, start;
    uint16_t seq, picture_id;
    uint32_t ts, frame, offset, len;
};

struct stream {
    uint32_t ssrc;
    struct rtp_header header;
    uint16_t seq;
    uint32_t ts_base, packets, octets;
};

struct layer {
    struct stream video, rtx;
    bool keyframe_wanted, unwanted;
    uint16_t picture_id;
    struct sent_packet sent[SENT];
};

struct sender {
    const struct clip *clip;
    struct net_transport *transport;
    struct stream sound;
    struct layer layers[CLIP_LAYERS];
    bool microphone, camera, ignore_requests, frozen;
    int64_t start_us, next_report_us;
    uint64_t next_sound, next_frame; /* counted from start_us */
    uint16_t transport_seq;
    unsigned fps;
    struct sender_counts counts;
    sender_tap *tap;
    void *tap_ctx;
};

static void make_header(struct stream *st, uint8_t pt, const char *mid, const char *rid, const char *rrid, bool level)
{
    struct rtp_header_plan plan = {
        .pt = pt, .ssrc = st->ssrc, .ids = offer_ext_ids, .mid = mid, .rid = rid, .rrid = rrid, .audio_level = level};
    (void)rtp_header_build(&plan, &st->header); /* our own constants fit */
}

struct sender *sender_new(const struct clip *clip, uint32_t ssrc_base, int64_t start_us)
{
    struct sender *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->clip = clip;
    s->start_us = start_us;
    s->fps = clip_frames(clip) / CLIP_SECONDS;
    s->sound.ssrc = ssrc_base;
    for (unsigned i = 0; i < CLIP_LAYERS; i++) {
        s->layers[i].video.ssrc = ssrc_base + 1 + 2 * i;
        s->layers[i].rtx.ssrc = ssrc_base + 2 + 2 * i;
    }
    return s;
}

void sender_free(struct sender *s)
{
    free(s);
}

void sender_attach(struct sender *s, struct net_transport *t, int64_t now_us)
{
    s->transport = t;
    s->transport_seq = 0;
    make_header(&s->sound, OFFER_OPUS, "0", NULL, NULL, true);
    s->sound.seq = (uint16_t)(s->sound.ssrc & 0x3fff);
    s->sound.ts_base = s->sound.ssrc * 2654435761u;
    for (unsigned i = 0; i < CLIP_LAYERS; i++) {
        struct layer *l = &s->layers[i];
        make_header(&l->video, OFFER_VP8, "1", offer_rids[i], NULL, false);
        make_header(&l->rtx, OFFER_RTX, "1", NULL, offer_rids[i], false);
        l->video.seq = (uint16_t)(l->video.ssrc * 7 & 0x3fff);
        l->video.ts_base = l->video.ssrc * 2654435761u;
        l->rtx.seq = 1;
        l->keyframe_wanted = true;
        l->unwanted = false;
        memset(l->sent, 0, sizeof l->sent);
    }
    s->next_report_us = now_us + 100000;
}

void sender_set(struct sender *s, bool microphone, bool camera)
{
    if (camera && !s->camera)
        for (unsigned i = 0; i < CLIP_LAYERS; i++)
            s->layers[i].keyframe_wanted = true;
    s->microphone = microphone;
    s->camera = camera;
}

void sender_want_layers(struct sender *s, unsigned layers)
{
    for (unsigned i = 0; i < CLIP_LAYERS; i++) {
        struct layer *l = &s->layers[i];
        bool unwanted = !(layers & 1u << i);
        if (l->unwanted && !unwanted)
            l->keyframe_wanted = true;
        l->unwanted = unwanted;
    }
}

void sender_ignore_keyframe_requests(struct sender *s)
{
    s->ignore_requests = true;
}

void sender_freeze(struct sender *s)
{
    s->frozen = true;
}

void sender_set_tap(struct sender *s, sender_tap *tap, void *ctx)
{
    s->tap = tap;
    s->tap_ctx = ctx;
}

static void send_packet(struct sender *s, struct stream *st, enum net_class class, const struct rtp_stamp *what,
                        const uint8_t *payload, size_t len, int64_t now_us)
{
    uint8_t header[RTP_HEADER_MAX];
    struct rtp_stamp stamp = *what;
    stamp.transport_seq = s->transport_seq++;
    stamp.abs_time = rtp_abs_time(now_us);
    rtp_header_stamp(&st->header, &stamp, header);
    if (net_send_rtp(s->transport, class, header, st->header.len, payload, len, 0))
        return;
    s->counts.packets++;
    st->packets++;
    st->octets += (uint32_t)len;
}

static void send_sound(struct sender *s, uint64_t n, int64_t now_us)
{
    uint8_t level;
    struct clip_bytes b = clip_sound(s->clip, (unsigned)(n % CLIP_SOUND_FRAMES), &level);
    struct rtp_stamp stamp = {.seq = s->sound.seq++, .ts = s->sound.ts_base + (uint32_t)(n * 960), .audio_level = level};
    if (s->tap)
        s->tap(s->tap_ctx, b.bytes, b.len, now_us);
    send_packet(s, &s->sound, NET_SOUND, &stamp, b.bytes, b.len, now_us);
}

static struct clip_bytes sent_bytes(const struct sender *s, unsigned layer, const struct sent_packet *p)
{
    struct clip_bytes b = clip_picture(s->clip, layer, p->frame, p->keyframe);
    return (struct clip_bytes){.bytes = b.bytes + p->offset, .len = p->len};
}

static void send_video(struct sender *s, unsigned layer, const struct sent_packet *p, int64_t now_us)
{
    uint8_t payload[PAYLOAD_MAX];
    struct clip_bytes b = sent_bytes(s, layer, p);
    size_t head = vp8_write_descriptor(payload, p->start, p->picture_id);
    memcpy(payload + head, b.bytes, b.len);
    if (s->tap)
        s->tap(s->tap_ctx, b.bytes, b.len, now_us);
    struct rtp_stamp stamp = {.seq = p->seq, .ts = p->ts, .marker = p->marker};
    send_packet(s, &s->layers[layer].video, NET_PICTURE, &stamp, payload, head + b.len, now_us);
}

static void send_retransmission(struct sender *s, unsigned layer, const struct sent_packet *p, int64_t now_us)
{
    uint8_t payload[PAYLOAD_MAX];
    struct clip_bytes b = sent_bytes(s, layer, p);
    put_u16(payload, p->seq);
    size_t head = 2 + vp8_write_descriptor(payload + 2, p->start, p->picture_id);
    memcpy(payload + head, b.bytes, b.len);
    struct stream *rtx = &s->layers[layer].rtx;
    struct rtp_stamp stamp = {.seq = rtx->seq++, .ts = p->ts, .marker = p->marker};
    send_packet(s, rtx, NET_PICTURE, &stamp, payload, head + b.len, now_us);
    s->counts.retransmissions++;
}

/* One picture of one layer, cut into packets of equal size. */
static void send_picture(struct sender *s, unsigned layer, uint64_t n, int64_t now_us)
{
    struct layer *l = &s->layers[layer];
    uint32_t frame = s->frozen ? 0 : (uint32_t)(n % clip_frames(s->clip));
    struct clip_bytes b = clip_picture(s->clip, layer, frame, l->keyframe_wanted);
    uint32_t packets = (uint32_t)((b.len + CHUNK - 1) / CHUNK), offset = 0;
    l->picture_id = (l->picture_id + 1) & 0x7fff;
    for (uint32_t i = 0; i < packets; i++) {
        uint32_t len = (uint32_t)(b.len - offset) / (packets - i);
        struct sent_packet *p = &l->sent[l->video.seq % SENT];
        *p = (struct sent_packet){.used = true,
                                  .keyframe = l->keyframe_wanted,
                                  .marker = i + 1 == packets,
                                  .start = i == 0,
                                  .seq = l->video.seq++,
                                  .picture_id = l->picture_id,
                                  .ts = l->video.ts_base + (uint32_t)(n * 90000 / s->fps),
                                  .frame = frame,
                                  .offset = offset,
                                  .len = len};
        offset += len;
        send_video(s, layer, p, now_us);
    }
    s->counts.keyframes += l->keyframe_wanted;
    l->keyframe_wanted = false;
}

static void send_report(struct sender *s, const struct stream *st, uint32_t rtp_ts, int64_t now_us)
{
    uint8_t bytes[128];
    struct writer w = writer_make(bytes, sizeof bytes);
    struct rtcp_sender_info info = {
        .ntp = ntp_from_us(now_us), .rtp_ts = rtp_ts, .packets = st->packets, .octets = st->octets};
    rtcp_write_sr(&w, st->ssrc, &info, NULL, 0);
    rtcp_write_cname(&w, st->ssrc, "sim");
    if (!w.failed)
        net_send_rtcp(s->transport, bytes, writer_len(&w));
}

static void send_reports(struct sender *s, int64_t now_us)
{
    int64_t since_us = now_us - s->start_us;
    if (s->microphone)
        send_report(s, &s->sound, s->sound.ts_base + (uint32_t)(since_us * 48 / 1000), now_us);
    for (unsigned i = 0; s->camera && i < CLIP_LAYERS; i++)
        send_report(s, &s->layers[i].video, s->layers[i].video.ts_base + (uint32_t)(since_us * 9 / 100), now_us);
    s->next_report_us = now_us + REPORT_US;
}

int64_t sender_run(struct sender *s, int64_t now_us)
{
    if (!s->transport || net_transport_state(s->transport) != NET_CONNECTED)
        return INT64_MAX;
    int64_t since_us = now_us - s->start_us, frame_us = 1000000 / s->fps;
    if (since_us - (int64_t)s->next_sound * SOUND_US > LATE_US || since_us - (int64_t)s->next_frame * frame_us > LATE_US) {
        s->next_sound = (uint64_t)(since_us / SOUND_US);
        uint64_t frame = (uint64_t)(since_us * s->fps / 1000000);
        if (s->counts.packets && s->camera)
            s->counts.skipped += frame - s->next_frame;
        s->next_frame = frame;
    }
    for (; (int64_t)s->next_sound * SOUND_US <= since_us; s->next_sound++)
        if (s->microphone)
            send_sound(s, s->next_sound, now_us);
    for (; (int64_t)(s->next_frame * 1000000 / s->fps) <= since_us; s->next_frame++)
        for (unsigned i = 0; s->camera && i < CLIP_LAYERS; i++)
            if (!s->layers[i].unwanted && (!s->frozen || s->layers[i].keyframe_wanted))
                send_picture(s, i, s->next_frame, now_us);
    if (now_us >= s->next_report_us)
        send_reports(s, now_us);

    int64_t sound_at = s->start_us + (int64_t)s->next_sound * SOUND_US;
    int64_t frame_at = s->start_us + (int64_t)(s->next_frame * 1000000 / s->fps);
    return sound_at < frame_at ? sound_at : frame_at;
}

static struct layer *layer_of(struct sender *s, uint32_t ssrc)
{
    for (unsigned i = 0; i < CLIP_LAYERS; i++)
        if (s->layers[i].video.ssrc == ssrc)
            return &s->layers[i];
    return NULL;
}

static void ask_keyframe(struct sender *s, uint32_t ssrc)
{
    struct layer *l = layer_of(s, ssrc);
    if (!l)
        return;
    s->counts.keyframe_requests++;
    if (!s->ignore_requests)
        l->keyframe_wanted = true;
}

static void answer_nack(struct sender *s, const struct rtcp_block *b, int64_t now_us)
{
    uint32_t ssrc;
    uint16_t seqs[256];
    size_t n;
    struct layer *l;
    if (rtcp_get_nack(b, &ssrc, seqs, sizeof seqs / sizeof seqs[0], &n) || !(l = layer_of(s, ssrc)))
        return;
    for (size_t i = 0; i < n; i++) {
        const struct sent_packet *p = &l->sent[seqs[i] % SENT];
        if (p->used && p->seq == seqs[i])
            send_retransmission(s, (unsigned)(l - s->layers), p, now_us);
    }
}

void sender_feedback(struct sender *s, const struct rtcp_block *b, int64_t now_us)
{
    uint32_t ssrc;
    struct rtcp_fir firs[8];
    size_t n;
    if (b->type == RTCP_RTPFB && b->count == RTCP_NACK)
        answer_nack(s, b, now_us);
    else if (b->type == RTCP_PSFB && b->count == RTCP_PLI && rtcp_get_pli(b, &ssrc) == 0)
        ask_keyframe(s, ssrc);
    else if (b->type == RTCP_PSFB && b->count == RTCP_FIR && rtcp_get_fir(b, firs, 8, &n) == 0)
        for (size_t i = 0; i < n; i++)
            ask_keyframe(s, firs[i].ssrc);
}

const struct sender_counts *sender_counts(const struct sender *s)
{
    return &s->counts;
}
