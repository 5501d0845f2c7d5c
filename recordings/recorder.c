#include "recordings/recorder.h"

#include "recordings/stream.h"
#include "recordings/sync.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { RECORDS_A_TURN = 4000, KIND_MICROPHONE = 1, KIND_SCREEN = 3 }; /* kinds as in a track number, base/feed.h */
#define SYNC_INTERVAL_US 1000000
#define IDLE_SEGMENT_US 60000000 /* an ended track's file is closed after that, so that descriptors don't run out */
#define STALL_BYTES (1u << 20)   /* unwritten bytes above which feeds are not read */
#define LOW_DISK_BYTES (256ull << 20)

struct source { /* a feed */
    struct source *next;
    uint64_t id, birth;
    struct feed_reader *reader;
    bool over;           /* ended and drained, or broken */
    bool catching_up;    /* still reading what was in the ring when we came */
    uint64_t gap_serial; /* how many GAP records were read */
    enum hole_reason gap;
    uint64_t next_ack; /* what the job in hand will allow to acknowledge */
};

struct recorder {
    struct stream_place place;
    struct source *sources;
    struct stream *streams;
    struct sync *sync;
    int64_t submitted_us, record_us;   /* last job, last record */
    int64_t synced_us, synced_next_us; /* everything up to here is on disk; will be after the job in hand */
    bool job_has_index, stalled;
    size_t n_retired_in_job;
    const char *disk_code; /* NULL: healthy */
};

/* --- taking up ---------------------------------------------------------------------------------------------------- */

static json_t *load_index(int dir_fd)
{
    int fd = openat(dir_fd, "index.json", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return NULL;
    json_t *o = json_loadfd(fd, 0, NULL);
    close(fd);
    return o;
}

static uint64_t synced_bytes(const json_t *index, const char *name)
{
    json_t *bytes = json_object_get(json_object_get(index, "files"), name);
    json_int_t n = json_is_integer(bytes) ? json_integer_value(bytes) : 0;
    return n > 0 ? (uint64_t)n : 0;
}

static int restore_streams(struct recorder *r, const json_t *index)
{
    size_t i;
    json_t *o;
    json_array_foreach(json_object_get(index, "streams"), i, o) {
        const char *birth = json_string_value(json_object_get(o, "birth"));
        struct stream *s;
        int err = birth ? stream_from_json(o, strtoull(birth, NULL, 16), &s) : ERR_MALFORMED;
        if (err)
            return err;
        s->next = r->streams;
        r->streams = s;
    }
    return 0;
}

/* Files go back to what the index promises: what lies behind it is still in the feeds and will be read again. */
static void cut_files(struct recorder *r, const json_t *index)
{
    const char *name;
    json_t *bytes;
    json_object_foreach(json_object_get(index, "files"), name, bytes) {
        int fd = openat(r->place.dir_fd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 || ftruncate(fd, (off_t)json_integer_value(bytes)) < 0)
            log_warn("recorder", "file=%s is not as the index says: %s", name, strerror(errno));
        if (fd >= 0)
            close(fd);
    }
}

/* Names in tracks.jsonl, which is cut back already. */
static json_t *known_files(int dir_fd)
{
    json_t *known = json_object();
    int fd = openat(dir_fd, "tracks.jsonl", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    FILE *in = fd >= 0 ? fdopen(fd, "r") : NULL;
    char *line = NULL;
    size_t cap = 0;
    while (in && getline(&line, &cap, in) > 0) {
        json_t *o = json_loads(line, 0, NULL);
        const char *name = json_string_value(json_object_get(o, "file"));
        if (name)
            json_object_set_new(known, name, json_true());
        json_decref(o);
    }
    free(line);
    if (in)
        fclose(in);
    else if (fd >= 0)
        close(fd);
    return known;
}

/* A segment that a killed recorder opened after its last index: the feeds still hold all of it. */
static void drop_unknown_files(struct recorder *r)
{
    json_t *known = known_files(r->place.dir_fd);
    int fd = openat(r->place.dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *e;
    while (d && (e = readdir(d)))
        if (strncmp(e->d_name, "track-", 6) == 0 && !json_object_get(known, e->d_name)) {
            log_info("recorder", "file=%s begins again", e->d_name);
            unlinkat(fd, e->d_name, 0);
        }
    if (d)
        closedir(d);
    json_decref(known);
}

static int take_up(struct recorder *r)
{
    json_t *index = load_index(r->place.dir_fd);
    int err = 0;
    if (index) {
        cut_files(r, index);
        err = restore_streams(r, index);
        log_info("recorder", "taking up files=%zu streams=%zu", json_object_size(json_object_get(index, "files")),
                 json_array_size(json_object_get(index, "streams")));
    }
    if (!err)
        err = spool_open(&r->place.tracks, r->place.dir_fd, "tracks.jsonl", synced_bytes(index, "tracks.jsonl"));
    if (!err)
        err = spool_open(&r->place.ledger, r->place.dir_fd, "ledger.jsonl", synced_bytes(index, "ledger.jsonl"));
    if (!err)
        drop_unknown_files(r);
    json_decref(index);
    return err;
}

int recorder_open(const char *dir, struct recorder **ret)
{
    struct recorder *r = calloc(1, sizeof *r);
    if (!r)
        return ERR_NOMEM;
    r->place.tracks.fd = r->place.ledger.fd = -1;
    r->place.dir_fd = -1;
    int err = mkdir(dir, 0700) < 0 && errno != EEXIST ? ERR_IO : 0;
    if (!err) {
        r->place.dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        err = r->place.dir_fd < 0 ? ERR_IO : take_up(r);
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

/* --- reading ------------------------------------------------------------------------------------------------------ */

int recorder_add_feed(struct recorder *r, uint64_t id, int data_fd, int tail_fd)
{
    struct feed_reader *reader;
    int err = feed_reader_open(data_fd, tail_fd, -1, &reader);
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
    *f = (struct source){.next = r->sources, .id = id, .birth = feed_birth(reader), .reader = reader, .catching_up = true};
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
    return stream_input(s, rec, body, position, gap, now_us);
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

static int take_end(struct recorder *r, struct source *f, const struct feed_record *rec, int64_t now_us)
{
    for (struct stream *s = r->streams; s; s = s->next)
        if (s->key.birth == f->birth && s->key.track == rec->track && s->key.incarnation == rec->incarnation) {
            int err = stream_pause(s, &r->place, now_us);
            if (err)
                return err;
            s->end_position = feed_position(f->reader);
        }
    return 0;
}

static void take_gap(struct recorder *r, struct source *f, const uint8_t *body)
{
    struct reader g = reader_make(body, 8);
    f->gap_serial++;
    f->gap = r->disk_code ? HOLE_DISK_FULL : f->catching_up ? HOLE_RECORDER_DOWN : HOLE_RING_FULL;
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
    case FEED_GAP: take_gap(r, f, body); return 0;
    default: return 0; /* FEED_RATES: every layer is wanted anyway */
    }
}

static void give_up_feed(struct recorder *r, struct source *f, int64_t now_us)
{
    struct stream_key key = {.birth = f->birth};
    struct assembled hole = {.from_us = r->record_us, .to_us = now_us, .reason = HOLE_FEED_BROKEN};
    log_error("recorder", "feed=%llu its writer broke the format: no longer read", (unsigned long long)f->id);
    f->over = true;
    ledger_write(&r->place.ledger, &key, &hole);
}

static int read_feed(struct recorder *r, struct source *f, int64_t now_us, bool *ret_more)
{
    uint8_t body[FEED_BODY_MAX];
    struct feed_record rec;
    for (int i = 0; i < RECORDS_A_TURN; i++) {
        uint64_t position = feed_position(f->reader);
        int err = feed_read(f->reader, &rec, body);
        if (err == ERR_AGAIN || err == ERR_CLOSED) {
            f->catching_up = false;
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
        if (err)
            return err;
    }
    *ret_more = true;
    return 0;
}

static unsigned cell_of(uint32_t track)
{
    return track / 4 * 2 + (track % 4 == KIND_SCREEN ? 1u : 0u);
}

static void ask_keyframes(struct recorder *r, int64_t now_us)
{
    for (struct stream *s = r->streams; s; s = s->next)
        if (stream_wants_keyframe(s, now_us))
            for (struct source *f = r->sources; f; f = f->next)
                if (f->birth == s->key.birth && !f->over)
                    feed_request_keyframe(f->reader, cell_of(s->key.track), s->key.layer);
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static void note_disk(struct recorder *r, int err)
{
    const char *code = err == ERR_FULL ? "disk-full" : err ? "disk-error" : NULL;
    if (code && code != r->disk_code)
        log_error("recorder", "code=%s %s", code, strerror(errno));
    else if (!code && r->disk_code)
        log_info("recorder", "the disk takes files again");
    r->disk_code = code;
}

static int flush_spool(struct spool *s, size_t *waiting)
{
    int err = spool_flush(s);
    *waiting += s->len;
    return err;
}

/* Offers everything to the disk. What it refuses waits, and too much of that stops the reading. */
static void flush_all(struct recorder *r)
{
    size_t waiting = 0;
    int worst = flush_spool(&r->place.tracks, &waiting);
    int err = flush_spool(&r->place.ledger, &waiting);
    worst = worst ? worst : err;
    for (size_t i = 0; i < r->place.n_retired; i++) {
        err = flush_spool(segment_spool(r->place.retired[i]), &waiting);
        worst = worst ? worst : err;
    }
    for (struct stream *s = r->streams; s; s = s->next)
        if (s->segment) {
            err = flush_spool(segment_spool(s->segment), &waiting);
            worst = worst ? worst : err;
        }
    r->stalled = waiting > STALL_BYTES;
    note_disk(r, worst);
}

static int drain_streams(struct recorder *r, int64_t now_us, bool finish, bool *ret_held)
{
    for (struct stream *s = r->streams; s; s = s->next) {
        int err = stream_drain(s, &r->place, now_us, finish);
        if (err == ERR_AGAIN)
            *ret_held = true;
        else if (err)
            return err;
        if (s->ended && s->segment && now_us - s->active_us > IDLE_SEGMENT_US && (err = stream_retire(s, &r->place)))
            return err;
    }
    return 0;
}

/* --- syncing ------------------------------------------------------------------------------------------------------ */

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

static const char *health_code(struct recorder *r)
{
    struct statvfs st;
    if (r->disk_code)
        return r->disk_code;
    if (fstatvfs(r->place.dir_fd, &st) == 0 && (uint64_t)st.f_bavail * st.f_frsize < LOW_DISK_BYTES)
        return "disk-low";
    for (struct source *f = r->sources; f; f = f->next)
        if (f->over && feed_broken(f->reader))
            return "feed-broken";
    return NULL;
}

static char *synced_text(struct recorder *r, int64_t synced_us, int64_t now_us)
{
    const char *code = health_code(r);
    json_t *o = json_pack("{s:I, s:I, s:b, s:s}", "synced_us", (json_int_t)synced_us, "updated_us", (json_int_t)now_us,
                          "healthy", code == NULL, "code", code ? code : "");
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    return text;
}

static void submit_job(struct recorder *r, int64_t now_us, bool held)
{
    struct sync_job job = {0};
    bool all;
    json_t *files = index_files(r, &job, &all);
    r->job_has_index = all && !held && !r->disk_code;
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
    r->submitted_us = now_us;
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

static void job_over(struct recorder *r, int result)
{
    if (result) {
        note_disk(r, result);
        mark_all_dirty(r);
        return;
    }
    if (!r->job_has_index)
        return;
    r->synced_us = r->synced_next_us;
    for (struct source *f = r->sources; f; f = f->next) {
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

/* --- the turn ----------------------------------------------------------------------------------------------------- */

int recorder_turn(struct recorder *r, int64_t now_us, bool *ret_more)
{
    bool held = false;
    int result, err;
    *ret_more = false;
    for (struct source *f = r->sources; f && !r->stalled; f = f->next)
        if (!f->over && (err = read_feed(r, f, now_us, ret_more)))
            return err;
    err = drain_streams(r, now_us, false, &held);
    if (err)
        return err;
    ask_keyframes(r, now_us);
    flush_all(r);
    if (sync_done(r->sync, &result))
        job_over(r, result);
    if (!sync_busy(r->sync) && now_us - r->submitted_us >= SYNC_INTERVAL_US)
        submit_job(r, now_us, held);
    return 0;
}

bool recorder_drained(const struct recorder *r, int64_t now_us, int64_t quiet_us)
{
    bool all_over = true;
    for (const struct source *f = r->sources; f; f = f->next)
        all_over = all_over && f->over;
    return all_over || now_us - r->record_us >= quiet_us;
}

static int wait_job(struct recorder *r)
{
    int result;
    while (!sync_done(r->sync, &result)) {
        if (!sync_busy(r->sync))
            return 0;
        usleep(2000); /* the sync thread has no descriptor to wait on; this runs at the end of a recording only */
    }
    job_over(r, result);
    return result;
}

int recorder_finish(struct recorder *r, int64_t now_us, bool give_up)
{
    bool held = false;
    int err = drain_streams(r, now_us, give_up, &held);
    for (struct stream *s = r->streams; s && !err && give_up; s = s->next)
        err = stream_retire(s, &r->place);
    if (err)
        return err;
    wait_job(r);
    flush_all(r);
    if (r->disk_code || held)
        return r->disk_code && strcmp(r->disk_code, "disk-full") == 0 ? ERR_FULL : ERR_IO;
    submit_job(r, now_us, held);
    return wait_job(r);
}
