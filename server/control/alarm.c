/* What staff and the technician must know of the machine itself: room for the log, the disk, the clock. The disk is looked
 * at aside once a second, since a hung one must not hold up the loop. */
#include "control/control.h"

#include "base/clock.h"
#include "base/log.h"
#include "control/aside.h"

#include <stdlib.h>
#include <sys/statvfs.h>

#define TOLD_AGAIN_US 5000000 /* for those who came meanwhile */
#define REFILL_US 10000000
#define STEP_TOLD_US 600000000 /* whoever set the clock has had time to see what he did */
#define SAVE_US 600000000
#define SAVE_CHANGE_US 100000

const char *const alarm_codes[ALARMS] = {"log-reserve", "log-full", "clock-stepped"};

struct look {
    struct aside_job job;
    uint64_t free_bytes;
    bool ok;
    char path[4096];
};

static void look(struct aside_job *job)
{
    struct look *l = (struct look *)job;
    struct statvfs fs;
    l->ok = statvfs(l->path, &fs) == 0;
    l->free_bytes = l->ok ? (uint64_t)fs.f_bavail * fs.f_frsize : 0;
}

static void looked(struct control *c, struct aside_job *job)
{
    const struct look *l = (struct look *)job;
    c->looking = false;
    if (l->ok)
        c->free_bytes = l->free_bytes;
    free(job);
}

static void look_aside(struct control *c)
{
    struct look *l = c->looking ? NULL : calloc(1, sizeof *l);
    if (!l)
        return;
    *l = (struct look){.job = {.work = look, .done = looked}};
    snprintf(l->path, sizeof l->path, "%s", c->config.data_dir);
    c->looking = true;
    aside_run(c, &l->job);
}

/* ---- the clock ---- */

static void save_clock(struct control *c, int64_t now_us)
{
    int64_t change_us = c->steady.offset_us - c->steady_saved_offset_us;
    bool worth = change_us > SAVE_CHANGE_US || change_us < -SAVE_CHANGE_US;
    if (c->steady_saved_us && (!worth || now_us - c->steady_saved_us < SAVE_US))
        return;
    store_clock_put(c->store, c->steady.offset_us, now_us);
    c->steady_saved_us = now_us;
    c->steady_saved_offset_us = c->steady.offset_us;
}

static void look_at_clock(struct control *c, int64_t now_us)
{
    int64_t wall_us = clock_wall_us();
    unsigned steps = c->steady.steps;
    steady_look(&c->steady, now_us, wall_us);
    if (c->steady.steps != steps)
        log_warn("alarm", "the clock was stepped by %.1f s: sessions and open briefings go on as if it had not been",
                 (double)c->steady.step_us / 1e6);
    clock_steady_set(c->steady.offset_us);
    save_clock(c, now_us);
    for (struct meeting *m = c->meetings; m; m = m->next)
        people_look(&m->clock, briefing_phase(m->settled) == BRIEFING_OPEN, now_us, wall_us);
}

/* After a restart open briefings go on by what was steady before it. */
static void resume_clock(struct control *c)
{
    int64_t now_us = clock_now_us(), wall_us = clock_wall_us(), offset_us, saved_us;
    if (store_clock(c->store, &offset_us, &saved_us))
        steady_resume(&c->steady, offset_us, saved_us, now_us, wall_us);
    else
        steady_look(&c->steady, now_us, wall_us);
    for (struct meeting *m = c->meetings; m; m = m->next)
        people_look(&m->clock, false, now_us, now_us + c->steady.offset_us);
    look_at_clock(c, now_us);
}

void alarms_start(struct control *c)
{
    struct statvfs fs;
    resume_clock(c);
    c->free_bytes = statvfs(c->config.data_dir, &fs) == 0 ? (uint64_t)fs.f_bavail * fs.f_frsize : 0;
}

static unsigned present(struct control *c, int64_t now_us)
{
    uint64_t wanted, left = store_reserve(c->store, &wanted);
    bool stepped = c->steady.steps && now_us - c->steady.stepped_us < STEP_TOLD_US;
    return (left < wanted ? 1u << ALARM_LOG_RESERVE : 0) | (store_disk_full(c->store) ? 1u << ALARM_LOG_FULL : 0) |
           (stepped ? 1u << ALARM_CLOCK_STEPPED : 0);
}

static void tell(struct control *c)
{
    for (struct meeting *m = c->meetings; m; m = m->next) {
        json_t *codes = json_array();
        for (unsigned i = 0; i < ALARMS; i++)
            if (c->alarms >> i & 1)
                json_array_append_new(codes, json_string(alarm_codes[i]));
        meeting_notice(m, true, "alarm", json_pack("{s:o}", "codes", codes));
    }
}

static void note_changes(struct control *c, unsigned now)
{
    for (unsigned i = 0; i < ALARMS; i++) {
        bool on = now >> i & 1;
        if (on != (c->alarms >> i & 1))
            log_line(on ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, "alarm", "code=%s %s", alarm_codes[i], on ? "on" : "over");
    }
}

void alarms_tick(struct control *c, int64_t now_us)
{
    look_at_clock(c, now_us);
    look_aside(c);
    unsigned now = present(c, now_us);
    if (now_us >= c->refill_us) {
        c->refill_us = now_us + REFILL_US;
        store_reserve_refill(c->store);
    }
    if (now == c->alarms && (!now || now_us < c->alarm_told_us + TOLD_AGAIN_US))
        return;
    note_changes(c, now);
    c->alarms = now;
    c->alarm_told_us = now_us;
    tell(c);
}
