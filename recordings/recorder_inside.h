/* The recorder's inside, shared by its five files:
 *
 *   recorder.c       life, turn, writing, room on the disk     recorder_read.c  feeds → streams
 *   recorder_sync.c  what is on disk: jobs, index, acks        take_up.c        what a predecessor left
 *   breaks.c         streams whose worker died
 *
 * Thread: the recorder's. */
#pragma once

#include "recordings/recorder.h"
#include "recordings/stream.h"
#include "recordings/sync.h"

struct source { /* a feed */
    struct source *next;
    uint64_t id, birth;
    struct feed_reader *reader;
    bool over; /* ended and drained, or broken */
    bool told; /* that it is broken */
    int64_t broken_us;
    /* Whose fault dropped records are, see recorder_read.c: all that were dropped before the first acknowledgement after a
     * trouble. */
    enum hole_reason blame;
    bool blame_open; /* that acknowledgement has not come */
    bool blame_next; /* GAP records before `blame_position` have that reason; so has the next one behind it */
    uint64_t blame_position;
    uint64_t gap_serial; /* how many GAP records were read */
    enum hole_reason gap;
    uint64_t next_ack; /* what the job in hand will allow to acknowledge */
};

struct recorder {
    struct stream_place place;
    struct source *sources;
    struct stream *streams;
    struct sync *sync;
    int64_t started_us;
    int64_t submitted_us, record_us;   /* last job, last record */
    int64_t synced_us, synced_next_us; /* everything up to here is on disk; will be after the job in hand */
    int64_t progress_us;               /* when something was acknowledged last, or could not be for a known reason */
    bool job_has_index;
    size_t n_retired_in_job;
    bool stalled;         /* the disk refuses: nothing is read that has to wait in memory */
    bool paused;          /* so little room is left that it is the others' */
    uint64_t spare_bytes; /* that much free room is the others' */
    int64_t looked_us;    /* when the room was looked at */
    bool held;            /* a file can't be made */
    int write_err, sync_err;
    uint64_t bytes; /* written by this process */
};

/* What ails the disk: "disk-full", "disk-error"; NULL: it is healthy. */
const char *recorder_disk_code(const struct recorder *r);

/* recorder_read.c */
int recorder_read(struct recorder *r, int64_t now_us, bool *ret_more);
void recorder_ask_keyframes(struct recorder *r, int64_t now_us);
/* What is dropped from here on, until the first acknowledgement after it, was dropped for that reason. */
void source_blame(struct source *f, enum hole_reason reason);

/* recorder_sync.c */
void recorder_submit(struct recorder *r, int64_t now_us, bool held);
void recorder_job_over(struct recorder *r, int result, int64_t now_us);

/* take_up.c: files are cut back to the index, streams begin where it says. ERR_IO, ERR_MALFORMED, ERR_NOMEM. */
int recorder_take_up(struct recorder *r);

/* breaks.c. The first packet of `s`, of session time `session_us`, has come: streams of the same track and layer before it
 * have ended, or they broke off, which goes into the ledger. */
int recorder_end_former(struct recorder *r, const struct stream *s, int64_t session_us, uint64_t position, int64_t now_us);
/* Streams whose successor came in another feed: they have ended there by now, or they broke off. `now`: without waiting. */
int recorder_end_succeeded(struct recorder *r, int64_t now_us, bool now);
/* Streams taken up from the index whose feed is gone for good and that were never heard of again. */
int recorder_end_lost(struct recorder *r, int64_t now_us);
