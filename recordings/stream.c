#include "recordings/stream.h"

#include "recordings/depacket.h"

#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYFRAME_INTERVAL_US 500000

int stream_new(const struct stream_key *key, uint64_t first_seq, struct stream **ret)
{
    struct stream *s = calloc(1, sizeof *s);
    if (!s)
        return ERR_NOMEM;
    s->key = *key;
    int err = assembler_new(RTP_CODEC_NONE, first_seq, &s->assembler);
    if (err) {
        stream_free(s);
        return err;
    }
    *ret = s;
    return 0;
}

void stream_free(struct stream *s)
{
    if (!s)
        return;
    assembler_free(s->assembler);
    segment_free(s->segment);
    free(s);
}

/* --- who it is ---------------------------------------------------------------------------------------------------- */

void stream_set_meta(struct stream *s, const struct stream_meta *meta)
{
    if (s->meta.codec != RTP_CODEC_NONE)
        return; /* an incarnation is one offer: it doesn't change */
    s->meta = *meta;
    assembler_set_codec(s->assembler, meta->codec);
    if (meta->codec == RTP_OPUS)
        s->decodable = true;
}

static int meta_from_json(const json_t *o, uint32_t track, struct stream_meta *ret)
{
    static const char *const kinds[] = {"", "microphone", "camera", "screen"};
    const char *endpoint, *kind, *codec;
    json_int_t number, channels = 1;
    if (json_unpack((json_t *)o, "{s:s, s:I, s:s, s:s, s?I}", "endpoint", &endpoint, "number", &number, "kind", &kind,
                    "codec", &codec, "channels", &channels) < 0)
        return ERR_MALFORMED;
    struct stream_meta m = {.number = (uint32_t)number, .channels = channels == 2 ? 2 : 1, .codec = codec_parse(codec)};
    if (m.codec == RTP_CODEC_NONE || number < 0 || number > UINT32_MAX / 4 || m.number != track / 4 || track % 4 == 0 ||
        strcmp(kind, kinds[track % 4]) != 0 || strlen(endpoint) >= sizeof m.endpoint)
        return ERR_MALFORMED;
    if ((m.codec == RTP_OPUS) != (track % 4 == 1))
        return ERR_MALFORMED;
    snprintf(m.endpoint, sizeof m.endpoint, "%s", endpoint);
    snprintf(m.kind, sizeof m.kind, "%s", kind);
    *ret = m;
    return 0;
}

int stream_meta_parse(const uint8_t *body, size_t len, uint32_t track, struct stream_meta *ret)
{
    json_t *o = json_loadb((const char *)body, len, 0, NULL);
    int err = o ? meta_from_json(o, track, ret) : ERR_MALFORMED;
    json_decref(o);
    return err;
}

bool stream_is_video(const struct stream *s)
{
    return s->key.track % 4 != 1;
}

/* --- packets in --------------------------------------------------------------------------------------------------- */

int stream_input(struct stream *s, const struct feed_record *record, const uint8_t *body, uint64_t position,
                 enum hole_reason gap, int64_t now_us)
{
    struct rtp_packet rtp;
    int err = rtp_parse(body, record->len, &rtp);
    if (err)
        return ERR_MALFORMED;
    struct assembler_packet p = {.ext_seq = record->ext_seq,
                                 .session_us = record->session_us,
                                 .ts = rtp.ts,
                                 .marker = rtp.marker,
                                 .gap = gap,
                                 .payload = rtp.payload,
                                 .payload_len = rtp.payload_len,
                                 .position = position};
    err = assembler_input(s->assembler, &p, now_us);
    if (!err)
        s->ended = false;
    return err == ERR_EXISTS ? 0 : err; /* a copy, or one that our files hold since before a restart */
}

bool stream_wants_keyframe(struct stream *s, int64_t now_us)
{
    if (!s->wants_keyframe || s->ended || now_us - s->asked_us < KEYFRAME_INTERVAL_US)
        return false;
    s->asked_us = now_us;
    return true;
}

/* --- lines -------------------------------------------------------------------------------------------------------- */

static int append_line(struct spool *spool, json_t *o)
{
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    if (!text)
        return ERR_NOMEM;
    int err = spool_append(spool, text, strlen(text));
    free(text);
    return err ? err : spool_append(spool, "\n", 1);
}

int ledger_write(struct spool *ledger, const struct stream_key *key, const struct assembled *h)
{
    return append_line(ledger,
                       json_pack("{s:I, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s}", "track", (json_int_t)key->track,
                                 "layer", (int)key->layer, "incarnation", (json_int_t)key->incarnation, "from_us",
                                 (json_int_t)h->from_us, "to_us", (json_int_t)h->to_us, "from_seq", (json_int_t)h->from_seq,
                                 "to_seq", (json_int_t)h->to_seq, "packets", (json_int_t)h->packets, "missing",
                                 (json_int_t)h->missing, "reason", hole_reason_name(h->reason)));
}

static int write_track_line(struct stream *s, struct spool *tracks, const char *file, const struct assembled *f)
{
    return append_line(
        tracks, json_pack("{s:s, s:I, s:s, s:I, s:s, s:s, s:i, s:I, s:i, s:i, s:I, s:I}", "file", file, "track",
                          (json_int_t)s->key.track, "endpoint", s->meta.endpoint, "number", (json_int_t)s->meta.number,
                          "kind", s->meta.kind, "codec", codec_name(s->meta.codec), "channels", (int)s->meta.channels,
                          "incarnation", (json_int_t)s->key.incarnation, "segment", (int)s->next_segment, "layer",
                          (int)s->key.layer, "base_us", (json_int_t)f->from_us, "first_ext_seq", (json_int_t)f->from_seq));
}

/* --- frames out --------------------------------------------------------------------------------------------------- */

static int open_segment(struct stream *s, struct stream_place *place, const struct assembled *f)
{
    uint8_t avcc[2 * DEPACKET_PARAMETERS_MAX + 32];
    size_t avcc_len = 0;
    char name[64];
    if (s->meta.codec == RTP_H264) {
        int err = depacket_avcc(assembler_depacket(s->assembler), avcc, sizeof avcc, &avcc_len);
        if (err)
            return err;
    }
    int err;
    for (;; s->next_segment++) { /* another feed may have brought the same incarnation before */
        snprintf(name, sizeof name, "track-%u-%u-%u-%u.mkv", s->key.track, s->key.incarnation, s->next_segment,
                 s->key.layer);
        err = segment_open(place->dir_fd, name, s->meta.codec, s->meta.channels, avcc_len ? avcc : NULL, avcc_len,
                           f->from_us, &s->segment);
        if (err != ERR_EXISTS)
            break;
    }
    if (!err)
        err = write_track_line(s, &place->tracks, name, f);
    if (!err)
        s->next_segment++;
    return err;
}

/* Packets before the first keyframe of an incarnation are in the file, but no decoder can use them: the ledger says so. */
static int count_dark(struct stream *s, struct stream_place *place, const struct assembled *f)
{
    if (s->decodable)
        return 0;
    if (f->keyframe) {
        s->decodable = true;
        if (!s->dark_packets)
            return 0;
        struct assembled dark = {.from_us = s->dark_from_us,
                                 .to_us = f->from_us,
                                 .from_seq = s->dark_from_seq,
                                 .to_seq = f->from_seq - 1,
                                 .packets = s->dark_packets,
                                 .reason = HOLE_NO_KEYFRAME};
        return ledger_write(&place->ledger, &s->key, &dark);
    }
    if (!s->dark_packets) {
        s->dark_from_seq = f->from_seq;
        s->dark_from_us = f->from_us;
    }
    s->dark_packets += f->to_seq - f->from_seq + 1;
    s->wants_keyframe = true;
    return 0;
}

/* The last bytes go into the spool; the recorder frees the segment when they are on disk. */
static int retire_segment(struct stream *s, struct stream_place *place)
{
    int err = segment_finish(s->segment);
    if (err)
        return err;
    struct segment **grown = realloc(place->retired, (place->n_retired + 1) * sizeof(struct segment *));
    if (!grown)
        return ERR_NOMEM;
    place->retired = grown;
    place->retired[place->n_retired++] = s->segment;
    s->segment = NULL;
    return 0;
}

static int write_frame(struct stream *s, struct stream_place *place, const struct assembled *f)
{
    int err = 0;
    if (s->segment && s->meta.codec == RTP_H264 && f->parameters_changed)
        err = retire_segment(s, place);
    if (!err && !s->segment)
        err = open_segment(s, place, f);
    if (err == ERR_STATE) { /* H.264 before its parameter sets: of no use to anybody */
        struct assembled h = *f;
        h.packets = f->to_seq - f->from_seq + 1;
        h.reason = HOLE_NO_KEYFRAME;
        s->wants_keyframe = true;
        return ledger_write(&place->ledger, &s->key, &h);
    }
    if (!err)
        err = count_dark(s, place, f);
    if (!err)
        err = segment_write(s->segment, f->bytes, f->len, f->from_us, f->keyframe);
    if (f->keyframe)
        s->wants_keyframe = false;
    return err;
}

static int take_one(struct stream *s, struct stream_place *place, const struct assembled *a)
{
    s->last_us = a->to_us;
    if (a->kind == ASSEMBLED_FRAME)
        return write_frame(s, place, a);
    if (stream_is_video(s))
        s->wants_keyframe = true;
    return ledger_write(&place->ledger, &s->key, a);
}

int stream_drain(struct stream *s, struct stream_place *place, int64_t now_us, bool finish)
{
    while (s->holds || assembler_poll(s->assembler, now_us, finish, &s->held)) {
        int err = take_one(s, place, &s->held);
        s->holds = err == ERR_IO && !s->segment;
        if (err)
            return s->holds ? ERR_AGAIN : err;
    }
    return 0;
}

int stream_pause(struct stream *s, struct stream_place *place, int64_t now_us)
{
    int err = stream_drain(s, place, now_us, true);
    if (err)
        return err;
    s->ended = true;
    s->wants_keyframe = false;
    if (stream_is_video(s))
        s->decodable = false; /* what comes later refers to frames that we don't have */
    s->dark_packets = 0;
    assembler_resume(s->assembler);
    return 0;
}

int stream_retire(struct stream *s, struct stream_place *place)
{
    return s->segment ? retire_segment(s, place) : 0;
}

/* --- a successor's knowledge -------------------------------------------------------------------------------------- */

json_t *stream_to_json(const struct stream *s)
{
    return json_pack("{s:I, s:i, s:I, s:I, s:i, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:s, s:I, s:s, s:s, s:i}", "track",
                     (json_int_t)s->key.track, "layer", (int)s->key.layer, "incarnation", (json_int_t)s->key.incarnation,
                     "next_seq", (json_int_t)assembler_next_seq(s->assembler), "next_segment", (int)s->next_segment,
                     "decodable", s->decodable, "ended", s->ended, "dark_packets", (json_int_t)s->dark_packets,
                     "dark_from_seq", (json_int_t)s->dark_from_seq, "dark_from_us", (json_int_t)s->dark_from_us, "last_us",
                     (json_int_t)s->last_us, "succeeded_us", (json_int_t)s->succeeded_us, "endpoint", s->meta.endpoint,
                     "number", (json_int_t)s->meta.number, "kind", s->meta.kind, "codec", codec_name(s->meta.codec),
                     "channels", (int)s->meta.channels);
}

int stream_from_json(const json_t *o, uint64_t birth, struct stream **ret)
{
    json_int_t track, incarnation, next_seq, dark_packets, dark_from_seq, dark_from_us, last_us = 0, succeeded_us = 0;
    int layer, next_segment, decodable, ended;
    if (json_unpack((json_t *)o, "{s:I, s:i, s:I, s:I, s:i, s:b, s:b, s:I, s:I, s:I, s?I, s?I}", "track", &track, "layer",
                    &layer, "incarnation", &incarnation, "next_seq", &next_seq, "next_segment", &next_segment, "decodable",
                    &decodable, "ended", &ended, "dark_packets", &dark_packets, "dark_from_seq", &dark_from_seq,
                    "dark_from_us", &dark_from_us, "last_us", &last_us, "succeeded_us", &succeeded_us) < 0 ||
        layer < 0 || layer >= STREAM_LAYERS)
        return ERR_MALFORMED;
    struct stream_key key = {
        .birth = birth, .track = (uint32_t)track, .incarnation = (uint32_t)incarnation, .layer = (uint8_t)layer};
    struct stream *s;
    int err = stream_new(&key, (uint64_t)next_seq, &s);
    if (err)
        return err;
    struct stream_meta meta;
    if (meta_from_json(o, key.track, &meta) == 0)
        stream_set_meta(s, &meta);
    s->next_segment = (unsigned)next_segment;
    s->decodable = decodable;
    if (ended) {
        s->ended = true;
        assembler_resume(s->assembler);
    }
    s->dark_packets = (uint64_t)dark_packets;
    s->dark_from_seq = (uint64_t)dark_from_seq;
    s->dark_from_us = dark_from_us;
    s->last_us = last_us;
    s->succeeded_us = succeeded_us;
    *ret = s;
    return 0;
}
