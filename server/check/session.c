#include "check/session.h"

#include "base/err.h"
#include "base/feed.h"

#include <stdlib.h>
#include <string.h>

enum { READ_AT_ONCE = 256, STEPS_AT_ONCE = 1, TRACK_KINDS = 4, MICROPHONE = 1, CAMERA = 2 };

struct check {
    uint32_t id; /* 0: free */
    struct feed_reader *feed;
    struct examine *examine;
    int64_t since_us;
    bool closed; /* collected: being decoded */
    const char *failed;
};

struct session {
    struct check checks[SESSION_CHECKS_MAX];
    uint8_t body[FEED_BODY_MAX];
};

struct session *session_new(void)
{
    return calloc(1, sizeof(struct session));
}

static void check_end(struct check *c)
{
    feed_reader_close(c->feed);
    examine_free(c->examine);
    *c = (struct check){0};
}

void session_free(struct session *s)
{
    if (s)
        session_drop_all(s);
    free(s);
}

static struct check *find(struct session *s, uint32_t id)
{
    for (int i = 0; i < SESSION_CHECKS_MAX; i++)
        if (s->checks[i].id == id)
            return &s->checks[i];
    return NULL;
}

int session_check(struct session *s, uint32_t id, int data_fd, int tail_fd, int64_t now_us)
{
    struct check *c = id ? find(s, 0) : NULL;
    if (!c)
        return id ? ERR_BUSY : ERR_INVAL;
    if (find(s, id))
        return ERR_EXISTS;
    int err = feed_reader_open(data_fd, tail_fd, -1, &c->feed);
    if (!err)
        err = examine_new(&c->examine);
    if (err) {
        check_end(c);
        return err;
    }
    c->id = id;
    c->since_us = now_us;
    return 0;
}

void session_drop(struct session *s, uint32_t id)
{
    struct check *c = id ? find(s, id) : NULL;
    if (c)
        check_end(c);
}

void session_drop_all(struct session *s)
{
    for (int i = 0; i < SESSION_CHECKS_MAX; i++)
        check_end(&s->checks[i]);
}

bool session_idle(const struct session *s)
{
    for (int i = 0; i < SESSION_CHECKS_MAX; i++)
        if (s->checks[i].id)
            return false;
    return true;
}

bool session_busy(const struct session *s)
{
    for (int i = 0; i < SESSION_CHECKS_MAX; i++)
        if (s->checks[i].closed || s->checks[i].failed)
            return true;
    return false;
}

/* ---- collecting ---- */

static enum rtp_codec codec_of(const char *name)
{
    static const struct {
        const char *name;
        enum rtp_codec codec;
    } codecs[] = {{"opus", RTP_OPUS}, {"VP8", RTP_VP8}, {"VP9", RTP_VP9}, {"H264", RTP_H264}};
    for (size_t i = 0; name && i < sizeof codecs / sizeof *codecs; i++)
        if (strcmp(codecs[i].name, name) == 0)
            return codecs[i].codec;
    return RTP_CODEC_NONE;
}

static void take_record(struct check *c, const struct feed_record *r, const uint8_t *body, int64_t now_us)
{
    unsigned kind = r->track % TRACK_KINDS;
    if (kind != MICROPHONE && kind != CAMERA)
        return;
    enum examine_track track = kind == CAMERA ? EXAMINE_PICTURE : EXAMINE_SOUND;
    if (r->kind == FEED_META) {
        json_t *meta = json_loadb((const char *)body, r->len, 0, NULL);
        enum rtp_codec codec = codec_of(json_string_value(json_object_get(meta, "codec")));
        if (codec != RTP_CODEC_NONE)
            examine_codec(c->examine, track, codec);
        json_decref(meta);
    } else if (r->kind == FEED_RTP) { /* what doesn't fit is left out: there is enough */
        (void)examine_input(c->examine, track, kind == CAMERA ? r->flags & FEED_FLAG_LAYER_MASK : 0, r->ext_seq, body,
                            r->len, now_us);
    }
}

static void collect(struct check *c, uint8_t *body, int64_t now_us)
{
    struct feed_record r;
    int err = 0;
    for (int i = 0; i < READ_AT_ONCE && (err = feed_read(c->feed, &r, body)) == 0; i++)
        take_record(c, &r, body, now_us);
    feed_ack(c->feed, feed_position(c->feed));
    if (err == ERR_MALFORMED)
        c->failed = "the feed is broken";
}

static bool collected(const struct check *c, int64_t now_us)
{
    int64_t picture_us = examine_began_us(c->examine, EXAMINE_PICTURE), took_us = now_us - c->since_us;
    if (took_us >= SESSION_LONGEST_US)
        return true;
    return took_us >= SESSION_LOOK_US && (picture_us == INT64_MAX || now_us - picture_us >= SESSION_PICTURE_US);
}

/* ---- telling ---- */

static const char *codec_name(enum rtp_codec codec)
{
    static const char *const names[] = {"", "opus", "VP8", "VP9", "H264"};
    return names[codec];
}

static json_t *verdict_message(const struct check *c)
{
    struct verdict v = examine_verdict(c->examine);
    const struct look_result *seen = &v.picture.seen;
    json_t *picture = json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:I, s:i}", "verdict",
                                picture_verdict_name(v.picture.verdict), "codec", codec_name(v.picture.codec), "width",
                                (int)seen->width, "height", (int)seen->height, "frames", (int)seen->frames, "packets",
                                (int)v.picture.packets, "lost", (json_int_t)v.picture.lost, "luma", (int)seen->luma);
    json_t *sound = json_pack("{s:s, s:i, s:i, s:i, s:I}", "verdict", sound_verdict_name(v.sound.verdict), "level_db",
                              (int)v.sound.heard.level_db, "peak_db", (int)v.sound.heard.peak_db, "packets",
                              (int)v.sound.packets, "lost", (json_int_t)v.sound.lost);
    return json_pack("{s:s, s:I, s:o, s:o}", "m", "verdict", "id", (json_int_t)c->id, "picture", picture, "sound", sound);
}

static json_t *decode(struct check *c)
{
    for (int i = 0; i < STEPS_AT_ONCE; i++) {
        if (examine_step(c->examine))
            continue;
        json_t *told = verdict_message(c);
        check_end(c);
        return told;
    }
    return NULL;
}

static json_t *turn(struct session *s, struct check *c, int64_t now_us)
{
    if (c->failed) {
        json_t *told = json_pack("{s:s, s:I, s:s}", "m", "failed", "id", (json_int_t)c->id, "why", c->failed);
        check_end(c);
        return told;
    }
    if (c->closed)
        return decode(c);
    collect(c, s->body, now_us);
    if (!c->failed && collected(c, now_us)) {
        examine_close(c->examine, now_us);
        c->closed = true;
    }
    return NULL;
}

json_t *session_turn(struct session *s, int64_t now_us)
{
    for (int i = 0; i < SESSION_CHECKS_MAX; i++) {
        json_t *told = s->checks[i].id ? turn(s, &s->checks[i], now_us) : NULL;
        if (told)
            return told;
    }
    return NULL;
}
