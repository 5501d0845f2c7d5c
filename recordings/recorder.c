#include "recordings/recorder_inside.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define SYNC_INTERVAL_US 1000000
#define IDLE_SEGMENT_US 60000000 /* an ended track's file is closed after that, so that descriptors don't run out */
#define STALL_BYTES (1u << 20)   /* unwritten bytes above which feeds are not read */
#define LOOK_INTERVAL_US 250000
#define GIVE_UP_US 20000000 /* nothing acknowledged for so long, and no reason known: a successor tries */

int recorder_open(const char *dir, struct recorder **ret)
{
    struct recorder *r = calloc(1, sizeof *r);
    if (!r)
        return ERR_NOMEM;
    r->place.tracks.fd = r->place.ledger.fd = -1;
    r->place.dir_fd = -1;
    r->started_us = clock_now_us();
    int err = mkdir(dir, 0770) < 0 && errno != EEXIST ? ERR_IO : 0;
    if (!err) {
        r->place.dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        err = r->place.dir_fd < 0 ? ERR_IO : recorder_take_up(r);
    }
    if (!err)
        err = sync_start(r->place.dir_fd, &r->sync);
    if (err) {
        recorder_free(r);
        return err;
    }
    *ret = r;
    return 0;
}

void recorder_free(struct recorder *r)
{
    if (!r)
        return;
    sync_free(r->sync);
    while (r->streams) {
        struct stream *s = r->streams;
        r->streams = s->next;
        stream_free(s);
    }
    while (r->sources) {
        struct source *f = r->sources;
        r->sources = f->next;
        feed_reader_close(f->reader);
        free(f);
    }
    for (size_t i = 0; i < r->place.n_retired; i++)
        segment_free(r->place.retired[i]);
    free(r->place.retired);
    spool_close(&r->place.tracks);
    spool_close(&r->place.ledger);
    if (r->place.dir_fd >= 0)
        close(r->place.dir_fd);
    free(r);
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

const char *recorder_disk_code(const struct recorder *r)
{
    if (r->paused || r->write_err == ERR_FULL || r->sync_err == ERR_FULL)
        return "disk-full";
    return r->write_err || r->sync_err || r->held ? "disk-error" : NULL;
}

void recorder_spare(struct recorder *r, uint64_t bytes)
{
    r->spare_bytes = bytes;
    r->looked_us = 0;
}

/* The last room is the log's: without it no command of the briefing is taken any more. Going on needs a quarter more, lest
 * it is a file at a time. */
static void look_for_room(struct recorder *r, int64_t now_us)
{
    struct statvfs st;
    if (now_us - r->looked_us < LOOK_INTERVAL_US || fstatvfs(r->place.dir_fd, &st) < 0)
        return;
    r->looked_us = now_us;
    uint64_t room = (uint64_t)st.f_bavail * st.f_frsize, needed = r->spare_bytes + (r->paused ? r->spare_bytes / 4 : 0);
    r->paused = room < needed;
}

static void note_trouble(struct recorder *r, const char *before, int64_t now_us)
{
    const char *code = recorder_disk_code(r);
    if (code) {
        r->progress_us = now_us; /* a successor could do no better */
        for (struct source *f = r->sources; f; f = f->next)
            source_blame(f, HOLE_DISK_FULL);
    }
    if (code == before)
        return;
    if (code)
        log_error("recorder", "code=%s paused=%d: the feeds keep what comes", code, r->paused);
    else
        log_info("recorder", "there is room on the disk again: going on");
}

static int flush_spool(struct recorder *r, struct spool *s, size_t *waiting)
{
    uint64_t before = s->written;
    int err = spool_flush(s);
    r->bytes += s->written - before;
    *waiting += s->len;
    return err;
}

static bool any_pausing(const struct recorder *r)
{
    for (const struct stream *s = r->streams; s; s = s->next)
        if (s->pausing)
            return true;
    return false;
}

/* Offers everything to the disk. What it refuses waits, and too much of that stops the reading. */
static void flush_all(struct recorder *r)
{
    size_t waiting = 0;
    int worst = flush_spool(r, &r->place.tracks, &waiting);
    int err = flush_spool(r, &r->place.ledger, &waiting);
    worst = worst ? worst : err;
    for (size_t i = 0; i < r->place.n_retired; i++) {
        err = flush_spool(r, segment_spool(r->place.retired[i]), &waiting);
        worst = worst ? worst : err;
    }
    for (struct stream *s = r->streams; s; s = s->next)
        if (s->segment) {
            err = flush_spool(r, segment_spool(s->segment), &waiting);
            worst = worst ? worst : err;
        }
    r->stalled = waiting > STALL_BYTES || any_pausing(r);
    r->write_err = worst;
}

static int drain_streams(struct recorder *r, int64_t now_us, bool finish, bool *ret_held)
{
    for (struct stream *s = r->streams; s; s = s->next) {
        int err = s->pausing ? stream_pause(s, &r->place, now_us) : stream_drain(s, &r->place, now_us, finish);
        s->pausing = s->pausing && err == ERR_AGAIN;
        if (err == ERR_AGAIN)
            *ret_held = true;
        else if (err)
            return err;
        if (s->ended && s->segment && now_us - s->active_us > IDLE_SEGMENT_US && (err = stream_retire(s, &r->place)))
            return err;
    }
    return 0;
}

/* --- the turn ----------------------------------------------------------------------------------------------------- */

/* The disk has hung, or a bug keeps something from being done: whoever begins at the acknowledgement loses nothing. */
static bool is_stuck(const struct recorder *r, int64_t now_us)
{
    int64_t since_us = sync_busy(r->sync) ? r->submitted_us : r->progress_us;
    return now_us - since_us > GIVE_UP_US;
}

int recorder_turn(struct recorder *r, int64_t now_us, bool *ret_more)
{
    const char *code = recorder_disk_code(r);
    int result;
    *ret_more = r->held = false;
    if (!r->progress_us)
        r->progress_us = now_us;
    look_for_room(r, now_us);
    int err = recorder_read(r, now_us, ret_more);
    if (!err)
        err = recorder_end_succeeded(r, now_us, false);
    if (!err)
        err = drain_streams(r, now_us, false, &r->held);
    if (err)
        return err;
    recorder_ask_keyframes(r, now_us);
    flush_all(r);
    if (sync_done(r->sync, &result))
        recorder_job_over(r, result, now_us);
    note_trouble(r, code, now_us);
    if (is_stuck(r, now_us))
        return ERR_TIMEOUT;
    if (!sync_busy(r->sync) && now_us - r->submitted_us >= SYNC_INTERVAL_US) {
        r->submitted_us = now_us;
        recorder_submit(r, now_us, r->held);
    }
    return 0;
}

bool recorder_drained(const struct recorder *r, int64_t now_us, int64_t quiet_us)
{
    bool all_over = true;
    for (const struct source *f = r->sources; f; f = f->next)
        all_over = all_over && f->over;
    return (all_over || now_us - r->record_us >= quiet_us) && !r->stalled && !r->paused;
}

static int wait_job(struct recorder *r, int64_t now_us)
{
    int result;
    while (!sync_done(r->sync, &result)) {
        if (!sync_busy(r->sync))
            return 0;
        usleep(2000); /* the sync thread has no descriptor to wait on; this runs at the end of a recording only */
    }
    recorder_job_over(r, result, now_us);
    return result;
}

int recorder_finish(struct recorder *r, int64_t now_us, bool give_up)
{
    bool held = false;
    int err = drain_streams(r, now_us, give_up, &held);
    if (!err && give_up)
        err = recorder_end_lost(r, now_us);
    for (struct stream *s = r->streams; s && !err && give_up && !held; s = s->next)
        err = stream_retire(s, &r->place);
    if (err)
        return err;
    wait_job(r, now_us);
    flush_all(r);
    if (r->write_err || held)
        return r->write_err == ERR_FULL || held ? ERR_FULL : ERR_IO;
    recorder_submit(r, now_us, held);
    return wait_job(r, now_us);
}
