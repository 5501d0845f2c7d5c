#include "sim/window.h"

#include "sim/endpoint.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct window {
    struct endpoint *const *endpoints;
    unsigned n;
    int64_t from_us;
    struct endpoint_hearing before[]; /* n */
};

struct window *window_new(struct endpoint *const *endpoints, unsigned n)
{
    struct window *w = calloc(1, sizeof *w + n * sizeof w->before[0]);
    if (!w)
        return NULL;
    w->endpoints = endpoints;
    w->n = n;
    return w;
}

void window_free(struct window *w)
{
    free(w);
}

static void begin(struct window *w, int64_t now_us)
{
    w->from_us = now_us;
    for (unsigned i = 0; i < w->n; i++) {
        endpoint_reset_gap(w->endpoints[i], now_us);
        endpoint_hearing(w->endpoints[i], now_us, &w->before[i]);
    }
}

static json_t *room(const struct endpoint_hearing *before, const struct endpoint_hearing *h)
{
    return json_pack("{s:i, s:i, s:I, s:o, s:I, s:i, s:i, s:I, s:I, s:I}", "number", (int)h->number, "port", (int)h->port,
                     "sound", (json_int_t)(h->stage_sound - before->stage_sound), "gap_us",
                     h->stage_sound ? json_integer((json_int_t)h->stage_gap_us) : json_null(), "lost",
                     (json_int_t)(h->lost - before->lost), "rejoins", (int)(h->rejoins - before->rejoins), "resumes",
                     (int)(h->resumes - before->resumes), "live_us", (json_int_t)h->live_us, "connected_us",
                     (json_int_t)h->connected_us, "heard_us", (json_int_t)h->heard_us);
}

static char *end(const struct window *w, int64_t now_us)
{
    struct endpoint_hearing h;
    json_t *rooms = json_array();
    for (unsigned i = 0; i < w->n; i++) {
        endpoint_hearing(w->endpoints[i], now_us, &h);
        json_array_append_new(rooms, room(&w->before[i], &h));
    }
    json_t *o = json_pack("{s:{s:I, s:I, s:o}}", "window", "from_us", (json_int_t)w->from_us, "to_us", (json_int_t)now_us,
                          "rooms", rooms);
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    return text;
}

char *window_line(struct window *w, const char *line, int64_t now_us)
{
    if (strcmp(line, "begin") == 0)
        begin(w, now_us);
    return strcmp(line, "end") == 0 ? end(w, now_us) : NULL;
}
