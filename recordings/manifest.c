#include "recordings/manifest.h"

#include "recordings/sync.h"

#include "base/clock.h"
#include "base/err.h"

#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HASH_CHUNK = 1 << 20 };

struct hashing {
    int dir_fd;
    void (*beat)(void *ctx);
    void *ctx;
    const json_t *known; /* lines of the former manifest by name */
    json_t *files;
};

static int hash_file(const struct hashing *h, const char *name, uint64_t *ret_bytes,
                     char hex[crypto_hash_sha256_BYTES * 2 + 1])
{
    int fd = openat(h->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    unsigned char *chunk = malloc(HASH_CHUNK);
    crypto_hash_sha256_state state;
    unsigned char sum[crypto_hash_sha256_BYTES];
    uint64_t bytes = 0;
    ssize_t n = fd < 0 || !chunk ? -1 : 1;
    crypto_hash_sha256_init(&state);
    while (n > 0 && (n = read(fd, chunk, HASH_CHUNK)) > 0) {
        crypto_hash_sha256_update(&state, chunk, (unsigned long long)n);
        bytes += (uint64_t)n;
        if (h->beat)
            h->beat(h->ctx);
    }
    crypto_hash_sha256_final(&state, sum);
    free(chunk);
    if (fd >= 0)
        close(fd);
    if (n < 0)
        return ERR_IO;
    sodium_bin2hex(hex, crypto_hash_sha256_BYTES * 2 + 1, sum, sizeof sum);
    *ret_bytes = bytes;
    return 0;
}

static bool is_listed(const char *name)
{
    static const char *const apart[] = {"manifest.json", "index.json", "synced.json", "progress.json"};
    for (size_t i = 0; i < sizeof apart / sizeof apart[0]; i++)
        if (strcmp(name, apart[i]) == 0)
            return false;
    return name[0] != '.';
}

static bool is_composed(const char *name)
{
    return strncmp(name, "programme.", 10) == 0 || strncmp(name, "chapters.", 9) == 0 || strncmp(name, "thumbs/", 7) == 0;
}

static int list_file(struct hashing *h, const char *name)
{
    json_t *line = json_object_get(h->known, name);
    if (line && !is_composed(name))
        return json_array_append(h->files, line) ? ERR_NOMEM : 0;
    char hex[crypto_hash_sha256_BYTES * 2 + 1];
    uint64_t bytes;
    int err = hash_file(h, name, &bytes, hex);
    if (err)
        return err;
    line = json_pack("{s:s, s:I, s:s}", "name", name, "bytes", (json_int_t)bytes, "sha256", hex);
    return json_array_append_new(h->files, line) ? ERR_NOMEM : 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_names(int dir_fd, const char *under, char ***names, size_t *n)
{
    int fd = openat(dir_fd, *under ? under : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d)
        return *under ? 0 : ERR_IO;
    struct dirent *e;
    int err = 0;
    while (!err && (e = readdir(d))) {
        struct stat st;
        char name[300];
        if (!is_listed(e->d_name) || fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
            continue;
        snprintf(name, sizeof name, "%s%s%s", under, *under ? "/" : "", e->d_name);
        char **grown = realloc(*names, (*n + 1) * sizeof *grown);
        if (!grown || !(grown[*n] = strdup(name)))
            err = ERR_NOMEM;
        if (grown)
            *names = grown;
        if (!err)
            ++*n;
    }
    closedir(d);
    return err;
}

static json_t *load_lines(int dir_fd, const char *name)
{
    json_t *lines = json_array();
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    FILE *in = fd >= 0 ? fdopen(fd, "r") : NULL;
    char *line = NULL;
    size_t cap = 0;
    while (in && getline(&line, &cap, in) > 0) {
        json_t *o = json_loads(line, 0, NULL);
        if (o)
            json_array_append_new(lines, o);
    }
    free(line);
    if (in)
        fclose(in);
    else if (fd >= 0)
        close(fd);
    return lines;
}

static json_t *load_object(int dir_fd, const char *name)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    json_t *o = fd >= 0 ? json_loadfd(fd, 0, NULL) : NULL;
    if (fd >= 0)
        close(fd);
    return o;
}

static json_t *known_lines(const json_t *manifest)
{
    json_t *known = json_object();
    size_t i;
    json_t *line;
    json_array_foreach(json_object_get(manifest, "files"), i, line)
        if (json_is_string(json_object_get(line, "name")))
            json_object_set(known, json_string_value(json_object_get(line, "name")), line);
    return known;
}

/* From the first track's beginning to what was last known to be on disk. */
static double recorded_seconds(int dir_fd, const json_t *tracks)
{
    json_t *synced = load_object(dir_fd, "synced.json");
    json_int_t end_us = json_integer_value(json_object_get(synced, "synced_us")), first_us = end_us;
    size_t i;
    json_t *t;
    json_array_foreach(tracks, i, t) {
        json_int_t base_us = json_integer_value(json_object_get(t, "base_us"));
        first_us = base_us < first_us ? base_us : first_us;
    }
    json_decref(synced);
    return (double)(end_us - first_us) / 1e6;
}

static int list_all(struct hashing *h)
{
    char **names = NULL;
    size_t n = 0;
    int err = add_names(h->dir_fd, "", &names, &n);
    if (!err)
        err = add_names(h->dir_fd, "thumbs", &names, &n);
    if (n)
        qsort(names, n, sizeof *names, by_name);
    for (size_t i = 0; i < n; i++) {
        if (!err)
            err = list_file(h, names[i]);
        free(names[i]);
    }
    free(names);
    return err;
}

int manifest_write(int dir_fd, bool keep, void (*beat)(void *ctx), void *ctx)
{
    if (sodium_init() < 0)
        return ERR_IO;
    json_t *former = keep ? load_object(dir_fd, "manifest.json") : NULL;
    json_t *known = known_lines(former);
    struct hashing h = {.dir_fd = dir_fd, .beat = beat, .ctx = ctx, .known = known, .files = json_array()};
    int err = list_all(&h);
    json_t *tracks = load_lines(dir_fd, "tracks.jsonl");
    json_t *seconds = json_object_get(former, "duration_s");
    seconds = seconds ? json_incref(seconds) : json_real(recorded_seconds(dir_fd, tracks));
    json_t *gaps = load_lines(dir_fd, "ledger.jsonl");
    json_t *m = json_pack("{s:i, s:I, s:o, s:o, s:o, s:o}", "v", 1, "written_ms", (json_int_t)(clock_wall_us() / 1000),
                          "duration_s", seconds, "segments", tracks, "gaps", gaps, "files", h.files);
    char *text = err || !m ? NULL : json_dumps(m, JSON_INDENT(1));
    if (!err)
        err = text ? replace_file(dir_fd, "manifest.json", text, strlen(text)) : ERR_NOMEM;
    free(text);
    json_decref(m);
    json_decref(known);
    json_decref(former);
    return err;
}
