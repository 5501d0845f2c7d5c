#include "recordings/tracklist.h"

#include "base/err.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int parse_line(const json_t *o, struct tracklist_segment *ret)
{
    const char *file, *codec;
    json_int_t track, base_us;
    int layer, channels = 1;
    if (json_unpack((json_t *)o, "{s:s, s:I, s:s, s:i, s:I, s?i}", "file", &file, "track", &track, "codec", &codec, "layer",
                    &layer, "base_us", &base_us, "channels", &channels) < 0)
        return ERR_MALFORMED;
    struct tracklist_segment s = {.track = (uint32_t)track,
                                  .layer = (unsigned)layer,
                                  .channels = channels == 2 ? 2 : 1,
                                  .codec = codec_parse(codec),
                                  .base_us = base_us};
    if (s.codec == RTP_CODEC_NONE || track <= 0 || layer < 0 || layer > 2 || base_us < 0 || strlen(file) >= sizeof s.file ||
        strchr(file, '/') || file[0] == '.')
        return ERR_MALFORMED;
    snprintf(s.file, sizeof s.file, "%s", file);
    *ret = s;
    return 0;
}

static int by_track_and_time(const void *a, const void *b)
{
    const struct tracklist_segment *x = a, *y = b;
    if (x->track != y->track)
        return x->track < y->track ? -1 : 1;
    if (x->layer != y->layer)
        return x->layer < y->layer ? -1 : 1;
    return x->base_us < y->base_us ? -1 : x->base_us > y->base_us;
}

static int add_line(struct tracklist *l, const char *line)
{
    json_t *o = json_loads(line, 0, NULL);
    struct tracklist_segment s;
    int err = o ? parse_line(o, &s) : ERR_MALFORMED;
    json_decref(o);
    if (err)
        return err;
    struct tracklist_segment *grown = realloc(l->items, (l->n + 1) * sizeof *grown);
    if (!grown)
        return ERR_NOMEM;
    l->items = grown;
    l->items[l->n++] = s;
    return 0;
}

int tracklist_read(int dir_fd, struct tracklist *ret, char *why, size_t why_bytes)
{
    int fd = openat(dir_fd, "tracks.jsonl", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    FILE *in = fd >= 0 ? fdopen(fd, "r") : NULL;
    char *line = NULL;
    size_t cap = 0;
    unsigned n = 0;
    int err = 0;
    *ret = (struct tracklist){0};
    if (!in) {
        snprintf(why, why_bytes, "tracks.jsonl is not there");
        return ERR_NOTFOUND;
    }
    while (!err && getline(&line, &cap, in) > 0) {
        n++;
        err = add_line(ret, line);
    }
    free(line);
    fclose(in);
    if (err) {
        snprintf(why, why_bytes, "tracks.jsonl, line %u: %s", n, err_str(err));
        tracklist_clear(ret);
        return err;
    }
    if (ret->n)
        qsort(ret->items, ret->n, sizeof *ret->items, by_track_and_time);
    return 0;
}

void tracklist_clear(struct tracklist *l)
{
    free(l->items);
    *l = (struct tracklist){0};
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

struct track_reader {
    int dir_fd;
    const struct tracklist_segment *segments;
    size_t n, next; /* next: the segment to be opened next */
    struct segment_reader *open;
    struct segment_frame frame;
    bool have;
    int err;
    char why[340];
};

int track_reader_new(int dir_fd, const struct tracklist_segment *segments, size_t n, struct track_reader **ret)
{
    struct track_reader *r = calloc(1, sizeof *r);
    if (!r)
        return ERR_NOMEM;
    r->dir_fd = dir_fd;
    r->segments = segments;
    r->n = n;
    *ret = r;
    return 0;
}

void track_reader_free(struct track_reader *r)
{
    if (!r)
        return;
    segment_reader_free(r->open);
    free(r);
}

static void fail(struct track_reader *r, int err, const char *why)
{
    r->err = err;
    snprintf(r->why, sizeof r->why, "%s: %s", r->segments[r->next - 1].file, why);
}

const struct segment_frame *track_reader_peek(struct track_reader *r, const struct tracklist_segment **ret_segment)
{
    while (!r->have && !r->err) {
        if (!r->open) {
            if (r->next == r->n)
                return NULL;
            const struct tracklist_segment *s = &r->segments[r->next++];
            int err = segment_reader_open(r->dir_fd, s->file, s->base_us, &r->open);
            if (err)
                fail(r, err, "can't be opened");
            continue;
        }
        int err = segment_read(r->open, &r->frame);
        if (err == ERR_CLOSED) {
            segment_reader_free(r->open);
            r->open = NULL;
        } else if (err) {
            fail(r, err, segment_reader_error(r->open));
        } else {
            r->have = true;
        }
    }
    if (!r->have)
        return NULL;
    *ret_segment = &r->segments[r->next - 1];
    return &r->frame;
}

void track_reader_take(struct track_reader *r)
{
    r->have = false;
}

int track_reader_error(const struct track_reader *r, const char **ret_why)
{
    *ret_why = r->why;
    return r->err;
}
