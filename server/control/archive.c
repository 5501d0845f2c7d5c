/* /api/v1/archive: the store's index and the files of a recording's directory. Files themselves are signaling's. */
#include "control/control.h"

#include "base/cleanup.h"

#include <string.h>

enum { LEDGER_LINES_MAX = 5000 };

static bool invited(struct control *c, const char *briefing, const char *unit)
{
    const struct store_briefing *b = store_briefing_find(c->store, briefing);
    for (size_t i = 0; b && i < b->n_units; i++)
        if (strcmp(b->units[i], unit) == 0)
            return true;
    return false;
}

bool archive_may_read(void *ctx, const struct identity *who, const char *briefing)
{
    if (!who)
        return false;
    if (who->loopback_admin || who->role == ROLE_ADMINISTRATOR)
        return true;
    if (who->briefing[0])
        return strcmp(who->briefing, briefing) == 0;
    return who->role == ROLE_SECRETARY || who->role == ROLE_CHAIR || invited(ctx, briefing, who->unit);
}

static json_t *format_names(unsigned formats)
{
    json_t *list = json_array();
    if (formats & RECORDING_MP4)
        json_array_append_new(list, json_string("mp4"));
    if (formats & RECORDING_WEBM)
        json_array_append_new(list, json_string("webm"));
    return list;
}

static json_t *summary(struct control *c, const struct store_recording *r)
{
    return json_pack("{s:s, s:s, s:I, s:f, s:s, s:I, s:o}", "id", r->briefing, "title", r->title, "opened_ms",
                     (json_int_t)r->opened_ms, "seconds", r->seconds, "state", store_recording_state_name(r->state),
                     "percent", (json_int_t)recording_percent(c, r->briefing, r->percent), "formats",
                     format_names(r->formats));
}

struct listing {
    struct control *c;
    const struct identity *who;
    json_t *list;
};

static bool list_one(void *ctx, const struct store_recording *r)
{
    struct listing *l = ctx;
    if (archive_may_read(l->c, l->who, r->briefing))
        json_array_append_new(l->list, summary(l->c, r));
    return true;
}

/* ---- one recording ---- */

static json_t *read_file(struct control *c, const char *briefing, const char *name)
{
    char path[4096];
    recording_dir(c, briefing, path, sizeof path - 64);
    size_t len = strlen(path);
    snprintf(path + len, sizeof path - len, "/%s", name);
    return json_load_file(path, 0, NULL);
}

static json_t *read_lines(struct control *c, const char *briefing, const char *name)
{
    char path[4096], line[4096];
    recording_dir(c, briefing, path, sizeof path - 64);
    size_t len = strlen(path);
    snprintf(path + len, sizeof path - len, "/%s", name);
    FILE *file = fopen(path, "r");
    json_t *list = json_array();
    while (file && fgets(line, sizeof line, file) && json_array_size(list) < LEDGER_LINES_MAX) {
        json_t *o = json_loads(line, 0, NULL);
        if (json_is_object(o))
            json_array_append(list, o); /* a torn last line is none */
        json_decref(o);
    }
    if (file)
        fclose(file);
    return list;
}

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

/* One line a segment in tracks.jsonl; one entry a track here. */
static json_t *tracks_of(struct control *c, const char *briefing)
{
    static const char *const keys[] = {"track", "endpoint", "number", "kind", "codec"};
    json_t *segments = read_lines(c, briefing, "tracks.jsonl"), *list = json_array();
    const json_t *s, *known;
    size_t i, j;
    json_array_foreach(segments, i, s) {
        bool seen = false;
        json_array_foreach(list, j, known)
            seen = seen || json_equal(json_object_get(known, "track"), json_object_get(s, "track"));
        if (seen)
            continue;
        json_t *track = json_object();
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
            if (json_object_get(s, keys[k]))
                json_object_set(track, keys[k], json_object_get(s, keys[k]));
        json_array_append_new(list, track);
    }
    json_decref(segments);
    return list;
}

/* ---- the gap ledger, in the programme's time ---- */

enum { SPANS_MAX = 64 };

struct spans {
    int64_t from_us[SPANS_MAX], to_us[SPANS_MAX];
    size_t n;
};

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

/* The stretches of session time that the programme joins: FORMAT.md, its beginning and end. */
static struct spans spans_of(struct control *c, const char *briefing)
{
    struct spans recorded = {.n = 0}, meeting = {.n = 0};
    json_t *events = read_lines(c, briefing, "events.jsonl");
    const json_t *e;
    size_t i;
    json_array_foreach(events, i, e) {
        const char *name = json_string_value(json_object_get(e, "event"));
        int64_t at_us = json_integer_value(json_object_get(e, "at_us"));
        if (!name)
            continue;
        if (strcmp(name, "recording") == 0)
            span_edge(&recorded, json_is_true(json_object_get(json_object_get(e, "data"), "on")), at_us);
        if (strcmp(name, "opened") == 0)
            span_edge(&meeting, true, at_us);
        if (strcmp(name, "closed") == 0) {
            span_edge(&recorded, false, at_us);
            span_edge(&meeting, false, at_us);
        }
    }
    json_decref(events);
    return recorded.n ? recorded : meeting;
}

static int64_t programme_us(const struct spans *s, int64_t at_us)
{
    int64_t sum = 0;
    for (size_t i = 0; i < s->n && at_us > s->from_us[i]; i++)
        sum += (at_us < s->to_us[i] ? at_us : s->to_us[i]) - s->from_us[i];
    return sum;
}

/* What was lost while nothing was recorded is no gap. */
static json_t *gaps_of(struct control *c, const char *briefing)
{
    struct spans spans = spans_of(c, briefing);
    json_t *lines = read_lines(c, briefing, "ledger.jsonl"), *list = json_array();
    const json_t *g;
    size_t i;
    json_array_foreach(lines, i, g) {
        int64_t from_us = programme_us(&spans, json_integer_value(json_object_get(g, "from_us")));
        int64_t to_us = programme_us(&spans, json_integer_value(json_object_get(g, "to_us")));
        if (to_us > from_us)
            json_array_append_new(list, json_pack("{s:O*, s:O*, s:I, s:I, s:O*, s:O*}", "track", json_object_get(g, "track"),
                                                  "layer", json_object_get(g, "layer"), "from_us", (json_int_t)from_us,
                                                  "to_us", (json_int_t)to_us, "packets", json_object_get(g, "packets"),
                                                  "reason", json_object_get(g, "reason")));
    }
    json_decref(lines);
    return list;
}

static json_t *chapters_of(struct control *c, const char *briefing)
{
    json_t *file = read_file(c, briefing, "chapters.json");
    json_t *list = json_is_array(file) ? json_incref(file) : json_incref(json_object_get(file, "chapters"));
    json_decref(file);
    return list ? list : json_array();
}

static void show(struct control *c, struct http_call *call, const struct store_recording *r)
{
    json_t *manifest = read_file(c, r->briefing, "manifest.json"), *answer = summary(c, r);
    json_object_set_new(answer, "formats", formats_of(manifest));
    json_object_set_new(answer, "chapters", chapters_of(c, r->briefing));
    json_object_set_new(answer, "gaps", gaps_of(c, r->briefing));
    json_object_set_new(answer, "tracks", tracks_of(c, r->briefing));
    json_decref(manifest);
    signaling_http_reply(call, 200, answer);
}

static bool may_compose(const struct identity *who)
{
    return who->loopback_admin || (!who->briefing[0] && role_is_staff(who->role)) || who->role == ROLE_SECRETARY ||
           who->role == ROLE_CHAIR;
}

static void order_compose(struct control *c, struct http_call *call, const struct store_recording *r, const json_t *body)
{
    const char *format = json_string_value(json_object_get(body, "format"));
    const struct refusal *why = !may_compose(http_call_identity(call)) ? refusal_find("not-allowed") : NULL;
    if (!why)
        why = recording_compose(c, r->briefing, format && strcmp(format, "webm") == 0 ? RECORDING_WEBM : RECORDING_MP4);
    if (why)
        signaling_http_refuse(call, strcmp(why->code, "not-allowed") == 0 ? 403 : 409, why);
    else
        signaling_http_reply(call, 202, json_object());
}

/* `rest`: what follows "archive": "", "/ID" or "/ID/compose". */
void archive_request(struct control *c, struct http_call *call, const char *verb, const char *rest, const json_t *body)
{
    struct listing l = {.c = c, .who = http_call_identity(call)};
    struct store_recording r;
    char id[WISH_ID_MAX], act[16] = "";
    bool get = strcmp(verb, "GET") == 0;
    int parts = sscanf(rest, "/%39[^/]/%15[a-z]", id, act);
    if (*rest == '\0' && get) {
        l.list = json_array();
        store_recordings(c->store, list_one, &l);
        signaling_http_reply(call, 200, json_pack("{s:o}", "recordings", l.list));
    } else if (parts < 1 || !archive_may_read(c, l.who, id) || store_recording_find(c->store, id, &r)) {
        signaling_http_refuse(call, 404, refusal_find("no-recording"));
    } else if (parts == 1 && get) {
        show(c, call, &r);
    } else if (parts == 2 && strcmp(act, "compose") == 0 && strcmp(verb, "POST") == 0) {
        order_compose(c, call, &r, body);
    } else {
        signaling_http_refuse(call, 404, refusal_find("not-found"));
    }
}
