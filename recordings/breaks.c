/* Streams that broke off: their packets stopped without FEED_END, because the worker or the whole server died. */
#include "recordings/recorder_inside.h"

#include "base/err.h"

#define END_US 1000000    /* an end that was announced in another feed is read within so long */
#define BREAK_US 15000000 /* a track that broke off is expected back for so long, as its endpoint is */

/* When a stream that broke off is to be called over, seen from `us`. */
static int64_t break_ends_us(const struct recorder *r, const struct stream *s, int64_t us)
{
    int64_t last_us = (s->last_us > r->started_us ? s->last_us : r->started_us) + BREAK_US;
    return us < last_us ? us : last_us;
}

/* A disk that is full now finishes it later; the line says what was on file by then. */
static int end_stream(struct recorder *r, struct stream *s, int64_t to_us, int64_t now_us)
{
    int err = stream_pause(s, &r->place, now_us);
    s->pausing = err == ERR_AGAIN;
    struct assembled hole = {.from_us = s->last_us, .to_us = break_ends_us(r, s, to_us), .reason = HOLE_INTERRUPTED};
    if (err && err != ERR_AGAIN)
        return err;
    return hole.to_us > hole.from_us ? ledger_write(&r->place.ledger, &s->key, &hole) : 0;
}

static bool is_fed(const struct recorder *r, const struct stream *s)
{
    for (const struct source *f = r->sources; f; f = f->next)
        if (f->birth == s->key.birth)
            return !f->over;
    return false;
}

int recorder_end_former(struct recorder *r, const struct stream *s, int64_t session_us, uint64_t position, int64_t now_us)
{
    for (struct stream *o = r->streams; o; o = o->next) {
        if (o == s || o->ended || !o->last_us || o->key.track != s->key.track || o->key.layer != s->key.layer)
            continue;
        if (o->key.birth != s->key.birth && is_fed(r, o)) { /* it moved to another worker: its end may be there unread */
            o->succeeded_us = session_us;
            o->succeeded_at_us = now_us;
            continue;
        }
        int err = end_stream(r, o, session_us, now_us);
        if (err)
            return err;
        o->end_position = position;
    }
    return 0;
}

int recorder_end_succeeded(struct recorder *r, int64_t now_us, bool now)
{
    for (struct stream *s = r->streams; s; s = s->next) {
        if (!s->succeeded_us || (!now && !s->ended && now_us - s->succeeded_at_us < END_US))
            continue;
        int err = s->ended ? 0 : end_stream(r, s, s->succeeded_us, now_us);
        s->succeeded_us = 0;
        if (err)
            return err;
    }
    return 0;
}

int recorder_end_lost(struct recorder *r, int64_t now_us)
{
    int err = recorder_end_succeeded(r, now_us, true);
    for (struct stream *s = r->streams; s && !err; s = s->next) {
        const struct source *f = r->sources;
        while (f && f->birth != s->key.birth)
            f = f->next;
        if (!f && !s->ended && s->last_us)
            err = end_stream(r, s, now_us, now_us);
    }
    return err;
}
