/* What a worker does for the recorder, without a server: rooms with real VP8 and Opus (pictures and sounds of client/sim)
 * written into a feed, and the recorder program under a supervisor's link. Test code: failures abort. */
#pragma once

#include "base/feed.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { ROOM_FPS = 25, ROOM_WIDTH = 640, ROOM_HEIGHT = 360 };

struct room_frame {
    uint8_t *bytes;
    size_t len;
    bool keyframe;
};

/* Encoded once; keyframe at the start only. */
struct room {
    unsigned source;
    uint32_t number;
    const char *endpoint;
    bool is_screen; /* picture goes out as the screen track; no sound */
    struct room_frame *pictures, *sounds;
    size_t n_pictures, n_sounds;
    uint64_t picture_seq, sound_seq; /* the next ones */
    uint32_t incarnation;
};

void room_make(struct room *r, unsigned source, uint32_t number, const char *name, unsigned seconds);
void room_free(struct room *r);

/* Packets that are not written: track and number of the packet within its stream. */
struct loss {
    uint32_t track;
    uint64_t from, to;
};

struct worker {
    int data_fd, tail_fd;
    struct feed_writer *feed;
    int64_t base_us; /* session time of picture 0 and sample 0 */
    const struct loss *losses;
    size_t n_losses;
    uint64_t refused; /* ERR_FULL */
};

void worker_open(struct worker *w, size_t ring_bytes, int64_t base_us);
void worker_close(struct worker *w);
void worker_meta(struct worker *w, const struct room *r);
/* Picture n and the two packets of sound that belong to it, at their session time. */
void worker_send(struct worker *w, struct room *r, unsigned n, bool picture, bool sound);
void worker_end(struct worker *w, const struct room *r);

/* For wait_until(), ctx the worker: the reader has taken everything, and it is on disk. */
bool worker_is_read(void *ctx);
bool worker_is_acknowledged(void *ctx);

/* The recorder program as the supervisor runs it. */
struct child {
    pid_t pid;
    int link;
};

void child_start(struct child *c, const char *dir);
void child_feed(struct child *c, const struct worker *w);
void child_tell(struct child *c, uint32_t kind);
int child_wait(struct child *c); /* exit status; −signal when killed */
void child_kill(struct child *c);

/* Waits up to `seconds` for a condition; false: never true. */
bool wait_until(bool (*condition)(void *ctx), void *ctx, unsigned seconds);

void make_dir(char *path, size_t cap); /* a new one below TMPDIR or /tmp */
void remove_dir(const char *path);
