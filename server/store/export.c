/* events.jsonl of a recording's directory (recordings/FORMAT.md): written beside, synced, renamed. */
#include "base/err.h"
#include "store/log.h"

#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct export_job {
    struct job job;
    char briefing[WISH_ID_MAX];
    char path[PATH_MAX];
};

struct export_lines {
    struct briefing *fold; /* for the names in the first line */
    char *text;
    size_t len;
    FILE *lines;
};

static int write_json(FILE *f, json_t *o)
{
    int bad = !o || json_dumpf(o, f, JSON_COMPACT | JSON_SORT_KEYS) || fputc('\n', f) == EOF;
    json_decref(o);
    return bad ? ERR_IO : 0;
}

static int export_event(void *ctx, const struct briefing_event *e)
{
    struct export_lines *x = ctx;
    int err = briefing_apply(x->fold, e);
    if (err || e->kind == EVENT_SCHEDULED)
        return err;
    return write_json(x->lines, json_pack("{sI sI sI ss so}", "seq", (json_int_t)e->seq, "at_us", (json_int_t)e->at_us,
                                          "at_ms", (json_int_t)e->at_ms, "event", briefing_event_name(e->kind), "data",
                                          briefing_event_data(e)));
}

/* The rename is on disk when its directory is. */
static int sync_directory(const char *path)
{
    char copy[PATH_MAX];
    memcpy(copy, path, strlen(path) + 1);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return ERR_IO;
    int bad = fsync(fd);
    close(fd);
    return bad ? ERR_IO : 0;
}

static int write_file(const char *path, json_t *head, const char *text, size_t len)
{
    char beside[PATH_MAX + 4];
    snprintf(beside, sizeof(beside), "%s.new", path);
    unlink(beside);
    int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    if (!f) {
        if (fd >= 0)
            close(fd);
        json_decref(head);
        return ERR_IO;
    }
    int err = write_json(f, head);
    if (!err && (fwrite(text, 1, len, f) != len || fflush(f) || fdatasync(fd)))
        err = ERR_IO;
    if (fclose(f))
        err = ERR_IO;
    if (!err && rename(beside, path))
        err = ERR_IO;
    if (err)
        unlink(beside);
    return err ? err : sync_directory(path);
}

static int export_run(struct sql *q, struct job *j)
{
    struct export_job *e = (struct export_job *)j;
    struct export_lines x = {.fold = briefing_new()};
    x.lines = open_memstream(&x.text, &x.len);
    int err = x.fold && x.lines ? log_read(q, e->briefing, 1, export_event, &x) : ERR_NOMEM;
    if (x.lines && fclose(x.lines) && !err)
        err = ERR_NOMEM;
    if (!err)
        err = write_file(e->path, briefing_export_head(x.fold), x.text, x.len);
    briefing_free(x.fold);
    free(x.text);
    return err;
}

static void export_free(struct job *j)
{
    free(j);
}

int store_export_events(struct store *s, const char *briefing, const char *path, store_done done, void *ctx)
{
    static const struct job_ops ops = {.read = export_run, .free = export_free};
    struct export_job *e;
    if (strnlen(briefing, WISH_ID_MAX) == WISH_ID_MAX || strlen(path) >= sizeof(e->path))
        return ERR_INVAL;
    e = calloc(1, sizeof(*e));
    if (!e)
        return ERR_NOMEM;
    e->job.ops = &ops;
    memcpy(e->briefing, briefing, strlen(briefing) + 1);
    memcpy(e->path, path, strlen(path) + 1);
    store_queue(s, &e->job, done, ctx);
    return 0;
}
