/* Taking up what a predecessor left in the directory. */
#include "recordings/recorder_inside.h"

#include "base/err.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static json_t *load_index(int dir_fd)
{
    int fd = openat(dir_fd, "index.json", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return NULL;
    json_t *o = json_loadfd(fd, 0, NULL);
    close(fd);
    return o;
}

static uint64_t synced_bytes(const json_t *index, const char *name)
{
    json_t *bytes = json_object_get(json_object_get(index, "files"), name);
    json_int_t n = json_is_integer(bytes) ? json_integer_value(bytes) : 0;
    return n > 0 ? (uint64_t)n : 0;
}

static int restore_streams(struct recorder *r, const json_t *index)
{
    size_t i;
    json_t *o;
    json_array_foreach(json_object_get(index, "streams"), i, o) {
        const char *birth = json_string_value(json_object_get(o, "birth"));
        struct stream *s;
        int err = birth ? stream_from_json(o, strtoull(birth, NULL, 16), &s) : ERR_MALFORMED;
        if (err)
            return err;
        s->next = r->streams;
        r->streams = s;
    }
    return 0;
}

/* Files go back to what the index promises: what lies behind it is still in the feeds and will be read again. */
static void cut_files(struct recorder *r, const json_t *index)
{
    const char *name;
    json_t *bytes;
    json_object_foreach(json_object_get(index, "files"), name, bytes) {
        int fd = openat(r->place.dir_fd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 || ftruncate(fd, (off_t)json_integer_value(bytes)) < 0)
            log_warn("recorder", "file=%s is not as the index says: %s", name, strerror(errno));
        if (fd >= 0)
            close(fd);
    }
}

/* Names in tracks.jsonl, which is cut back already. */
static json_t *known_files(int dir_fd)
{
    json_t *known = json_object();
    int fd = openat(dir_fd, "tracks.jsonl", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    FILE *in = fd >= 0 ? fdopen(fd, "r") : NULL;
    char *line = NULL;
    size_t cap = 0;
    while (in && getline(&line, &cap, in) > 0) {
        json_t *o = json_loads(line, 0, NULL);
        const char *name = json_string_value(json_object_get(o, "file"));
        if (name)
            json_object_set_new(known, name, json_true());
        json_decref(o);
    }
    free(line);
    if (in)
        fclose(in);
    else if (fd >= 0)
        close(fd);
    return known;
}

/* A segment that a killed recorder opened after its last index: the feeds still hold all of it. */
static void drop_unknown_files(struct recorder *r)
{
    json_t *known = known_files(r->place.dir_fd);
    int fd = openat(r->place.dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *e;
    while (d && (e = readdir(d)))
        if (strncmp(e->d_name, "track-", 6) == 0 && !json_object_get(known, e->d_name)) {
            log_info("recorder", "file=%s begins again", e->d_name);
            unlinkat(fd, e->d_name, 0);
        }
    if (d)
        closedir(d);
    json_decref(known);
}

int recorder_take_up(struct recorder *r)
{
    json_t *index = load_index(r->place.dir_fd);
    int err = 0;
    if (index) {
        cut_files(r, index);
        err = restore_streams(r, index);
        log_info("recorder", "taking up files=%zu streams=%zu", json_object_size(json_object_get(index, "files")),
                 json_array_size(json_object_get(index, "streams")));
    }
    if (!err)
        err = spool_open(&r->place.tracks, r->place.dir_fd, "tracks.jsonl", synced_bytes(index, "tracks.jsonl"));
    if (!err)
        err = spool_open(&r->place.ledger, r->place.dir_fd, "ledger.jsonl", synced_bytes(index, "ledger.jsonl"));
    if (!err)
        drop_unknown_files(r);
    json_decref(index);
    return err;
}
