/* Reading: records of the feeds → packets of streams.
 *
 * Why records were dropped: a full ring is announced by a GAP record only when there is room again, which is after the next
 * acknowledgement. So a trouble (no recorder ran, the disk was full) is to blame for all that was dropped before the first
 * acknowledgement behind it: GAP records that are in the ring then, and the one to come if the writer has drops that it has
 * not announced yet. */
#include "recordings/recorder_inside.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

#include <stdlib.h>

enum { RECORDS_A_TURN = 4000, KIND_MICROPHONE = 1, KIND_SCREEN = 3 }; /* kinds as in a track number, base/feed.h */

void source_blame(struct source *f, enum hole_reason reason)
{
    f->blame = reason;
    f->blame_open = true;
}

static void note_broken(struct recorder *r, uint64_t birth, int64_t now_us)
{
    struct stream_key key = {.birth = birth};
    struct assembled hole = {.from_us = r->record_us ? r->record_us : now_us, .to_us = now_us, .reason = HOLE_FEED_BROKEN};
    ledger_write(&r->place.ledger, &key, &hole);
}

int recorder_add_feed(struct recorder *r, uint64_t id, int data_fd, int tail_fd)
{
    struct feed_reader *reader;
    int err = feed_reader_open(data_fd, tail_fd, -1, &reader);
    if (err == ERR_MALFORMED) /* broken before anything of it was read */
        note_broken(r, 0, clock_now_us());
    if (err)
        return err;
    for (struct source *f = r->sources; f; f = f->next)
        if (f->birth == feed_birth(reader)) {
            feed_reader_close(reader);
            return 0;
        }
    struct source *f = calloc(1, sizeof *f);
    if (!f) {
        feed_reader_close(reader);
        return ERR_NOMEM;
    }
    *f = (struct source){.next = r->sources, .id = id, .birth = feed_birth(reader), .reader = reader};
    source_blame(f, HOLE_RECORDER_DOWN);
    r->sources = f;
    for (unsigned cell = 0; cell < FEED_CELLS; cell++)
        feed_want(reader, cell, 7); /* every layer: whichever breaks off, the other is on file */
    log_info("recorder", "feed=%llu taken", (unsigned long long)id);
    return 0;
}

static struct stream *find_stream(struct recorder *r, const struct stream_key *key, bool make)
{
    for (struct stream *s = r->streams; s; s = s->next)
        if (s->key.birth == key->birth && s->key.track == key->track && s->key.incarnation == key->incarnation &&
            s->key.layer == key->layer)
            return s;
    struct stream *s = NULL;
    if (!make || stream_new(key, 0, &s))
        return NULL;
    for (struct stream *o = r->streams; o;
         o = o->next) /* another layer may have brought the meta data; segments are counted on */
        if (o->key.track == key->track && o->key.incarnation == key->incarnation) {
            stream_set_meta(s, &o->meta);
            if (o->key.layer == key->layer && o->next_segment > s->next_segment)
                s->next_segment = o->next_segment;
        }
    s->next = r->streams;
    r->streams = s;
    return s;
}

static int take_rtp(struct recorder *r, struct source *f, const struct feed_record *rec, const uint8_t *body,
                    uint64_t position, int64_t now_us)
{
    bool video = rec->track % 4 != KIND_MICROPHONE;
    struct stream_key key = {.birth = f->birth,
                             .track = rec->track,
                             .incarnation = rec->incarnation,
                             .layer = video ? rec->flags & FEED_FLAG_LAYER_MASK : 0};
    if (key.layer >= STREAM_LAYERS || rec->track % 4 == 0)
        return ERR_MALFORMED;
    struct stream *s = find_stream(r, &key, true);
    if (!s)
        return ERR_NOMEM;
    enum hole_reason gap = s->gap_serial == f->gap_serial ? HOLE_LOST : f->gap;
    s->gap_serial = f->gap_serial;
    s->active_us = now_us;
    int err = assembler_next_seq(s->assembler) ? 0 : recorder_end_former(r, s, rec->session_us, position, now_us);
    return err ? err : stream_input(s, rec, body, position, gap, now_us);
}

static void take_meta(struct recorder *r, struct source *f, const struct feed_record *rec, const uint8_t *body)
{
    struct stream_meta meta;
    if (stream_meta_parse(body, rec->len, rec->track, &meta)) {
        log_warn("recorder", "feed=%llu track=%u meta data not understood", (unsigned long long)f->id, rec->track);
        return;
    }
    /* Layer 0 stands for the track until packets of another layer come. */
    struct stream_key key = {.birth = f->birth, .track = rec->track, .incarnation = rec->incarnation};
    find_stream(r, &key, true);
    for (struct stream *s = r->streams; s; s = s->next)
        if (s->key.birth == f->birth && s->key.track == rec->track && s->key.incarnation == rec->incarnation)
            stream_set_meta(s, &meta);
}

/* ERR_AGAIN: a full disk has no room for a file that it needs; the next record must wait until it is done. */
static int take_end(struct recorder *r, struct source *f, const struct feed_record *rec, int64_t now_us)
{
    int worst = 0;
    for (struct stream *s = r->streams; s; s = s->next)
        if (s->key.birth == f->birth && s->key.track == rec->track && s->key.incarnation == rec->incarnation) {
            int err = stream_pause(s, &r->place, now_us);
            if (err && err != ERR_AGAIN)
                return err;
            worst = err ? err : worst;
            s->pausing = err == ERR_AGAIN;
            s->end_position = feed_position(f->reader);
        }
    return worst;
}

static enum hole_reason why_dropped(struct source *f, uint64_t position)
{
    if (f->blame_open || position < f->blame_position)
        return f->blame;
    bool last = f->blame_next;
    f->blame_next = false;
    return last ? f->blame : HOLE_RING_FULL;
}

static void take_gap(struct recorder *r, struct source *f, const uint8_t *body, uint64_t position)
{
    struct reader g = reader_make(body, 8);
    f->gap_serial++;
    f->gap = why_dropped(f, position);
    for (struct stream *s = r->streams; s; s = s->next) /* at once, not when the missing packets have been waited for */
        s->wants_keyframe = s->wants_keyframe || (s->key.birth == f->birth && stream_is_video(s) && !s->ended);
    log_warn("recorder", "feed=%llu dropped=%llu reason=%s", (unsigned long long)f->id, (unsigned long long)read_u64(&g),
             hole_reason_name(f->gap));
}

static int take_record(struct recorder *r, struct source *f, const struct feed_record *rec, const uint8_t *body,
                       uint64_t position, int64_t now_us)
{
    switch (rec->kind) {
    case FEED_RTP: return take_rtp(r, f, rec, body, position, now_us);
    case FEED_META: take_meta(r, f, rec, body); return 0;
    case FEED_END: return take_end(r, f, rec, now_us);
    case FEED_GAP: take_gap(r, f, body, position); return 0;
    default: return 0; /* FEED_RATES: every layer is wanted anyway */
    }
}

static void give_up_feed(struct recorder *r, struct source *f, int64_t now_us)
{
    log_error("recorder", "feed=%llu its writer broke the format: no longer read", (unsigned long long)f->id);
    f->over = true;
    f->broken_us = now_us;
    note_broken(r, f->birth, now_us);
}

static int read_feed(struct recorder *r, struct source *f, int64_t now_us, bool *ret_more)
{
    uint8_t body[FEED_BODY_MAX];
    struct feed_record rec;
    for (int i = 0; i < RECORDS_A_TURN; i++) {
        uint64_t position = feed_position(f->reader);
        int err = feed_read(f->reader, &rec, body);
        if (err == ERR_AGAIN || err == ERR_CLOSED) {
            f->over = err == ERR_CLOSED;
            return 0;
        }
        if (!err) {
            r->record_us = now_us;
            err = take_record(r, f, &rec, body, position, now_us);
        }
        if (err == ERR_MALFORMED) {
            give_up_feed(r, f, now_us);
            return 0;
        }
        if (err == ERR_AGAIN)
            r->stalled = true;
        if (err)
            return err == ERR_AGAIN ? 0 : err;
    }
    *ret_more = true;
    return 0;
}

static unsigned cell_of(uint32_t track)
{
    return track / 4 * 2 + (track % 4 == KIND_SCREEN ? 1u : 0u);
}

int recorder_read(struct recorder *r, int64_t now_us, bool *ret_more)
{
    for (struct source *f = r->sources; f && !r->stalled && !r->paused; f = f->next) {
        int err = f->over ? 0 : read_feed(r, f, now_us, ret_more);
        if (err)
            return err;
    }
    return 0;
}

bool recorder_take_broken(struct recorder *r, uint64_t *ret_id)
{
    for (struct source *f = r->sources; f; f = f->next)
        if (f->broken_us && !f->told) {
            f->told = true;
            *ret_id = f->id;
            return true;
        }
    return false;
}

void recorder_ask_keyframes(struct recorder *r, int64_t now_us)
{
    for (struct stream *s = r->streams; s; s = s->next)
        if (stream_wants_keyframe(s, now_us))
            for (struct source *f = r->sources; f; f = f->next)
                if (f->birth == s->key.birth && !f->over)
                    feed_request_keyframe(f->reader, cell_of(s->key.track), s->key.layer);
}
