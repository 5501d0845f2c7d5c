#include "control/archive_page.h"

#include "wish/wish.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { LEDGER_LINES_MAX = 5000, EVENT_LINES_MAX = 200000, SPANS_MAX = 64, ENDPOINTS = WISH_ENDPOINT_NUMBER_MAX + 1 };

struct spans {
    int64_t from_us[SPANS_MAX], to_us[SPANS_MAX];
    size_t n;
};

/* What the log's copy tells: whose number is whose, and the stretches of session time that the programme joins. */
struct facts {
    char units[ENDPOINTS][128]; /* short names */
    struct spans recorded, meeting;
};

static json_t *read_file(const char *dir, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return json_load_file(path, 0, NULL);
}

static void each_line(const char *dir, const char *name, size_t max, void (*visit)(void *ctx, const json_t *o), void *ctx)
{
    char path[4096], line[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "r");
    for (size_t n = 0; file && n < max && fgets(line, sizeof line, file); n++) {
        json_t *o = json_loads(line, 0, NULL);
        if (json_is_object(o)) /* a torn last line is none */
            visit(ctx, o);
        json_decref(o);
    }
    if (file)
        fclose(file);
}

/* ---- the log's copy ---- */

static void span_edge(struct spans *s, bool on, int64_t at_us)
{
    bool open = s->n && s->to_us[s->n - 1] == INT64_MAX;
    if (on && !open && s->n < SPANS_MAX) {
        s->from_us[s->n] = at_us;
        s->to_us[s->n++] = INT64_MAX;
    } else if (!on && open) {
        s->to_us[s->n - 1] = at_us;
    }
}

static void note_unit(struct facts *f, const json_t *endpoint)
{
    json_int_t number = json_integer_value(json_object_get(endpoint, "number"));
    const char *name = json_string_value(json_object_get(endpoint, "unit_short"));
    if (!name || !*name)
        name = json_string_value(json_object_get(endpoint, "unit_name"));
    if (name && number > 0 && number < ENDPOINTS)
        snprintf(f->units[number], sizeof f->units[number], "%s", name);
}

static void note_event(void *ctx, const json_t *e)
{
    struct facts *f = ctx;
    const char *name = json_string_value(json_object_get(e, "event"));
    const json_t *data = json_object_get(e, "data");
    int64_t at_us = json_integer_value(json_object_get(e, "at_us"));
    if (!name)
        return;
    if (strcmp(name, "joined") == 0)
        note_unit(f, json_object_get(data, "endpoint"));
    else if (strcmp(name, "recording") == 0)
        span_edge(&f->recorded, json_is_true(json_object_get(data, "on")), at_us);
    else if (strcmp(name, "opened") == 0)
        span_edge(&f->meeting, true, at_us);
    else if (strcmp(name, "closed") == 0) {
        span_edge(&f->recorded, false, at_us);
        span_edge(&f->meeting, false, at_us);
    }
}

static const char *unit_of(const struct facts *f, json_int_t number)
{
    return number > 0 && number < ENDPOINTS ? f->units[number] : "";
}

/* ---- formats ---- */

static json_t *file_of(const json_t *manifest, const char *name)
{
    const json_t *f;
    size_t i;
    json_array_foreach(json_object_get(manifest, "files"), i, f) {
        const char *known = json_string_value(json_object_get(f, "name"));
        if (known && strcmp(known, name) == 0)
            return (json_t *)f;
    }
    return NULL;
}

static json_t *formats_of(const json_t *manifest)
{
    static const char *const names[] = {"mp4", "webm"};
    json_t *list = json_array();
    for (size_t i = 0; i < 2; i++) {
        char file[32];
        snprintf(file, sizeof file, "programme.%s", names[i]);
        const json_t *f = file_of(manifest, file);
        if (f)
            json_array_append_new(list, json_pack("{s:s, s:O, s:O}", "name", names[i], "bytes", json_object_get(f, "bytes"),
                                                  "sha256", json_object_get(f, "sha256")));
    }
    return list;
}

/* ---- tracks: one line a segment in tracks.jsonl, one entry a track here ---- */

static void note_track(void *ctx, const json_t *segment)
{
    static const char *const keys[] = {"track", "endpoint", "number", "kind", "codec"};
    json_t *list = ctx, *track = json_object();
    const json_t *known;
    size_t i;
    json_array_foreach(list, i, known) {
        if (json_equal(json_object_get(known, "track"), json_object_get(segment, "track"))) {
            json_decref(track);
            return;
        }
    }
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
        if (json_object_get(segment, keys[k]))
            json_object_set(track, keys[k], json_object_get(segment, keys[k]));
    json_array_append_new(list, track);
}

/* ---- the gap ledger, in the programme's time ---- */

struct gaps {
    const struct facts *facts;
    json_t *list;
};

static int64_t programme_us(const struct spans *s, int64_t at_us)
{
    int64_t sum = 0;
    for (size_t i = 0; i < s->n && at_us > s->from_us[i]; i++)
        sum += (at_us < s->to_us[i] ? at_us : s->to_us[i]) - s->from_us[i];
    return sum;
}

/* What was lost while nothing was recorded is no gap. */
static void note_gap(void *ctx, const json_t *g)
{
    struct gaps *l = ctx;
    const struct facts *f = l->facts;
    const struct spans *spans = f->recorded.n ? &f->recorded : &f->meeting;
    json_int_t track = json_integer_value(json_object_get(g, "track"));
    int64_t from_us = programme_us(spans, json_integer_value(json_object_get(g, "from_us")));
    int64_t to_us = programme_us(spans, json_integer_value(json_object_get(g, "to_us")));
    if (to_us > from_us)
        json_array_append_new(l->list,
                              json_pack("{s:I, s:s, s:O*, s:I, s:I, s:O*, s:O*}", "track", track, "unit_name",
                                        unit_of(f, track >> 2 /* wish_track() */), "layer", json_object_get(g, "layer"),
                                        "from_us", (json_int_t)from_us, "to_us", (json_int_t)to_us, "packets",
                                        json_object_get(g, "packets"), "reason", json_object_get(g, "reason")));
}

/* ---- chapters ---- */

static json_t *chapters_of(const char *dir, const struct facts *f)
{
    json_t *file = read_file(dir, "chapters.json"), *list = json_array();
    const json_t *chapter;
    size_t i;
    json_array_foreach(file, i, chapter) {
        json_t *one = json_copy((json_t *)chapter);
        json_object_set_new(one, "unit_name", json_string(unit_of(f, json_integer_value(json_object_get(one, "number")))));
        json_array_append_new(list, one);
    }
    json_decref(file);
    return list;
}

json_t *archive_page(const char *dir)
{
    struct facts facts = {0};
    json_t *tracks = json_array(), *manifest = read_file(dir, "manifest.json");
    struct gaps gaps = {.facts = &facts, .list = json_array()};
    each_line(dir, "events.jsonl", EVENT_LINES_MAX, note_event, &facts);
    each_line(dir, "tracks.jsonl", LEDGER_LINES_MAX, note_track, tracks);
    each_line(dir, "ledger.jsonl", LEDGER_LINES_MAX, note_gap, &gaps);
    json_t *page = json_pack("{s:o, s:o, s:o, s:o}", "formats", formats_of(manifest), "chapters", chapters_of(dir, &facts),
                             "gaps", gaps.list, "tracks", tracks);
    json_decref(manifest);
    return page;
}
