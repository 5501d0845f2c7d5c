#include "recordings/check.h"

#include "recordings/media_visit.h"

#include "base/err.h"

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BEEP_HZ = 5000, RATE = 48000, WINDOW = 240, STEP = 48, WHITE = 190 };
#define PAIR_MAX_US 400000
#define BEEP_LEVEL 0.05     /* amplitude of the 5 kHz part that counts as a beep; a room's beep has 0.4 */
#define BEEP_APART_US 60000 /* a beep lasts 40 ms */

struct checking {
    struct check_result r;
    bool white; /* the last picture was a flash */
    int16_t window[WINDOW];
    size_t held;
    int64_t window_us; /* of the first sample held */
    bool beeping;
    double former; /* level of the window before */
    bool failed;
};

static void add_moment(struct checking *c, int64_t **list, size_t *n, int64_t at_us)
{
    int64_t *grown = realloc(*list, (*n + 1) * sizeof *grown);
    if (!grown) {
        c->failed = true;
        return;
    }
    *list = grown;
    (*list)[(*n)++] = at_us;
}

static bool is_flash(const uint8_t *y, int stride, int width, int height)
{
    unsigned sum = 0, n = 0;
    for (int row = height * 9 / 24; row < height * 15 / 24; row += 4)
        for (int col = width * 23 / 32; col < width * 29 / 32; col += 4, n++)
            sum += y[row * stride + col];
    return n && sum / n > WHITE;
}

static void on_picture(void *ctx, int64_t at_us, const uint8_t *y, int stride, int width, int height)
{
    struct checking *c = ctx;
    bool white = is_flash(y, stride, width, height);
    if (white && !c->white)
        add_moment(c, &c->r.flashes_us, &c->r.n_flashes, at_us);
    c->white = white;
    c->r.video_frames++;
    c->r.width = width;
    c->r.height = height;
    c->r.end_us = at_us + 40000 > c->r.end_us ? at_us + 40000 : c->r.end_us;
}

/* Amplitude of the 5 kHz part, 0 … 1 (Goertzel). */
static double beep_level(const int16_t *samples)
{
    const double w = 2 * M_PI * BEEP_HZ / RATE, k = 2 * cos(w);
    double s1 = 0, s2 = 0;
    for (int i = 0; i < WINDOW; i++) {
        double s = samples[i] / 32768.0 + k * s1 - s2;
        s2 = s1;
        s1 = s;
    }
    return 2 * sqrt(s1 * s1 + s2 * s2 - k * s1 * s2) / WINDOW;
}

/* A window of 5 ms that is full of beep began with it; one that is half full has half its level, so the onset lies where the
 * level passes half of what follows. */
static void look_at_window(struct checking *c)
{
    double level = beep_level(c->window);
    if (!c->beeping && level > BEEP_LEVEL && level < c->former * 1.02) { /* full now: it has stopped rising */
        int64_t onset_us = c->window_us - STEP * 1000000LL / RATE;
        bool again = c->r.n_beeps && onset_us - c->r.beeps_us[c->r.n_beeps - 1] < BEEP_APART_US;
        if (!again)
            add_moment(c, &c->r.beeps_us, &c->r.n_beeps, onset_us);
        c->beeping = true;
    }
    if (level < BEEP_LEVEL / 2)
        c->beeping = false;
    c->former = level;
}

static void on_sound(void *ctx, int64_t at_us, const int16_t *samples, size_t n)
{
    struct checking *c = ctx;
    for (size_t i = 0; i < n; i++) {
        if (c->held == 0)
            c->window_us = at_us + (int64_t)i * 1000 / 48;
        c->window[c->held++] = samples[i];
        if (c->held < WINDOW)
            continue;
        look_at_window(c);
        memmove(c->window, c->window + STEP, (WINDOW - STEP) * sizeof c->window[0]);
        c->held -= STEP;
        c->window_us += STEP * 1000000LL / RATE;
    }
    c->r.samples += (int64_t)n;
    int64_t end_us = at_us + (int64_t)n * 1000 / 48;
    c->r.end_us = end_us > c->r.end_us ? end_us : c->r.end_us;
}

static int chapters_beside(const char *path)
{
    char beside[1200];
    const char *slash = strrchr(path, '/');
    snprintf(beside, sizeof beside, "%.*schapters.json", slash ? (int)(slash - path) + 1 : 0, path);
    json_t *o = json_load_file(beside, 0, NULL);
    int n = (int)json_array_size(o);
    json_decref(o);
    return n;
}

int check_file(const char *path, struct check_result *ret, char *why, size_t why_bytes)
{
    struct checking c = {0};
    struct media_visitor v = {.picture = on_picture, .sound = on_sound, .ctx = &c};
    int err = media_visit(path, &v, &c.r.chapters, why, why_bytes);
    if (!err && c.failed)
        err = ERR_NOMEM;
    if (!err && c.r.video_frames == 0) {
        snprintf(why, why_bytes, "no picture in it");
        err = ERR_MALFORMED;
    }
    if (err) {
        check_clear(&c.r);
        return err;
    }
    if (c.r.chapters < 0)
        c.r.chapters = chapters_beside(path);
    *ret = c.r;
    return 0;
}

void check_clear(struct check_result *r)
{
    free(r->flashes_us);
    free(r->beeps_us);
    memset(r, 0, sizeof *r);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

int check_skew(const struct check_result *r, int64_t from_us, int64_t to_us, double *ret_ms)
{
    double *skews = malloc((r->n_flashes + 1) * sizeof *skews);
    size_t n = 0;
    if (!skews)
        return ERR_NOMEM;
    for (size_t i = 0; i < r->n_flashes; i++) {
        if (r->flashes_us[i] < from_us || r->flashes_us[i] >= to_us)
            continue;
        int64_t nearest = INT64_MAX;
        for (size_t k = 0; k < r->n_beeps; k++)
            if (llabs(r->beeps_us[k] - r->flashes_us[i]) < llabs(nearest))
                nearest = r->beeps_us[k] - r->flashes_us[i];
        if (llabs(nearest) <= PAIR_MAX_US)
            skews[n++] = (double)nearest / 1000;
    }
    qsort(skews, n, sizeof *skews, by_value);
    if (n)
        *ret_ms = n % 2 ? skews[n / 2] : (skews[n / 2 - 1] + skews[n / 2]) / 2;
    free(skews);
    return n ? 0 : ERR_NOTFOUND;
}

int check_run(const char *path)
{
    struct check_result r;
    char why[300] = "";
    int err = check_file(path, &r, why, sizeof why);
    if (err) {
        json_t *o = json_pack("{s:s}", "error", why[0] ? why : err_str(err));
        json_dumpf(o, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(o);
        return 1;
    }
    double skew_ms;
    json_t *skew = check_skew(&r, INT64_MIN, INT64_MAX, &skew_ms) ? json_null() : json_real(round(skew_ms * 10) / 10);
    json_t *o = json_pack("{s:f, s:I, s:i, s:i, s:f, s:o, s:I, s:I, s:i}", "duration_s", (double)r.end_us / 1e6,
                          "video_frames", (json_int_t)r.video_frames, "width", r.width, "height", r.height, "audio_seconds",
                          (double)r.samples / RATE, "av_skew_ms", skew, "flashes", (json_int_t)r.n_flashes, "beeps",
                          (json_int_t)r.n_beeps, "chapters", r.chapters);
    json_dumpf(o, stdout, JSON_COMPACT | JSON_REAL_PRECISION(8));
    putchar('\n');
    json_decref(o);
    check_clear(&r);
    return 0;
}
