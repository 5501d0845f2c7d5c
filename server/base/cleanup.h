/* Release by scope. `_cleanup_free_ char *s = …;` frees at every exit of the block; `cleanup(fn)` calls `fn(&variable)`. */
#pragma once

#include <stdlib.h>
#include <unistd.h>

#define cleanup(fn) __attribute__((cleanup(fn)))

static inline void cleanup_free(void *p)
{
    free(*(void **)p);
}

static inline void cleanup_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

/* Hands the descriptor on: its scope no longer closes it. */
static inline int cleanup_take_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

#define _cleanup_free_ cleanup(cleanup_free)
#define _cleanup_close_ cleanup(cleanup_close)
