/* Feeds that we read: tracks homed on another worker, mirrored here. */
#include "media/media.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

#include <string.h>

enum {
    READ_AT_ONCE = 256,
    TOO_OLD_US = 1000 * 1000,      /* what was written before we came back is nobody's live picture any more */
    TOO_NEW_US = 10 * 1000 * 1000, /* no clock mapping of a publisher is off by so much … */
};
#define EXT_SEQ_MAX (INT64_C(1) << 48) /* … and no track has so many packets: its writer lies */

static enum rtp_codec codec_of(const char *name)
{
    static const struct {
        const char *name;
        enum rtp_codec codec;
    } codecs[] = {{"opus", RTP_OPUS}, {"VP8", RTP_VP8}, {"VP9", RTP_VP9}, {"H264", RTP_H264}};
    for (size_t i = 0; name && i < 4; i++)
        if (!strcmp(codecs[i].name, name))
            return codecs[i].codec;
    return RTP_CODEC_NONE;
}

static bool split_track(uint32_t track, uint32_t *ret_number, enum wish_kind *ret_kind)
{
    *ret_number = track / 4;
    *ret_kind = (enum wish_kind)(track % 4);
    return *ret_number >= 1 && *ret_number <= WISH_ENDPOINT_NUMBER_MAX && track % 4;
}

/* Of layers that do not flow here: which one fits a slot is known before anything is asked for. */
static void take_heights(struct source *s, const json_t *heights)
{
    for (unsigned i = 0; i < SFU_LAYERS; i++) {
        json_int_t height = json_integer_value(json_array_get(heights, i));
        s->origin_height[i] = height > 0 && height <= UINT16_MAX ? (uint16_t)height : 0;
    }
}

static void take_meta(struct feed *f, const struct feed_record *r, const uint8_t *body, int64_t now_us)
{
    uint32_t number;
    enum wish_kind kind;
    if (!split_track(r->track, &number, &kind))
        return;
    json_auto_t *o = json_loadb((const char *)body, r->len, 0, NULL);
    enum rtp_codec codec = codec_of(json_string_value(json_object_get(o, "codec")));
    json_int_t layers = json_integer_value(json_object_get(o, "layers"));
    if (codec == RTP_CODEC_NONE || (codec == RTP_OPUS) != (kind == WISH_MICROPHONE) || layers < 0 || layers > SFU_LAYERS)
        return;
    struct source *s = router_mirror(f->briefing->router, number, kind, r->incarnation, codec, (uint8_t)layers, now_us);
    if (!s)
        return;
    take_heights(s, json_object_get(o, "heights"));
    if (s->user == f)
        return;
    s->user = f;
    mirrors_want(f->briefing->media, s, s->wanted);
}

static struct source *mirror_of(struct feed *f, const struct feed_record *r)
{
    uint32_t number;
    enum wish_kind kind;
    if (!split_track(r->track, &number, &kind))
        return NULL;
    struct source *s = router_source(f->briefing->router, number, kind);
    return s && !s->peer && s->user == f && s->incarnation == r->incarnation ? s : NULL;
}

static bool is_timely(const struct feed_record *r, int64_t now_us)
{
    return r->session_us >= now_us - TOO_OLD_US && r->session_us <= now_us + TOO_NEW_US && r->ext_seq < EXT_SEQ_MAX;
}

static void take_rtp(struct feed *f, const struct feed_record *r, struct packet *p, int64_t now_us)
{
    struct source *s = mirror_of(f, r);
    struct rtp_packet v;
    unsigned layer = r->flags & FEED_FLAG_LAYER_MASK;
    if (!s || !is_timely(r, now_us)) {
        f->briefing->media->feeds.stale++;
        return;
    }
    p->len = r->len;
    p->arrival_us = now_us;
    if (rtp_parse(p->bytes, p->len, &v))
        return;
    s->pt = v.pt;
    if (s->kind == WISH_MICROPHONE)
        source_input_mirrored(s, 0, p, &v, (int64_t)r->ext_seq, r->session_us, r->flags, now_us);
    else if (layer < SFU_LAYERS)
        source_input_mirrored(s, layer, p, &v, (int64_t)r->ext_seq, r->session_us, 0xff, now_us);
}

static void take_rates(struct feed *f, const struct feed_record *r, const uint8_t *body)
{
    struct source *s = mirror_of(f, r);
    struct reader in = reader_make(body, r->len);
    for (unsigned i = 0; s && i < SFU_LAYERS; i++)
        s->origin_bps[i] = read_u32(&in);
}

static void request(struct feed *f, const struct source *s, uint8_t layers)
{
    for (unsigned i = 0; i < SFU_LAYERS; i++)
        if (layers & 1u << i)
            feed_request_keyframe(f->reader, wish_cell(s->number, s->kind), i);
}

/* Records were dropped: the pictures that are watched have broken. */
static void ask_again(struct feed *f)
{
    for (uint32_t n = 1; n <= WISH_ENDPOINT_NUMBER_MAX; n++)
        for (unsigned kind = WISH_CAMERA; kind < SFU_KINDS; kind++) {
            const struct source *s = f->briefing->router->sources[n][kind];
            if (s && !s->peer && s->user == f)
                request(f, s, s->wanted);
        }
}

static void take(struct feed *f, const struct feed_record *r, struct packet *p, int64_t now_us)
{
    struct source *s;
    switch (r->kind) {
    case FEED_META: take_meta(f, r, p->bytes, now_us); break;
    case FEED_RTP: take_rtp(f, r, p, now_us); break;
    case FEED_END:
        if ((s = mirror_of(f, r)) != NULL)
            router_mirror_end(f->briefing->router, s->number, s->kind, now_us);
        break;
    case FEED_GAP: ask_again(f); break;
    case FEED_RATES: take_rates(f, r, p->bytes); break;
    default: break;
    }
}

static void break_feed(struct feed *f, int err, int64_t now_us)
{
    log_warn("media", "feed=%llu ended: %s", (unsigned long long)f->id, err_str(err));
    f->broken = true;
    mirrors_end(f, now_us);
}

void mirrors_read(struct feed *f, int64_t now_us)
{
    struct media *m = f->briefing->media;
    for (unsigned i = 0; i < READ_AT_ONCE && !f->broken; i++) {
        struct feed_record r;
        struct packet *p = packet_get(m->sfu.pool);
        if (!p)
            return; /* the feed keeps what the pool has no room for */
        int err = feed_read(f->reader, &r, p->bytes);
        if (!err) {
            m->feeds.records_read++;
            take(f, &r, p, now_us);
        }
        packet_unref(p);
        if (err == ERR_AGAIN)
            break;
        if (err)
            break_feed(f, err, now_us);
    }
    feed_ack(f->reader, feed_position(f->reader));
}

void mirrors_want(void *ctx, struct source *s, uint8_t layers)
{
    struct feed *f = s->user;
    if (f && f->reader && s->kind != WISH_MICROPHONE)
        feed_want(f->reader, wish_cell(s->number, s->kind), layers);
}

void mirrors_keyframe(void *ctx, struct source *s, uint8_t layers)
{
    struct feed *f = s->user;
    if (f && f->reader && s->kind != WISH_MICROPHONE)
        request(f, s, layers);
}

void mirrors_end(struct feed *f, int64_t now_us)
{
    struct router *r = f->briefing->router;
    for (uint32_t n = 1; n <= WISH_ENDPOINT_NUMBER_MAX; n++)
        for (unsigned kind = WISH_MICROPHONE; kind < SFU_KINDS; kind++) {
            struct source *s = r->sources[n][kind];
            if (s && !s->peer && s->user == f)
                router_mirror_end(r, n, (enum wish_kind)kind, now_us);
        }
}

bool mirrors_turn(struct media *m, int64_t now_us)
{
    bool more = false;
    for (struct briefing *b = m->briefings; b; b = b->next)
        for (struct feed *f = b->feeds; f; f = f->next) {
            if (!f->reader || f->broken)
                continue;
            mirrors_read(f, now_us);
            if (!f->broken && !feed_sleep(f->reader))
                more = true;
        }
    return more;
}
