#include "recordings/chapters.h"

#include "recordings/canvas.h"
#include "recordings/sync.h"

#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int chapters_prepare(int dir_fd)
{
    return mkdirat(dir_fd, "thumbs", 0770) < 0 && errno != EEXIST ? ERR_IO : 0;
}

int chapters_write_thumb(int dir_fd, size_t chapter, struct canvas *canvas)
{
    uint8_t *bytes;
    size_t len;
    char name[32];
    int err = canvas_thumb(canvas, &bytes, &len);
    if (err)
        return err;
    int thumbs = openat(dir_fd, "thumbs", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    snprintf(name, sizeof name, "%02zu.jpg", chapter + 1);
    err = thumbs < 0 ? ERR_IO : replace_file(thumbs, name, (const char *)bytes, len);
    if (thumbs >= 0)
        close(thumbs);
    free(bytes);
    return err;
}

/* WebVTT wants no line break and no "-->" in a cue. */
static void write_cue_text(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '&')
            fputs("&amp;", out);
        else if (*text == '<')
            fputs("&lt;", out);
        else if (*text == '>')
            fputs("&gt;", out);
        else
            fputc((unsigned char)*text < 0x20 ? ' ' : *text, out);
    }
}

static void write_time(FILE *out, int64_t us)
{
    int64_t ms = us / 1000;
    fprintf(out, "%02" PRId64 ":%02" PRId64 ":%02" PRId64 ".%03" PRId64, ms / 3600000, ms / 60000 % 60, ms / 1000 % 60,
            ms % 1000);
}

static int write_vtt(int dir_fd, const struct timeline *t)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        return ERR_NOMEM;
    fputs("WEBVTT\n", out);
    for (size_t i = 0; i < t->n_chapters; i++) {
        fprintf(out, "\n%zu\n", i + 1);
        write_time(out, t->chapters[i].from_us);
        fputs(" --> ", out);
        write_time(out, t->chapters[i].to_us);
        fputc('\n', out);
        write_cue_text(out, timeline_name(t, t->chapters[i].number));
        fputc('\n', out);
    }
    int err = fclose(out) ? ERR_NOMEM : replace_file(dir_fd, "chapters.vtt", text, len);
    free(text);
    return err;
}

static json_t *chapter_line(const struct timeline *t, size_t i)
{
    const struct timeline_chapter *c = &t->chapters[i];
    char thumb[32];
    snprintf(thumb, sizeof thumb, "thumbs/%02zu.jpg", i + 1);
    return json_pack("{s:f, s:f, s:i, s:s, s:s, s:s}", "start_s", (double)c->from_us / 1e6, "end_s", (double)c->to_us / 1e6,
                     "number", (int)c->number, "unit", t->endpoints[c->number].unit, "title", timeline_name(t, c->number),
                     "thumb", thumb);
}

int chapters_write(int dir_fd, const struct timeline *t)
{
    json_t *list = json_array();
    for (size_t i = 0; i < t->n_chapters; i++)
        if (json_array_append_new(list, chapter_line(t, i))) {
            json_decref(list);
            return ERR_NOMEM;
        }
    char *text = json_dumps(list, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(list);
    if (!text)
        return ERR_NOMEM;
    int err = replace_file(dir_fd, "chapters.json", text, strlen(text));
    free(text);
    return err ? err : write_vtt(dir_fd, t);
}
