/* Timeline: what the programme shows at each moment, folded from events.jsonl. Pure (reads text, no clock).
 *
 * Stage: the spotlighted endpoint, else the floor holder, else the chair. Screen: the endpoint whose screen is shown. Spans:
 * from `recording` on to off; without such an event from `opened` to `closed`. Chapters: one for each time the floor was
 * held, within the spans, the same holder twice in a row being one. Programme time 0 is the beginning of the first span;
 * between spans nothing passes.
 *
 * Times: session µs (CLOCK_MONOTONIC of the recording machine) unless a name says otherwise. Thread: any. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TIMELINE_TEXT_MAX = 200, TIMELINE_ENDPOINTS = 512 };

struct timeline_endpoint {
    bool known;
    char unit[48], name[TIMELINE_TEXT_MAX]; /* unit's id; what the caption says: the unit's short name */
};

struct timeline_scene {
    int64_t from_us;        /* until the next scene */
    uint32_t stage, screen; /* endpoint numbers, 0: nobody */
    int64_t screen_us;      /* since when this screen is shown */
};

struct timeline_span {
    int64_t from_us, to_us;
    int64_t at_us; /* programme time of from_us */
};

struct timeline_chapter {
    uint32_t number;
    int64_t from_us, to_us; /* programme time */
};

struct timeline {
    char title[400];
    struct timeline_endpoint endpoints[TIMELINE_ENDPOINTS];
    struct timeline_scene *scenes;
    size_t n_scenes;
    struct timeline_span *spans;
    size_t n_spans;
    struct timeline_chapter *chapters;
    size_t n_chapters;
};

/* `text`: events.jsonl. `end_us`: until when there are recordings, for a briefing that was never closed. `why` says what is
 * wrong: ERR_MALFORMED (line n), ERR_NOTFOUND (nothing was recorded). Frees nothing of a former content. */
int timeline_read(const char *text, size_t len, int64_t end_us, struct timeline *ret, char *why, size_t why_bytes);
void timeline_clear(struct timeline *t);

const struct timeline_scene *timeline_scene_at(const struct timeline *t, int64_t session_us);
int64_t timeline_duration_us(const struct timeline *t);
/* Caption of an endpoint; "" for nobody. */
const char *timeline_name(const struct timeline *t, uint32_t number);
