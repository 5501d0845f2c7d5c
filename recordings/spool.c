#include "recordings/spool.h"

#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int open_file(struct spool *s, int dir_fd, const char *name, int flags)
{
    memset(s, 0, sizeof *s);
    s->fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | flags, 0640);
    if (s->fd < 0)
        return errno == EEXIST ? ERR_EXISTS : ERR_IO;
    snprintf(s->name, sizeof s->name, "%s", name);
    s->dirty = true;
    return 0;
}

int spool_open(struct spool *s, int dir_fd, const char *name, uint64_t bytes)
{
    int err = open_file(s, dir_fd, name, 0);
    if (err)
        return err;
    if (ftruncate(s->fd, (off_t)bytes) < 0) {
        spool_close(s);
        return ERR_IO;
    }
    s->written = bytes;
    return 0;
}

int spool_create(struct spool *s, int dir_fd, const char *name)
{
    return open_file(s, dir_fd, name, O_EXCL);
}

void spool_close(struct spool *s)
{
    if (s->fd >= 0)
        close(s->fd);
    free(s->buffer);
    memset(s, 0, sizeof *s);
    s->fd = -1;
}

int spool_append(struct spool *s, const void *bytes, size_t len)
{
    if (s->len + len > s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 16384;
        while (cap < s->len + len)
            cap *= 2;
        uint8_t *grown = realloc(s->buffer, cap);
        if (!grown)
            return ERR_NOMEM;
        s->buffer = grown;
        s->cap = cap;
    }
    memcpy(s->buffer + s->len, bytes, len);
    s->len += len;
    return 0;
}

int spool_flush(struct spool *s)
{
    size_t done = 0;
    int err = 0;
    while (done < s->len) {
        ssize_t n = pwrite(s->fd, s->buffer + done, s->len - done, (off_t)(s->written + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            err = n < 0 && (errno == ENOSPC || errno == EDQUOT) ? ERR_FULL : ERR_IO;
            break;
        }
        done += (size_t)n;
    }
    if (done) {
        s->written += done;
        s->len -= done;
        memmove(s->buffer, s->buffer + done, s->len);
        s->dirty = true;
    }
    return err;
}
