#include "check/examine.h"

#include "base/err.h"
#include "rtp/vp8.h"

#include <stdlib.h>

enum { FRAME_BYTES_MAX = 512 * 1024 };

struct kept {
    uint64_t ext_seq;
    uint32_t ts, at; /* where its payload is in the track's bytes */
    uint16_t len;
    bool marker;
};

struct track {
    enum rtp_codec codec;
    struct kept packets[EXAMINE_PACKETS_MAX];
    size_t n, next; /* kept; looked at */
    uint8_t *bytes;
    size_t used, cap;
    unsigned layer; /* the first that came */
    int64_t first_us, last_us;
    uint32_t lost;
};

struct examine {
    struct track tracks[EXAMINE_TRACKS];
    struct look *look;
    struct listen *listen;
    uint8_t *frame; /* the frame being put together: FRAME_BYTES_MAX */
    uint32_t incomplete;
    int64_t closed_us;
};

int examine_new(struct examine **ret)
{
    static const size_t caps[EXAMINE_TRACKS] = {EXAMINE_PICTURE_BYTES, EXAMINE_SOUND_BYTES};
    struct examine *x = calloc(1, sizeof *x);
    if (!x)
        return ERR_NOMEM;
    x->frame = malloc(FRAME_BYTES_MAX);
    int err = x->frame ? 0 : ERR_NOMEM;
    for (int i = 0; i < EXAMINE_TRACKS; i++) {
        x->tracks[i].first_us = INT64_MAX;
        x->tracks[i].cap = caps[i];
        if (!(x->tracks[i].bytes = malloc(caps[i])))
            err = ERR_NOMEM;
    }
    if (!err)
        err = look_new(&x->look);
    if (!err)
        err = listen_new(&x->listen);
    if (err) {
        examine_free(x);
        return err;
    }
    *ret = x;
    return 0;
}

void examine_free(struct examine *x)
{
    if (!x)
        return;
    for (int i = 0; i < EXAMINE_TRACKS; i++)
        free(x->tracks[i].bytes);
    look_free(x->look);
    listen_free(x->listen);
    free(x->frame);
    free(x);
}

void examine_codec(struct examine *x, enum examine_track track, enum rtp_codec codec)
{
    x->tracks[track].codec = codec;
}

int examine_input(struct examine *x, enum examine_track track, unsigned layer, uint64_t ext_seq, const uint8_t *rtp,
                  size_t len, int64_t now_us)
{
    struct track *t = &x->tracks[track];
    struct rtp_packet v;
    int err = rtp_parse(rtp, len, &v);
    if (err)
        return err;
    if (t->n == EXAMINE_PACKETS_MAX || v.payload_len > t->cap - t->used || (t->n && layer != t->layer))
        return ERR_FULL;
    t->packets[t->n++] =
        (struct kept){.ext_seq = ext_seq, .ts = v.ts, .at = (uint32_t)t->used, .len = v.payload_len, .marker = v.marker};
    memcpy(t->bytes + t->used, v.payload, v.payload_len);
    t->used += v.payload_len;
    t->layer = layer;
    t->first_us = now_us < t->first_us ? now_us : t->first_us;
    t->last_us = now_us;
    return 0;
}

int64_t examine_began_us(const struct examine *x, enum examine_track track)
{
    return x->tracks[track].first_us;
}

static int by_number(const void *a, const void *b)
{
    const struct kept *p = a, *q = b;
    return p->ext_seq < q->ext_seq ? -1 : p->ext_seq > q->ext_seq;
}

static void put_in_order(struct track *t)
{
    size_t n = 0;
    if (!t->n)
        return;
    qsort(t->packets, t->n, sizeof *t->packets, by_number);
    for (size_t i = 0; i < t->n; i++)
        if (!n || t->packets[i].ext_seq != t->packets[n - 1].ext_seq)
            t->packets[n++] = t->packets[i];
    t->n = n;
    uint64_t lost = t->packets[n - 1].ext_seq - t->packets[0].ext_seq - (n - 1);
    t->lost = lost < UINT32_MAX ? (uint32_t)lost : UINT32_MAX;
}

void examine_close(struct examine *x, int64_t now_us)
{
    for (int i = 0; i < EXAMINE_TRACKS; i++)
        put_in_order(&x->tracks[i]);
    x->closed_us = now_us;
}

static bool goes_on(const struct track *t, size_t i)
{
    return !t->packets[i].marker && i + 1 < t->n && t->packets[i + 1].ext_seq == t->packets[i].ext_seq + 1 &&
           t->packets[i + 1].ts == t->packets[i].ts;
}

/* One packet's VP8 bytes behind those that are there. */
static bool add_payload(const struct track *t, const struct kept *p, bool first, uint8_t *frame, size_t *len)
{
    struct vp8_descriptor d;
    const uint8_t *payload = t->bytes + p->at;
    if (vp8_parse(payload, p->len, &d) || d.start != first || (size_t)(p->len - d.len) > FRAME_BYTES_MAX - *len)
        return false;
    memcpy(frame + *len, payload + d.len, p->len - d.len);
    *len += p->len - d.len;
    return true;
}

/* The packets of one timestamp up to the marker, as far as their numbers follow each other. */
static void step_picture(struct examine *x)
{
    struct track *t = &x->tracks[EXAMINE_PICTURE];
    const struct kept *first = &t->packets[t->next];
    size_t len = 0, i = t->next;
    if (!first->len) { /* padding: browsers probe the line with it */
        t->next++;
        return;
    }
    bool whole = add_payload(t, first, true, x->frame, &len);
    while (goes_on(t, i)) {
        i++;
        whole = whole && add_payload(t, &t->packets[i], false, x->frame, &len);
    }
    whole = whole && t->packets[i].marker;
    t->next = i + 1;
    if (whole)
        look_frame(x->look, x->frame, len, first->ts);
    else
        x->incomplete++;
}

static void step_sound(struct examine *x)
{
    struct track *t = &x->tracks[EXAMINE_SOUND];
    const struct kept *p = &t->packets[t->next];
    if (t->next > 0)
        listen_lost(x->listen, p->ext_seq - t->packets[t->next - 1].ext_seq - 1);
    t->next++;
    listen_packet(x->listen, t->bytes + p->at, p->len);
}

static bool is_left(const struct track *t, enum rtp_codec codec)
{
    return t->codec == codec && t->next < t->n;
}

bool examine_step(struct examine *x)
{
    if (is_left(&x->tracks[EXAMINE_PICTURE], RTP_VP8))
        step_picture(x);
    else if (is_left(&x->tracks[EXAMINE_SOUND], RTP_OPUS))
        step_sound(x);
    else
        return false;
    return true;
}

/* ---- verdict ---- */

static bool stands_still(const struct examine *x)
{
    const struct track *t = &x->tracks[EXAMINE_PICTURE];
    const struct look_result *s = look_result(x->look);
    uint64_t pictures = (uint64_t)s->frames - s->keyframes + s->broken + x->incomplete;
    if (x->closed_us - t->last_us >= EXAMINE_STALL_US)
        return true;
    int64_t watched_us = x->closed_us - t->first_us;
    if (watched_us >= EXAMINE_STALL_US && pictures * 1000000 < (uint64_t)watched_us * EXAMINE_PICTURES_PER_S)
        return true;
    return s->compared && s->moved_permyriad < EXAMINE_MOVED_PERMYRIAD;
}

static enum picture_verdict judge_picture(const struct examine *x)
{
    const struct track *t = &x->tracks[EXAMINE_PICTURE];
    const struct look_result *s = look_result(x->look);
    if (!t->n)
        return PICTURE_NONE;
    if (t->codec != RTP_VP8 || s->too_large)
        return PICTURE_UNSUPPORTED;
    if (!s->frames)
        return PICTURE_BROKEN;
    if (s->bright_permille < EXAMINE_BRIGHT_PERMILLE)
        return PICTURE_BLACK;
    return stands_still(x) ? PICTURE_FROZEN : PICTURE_GOOD;
}

static enum sound_verdict judge_sound(const struct track *t, const struct listen_result *h)
{
    if (!t->n)
        return SOUND_NONE;
    if (!h->packets)
        return SOUND_BROKEN;
    if (h->level_db < EXAMINE_SILENT_DB)
        return SOUND_SILENT;
    if (h->level_db < EXAMINE_QUIET_DB)
        return SOUND_QUIET;
    return h->clipped_permille >= EXAMINE_CLIPPED_PERMILLE ? SOUND_CLIPPED : SOUND_GOOD;
}

struct verdict examine_verdict(const struct examine *x)
{
    const struct track *picture = &x->tracks[EXAMINE_PICTURE], *sound = &x->tracks[EXAMINE_SOUND];
    struct listen_result heard = listen_result(x->listen);
    return (struct verdict){
        .picture = {.verdict = judge_picture(x),
                    .codec = picture->codec,
                    .packets = (uint32_t)picture->n,
                    .lost = picture->lost,
                    .incomplete = x->incomplete,
                    .seen = *look_result(x->look)},
        .sound = {.verdict = judge_sound(sound, &heard), .packets = (uint32_t)sound->n, .lost = sound->lost, .heard = heard},
    };
}

const char *picture_verdict_name(enum picture_verdict v)
{
    static const char *const names[] = {"good", "frozen", "black", "broken", "unsupported", "none"};
    return names[v];
}

const char *sound_verdict_name(enum sound_verdict v)
{
    static const char *const names[] = {"good", "clipped", "quiet", "silent", "broken", "none"};
    return names[v];
}
