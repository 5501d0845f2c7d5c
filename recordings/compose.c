#include "recordings/compose.h"

#include "recordings/canvas.h"
#include "recordings/chapters.h"
#include "recordings/film.h"
#include "recordings/manifest.h"
#include "recordings/sound.h"
#include "recordings/sync.h"
#include "recordings/timeline.h"
#include "recordings/tracklist.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PICTURE_US (1000000 / PROGRAMME_FPS)
#define CAMERA_STALE_US 2000000 /* a camera silent for longer is off: a card instead of a frozen face */
#define LOOK_AHEAD_US 500000    /* on the stage, a first picture is shown this much early rather than a card for a blink */
#define SCREEN_EARLY_US 1000000 /* a screen's picture may be this much older than the event that shows it */
#define PROGRESS_INTERVAL_US 1000000
#define EVENTS_MAX_BYTES (256 << 20)

enum { LAYERS = 3, KIND_CAMERA = 2, KIND_SCREEN = 3 };
enum {
    CAPTION_X = 32,
    CAPTION_BOTTOM = 688,
    CAPTION_BELOW_SCREEN = 712,
    CAPTION_ROOM = 960
}; /* a screen is never covered */

static const struct canvas_rect whole = {0, 0, CANVAS_WIDTH, CANVAS_HEIGHT};
static const struct canvas_rect screen_rect = {0, 72, 1024, 576}, beside_rect = {1036, 72, 236, 134};

struct composer {
    int dir_fd;
    enum programme_format format;
    struct tracklist list;
    struct timeline timeline;
    struct film *films[TIMELINE_ENDPOINTS][2][LAYERS]; /* [number][camera, screen][layer] */
    struct sound_track **sounds;
    size_t n_sounds;
    struct canvas *canvas;
    struct programme *programme;
    int64_t reported_us;
    size_t next_thumb;
    char why[400];
};

/* --- telling ------------------------------------------------------------------------------------------------------ */

static void tell(struct composer *c, int percent, const char *state)
{
    json_t *o = json_pack("{s:i, s:s, s:s, s:s}", "percent", percent, "state", state, "format",
                          c->format == PROGRAMME_MP4 ? "mp4" : "webm", "why", c->why);
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    if (text)
        replace_file(c->dir_fd, "progress.json", text, strlen(text));
    free(text);
    json_decref(o);
}

static void tell_sometimes(struct composer *c, int64_t at_us)
{
    int64_t now_us = clock_now_us();
    if (now_us - c->reported_us < PROGRESS_INTERVAL_US)
        return;
    c->reported_us = now_us;
    tell(c, (int)(at_us * 98 / (timeline_duration_us(&c->timeline) + 1)), "composing");
}

/* --- loading ------------------------------------------------------------------------------------------------------ */

static int read_text(int dir_fd, const char *name, char **ret_text, size_t *ret_len)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;
    if (fd < 0)
        return ERR_NOTFOUND;
    if (fstat(fd, &st) < 0 || st.st_size > EVENTS_MAX_BYTES) {
        close(fd);
        return ERR_RANGE;
    }
    char *text = malloc((size_t)st.st_size + 1);
    ssize_t n = text ? read(fd, text, (size_t)st.st_size) : -1;
    close(fd);
    if (n < 0) {
        free(text);
        return text ? ERR_IO : ERR_NOMEM;
    }
    *ret_text = text;
    *ret_len = (size_t)n;
    return 0;
}

static int64_t synced_us(int dir_fd)
{
    char *text;
    size_t len;
    if (read_text(dir_fd, "synced.json", &text, &len))
        return 0;
    json_t *o = json_loadb(text, len, 0, NULL);
    int64_t us = json_integer_value(json_object_get(o, "synced_us"));
    json_decref(o);
    free(text);
    return us;
}

static int load_timeline(struct composer *c)
{
    char *text;
    size_t len;
    int err = read_text(c->dir_fd, "events.jsonl", &text, &len);
    if (err) {
        snprintf(c->why, sizeof c->why, "events.jsonl can't be read");
        return err;
    }
    err = timeline_read(text, len, synced_us(c->dir_fd), &c->timeline, c->why, sizeof c->why);
    free(text);
    return err;
}

static int add_track(struct composer *c, const struct tracklist_segment *s, size_t n)
{
    uint32_t number = s->track / 4, kind = s->track % 4;
    if (number == 0 || number >= TIMELINE_ENDPOINTS)
        return 0;
    if (kind == KIND_CAMERA || kind == KIND_SCREEN)
        return film_new(c->dir_fd, s, n, &c->films[number][kind == KIND_SCREEN][s->layer]);
    struct sound_track **grown = realloc(c->sounds, (c->n_sounds + 1) * sizeof(struct sound_track *));
    if (!grown)
        return ERR_NOMEM;
    c->sounds = grown;
    int err = sound_track_new(c->dir_fd, s, n, &c->sounds[c->n_sounds]);
    c->n_sounds += err == 0;
    return err;
}

static int load_tracks(struct composer *c)
{
    int err = tracklist_read(c->dir_fd, &c->list, c->why, sizeof c->why);
    for (size_t i = 0; !err && i < c->list.n;) {
        const struct tracklist_segment *s = &c->list.items[i];
        size_t n = 1;
        while (i + n < c->list.n && s[n].track == s->track && s[n].layer == s->layer)
            n++;
        err = add_track(c, s, n);
        i += n;
    }
    return err;
}

/* --- picture ------------------------------------------------------------------------------------------------------ */

struct shown {
    GstBuffer *buffer;
    GstVideoInfo info;
};

/* The picture of one layer at a moment, if it has one that is not older than `oldest_us`. */
static int layer_picture(struct film *f, int64_t at_us, int64_t oldest_us, const char **ret_why, bool *ret_found,
                         struct shown *ret)
{
    int err = film_gather(f, at_us, ret_why);
    if (err)
        return err;
    if (film_newest_us(f) == FILM_NEVER || film_newest_us(f) < oldest_us) {
        int64_t next_us = film_next_us(f);
        if (next_us == FILM_NEVER || next_us - at_us > LOOK_AHEAD_US)
            return 0;
        err = film_gather(f, next_us, ret_why);
        if (err)
            return err;
    }
    *ret_found = film_picture(f, &ret->buffer, &ret->info);
    return 0;
}

/* The highest layer that has a picture. */
static int find_picture(struct composer *c, uint32_t number, bool screen, int64_t at_us, int64_t oldest_us, bool *ret_found,
                        struct shown *ret)
{
    *ret_found = false;
    for (int layer = LAYERS - 1; layer >= 0 && !*ret_found; layer--) {
        struct film *f = number < TIMELINE_ENDPOINTS ? c->films[number][screen][layer] : NULL;
        const char *why = "";
        int err = f ? layer_picture(f, at_us, oldest_us, &why, ret_found, ret) : 0;
        if (err) {
            snprintf(c->why, sizeof c->why, "%s", why);
            return err;
        }
    }
    return 0;
}

static int draw_speaker(struct composer *c, uint32_t number, int64_t at_us, unsigned slot, struct canvas_rect rect)
{
    struct shown shown;
    bool found;
    int err = find_picture(c, number, false, at_us, at_us - CAMERA_STALE_US, &found, &shown);
    if (err)
        return err;
    const char *name = timeline_name(&c->timeline, number);
    if (found)
        canvas_video(c->canvas, slot, shown.buffer, &shown.info, rect);
    else
        canvas_card(c->canvas, rect, *name ? name : c->timeline.title, *name ? "Không có hình" : "");
    return 0;
}

static int draw_scene(struct composer *c, int64_t session_us)
{
    const struct timeline_scene *scene = timeline_scene_at(&c->timeline, session_us);
    /* A picture goes to the moment it is nearest to, so that on the average none is early or late. */
    int64_t at_us = session_us + PICTURE_US / 2;
    const char *name = timeline_name(&c->timeline, scene->stage);
    struct shown shown;
    bool found = false;
    int err = 0;
    if (scene->screen)
        err = find_picture(c, scene->screen, true, at_us, scene->screen_us - SCREEN_EARLY_US, &found, &shown);
    if (err)
        return err;
    canvas_clear(c->canvas);
    if (!found) {
        err = draw_speaker(c, scene->stage, at_us, 0, whole);
        if (!err)
            canvas_caption(c->canvas, CAPTION_X, CAPTION_BOTTOM, CAPTION_ROOM, name);
        return err;
    }
    canvas_video(c->canvas, 0, shown.buffer, &shown.info, screen_rect);
    err = draw_speaker(c, scene->stage, at_us, 1, beside_rect);
    if (!err)
        canvas_caption(c->canvas, CAPTION_X, CAPTION_BELOW_SCREEN, CAPTION_ROOM, name);
    return err;
}

/* --- the loop ----------------------------------------------------------------------------------------------------- */

static int mix_sound(struct composer *c, int64_t at, int16_t out[PROGRAMME_SAMPLES])
{
    float mix[PROGRAMME_SAMPLES] = {0};
    for (size_t i = 0; i < c->n_sounds; i++) {
        const char *why = "";
        int err = sound_track_add(c->sounds[i], at, PROGRAMME_SAMPLES, mix, &why);
        if (err) {
            snprintf(c->why, sizeof c->why, "%s", why);
            return err;
        }
    }
    sound_to_s16(mix, PROGRAMME_SAMPLES, out);
    return 0;
}

/* A chapter's thumbnail is taken half a second into it, or in its middle if it is shorter. */
static int take_thumbs(struct composer *c, int64_t programme_us)
{
    while (c->next_thumb < c->timeline.n_chapters) {
        const struct timeline_chapter *ch = &c->timeline.chapters[c->next_thumb];
        int64_t half_us = (ch->to_us - ch->from_us) / 2, into_us = half_us < 500000 ? half_us : 500000;
        if (programme_us + PICTURE_US <= ch->from_us + into_us)
            return 0;
        int err = chapters_write_thumb(c->dir_fd, c->next_thumb, c->canvas);
        if (err) {
            snprintf(c->why, sizeof c->why, "a thumbnail can't be written");
            return err;
        }
        c->next_thumb++;
    }
    return 0;
}

static int compose_picture(struct composer *c, int64_t session_us, int64_t programme_us, int64_t sample)
{
    int16_t samples[PROGRAMME_SAMPLES];
    int err = draw_scene(c, session_us);
    if (!err)
        err = mix_sound(c, sample, samples);
    if (!err)
        err = take_thumbs(c, programme_us);
    if (err)
        return err;
    GstBuffer *picture = canvas_copy(c->canvas);
    err = picture ? programme_add(c->programme, picture, samples) : ERR_NOMEM;
    if (err)
        snprintf(c->why, sizeof c->why, "%s", programme_error(c->programme));
    tell_sometimes(c, programme_us);
    return err;
}

/* Picture n of a span is n / 25 s after its beginning, and so is its sound: nothing can drift. Spans follow each other at
 * whole pictures. */
static int compose_all(struct composer *c)
{
    int64_t n = 0;
    for (size_t i = 0; i < c->timeline.n_spans; i++) {
        const struct timeline_span *s = &c->timeline.spans[i];
        int64_t pictures = (s->to_us - s->from_us + PICTURE_US / 2) / PICTURE_US, first = sound_position(s->from_us);
        for (int64_t k = 0; k < pictures; k++, n++) {
            int err = compose_picture(c, s->from_us + k * PICTURE_US, n * PICTURE_US, first + k * PROGRAMME_SAMPLES);
            if (err)
                return err;
        }
    }
    int err = programme_finish(c->programme);
    if (err)
        snprintf(c->why, sizeof c->why, "%s", programme_error(c->programme));
    return err;
}

static int compose(struct composer *c, const char *dir)
{
    int err = load_timeline(c);
    if (!err)
        err = load_tracks(c);
    if (!err)
        err = canvas_new(&c->canvas);
    if (!err)
        err = chapters_prepare(c->dir_fd);
    if (!err)
        err = programme_open(dir, c->format, &c->timeline, &c->programme);
    if (!err)
        err = compose_all(c);
    if (!err)
        err = chapters_write(c->dir_fd, &c->timeline);
    if (!err)
        err = manifest_write(c->dir_fd, true, NULL, NULL);
    return err;
}

static void release(struct composer *c)
{
    for (size_t n = 0; n < TIMELINE_ENDPOINTS; n++)
        for (int screen = 0; screen < 2; screen++)
            for (int layer = 0; layer < LAYERS; layer++)
                film_free(c->films[n][screen][layer]);
    for (size_t i = 0; i < c->n_sounds; i++)
        sound_track_free(c->sounds[i]);
    free(c->sounds);
    canvas_free(c->canvas);
    programme_free(c->programme);
    tracklist_clear(&c->list);
    timeline_clear(&c->timeline);
    if (c->dir_fd >= 0)
        close(c->dir_fd);
    free(c);
}

int compose_run(const char *dir, enum programme_format format)
{
    struct composer *c = calloc(1, sizeof *c);
    if (!c)
        return 1;
    c->format = format;
    c->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (c->dir_fd < 0) {
        log_error("composer", "dir=%s can't be opened", dir);
        free(c);
        return 1;
    }
    int64_t started_us = clock_now_us();
    tell(c, 0, "composing");
    int err = compose(c, dir);
    if (err) {
        if (!c->why[0])
            snprintf(c->why, sizeof c->why, "%s", err_str(err));
        log_error("composer", "dir=%s failed: %s", dir, c->why);
        tell(c, 0, "failed");
    } else {
        log_info("composer", "dir=%s file=%s seconds=%.1f took_s=%.1f", dir, programme_file(format),
                 (double)timeline_duration_us(&c->timeline) / 1e6, (double)(clock_now_us() - started_us) / 1e6);
        tell(c, 100, "ready");
    }
    release(c);
    return err ? 1 : 0;
}
