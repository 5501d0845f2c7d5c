/* Files: the web client and recordings. Nothing is opened but below one directory, segment by segment, without following
 * links. */
#include "signaling/http.h"

#include "base/cleanup.h"
#include "signaling/http_text.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A regular file at a plain relative path below `dir`; −1 otherwise. */
static int open_below(int dir, const char *path, struct stat *ret_st)
{
    if (dir < 0 || !path_is_plain(path))
        return -1;
    int at = dir;
    for (;;) {
        char name[204];
        size_t n = strcspn(path, "/");
        snprintf(name, sizeof name, "%.*s", (int)n, path);
        bool last = path[n] == '\0';
        /* O_NONBLOCK: a FIFO with that name must not stop the loop. */
        int fd = openat(at, name, O_NOFOLLOW | O_CLOEXEC | (last ? O_RDONLY | O_NONBLOCK : O_PATH | O_DIRECTORY));
        if (at != dir)
            close(at);
        if (fd < 0)
            return -1;
        if (last) {
            if (fstat(fd, ret_st) == 0 && S_ISREG(ret_st->st_mode))
                return fd;
            close(fd);
            return -1;
        }
        at = fd;
        path += n + 1;
    }
}

#define ETAG_MAX 64
static void etag_make(const struct stat *st, const char *coding, char out[ETAG_MAX])
{
    long long when = (long long)st->st_mtim.tv_sec * 1000000 + st->st_mtim.tv_nsec / 1000;
    snprintf(out, ETAG_MAX, "\"%llx-%llx%s\"", when, (long long)st->st_size, coding);
}

/* ---- the web client ---- */

/* The best stored form of a file that this browser takes. */
static int open_coded(struct http_call *call, const char *path, struct stat *ret_st, const char **ret_coding)
{
    static const struct {
        const char *coding, *end;
    } forms[] = {{"br", ".br"}, {"gzip", ".gz"}};
    char name[256];
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (!encoding_accepted(call->accept_encoding, forms[i].coding))
            continue;
        snprintf(name, sizeof name, "%.200s%s", path, forms[i].end);
        int fd = open_below(call->s->web_fd, name, ret_st);
        if (fd >= 0) {
            *ret_coding = forms[i].coding;
            return fd;
        }
    }
    *ret_coding = NULL;
    return open_below(call->s->web_fd, path, ret_st);
}

void http_page(struct http_call *call)
{
    const char *path = call->path + 1; /* it begins with '/' */
    /* What ends like no file of ours is a page of the client's own; it reads the address itself (tokens hold a dot too). */
    if (strcmp(content_type(path), CONTENT_UNKNOWN) == 0)
        path = "index.html";
    struct stat st;
    const char *coding;
    int fd = open_coded(call, path, &st, &coding);
    if (fd < 0) {
        http_answer_code(call, 404, "not-found");
        return;
    }
    char etag[ETAG_MAX];
    etag_make(&st, coding ? coding : "", etag);
    http_add_header(call, "ETag: %s", etag);
    http_add_header(call, "Vary: Accept-Encoding");
    http_add_header(call, "Cache-Control: %s", name_is_hashed(path) ? "public, max-age=31536000, immutable" : "no-cache");
    if (call->if_none_match && etag_listed(call->if_none_match, etag)) {
        close(fd);
        http_answer_empty(call, 304);
        return;
    }
    if (coding)
        http_add_header(call, "Content-Encoding: %s", coding);
    http_answer_file(call, 200, content_type(path), fd, 0, (uint64_t)st.st_size);
}

void http_certificate(struct http_call *call)
{
    struct stat st;
    int fd = call->s->config.ca ? open(call->s->config.ca, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        if (fd >= 0)
            close(fd);
        http_answer_code(call, 404, "not-found");
        return;
    }
    http_add_header(call, "Content-Disposition: attachment; filename=\"giaoban-ca.crt\"");
    http_add_header(call, "Cache-Control: no-cache");
    http_answer_file(call, 200, "application/x-x509-ca-cert", fd, 0, (uint64_t)st.st_size);
}

/* ---- recordings ---- */

/* The fixed names of recordings/FORMAT.md that people may have. */
static bool recording_name(const char *name)
{
    static const char *const names[] = {"programme.mp4", "programme.webm", "chapters.vtt", "chapters.json", "manifest.json"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    static const char thumbs[] = "thumbs/";
    if (strncmp(name, thumbs, strlen(thumbs)) != 0)
        return false;
    name += strlen(thumbs);
    size_t digits = strspn(name, "0123456789");
    return digits >= 1 && digits <= 4 && strcmp(name + digits, ".jpg") == 0;
}

static bool id_is_plain(const char *id)
{
    if (!*id || *id == '-')
        return false;
    for (; *id; id++)
        if (!isalnum((unsigned char)*id) && *id != '-' && *id != '_')
            return false;
    return true;
}

static int open_recording(struct http_call *call, const char *briefing, const char *name, struct stat *ret_st)
{
    if (call->s->recordings_fd < 0)
        return -1;
    _cleanup_close_ int dir = openat(call->s->recordings_fd, briefing, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return dir < 0 ? -1 : open_below(dir, name, ret_st);
}

/* If-Range holds only for the same strong tag (RFC 9110 13.1.5); a date is not compared: the whole file is right too. */
static bool range_holds(const struct http_call *call, const char *etag)
{
    return !call->if_range || strcmp(call->if_range, etag) == 0;
}

static void send_recording(struct http_call *call, const char *name, int fd, const struct stat *st)
{
    char etag[ETAG_MAX];
    uint64_t size = (uint64_t)st->st_size, first = 0, last = size ? size - 1 : 0;
    etag_make(st, "", etag);
    http_add_header(call, "ETag: %s", etag);
    http_add_header(call, "Accept-Ranges: bytes");
    http_add_header(call, "Cache-Control: private, no-cache");
    if (call->if_none_match && etag_listed(call->if_none_match, etag)) {
        close(fd);
        http_answer_empty(call, 304);
        return;
    }
    enum range range = range_holds(call, etag) ? range_parse(call->range, size, &first, &last) : RANGE_WHOLE;
    if (range == RANGE_UNSATISFIABLE) {
        close(fd);
        http_add_header(call, "Content-Range: bytes */%llu", (unsigned long long)size);
        http_answer_code(call, 416, "bad-range");
        return;
    }
    char download[4] = "";
    if (query_find(call->query, "download", download, sizeof download))
        http_add_header(call, "Content-Disposition: attachment; filename=\"%s\"",
                        strrchr(name, '/') ? strrchr(name, '/') + 1 : name);
    if (range == RANGE_PART)
        http_add_header(call, "Content-Range: bytes %llu-%llu/%llu", (unsigned long long)first, (unsigned long long)last,
                        (unsigned long long)size);
    http_answer_file(call, range == RANGE_PART ? 206 : 200, content_type(name), fd, first, size ? last - first + 1 : 0);
}

void http_recording_file(struct http_call *call, const char *briefing, const char *name)
{
    struct signaling *s = call->s;
    struct stat st;
    bool known = id_is_plain(briefing) && recording_name(name);
    if (known && !s->ops.may_read_recording(s->ctx, &call->who, briefing)) {
        http_answer_code(call, 403, "not-allowed");
        return;
    }
    int fd = known ? open_recording(call, briefing, name, &st) : -1;
    if (fd < 0)
        http_answer_code(call, 404, "not-found");
    else
        send_recording(call, name, fd, &st);
}
