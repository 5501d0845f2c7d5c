/* Sync: the recorder's thread that waits for the disk, so that the recorder never does.
 *
 * A job says which files to sync, then what a successor may rely on (index.json) and what people are told (synced.json).
 * Order on disk: files, directory, index.json, synced.json; only then the job is done and the feeds may be acknowledged, so
 * the index never promises what is not there.
 *
 * Thread: the recorder's; one job at a time. The job owns copies of descriptors. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sync;

struct sync_job {
    int *fds; /* malloc'd, duplicates of ours: closed and freed by sync */
    size_t n_fds;
    char *index;  /* text of index.json, malloc'd; NULL: leave it as it is */
    char *synced; /* text of synced.json, malloc'd */
};

/* `dir_fd` stays the caller's. ERR_NOMEM, ERR_IO. */
int sync_start(int dir_fd, struct sync **ret);
void sync_free(struct sync *s); /* waits for a running job; NULL is fine */
bool sync_busy(const struct sync *s);
/* Takes over what the job holds. Not while busy. */
void sync_submit(struct sync *s, const struct sync_job *job);
/* The job since the last call is over: true, and its result (0, ERR_FULL, ERR_IO). */
bool sync_done(struct sync *s, int *ret_result);

/* Replaces `name` in the directory by `text`: written beside, synced, renamed. Mode 0600. ERR_FULL, ERR_IO. */
int replace_file(int dir_fd, const char *name, const char *text, size_t len);
