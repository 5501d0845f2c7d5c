/* Spool: an append-only file with what the disk has not taken yet kept in memory.
 *
 * spool_append() never fails for the disk's sake: bytes wait until spool_flush() can write them, at their exact place, so a
 * full disk delays and never tears. `offered` is what was appended, `written` what the kernel has. Thread: the recorder's,
 * but `fd` may be synced by another thread while the spool lives. Names are ours. Files are made with mode 0600. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct spool {
    int fd;
    char name[64];
    uint64_t written;
    uint8_t *buffer; /* not yet written */
    size_t len, cap;
    bool dirty; /* written since the last sync job took it */
};

/* Opens or makes `name` and cuts it to `bytes`, which are kept. ERR_IO. */
int spool_open(struct spool *s, int dir_fd, const char *name, uint64_t bytes);
/* Makes a new file. ERR_EXISTS, ERR_IO. */
int spool_create(struct spool *s, int dir_fd, const char *name);
void spool_close(struct spool *s); /* what was not flushed is lost; a spool of zeroes with fd −1 is fine */
int spool_append(struct spool *s, const void *bytes, size_t len); /* ERR_NOMEM */
/* ERR_FULL: no space on the disk; ERR_IO. What was not written stays. */
int spool_flush(struct spool *s);
