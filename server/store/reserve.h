/* Reserve: room on the disk that is set aside in a preallocated file, so that the log goes on being written when somebody
 * else has filled the disk. It is given back in steps, each only when a write has failed for lack of room, and made again
 * when there is plenty.
 *
 * On file systems that share or compress blocks (btrfs, ZFS) a preallocated file promises nothing: use ext4 or XFS.
 *
 * Thread: the store's, after reserve_open(); `have_bytes` may be read by any. For this folder's own files. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define RESERVE_STEPS 16 /* each is at least RESERVE_STEP_MIN */
#define RESERVE_STEP_MIN (256u << 10)

struct reserve {
    int fd; /* −1: none is wanted, or it can't be made */
    uint64_t want_bytes;
    _Atomic uint64_t have_bytes;
};

/* Takes the file up or makes it (mode 0600), as large as wanted if there is room. `path` NULL or 0 bytes: no reserve. Never
 * fails: what it could not get is missing in `have_bytes`. */
void reserve_open(struct reserve *r, const char *path, uint64_t want_bytes);
void reserve_close(struct reserve *r); /* the file stays */
/* Gives a step back to the disk. False: there is nothing left. */
bool reserve_release(struct reserve *r);
/* Makes it whole again if twice as much as is missing is free. False: not yet. */
bool reserve_refill(struct reserve *r);
