/* What is on disk: jobs of the sync thread, the index for a successor, acknowledgements. */
#include "recordings/recorder_inside.h"

#include "base/err.h"
#include "base/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BROKEN_TOLD_US 30000000 /* its worker is replaced within seconds, by one with a new feed */

static void add_file(struct sync_job *job, json_t *files, struct spool *s)
{
    json_object_set_new(files, s->name, json_integer((json_int_t)s->written));
    if (!s->dirty)
        return;
    int *grown = realloc(job->fds, (job->n_fds + 1) * sizeof *grown);
    if (!grown)
        return; /* stays dirty: the index then says more than this job syncs, so the caller checks */
    job->fds = grown;
    int fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return;
    job->fds[job->n_fds++] = fd;
    s->dirty = false;
}

static json_t *index_files(struct recorder *r, struct sync_job *job, bool *ret_all)
{
    json_t *files = json_object();
    bool all = !r->place.tracks.len && !r->place.ledger.len;
    add_file(job, files, &r->place.tracks);
    add_file(job, files, &r->place.ledger);
    all = all && !r->place.tracks.dirty && !r->place.ledger.dirty;
    for (size_t i = 0; i < r->place.n_retired; i++) {
        struct spool *s = segment_spool(r->place.retired[i]);
        add_file(job, files, s);
        all = all && !s->len && !s->dirty;
    }
    for (struct stream *s = r->streams; s; s = s->next)
        if (s->segment) {
            add_file(job, files, segment_spool(s->segment));
            all = all && !segment_spool(s->segment)->len && !segment_spool(s->segment)->dirty;
        }
    *ret_all = all;
    return files;
}

static json_t *index_streams(struct recorder *r)
{
    json_t *streams = json_array();
    for (struct stream *s = r->streams; s; s = s->next) {
        char birth[20];
        json_t *o = stream_to_json(s);
        snprintf(birth, sizeof birth, "%016llx", (unsigned long long)s->key.birth);
        json_object_set_new(o, "birth", json_string(birth));
        json_array_append_new(streams, o);
    }
    return streams;
}

/* How far each feed may be acknowledged when everything written so far is synced; returns the session time up to which
 * everything is then on disk. */
static int64_t mark_feeds(struct recorder *r, int64_t now_us)
{
    int64_t done_us = now_us;
    for (struct source *f = r->sources; f; f = f->next) {
        f->next_ack = feed_position(f->reader);
        for (struct stream *s = r->streams; s; s = s->next) {
            uint64_t position;
            int64_t us;
            if (s->key.birth != f->birth || !assembler_oldest(s->assembler, &position, &us))
                continue;
            f->next_ack = position < f->next_ack ? position : f->next_ack;
            done_us = us < done_us ? us : done_us;
        }
    }
    return done_us;
}

static const char *health_code(struct recorder *r, int64_t now_us)
{
    if (recorder_disk_code(r))
        return recorder_disk_code(r);
    for (struct source *f = r->sources; f; f = f->next)
        if (f->broken_us && now_us - f->broken_us < BROKEN_TOLD_US)
            return "feed-broken";
    return NULL;
}

static char *synced_text(struct recorder *r, int64_t synced_us, int64_t now_us)
{
    const char *code = health_code(r, now_us);
    json_t *o = json_pack("{s:I, s:I, s:b, s:s, s:I}", "synced_us", (json_int_t)synced_us, "updated_us", (json_int_t)now_us,
                          "healthy", code == NULL, "code", code ? code : "", "bytes", (json_int_t)r->bytes);
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    return text;
}

void recorder_submit(struct recorder *r, int64_t now_us, bool held)
{
    struct sync_job job = {0};
    bool all;
    json_t *files = index_files(r, &job, &all);
    r->job_has_index = all && !held && !r->write_err;
    if (r->job_has_index) {
        json_t *index = json_pack("{s:i, s:o, s:o}", "v", 1, "files", files, "streams", index_streams(r));
        job.index = json_dumps(index, JSON_COMPACT);
        json_decref(index);
        r->synced_next_us = mark_feeds(r, now_us);
        r->n_retired_in_job = r->place.n_retired;
    } else {
        json_decref(files);
    }
    job.synced = synced_text(r, r->job_has_index ? r->synced_next_us : r->synced_us, now_us);
    sync_submit(r->sync, &job);
}

static void forget_ended(struct recorder *r, const struct source *f)
{
    for (struct stream **at = &r->streams; *at;) {
        struct stream *s = *at;
        if (s->key.birth == f->birth && s->ended && !s->segment && f->next_ack >= s->end_position && s->end_position) {
            *at = s->next;
            stream_free(s);
        } else {
            at = &s->next;
        }
    }
}

static void mark_all_dirty(struct recorder *r)
{
    r->place.tracks.dirty = r->place.ledger.dirty = true;
    for (size_t i = 0; i < r->place.n_retired; i++)
        segment_spool(r->place.retired[i])->dirty = true;
    for (struct stream *s = r->streams; s; s = s->next)
        if (s->segment)
            segment_spool(s->segment)->dirty = true;
}

/* The trouble is over for this feed: its writer has room again from here on. */
static void end_blame(struct source *f)
{
    f->blame_open = false;
    feed_writer_state(f->reader, &f->blame_position, &f->blame_next);
}

void recorder_job_over(struct recorder *r, int result, int64_t now_us)
{
    r->sync_err = result;
    if (result) {
        mark_all_dirty(r);
        return;
    }
    if (!r->job_has_index)
        return;
    r->synced_us = r->synced_next_us;
    r->progress_us = now_us;
    for (struct source *f = r->sources; f; f = f->next) {
        if (f->blame_open && !r->paused && f->next_ack > feed_acknowledged(f->reader))
            end_blame(f);
        feed_ack(f->reader, f->next_ack);
        forget_ended(r, f);
    }
    for (size_t i = 0; i < r->n_retired_in_job; i++)
        segment_free(r->place.retired[i]);
    r->place.n_retired -= r->n_retired_in_job;
    if (r->place.n_retired)
        memmove(r->place.retired, r->place.retired + r->n_retired_in_job, r->place.n_retired * sizeof(struct segment *));
    r->n_retired_in_job = 0;
}
