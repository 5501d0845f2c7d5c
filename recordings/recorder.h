/* Recorder: the feeds of one briefing → track files, gap ledger, acknowledgements. decisions 7 and 8 of
 * docs/architecture.md.
 *
 * A turn reads what the feeds have, writes it, and about once a second hands a job to the sync thread; when that is done the
 * feeds are acknowledged up to what is on disk. Nothing waits for the disk. index.json is what a successor needs: files with
 * their synced sizes, streams with the first number that is not done. It cuts files back to those sizes and reads the feeds
 * again from their acknowledgements, so nothing is lost and nothing is there twice; it needs no keyframe, since composing
 * joins segments as encoded frames through one decoder.
 *
 * When the disk refuses, or what is left of it is the event log's (recorder_spare()), reading stops and the feeds keep what
 * comes (32 s); synced.json says why; what they drop after that is in the ledger. It goes on by itself.
 *
 * Thread: one. Errors: ERR_IO (directory), ERR_NOMEM. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct recorder;

/* Makes the directory (0700) if needed and takes up what is in it. */
int recorder_open(const char *dir, struct recorder **ret);
void recorder_free(struct recorder *r); /* NULL is fine */

/* The descriptors stay the caller's. A feed that it has already is left as it is. ERR_MALFORMED: broken, and in the ledger.
 */
int recorder_add_feed(struct recorder *r, uint64_t id, int data_fd, int tail_fd);

/* With less free room than `bytes` on its disk the recorder reads nothing, until there is a quarter more. Default 0. */
void recorder_spare(struct recorder *r, uint64_t bytes);
/* Yields each feed whose writer broke the format once: whoever writes it is not to be trusted any more. False: no more. */
bool recorder_take_broken(struct recorder *r, uint64_t *ret_id);

/* One turn. `ret_more`: there is more to read at once. An error: end this process, a successor goes on. ERR_TIMEOUT: nothing
 * has been acknowledged for 20 s though the disk does not refuse; the sync thread may hang, so don't wait for it. */
int recorder_turn(struct recorder *r, int64_t now_us, bool *ret_more);

/* No record came for `quiet_us`, or every feed has ended. */
bool recorder_drained(const struct recorder *r, int64_t now_us, int64_t quiet_us);
/* Brings everything that was read to the disk, waiting for it; `give_up`: what is incomplete becomes ledger lines and files
 * end (the briefing is closed), else it stays in the feeds for a successor. ERR_FULL, ERR_IO: the disk refuses. */
int recorder_finish(struct recorder *r, int64_t now_us, bool give_up);
