/* Recordings: when a recorder runs, when a programme is composed, what the index says. A recording ends when its briefing is
 * closed; in between "record off" only stops what the workers write. Then, in order: the log's copy is written, the recorder
 * finishes its files, the programme is composed. Each step is found again after a restart. */
#include "control/control.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "control/aside.h"
#include "control/room.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STOP_AFTER_US 400000 /* the workers' last records reach the feed before the recorder is told to finish */
#define STALE_US 5000000     /* synced.json is written every second */
#define PROGRAMME_BPS 1.9e6  /* docs/administration.md */
#define FULL_BYTES (1u << 16)
enum { ATTEMPTS_MAX = 2 };

struct recording {
    struct recording *next;
    struct control *control;
    char id[WISH_ID_MAX];
    bool runs; /* the briefing is open: a recorder is to be there */
    bool stopped, finished, exporting, exported;
    bool given_up; /* the supervisor starts its recorder no more */
    bool asking;   /* a file of it is being read aside */
    char code[24]; /* what ails its recorder, as last read; "": nothing */
    struct room_rate rate;
    bool disk_short; /* what is free lasts for less than the alarm's minutes */
    bool waits_for_room;
    int64_t stop_at_us;
    unsigned todo, composing; /* RECORDING_MP4 | RECORDING_WEBM */
    unsigned attempts, percent;
};

static const char *const format_names[] = {"mp4", "webm"};

static unsigned format_bit(const char *name)
{
    return strcmp(name, "webm") == 0 ? RECORDING_WEBM : RECORDING_MP4;
}

void recording_dir(const struct control *c, const char *briefing, char *ret, size_t cap)
{
    snprintf(ret, cap, "%s/recordings/%s", c->config.data_dir, briefing);
}

static bool has_file(const struct control *c, const char *briefing, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/recordings/%s/%s", c->config.data_dir, briefing, name);
    return access(path, R_OK) == 0;
}

static json_t *read_json(const struct control *c, const char *briefing, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/recordings/%s/%s", c->config.data_dir, briefing, name);
    return json_load_file(path, 0, NULL);
}

static struct recording *recording_find(const struct control *c, const char *id)
{
    for (struct recording *r = c->recordings; r; r = r->next)
        if (strcmp(r->id, id) == 0)
            return r;
    return NULL;
}

static struct recording *recording_get(struct control *c, const char *id)
{
    struct recording *r = recording_find(c, id);
    if (r || !(r = calloc(1, sizeof *r)))
        return r;
    r->control = c;
    snprintf(r->id, sizeof r->id, "%s", id);
    r->next = c->recordings;
    c->recordings = r;
    return r;
}

bool recording_runs(const struct control *c, const char *briefing)
{
    const struct recording *r = recording_find(c, briefing);
    return r && r->runs;
}

unsigned recording_percent(const struct control *c, const char *briefing, unsigned fallback)
{
    const struct recording *r = recording_find(c, briefing);
    return r && r->composing ? r->percent : fallback;
}

/* ---- index ---- */

/* By the log, as the programme is; a recording found after its briefing was let go: by its files. */
static double seconds_of(struct recording *r, double known)
{
    const struct meeting *m = meeting_find(r->control, r->id);
    if (m && m->recorded_to_us > m->recorded_from_us)
        return (double)(m->recorded_to_us - m->recorded_from_us) / 1e6;
    if (known > 0)
        return known;
    json_t *manifest = read_json(r->control, r->id, "manifest.json");
    double seconds = json_number_value(json_object_get(manifest, "duration_s"));
    json_decref(manifest);
    return seconds;
}

static void put_state(struct recording *r, enum store_recording_state state)
{
    struct store_recording s;
    struct control *c = r->control;
    const struct store_briefing *b = store_briefing_find(c->store, r->id);
    if (store_recording_find(c->store, r->id, &s)) {
        s = (struct store_recording){.opened_ms = b ? b->opened_ms : 0};
        snprintf(s.briefing, sizeof s.briefing, "%s", r->id);
        snprintf(s.title, sizeof s.title, "%s", b ? b->title : r->id);
    }
    s.seconds = seconds_of(r, s.seconds);
    s.formats = (has_file(c, r->id, "programme.mp4") ? RECORDING_MP4 : 0) |
                (has_file(c, r->id, "programme.webm") ? RECORDING_WEBM : 0);
    s.state = state;
    s.percent = state == RECORDING_READY ? 100 : r->percent;
    store_recording_put(c->store, &s, NULL, NULL);
}

/* ---- recorder ---- */

static void say_job(uint32_t kind, const char *text)
{
    link_say(&(struct link_message){.kind = kind}, text, NULL, 0);
}

static void say_record(const struct control *c, const char *id)
{
    link_say(&(struct link_message){.kind = LINK_RECORD, .a = c->config.spare_mb}, id, NULL, 0);
}

void recordings_reload(struct control *c)
{
    for (struct recording *r = c->recordings; r; r = r->next)
        if (r->runs)
            say_record(c, r->id);
}

/* The mode is the umask's: recorders may have another user and the same group. */
static void make_dir(struct control *c, const char *id)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/recordings", c->config.data_dir);
    mkdir(path, 0770);
    recording_dir(c, id, path, sizeof path);
    if (mkdir(path, 0770) < 0 && errno != EEXIST)
        log_error("recording", "briefing=%s directory: %s", id, strerror(errno));
}

static void begin(struct control *c, const char *id)
{
    struct recording *r = recording_get(c, id);
    if (!r || r->runs)
        return;
    r->runs = true;
    r->code[0] = 0;
    r->rate = (struct room_rate){0};
    make_dir(c, id);
    say_record(c, id);
    put_state(r, RECORDING_RECORDING);
}

static void end(struct recording *r)
{
    feeds_drop_recorder(r->control, r->id);
    r->runs = false;
    r->stop_at_us = clock_now_us() + STOP_AFTER_US;
    r->todo |= 1u << r->control->config.recording_format;
    put_state(r, RECORDING_QUEUED);
}

void recording_follow(struct meeting *m, const struct briefing_event *e)
{
    const char *id = briefing_id(m->settled);
    struct recording *r = recording_find(m->control, id);
    if (e->kind == EVENT_RECORDING && e->on)
        begin(m->control, id);
    else if (e->kind == EVENT_CLOSED && r && r->runs)
        end(r);
}

void recording_recorder(struct control *c, const struct link_message *m)
{
    struct recording *r = recording_find(c, m->text);
    if (!r || m->a < 2)
        return; /* that it runs or comes back is seen in synced.json */
    r->given_up = m->a == 3;
    struct meeting *over = r->given_up ? meeting_find(c, r->id) : NULL;
    if (r->given_up)
        log_error("recording", "briefing=%s recorder given up: what is on disk is composed", r->id);
    if (over) /* who is still there after the closing */
        meeting_notice(over, true, "recorder",
                       json_pack("{s:f, s:b, s:s}", "synced_s", 0.0, "healthy", 0, "code", "recorder-given-up"));
    r->finished = true;
}

/* ---- may it begin? ---- */

static bool is_directory_or_nothing(const char *path)
{
    struct stat st;
    return stat(path, &st) < 0 ? errno == ENOENT : S_ISDIR(st.st_mode) && access(path, W_OK) == 0;
}

static const struct refusal *ailment(const struct control *c, const char *briefing)
{
    const struct recording *r = recording_find(c, briefing);
    char path[4096];
    if (c->free_bytes < (uint64_t)c->config.min_free_mb << 20)
        return refusal_find("disk-full");
    recording_dir(c, briefing, path, sizeof path);
    if (!is_directory_or_nothing(path))
        return refusal_find("recorder-unhealthy");
    if (!r || !r->runs)
        return NULL;
    return strcmp(r->code, "disk-full") == 0 ? refusal_find("disk-full")
           : r->given_up || r->code[0]       ? refusal_find("recorder-unhealthy")
                                             : NULL;
}

const struct refusal *recording_check(const struct meeting *m, struct briefing_command *command)
{
    const struct briefing_schedule *s = briefing_schedule_of(m->settled);
    if (command->kind == COMMAND_RECORD && command->on && !briefing_recording(m->settled))
        return ailment(m->control, briefing_id(m->settled));
    if (command->kind == COMMAND_OPEN && s && s->record)
        command->unrecorded = ailment(m->control, briefing_id(m->settled)) != NULL;
    return NULL;
}

/* `left_s` < 0: nobody needs to know. */
static void tell(struct meeting *m, double synced_s, bool healthy, const char *code, int64_t left_s)
{
    json_t *data = json_pack("{s:f, s:b, s:o}", "synced_s", synced_s, "healthy", healthy, "code",
                             code && *code ? json_string(code) : json_null());
    if (data && left_s >= 0)
        json_object_set_new(data, "left_s", json_integer(left_s));
    meeting_notice(m, true, "recorder", data);
}

/* ---- how long the disk lasts ---- */

static double expected_bps(const struct control *c, const char *briefing)
{
    const struct store_briefing *b = store_briefing_find(c->store, briefing);
    return room_expected_bps(c->config.recording_cameras, b ? (unsigned)b->n_units : 0);
}

double recordings_bps(const struct control *c)
{
    double bps = 0;
    for (const struct recording *r = c->recordings; r; r = r->next)
        if (r->runs)
            bps += room_bps(&r->rate, expected_bps(c, r->id));
    return bps;
}

static int64_t left_s(const struct control *c, double bps)
{
    return room_left_s(c->free_bytes, (uint64_t)c->config.spare_mb << 20, bps);
}

int64_t recordings_left_s(const struct control *c)
{
    return left_s(c, recordings_bps(c));
}

/* Before the opening, and as long as a briefing that is to be recorded isn't because it can't: that, or for how long the
 * disk lasts if that is less than planned. */
static void tell_ailment(struct meeting *m)
{
    const struct control *c = m->control;
    const struct briefing_schedule *s = briefing_schedule_of(m->settled);
    bool waits = s && s->record && !m->recorded_from_us && briefing_phase(m->settled) != BRIEFING_CLOSED;
    const struct refusal *why = waits ? ailment(c, briefing_id(m->settled)) : NULL;
    int64_t left = waits ? left_s(c, recordings_bps(c) + expected_bps(c, briefing_id(m->settled))) : 0;
    m->disk_short = waits && room_is_short(m->disk_short, left, c->config.planned_minutes * INT64_C(60));
    if (why)
        tell(m, 0, false, why->code, -1);
    else if (m->disk_short)
        tell(m, 0, true, "disk-short", left);
    else if (m->told_unwell)
        tell(m, 0, true, NULL, -1);
    m->told_unwell = why || m->disk_short;
}

/* ---- files that recorder and composer write once a second, read aside ---- */

struct question {
    struct aside_job job;
    struct recording *recording; /* lives as long as control */
    void (*take)(struct recording *r, const json_t *answer);
    json_t *answer; /* NULL: no such file yet */
    char path[4096];
};

static void read_answer(struct aside_job *job)
{
    struct question *q = (struct question *)job;
    q->answer = json_load_file(q->path, 0, NULL);
}

static void answered(struct control *c, struct aside_job *job)
{
    struct question *q = (struct question *)job;
    (void)c;
    q->recording->asking = false;
    q->take(q->recording, q->answer);
    json_decref(q->answer);
    free(q);
}

static void ask(struct recording *r, const char *name, void (*take)(struct recording *r, const json_t *answer))
{
    struct question *q = r->asking ? NULL : calloc(1, sizeof *q);
    if (!q)
        return; /* again in a second */
    *q = (struct question){.job = {.work = read_answer, .done = answered}, .recording = r, .take = take};
    snprintf(q->path, sizeof q->path, "%s/recordings/%s/%s", r->control->config.data_dir, r->id, name);
    r->asking = true;
    aside_run(r->control, &q->job);
}

static void take_progress(struct recording *r, const json_t *progress)
{
    r->percent = (unsigned)json_number_value(json_object_get(progress, "percent"));
}

/* ---- composing ---- */

static void exported(void *ctx, int err)
{
    struct recording *r = ctx;
    r->exporting = false;
    r->exported = err == 0;
    if (err)
        log_error("recording", "briefing=%s events.jsonl: %s", r->id, err_str(err));
}

static void export_log(struct recording *r)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/recordings/%s/events.jsonl", r->control->config.data_dir, r->id);
    r->exporting = store_export_events(r->control->store, r->id, path, exported, r) == 0;
}

static bool somebody_composes(const struct control *c)
{
    for (const struct recording *r = c->recordings; r; r = r->next)
        if (r->composing)
            return true;
    return false;
}

/* A programme that fills the disk helps nobody: it waits, and is composed when there is room. */
static bool room_for_programme(struct recording *r)
{
    const struct control *c = r->control;
    double needed = seconds_of(r, 0) * PROGRAMME_BPS / 8 + ((double)c->config.spare_mb * (1 << 20));
    bool room = (double)c->free_bytes >= needed;
    if (!room && !r->waits_for_room)
        log_error("recording", "briefing=%s its programme waits until %.0f MB are free", r->id, needed / (1 << 20));
    r->waits_for_room = !room;
    return room;
}

static void compose(struct recording *r)
{
    char job[LINK_TEXT_MAX];
    r->composing = r->todo & RECORDING_MP4 ? RECORDING_MP4 : RECORDING_WEBM;
    r->percent = 0;
    snprintf(job, sizeof job, "%s %s", r->id, format_names[r->composing == RECORDING_WEBM]);
    say_job(LINK_COMPOSE, job);
    put_state(r, RECORDING_COMPOSING);
    log_info("recording", "briefing=%s composing format=%s", r->id, format_names[r->composing == RECORDING_WEBM]);
}

void recording_composed(struct control *c, const struct link_message *m)
{
    char id[WISH_ID_MAX], format[8];
    struct recording *r = sscanf(m->text, "%39s %7s", id, format) == 2 ? recording_find(c, id) : NULL;
    if (!r)
        return;
    unsigned bit = format_bit(format);
    r->composing = 0;
    if (m->a != 0 && ++r->attempts < ATTEMPTS_MAX) {
        put_state(r, RECORDING_QUEUED);
        return;
    }
    r->attempts = 0;
    r->todo &= ~bit;
    put_state(r, r->todo ? RECORDING_QUEUED : m->a == 0 ? RECORDING_READY : RECORDING_FAILED);
    log_info("recording", "briefing=%s composed format=%s status=%u", r->id, format, m->a);
}

const struct refusal *recording_compose(struct control *c, const char *briefing, unsigned format)
{
    struct store_recording s;
    if (store_recording_find(c->store, briefing, &s))
        return refusal_find("no-recording");
    if (recording_runs(c, briefing))
        return refusal_find("still-open");
    struct recording *r = recording_get(c, briefing);
    if (!r)
        return refusal_find("internal");
    if (s.state == RECORDING_READY || s.state == RECORDING_FAILED)
        r->stopped = r->finished = r->exported = true;
    if (s.formats & format)
        return NULL;
    r->todo |= format;
    if (!r->composing)
        put_state(r, RECORDING_QUEUED);
    return NULL;
}

static void advance(struct recording *r, int64_t now_us)
{
    if (r->runs || (!r->todo && !r->composing))
        return;
    if (!r->exported && !r->exporting)
        export_log(r);
    if (!r->stopped && now_us >= r->stop_at_us) {
        r->stopped = true;
        say_job(LINK_RECORD_STOP, r->id);
    }
    if (r->finished && r->exported && r->todo && !r->composing && !somebody_composes(r->control) && room_for_programme(r))
        compose(r);
    if (r->composing)
        ask(r, "progress.json", take_progress);
}

/* ---- once a second ---- */

static void take_health(struct recording *r, const json_t *synced)
{
    struct meeting *m = meeting_find(r->control, r->id);
    if (!m || !r->runs)
        return;
    int64_t now_us = clock_now_us();
    int64_t synced_us = json_integer_value(json_object_get(synced, "synced_us"));
    int64_t updated_us = json_integer_value(json_object_get(synced, "updated_us"));
    bool silent = now_us - updated_us > STALE_US && now_us - m->recorded_from_us > STALE_US;
    const char *code = json_string_value(json_object_get(synced, "code"));
    bool healthy = !silent && (!synced || json_is_true(json_object_get(synced, "healthy")));
    if (silent && r->control->free_bytes < FULL_BYTES)
        code = "disk-full"; /* so full that it can't even say so */
    else if (silent || !code || !*code)
        code = "recorder-silent";
    snprintf(r->code, sizeof r->code, "%s", healthy ? "" : code);
    if (synced)
        room_told(&r->rate, (uint64_t)json_integer_value(json_object_get(synced, "bytes")), updated_us);
    int64_t left = recordings_left_s(r->control);
    r->disk_short = room_is_short(r->disk_short, left, r->control->config.alarm_minutes * INT64_C(60));
    if (briefing_recording(m->settled))
        tell(m, synced_us > m->recorded_from_us ? (double)(synced_us - m->recorded_from_us) / 1e6 : 0, healthy,
             healthy && r->disk_short ? "disk-soon" : r->code, r->disk_short ? left : -1);
}

void recordings_tick(struct control *c)
{
    int64_t now_us = clock_now_us();
    for (struct meeting *m = c->meetings; m; m = m->next)
        tell_ailment(m);
    for (struct recording *r = c->recordings; r; r = r->next) {
        if (r->runs)
            ask(r, "synced.json", take_health);
        else
            advance(r, now_us);
    }
}

void recordings_print(FILE *to, const struct control *c)
{
    unsigned ill = 0, soon = 0;
    for (const struct recording *r = c->recordings; r; r = r->next) {
        ill += r->runs && r->code[0];
        soon += r->runs && r->disk_short;
    }
    fprintf(to, "giaoban_recorders_unwell %u\ngiaoban_recorders_short_of_disk %u\n", ill, soon);
}

/* ---- after a restart ---- */

static bool resume(void *ctx, const struct store_recording *s)
{
    struct control *c = ctx;
    struct meeting *m = meeting_find(c, s->briefing);
    struct recording *r = s->state >= RECORDING_READY ? NULL : recording_get(c, s->briefing);
    if (!r || r->runs)
        return true;
    if (s->state == RECORDING_RECORDING && m && briefing_phase(m->settled) == BRIEFING_OPEN)
        return true; /* taken up below */
    r->todo |= 1u << c->config.recording_format;
    r->stopped = r->finished = has_file(c, s->briefing, "manifest.json");
    if (!r->finished) /* the recorder writes it, with feeds or without */
        say_record(c, s->briefing);
    return true;
}

void recordings_resume(struct control *c)
{
    for (struct meeting *m = c->meetings; m; m = m->next)
        if (briefing_phase(m->settled) == BRIEFING_OPEN && m->recorded_from_us)
            begin(c, briefing_id(m->settled));
    store_recordings(c->store, resume, c);
}

void recordings_free(struct control *c)
{
    while (c->recordings) {
        struct recording *r = c->recordings;
        c->recordings = r->next;
        free(r);
    }
}
