#include "recordings/sound.h"

#include "base/err.h"

#include <math.h>
#include <opus/opus.h>
#include <stdlib.h>
#include <string.h>

enum { PACKET_SAMPLES_MAX = 5760, FADE = 96, QUIET_UNIT = 120 };
#define QUIET_LEVEL 0.01f /* −40 dBFS */

struct sound_track {
    struct track_reader *reader;
    OpusDecoder *decoder;
    float *samples; /* decoded, [begin, end) in session samples */
    size_t cap;
    int64_t begin, end;
    double drift; /* of the packets' times against our samples, smoothed */
    bool running; /* the decoder's state belongs to what ends at `end` */
};

int sound_track_new(int dir_fd, const struct tracklist_segment *segments, size_t n, struct sound_track **ret)
{
    struct sound_track *s = calloc(1, sizeof *s);
    int opus_err;
    if (!s)
        return ERR_NOMEM;
    s->decoder = opus_decoder_create(SOUND_HZ, 1, &opus_err);
    int err = s->decoder ? track_reader_new(dir_fd, segments, n, &s->reader) : ERR_NOMEM;
    if (err) {
        sound_track_free(s);
        return err;
    }
    *ret = s;
    return 0;
}

void sound_track_free(struct sound_track *s)
{
    if (!s)
        return;
    if (s->decoder)
        opus_decoder_destroy(s->decoder);
    track_reader_free(s->reader);
    free(s->samples);
    free(s);
}

/* Room for `n` samples behind `end`; what lies before `begin` is gone already. */
static float *make_room(struct sound_track *s, size_t n)
{
    size_t held = (size_t)(s->end - s->begin);
    if (held + n > s->cap) {
        size_t cap = (held + n) * 2;
        float *grown = realloc(s->samples, cap * sizeof *grown);
        if (!grown)
            return NULL;
        s->samples = grown;
        s->cap = cap;
    }
    return s->samples + held;
}

static void drop_before(struct sound_track *s, int64_t at)
{
    if (at <= s->begin)
        return;
    size_t gone = (size_t)((at < s->end ? at : s->end) - s->begin);
    size_t left = (size_t)(s->end - s->begin) - gone;
    if (left)
        memmove(s->samples, s->samples + gone, left * sizeof *s->samples);
    s->begin += (int64_t)gone;
    if (s->begin < at) { /* silence: the next packet is placed by its own time */
        s->begin = s->end = at;
        s->running = false;
    }
}

static void fade_out(struct sound_track *s)
{
    int64_t n = s->end - s->begin < FADE ? s->end - s->begin : FADE;
    float *last = s->samples + (s->end - s->begin) - n;
    for (int64_t i = 0; i < n; i++)
        last[i] *= (float)(n - i) / (float)n;
}

/* The next packet begins at `at`, not at `end`: silence in between, or what overlaps is taken back. */
static int place_anew(struct sound_track *s, int64_t at)
{
    s->drift = 0;
    fade_out(s);
    if (at < s->begin)
        at = s->begin; /* what was handed out can't be taken back */
    if (at <= s->end) {
        s->end = at;
        fade_out(s);
        return 0;
    }
    if (s->end == s->begin) {
        s->begin = s->end = at;
        return 0;
    }
    float *gap = make_room(s, (size_t)(at - s->end));
    if (!gap)
        return ERR_NOMEM;
    memset(gap, 0, (size_t)(at - s->end) * sizeof *gap);
    s->end = at;
    return 0;
}

/* Makes up `n` samples: by concealment, the last packet's worth by the repair data in the packet behind the gap. */
static int conceal(struct sound_track *s, int64_t n, const struct segment_frame *f, int packet_samples)
{
    while (n >= QUIET_UNIT) {
        bool last = n <= packet_samples;
        int part = last ? (int)(n / QUIET_UNIT * QUIET_UNIT) : packet_samples;
        float *to = make_room(s, (size_t)part);
        if (!to)
            return ERR_NOMEM;
        int got = last ? opus_decode_float(s->decoder, f->bytes, (opus_int32)f->len, to, part, 1)
                       : opus_decode_float(s->decoder, NULL, 0, to, part, 0);
        if (got <= 0)
            return 0;
        s->end += got;
        n -= got;
    }
    return 0;
}

static bool is_quiet(const float *samples, int n)
{
    for (int i = 0; i < n; i++)
        if (fabsf(samples[i]) > QUIET_LEVEL)
            return false;
    return true;
}

static int settle_place(struct sound_track *s, int64_t at, const struct segment_frame *f, int packet_samples)
{
    int64_t ahead = at - s->end;
    if (!s->running || ahead > SOUND_CONCEAL || ahead < -SOUND_CONCEAL)
        return place_anew(s, at);
    if (ahead >= packet_samples - QUIET_UNIT) {
        int err = conceal(s, ahead, f, packet_samples);
        if (err)
            return err;
        ahead = at - s->end;
    }
    s->drift += ((double)ahead - s->drift) / 16;
    double drift = fabs(s->drift);
    if (drift < SOUND_DRIFT_QUIET)
        return 0;
    int64_t held = s->end - s->begin;
    bool quiet = held < QUIET_UNIT || is_quiet(s->samples + held - QUIET_UNIT, QUIET_UNIT);
    return quiet || drift > SOUND_DRIFT_MAX ? place_anew(s, s->end + (int64_t)s->drift) : 0;
}

static int decode_next(struct sound_track *s, const struct segment_frame *f)
{
    int packet_samples = opus_decoder_get_nb_samples(s->decoder, f->bytes, (opus_int32)f->len);
    if (packet_samples <= 0)
        return 0; /* no Opus packet: as if it had not come */
    int64_t at = sound_position(f->session_us);
    bool fresh = !s->running || at - s->end > SOUND_CONCEAL;
    int err = settle_place(s, at, f, packet_samples);
    float *to = err ? NULL : make_room(s, PACKET_SAMPLES_MAX);
    if (!to)
        return ERR_NOMEM;
    int got = opus_decode_float(s->decoder, f->bytes, (opus_int32)f->len, to, PACKET_SAMPLES_MAX, 0);
    if (got <= 0)
        return 0;
    for (int i = 0; fresh && i < FADE && i < got; i++)
        to[i] *= (float)i / FADE;
    s->end += got;
    s->running = true;
    return 0;
}

int sound_track_add(struct sound_track *s, int64_t at, size_t n, float *mix, const char **ret_why)
{
    const struct tracklist_segment *segment;
    int64_t until = at + (int64_t)n;
    drop_before(s, at);
    while (s->end < until) {
        const struct segment_frame *f = track_reader_peek(s->reader, &segment);
        if (!f && track_reader_error(s->reader, ret_why))
            return ERR_IO;
        /* A packet that follows on is decoded even if its time says a little later: that is jitter, not a gap. */
        if (!f || (sound_position(f->session_us) >= until &&
                   (!s->running || sound_position(f->session_us) - s->end > SOUND_CONCEAL)))
            break;
        int err = decode_next(s, f);
        track_reader_take(s->reader);
        if (err)
            return err;
        drop_before(s, at);
    }
    for (int64_t p = s->begin > at ? s->begin : at; p < until && p < s->end; p++)
        mix[p - at] += s->samples[p - s->begin];
    return 0;
}

void sound_to_s16(const float *mix, size_t n, int16_t *out)
{
    const float knee = 0.8f;
    for (size_t i = 0; i < n; i++) {
        float a = fabsf(mix[i]);
        if (a > knee)
            a = knee + (1 - knee) * tanhf((a - knee) / (1 - knee));
        out[i] = (int16_t)lrintf(copysignf(a, mix[i]) * 32767.0f);
    }
}
