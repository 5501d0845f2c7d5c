/* Work that would make control's loop wait (files, parsing of long ones) is done on one helper thread, in order.
 *
 * A job is the caller's: `work` runs on the helper and may touch the job alone; `done` runs on the loop afterwards, or in
 * aside_stop(). Thread: all functions belong to the loop. */
#pragma once

struct control;
struct aside;

/* A job begins with this. */
struct aside_job {
    struct aside_job *next;
    void (*work)(struct aside_job *job);
    void (*done)(struct control *c, struct aside_job *job);
};

/* ERR_NOMEM, ERR_IO. */
int aside_start(struct control *c);
/* What is queued is still done. NULL-safe in c->aside. */
void aside_stop(struct control *c);
void aside_run(struct control *c, struct aside_job *job);
