/* An upgrade in place. The new programs are on disk already. Steps, so ordered that the failure of one leaves what is there:
 *
 *   UPGRADE_WORKERS    as many new workers as there are old ones start on UDP ports of their own (the other bank: workers
 *                      0 … n − 1 and n … 2n − 1 take turns); giaoband does not know of them yet
 *   UPGRADE_CONTROL    giaoband stops in order; its successor takes all workers up, the old ones as leaving
 *   UPGRADE_MOVE       giaoband moves endpoint after endpoint; a worker that nobody is on is stopped
 *   UPGRADE_RECORDERS  giaoban-check is replaced (a check under way is begun anew), then one recorder after the other is
 *                      stopped and begins again where its disk ended
 *
 * When a new program does not start, does not say hello or dies again and again, its kind goes on with the former program
 * and the upgrade has failed with a reason. Composers run to their end with the program that they have. The supervisor
 * itself stays the old one until its next start.
 *
 * Thread: the supervisor's. */
#pragma once

#include "base/link.h"

#include <stdbool.h>
#include <stdint.h>

struct supervisor;
struct child;

struct upgrade {
    enum upgrade_step step;
    int64_t until_us; /* of the step: then it has failed */
    unsigned moving;  /* endpoints that are still on old workers, as giaoband said last */
    char text[LINK_TEXT_MAX];
};

void upgrade_begin(struct supervisor *s, int64_t now_us);
/* Once a turn. */
void upgrade_tick(struct supervisor *s, int64_t now_us);
/* What giaoband says: LINK_MOVING, LINK_WORKER_EMPTY. */
void upgrade_moving(struct supervisor *s, const struct link_message *m, int64_t now_us);
void upgrade_worker_empty(struct supervisor *s, const struct link_message *m);
/* A worker that has no successor was waited for: forgets it, closes its sockets. */
void upgrade_bury_worker(struct supervisor *s, struct child *worker);
void upgrade_tell(struct supervisor *s, struct child *control);
/* False for new workers before it is known that they all start: giaoband is not to know of them. */
bool upgrade_shows(const struct supervisor *s, const struct child *worker);
