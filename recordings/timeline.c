#include "recordings/timeline.h"

#include "base/err.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fold {
    struct timeline *t;
    json_t *units; /* id → {name, short} */
    uint32_t spotlight, floor, screen, chair;
    int64_t screen_us;
    bool present[TIMELINE_ENDPOINTS], is_chair[TIMELINE_ENDPOINTS];
    bool recording, recorded_by_event, open;
    int64_t opened_us, closed_us, recording_us;
    /* floor turns in session time; cut to the spans at the end */
    struct timeline_chapter *turns;
    size_t n_turns;
};

static int grow(void *array, size_t n, size_t item_bytes)
{
    void **at = array;
    void *grown = realloc(*at, (n + 1) * item_bytes);
    if (!grown)
        return ERR_NOMEM;
    *at = grown;
    return 0;
}

/* --- who ---------------------------------------------------------------------------------------------------------- */

static void take_endpoint(struct fold *f, const json_t *data)
{
    const json_t *e = json_object_get(data, "endpoint");
    json_int_t number = json_integer_value(json_object_get(e, "number"));
    if (number <= 0 || number >= TIMELINE_ENDPOINTS)
        return;
    const char *unit = json_string_value(json_object_get(e, "unit"));
    const char *role = json_string_value(json_object_get(e, "role"));
    const char *name = json_string_value(json_object_get(e, "unit_short"));
    if (unit && (!name || !*name))
        name = json_string_value(json_object_get(json_object_get(f->units, unit), "short"));
    if (!name || !*name)
        name = json_string_value(json_object_get(e, "unit_name"));
    if (!name || !*name)
        name = json_string_value(json_object_get(e, "name"));
    struct timeline_endpoint *known = &f->t->endpoints[number];
    known->known = true;
    snprintf(known->unit, sizeof known->unit, "%s", unit ? unit : "");
    snprintf(known->name, sizeof known->name, "%s", name ? name : unit ? unit : "");
    f->present[number] = true;
    f->is_chair[number] = role && strcmp(role, "chair") == 0;
    if (f->is_chair[number] && (f->chair == 0 || !f->present[f->chair]))
        f->chair = (uint32_t)number;
}

static void take_leave(struct fold *f, uint32_t number)
{
    f->present[number] = false;
    for (uint32_t n = 1; n < TIMELINE_ENDPOINTS && number == f->chair; n++)
        if (f->present[n] && f->is_chair[n])
            f->chair = n;
}

/* --- what --------------------------------------------------------------------------------------------------------- */

static int add_scene(struct fold *f, int64_t at_us)
{
    struct timeline *t = f->t;
    struct timeline_scene s = {.from_us = at_us,
                               .stage = f->spotlight ? f->spotlight
                                        : f->floor   ? f->floor
                                                     : f->chair,
                               .screen = f->screen,
                               .screen_us = f->screen_us};
    struct timeline_scene *last = t->n_scenes ? &t->scenes[t->n_scenes - 1] : NULL;
    if (last && last->stage == s.stage && last->screen == s.screen)
        return 0;
    if (last && last->from_us == s.from_us) {
        *last = s;
        return 0;
    }
    int err = grow(&t->scenes, t->n_scenes, sizeof *t->scenes);
    if (!err)
        t->scenes[t->n_scenes++] = s;
    return err;
}

static int set_floor(struct fold *f, uint32_t number, int64_t at_us)
{
    if (number == f->floor)
        return 0;
    if (f->floor && f->n_turns)
        f->turns[f->n_turns - 1].to_us = at_us;
    f->floor = number;
    if (!number)
        return 0;
    struct timeline_chapter *last = f->n_turns ? &f->turns[f->n_turns - 1] : NULL;
    if (last && last->number == number && last->to_us == at_us) {
        last->to_us = INT64_MAX;
        return 0;
    }
    int err = grow(&f->turns, f->n_turns, sizeof *f->turns);
    if (!err)
        f->turns[f->n_turns++] = (struct timeline_chapter){.number = number, .from_us = at_us, .to_us = INT64_MAX};
    return err;
}

static void set_screen(struct fold *f, uint32_t number, int64_t at_us)
{
    if (number != f->screen)
        f->screen_us = at_us;
    f->screen = number;
}

static int add_span(struct fold *f, int64_t from_us, int64_t to_us)
{
    struct timeline *t = f->t;
    if (to_us <= from_us)
        return 0;
    int err = grow(&t->spans, t->n_spans, sizeof *t->spans);
    if (!err)
        t->spans[t->n_spans++] = (struct timeline_span){.from_us = from_us, .to_us = to_us};
    return err;
}

static int set_recording(struct fold *f, bool on, int64_t at_us)
{
    int err = 0;
    f->recorded_by_event = true;
    if (on && !f->recording)
        f->recording_us = at_us;
    else if (!on && f->recording)
        err = add_span(f, f->recording_us, at_us);
    f->recording = on;
    return err;
}

static int apply(struct fold *f, const char *event, const json_t *data, int64_t at_us)
{
    json_int_t n = json_integer_value(json_object_get(data, "number"));
    uint32_t number = n > 0 && n < TIMELINE_ENDPOINTS ? (uint32_t)n : 0;
    if (strcmp(event, "joined") == 0)
        take_endpoint(f, data);
    else if (strcmp(event, "left") == 0 || strcmp(event, "removed") == 0)
        take_leave(f, number);
    else if (strcmp(event, "spotlighted") == 0)
        f->spotlight = number;
    else if (strcmp(event, "screen-shown") == 0)
        set_screen(f, number, at_us);
    else if (strcmp(event, "floor-granted") == 0)
        return set_floor(f, number, at_us);
    else if (strcmp(event, "floor-revoked") == 0)
        return set_floor(f, 0, at_us);
    else if (strcmp(event, "recording") == 0)
        return set_recording(f, json_is_true(json_object_get(data, "on")), at_us);
    else if (strcmp(event, "opened") == 0)
        f->opened_us = at_us;
    else if (strcmp(event, "closed") == 0)
        f->closed_us = at_us;
    return 0;
}

static int apply_line(struct fold *f, const json_t *o)
{
    const json_t *head = json_object_get(o, "briefing");
    if (head) {
        const char *title = json_string_value(json_object_get(head, "title"));
        snprintf(f->t->title, sizeof f->t->title, "%s", title ? title : "");
        f->units = json_incref(json_object_get(head, "units"));
        return 0;
    }
    const char *event = json_string_value(json_object_get(o, "event"));
    const json_t *at = json_object_get(o, "at_us");
    if (!event || !json_is_integer(at))
        return ERR_MALFORMED;
    int64_t at_us = json_integer_value(at);
    int err = apply(f, event, json_object_get(o, "data"), at_us);
    return err ? err : add_scene(f, at_us);
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

static int close_spans(struct fold *f, int64_t end_us)
{
    int64_t last_us = f->closed_us ? f->closed_us : end_us;
    int err = 0;
    if (f->recording)
        err = add_span(f, f->recording_us, last_us);
    else if (!f->recorded_by_event && f->opened_us)
        err = add_span(f, f->opened_us, last_us);
    int64_t at_us = 0;
    for (size_t i = 0; i < f->t->n_spans; i++) {
        f->t->spans[i].at_us = at_us;
        at_us += f->t->spans[i].to_us - f->t->spans[i].from_us;
    }
    return err;
}

/* Turns become chapters where they overlap a span; one that goes on over a pause is one chapter. */
static int cut_chapters(struct fold *f)
{
    struct timeline *t = f->t;
    for (size_t i = 0; i < f->n_turns; i++) {
        struct timeline_chapter c = {.number = f->turns[i].number, .from_us = -1};
        for (size_t k = 0; k < t->n_spans; k++) {
            const struct timeline_span *s = &t->spans[k];
            int64_t from_us = f->turns[i].from_us > s->from_us ? f->turns[i].from_us : s->from_us;
            int64_t to_us = f->turns[i].to_us < s->to_us ? f->turns[i].to_us : s->to_us;
            if (from_us >= to_us)
                continue;
            if (c.from_us < 0)
                c.from_us = s->at_us + from_us - s->from_us;
            c.to_us = s->at_us + to_us - s->from_us;
        }
        if (c.from_us < 0)
            continue;
        int err = grow(&t->chapters, t->n_chapters, sizeof *t->chapters);
        if (err)
            return err;
        t->chapters[t->n_chapters++] = c;
    }
    return 0;
}

static int read_lines(struct fold *f, const char *text, size_t len, char *why, size_t why_bytes)
{
    unsigned n = 0;
    for (const char *at = text, *end = text + len; at < end;) {
        const char *eol = memchr(at, '\n', (size_t)(end - at));
        size_t line = (size_t)((eol ? eol : end) - at);
        n++;
        if (line) {
            json_t *o = json_loadb(at, line, 0, NULL);
            int err = json_is_object(o) ? apply_line(f, o) : ERR_MALFORMED;
            json_decref(o);
            if (err) {
                snprintf(why, why_bytes, "events.jsonl, line %u: %s", n, err_str(err));
                return err;
            }
        }
        at += line + 1;
    }
    return 0;
}

int timeline_read(const char *text, size_t len, int64_t end_us, struct timeline *ret, char *why, size_t why_bytes)
{
    memset(ret, 0, sizeof *ret);
    struct fold *f = calloc(1, sizeof *f);
    if (!f)
        return ERR_NOMEM;
    f->t = ret;
    int err = read_lines(f, text, len, why, why_bytes);
    if (!err)
        err = close_spans(f, end_us);
    if (!err)
        err = cut_chapters(f);
    if (!err && ret->n_spans == 0) {
        snprintf(why, why_bytes, "events.jsonl: nothing was recorded");
        err = ERR_NOTFOUND;
    }
    json_decref(f->units);
    free(f->turns);
    free(f);
    if (err)
        timeline_clear(ret);
    return err;
}

void timeline_clear(struct timeline *t)
{
    free(t->scenes);
    free(t->spans);
    free(t->chapters);
    memset(t, 0, sizeof *t);
}

const struct timeline_scene *timeline_scene_at(const struct timeline *t, int64_t session_us)
{
    static const struct timeline_scene nothing;
    const struct timeline_scene *found = &nothing;
    size_t low = 0, high = t->n_scenes;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (t->scenes[middle].from_us <= session_us) {
            found = &t->scenes[middle];
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return found;
}

int64_t timeline_duration_us(const struct timeline *t)
{
    const struct timeline_span *last = &t->spans[t->n_spans - 1];
    return last->at_us + last->to_us - last->from_us;
}

const char *timeline_name(const struct timeline *t, uint32_t number)
{
    return number < TIMELINE_ENDPOINTS ? t->endpoints[number].name : "";
}
