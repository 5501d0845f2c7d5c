#include "supervisor/upgrade.h"

#include "supervisor/supervisor.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define START_US 15000000 /* for programs to start from a cold disk */
#define HELLO_US 10000000 /* for new workers to say hello to giaoband */
#define STOP_US 5000000   /* for what is replaced to stop in order */
enum { DEATHS_MAX = 3 };  /* of one new worker, in a row, while endpoints move */

static struct child *next_of(struct supervisor *s, enum child_kind kind, struct child *after)
{
    struct child *at = after ? after + 1 : s->children.all, *end = s->children.all + CHILDREN_MAX;
    while (at < end && !(at->used && at->kind == kind))
        at++;
    return at < end ? at : NULL;
}

#define EACH(s, kind, at) for (struct child *at = NULL; (at = next_of(s, kind, at));)

bool upgrade_shows(const struct supervisor *s, const struct child *worker)
{
    return !worker->fresh || s->upgrade.step != UPGRADE_WORKERS;
}

void upgrade_tell(struct supervisor *s, struct child *control)
{
    struct link_message m = {.kind = LINK_UPGRADE_STATE, .a = s->upgrade.step, .b = s->upgrade.moving};
    snprintf(m.text, sizeof m.text, "%s", s->upgrade.text);
    if (s->upgrade.step != UPGRADE_NONE)
        child_send(control, &m, NULL, 0);
}

static struct child *control_of(struct supervisor *s)
{
    return next_of(s, CHILD_CONTROL, NULL);
}

__attribute__((format(printf, 4, 5))) static void enter(struct supervisor *s, enum upgrade_step step, int64_t until_us,
                                                        const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(s->upgrade.text, sizeof s->upgrade.text, format, args);
    va_end(args);
    s->upgrade.step = step;
    s->upgrade.until_us = until_us;
    log_line(step == UPGRADE_FAILED ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, "upgrade", "%s%s",
             step == UPGRADE_FAILED ? "failed: " : "", s->upgrade.text);
    upgrade_tell(s, control_of(s));
}

/* ---- failing ---- */

void upgrade_bury_worker(struct supervisor *s, struct child *worker)
{
    sockets_close(&s->media[worker->index]);
    children_remove(worker);
}

static void drop_fresh_workers(struct supervisor *s)
{
    EACH(s, CHILD_WORKER, worker)
    {
        bool fresh = worker->fresh;
        worker->fresh = false;
        worker->leaving = fresh;
        if (fresh && worker->pid > 0)
            kill(worker->pid, SIGKILL);
        else if (fresh)
            upgrade_bury_worker(s, worker);
    }
}

static void use_former(struct supervisor *s, enum child_kind kind)
{
    s->children.set[kind] = 1 - s->children.set[kind];
    EACH(s, kind, child)
    child->set = s->children.set[kind];
}

/* Old workers stay, and giaoband hears so. */
static void fail_workers(struct supervisor *s, const char *why)
{
    struct child *control = control_of(s);
    bool known = s->upgrade.step != UPGRADE_WORKERS;
    drop_fresh_workers(s);
    s->children.set[CHILD_WORKER] = 1 - s->children.set[CHILD_WORKER];
    enter(s, UPGRADE_FAILED, 0, "%s: the old workers go on", why);
    EACH(s, CHILD_WORKER, worker)
    if (known && worker->pid > 0 && !worker->leaving)
        supervisor_pair_up(control, worker);
}

static void fail_control(struct supervisor *s, const char *why)
{
    struct child *control = control_of(s);
    use_former(s, CHILD_CONTROL);
    drop_fresh_workers(s);
    s->children.set[CHILD_WORKER] = 1 - s->children.set[CHILD_WORKER];
    control->deaths = 0; /* the former program starts at once */
    control->start_at_us = 0;
    control->replaced = control->pid > 0;
    if (control->replaced)
        kill(control->pid, SIGKILL);
    enter(s, UPGRADE_FAILED, 0, "giaoband %s: the old programs go on", why);
}

/* ---- workers ---- */

static void open_set(struct supervisor *s, enum child_kind kind)
{
    children_open_programs(&s->children, kind, 1 - s->children.set[kind]);
    s->children.set[kind] = 1 - s->children.set[kind];
}

static bool add_worker(struct supervisor *s, unsigned index)
{
    int bytes;
    if (s->media[index].n || sockets_media(&s->settings, index, &s->media[index], &bytes))
        return false;
    struct child *worker = children_add(&s->children, CHILD_WORKER, index, "");
    if (!worker) {
        sockets_close(&s->media[index]);
        return false;
    }
    worker->fresh = true;
    /* Above all that this index ever had: it rises by one a restart, and there are fewer restarts than seconds. */
    worker->generation = (uint32_t)(clock_wall_us() / 1000000);
    return true;
}

static bool under_way(const struct upgrade *u)
{
    return u->step != UPGRADE_NONE && u->step != UPGRADE_DONE && u->step != UPGRADE_FAILED;
}

void upgrade_begin(struct supervisor *s, int64_t now_us)
{
    unsigned n = s->settings.workers, lowest = 2 * n;
    if (under_way(&s->upgrade) || s->phase != RUNNING)
        return;
    EACH(s, CHILD_WORKER, worker)
    lowest = worker->index < lowest ? worker->index : lowest;
    s->upgrade.moving = 0;
    enter(s, UPGRADE_WORKERS, now_us + START_US, "new workers start");
    open_set(s, CHILD_WORKER);
    for (unsigned i = 0; i < n; i++) {
        if (!add_worker(s, (lowest < n ? n : 0) + i)) {
            fail_workers(s, "no UDP port for a new worker, see the log");
            return;
        }
    }
}

static void watch_workers(struct supervisor *s, int64_t now_us)
{
    struct child *control = control_of(s);
    bool all = true;
    EACH(s, CHILD_WORKER, worker)
    {
        if (worker->fresh && worker->deaths) {
            fail_workers(s, "giaoban-media does not start");
            return;
        }
        all = all && (!worker->fresh || worker->ready);
    }
    if (!all && now_us > s->upgrade.until_us) {
        fail_workers(s, "giaoban-media is not ready in time");
        return;
    }
    if (!all || !control->ready)
        return;
    EACH(s, CHILD_WORKER, worker)
    worker->leaving = !worker->fresh;
    open_set(s, CHILD_CONTROL);
    control->set = s->children.set[CHILD_CONTROL];
    control->replaced = true;
    enter(s, UPGRADE_CONTROL, now_us + START_US, "giaoband is replaced");
    child_send(control, &(struct link_message){.kind = LINK_STOP, .a = 1}, NULL, 0);
}

/* ---- giaoband ---- */

static void watch_control(struct supervisor *s, int64_t now_us)
{
    struct child *control = control_of(s);
    if (control->replaced) { /* the old one is still stopping */
        if (now_us > s->upgrade.until_us - START_US + STOP_US && control->pid > 0)
            kill(control->pid, SIGKILL);
    } else if (control->deaths) {
        fail_control(s, "does not start");
    } else if (control->pid > 0 && control->ready) {
        enter(s, UPGRADE_MOVE, now_us + HELLO_US, "endpoints join the new workers one by one");
    } else if (now_us > s->upgrade.until_us) {
        fail_control(s, "is not ready in time");
    }
}

/* ---- endpoints ---- */

void upgrade_moving(struct supervisor *s, const struct link_message *m, int64_t now_us)
{
    if (s->upgrade.step != UPGRADE_MOVE)
        return;
    s->upgrade.moving = m->a;
    if (m->b >= s->settings.workers)
        s->upgrade.until_us = now_us + HELLO_US; /* giaoband lives and moves them, however long it takes */
    upgrade_tell(s, control_of(s));
}

void upgrade_worker_empty(struct supervisor *s, const struct link_message *m)
{
    EACH(s, CHILD_WORKER, worker)
    {
        if (worker->index != m->a || worker->generation != m->b || !worker->leaving || worker->pid <= 0)
            continue;
        log_info("upgrade", "worker=%u is empty", worker->index);
        child_send(worker, &(struct link_message){.kind = LINK_STOP}, NULL, 0);
    }
}

static void watch_move(struct supervisor *s, int64_t now_us)
{
    bool any = false;
    EACH(s, CHILD_WORKER, worker)
    {
        any = any || worker->leaving;
        if (worker->fresh && worker->deaths >= DEATHS_MAX) {
            fail_workers(s, "giaoban-media dies again and again");
            return;
        }
    }
    if (any && now_us > s->upgrade.until_us)
        fail_workers(s, "the new workers do not say hello");
    if (any)
        return;
    EACH(s, CHILD_WORKER, worker)
    worker->fresh = false;
    open_set(s, CHILD_RECORDER);
    open_set(s, CHILD_COMPOSER);
    open_set(s, CHILD_CHECK);
    struct child *check = next_of(s, CHILD_CHECK, NULL);
    check->set = s->children.set[CHILD_CHECK];
    check->replaced = check->pid > 0;
    check->deaths = 0; /* the former one's */
    child_send(check, &(struct link_message){.kind = LINK_STOP, .a = 1}, NULL, 0);
    enter(s, UPGRADE_RECORDERS, now_us + START_US, "recorders are replaced one by one");
}

/* ---- recorders ---- */

static void fail_recorders(struct supervisor *s, const char *why)
{
    use_former(s, CHILD_RECORDER);
    s->children.set[CHILD_COMPOSER] = 1 - s->children.set[CHILD_COMPOSER];
    enter(s, UPGRADE_FAILED, 0, "giaoban-recorder %s: the old one goes on; workers and giaoband are new", why);
}

static void replace(struct supervisor *s, struct child *recorder, int64_t now_us)
{
    recorder->set = s->children.set[CHILD_RECORDER];
    recorder->replaced = true;
    s->upgrade.until_us = now_us + START_US;
    child_send(recorder, &(struct link_message){.kind = LINK_STOP, .a = 1}, NULL, 0);
}

/* True once the new one serves. */
static bool check_serves(struct supervisor *s, int64_t now_us)
{
    struct child *check = next_of(s, CHILD_CHECK, NULL);
    if (check->ready && !check->replaced)
        return true;
    if (check->deaths < DEATHS_MAX && now_us <= s->upgrade.until_us)
        return false;
    use_former(s, CHILD_CHECK);
    check->replaced = check->pid > 0;
    if (check->replaced)
        kill(check->pid, SIGKILL);
    s->children.set[CHILD_COMPOSER] = 1 - s->children.set[CHILD_COMPOSER];
    use_former(s, CHILD_RECORDER);
    enter(s, UPGRADE_FAILED, 0, "giaoban-check does not start: the old one and the recorders go on; the rest is new");
    return false;
}

static void watch_recorders(struct supervisor *s, int64_t now_us)
{
    if (!check_serves(s, now_us))
        return;
    struct child *next = NULL;
    EACH(s, CHILD_RECORDER, recorder)
    {
        if (recorder->finishing)
            continue; /* it ends by itself */
        if (recorder->set != s->children.set[CHILD_RECORDER]) {
            next = recorder;
            continue;
        }
        if (recorder->deaths && !recorder->ready && !recorder->replaced) {
            fail_recorders(s, "does not start");
            return;
        }
        if (recorder->ready && !recorder->replaced)
            continue;
        if (recorder->replaced && recorder->pid > 0 && now_us > s->upgrade.until_us - START_US + STOP_US)
            kill(recorder->pid, SIGKILL); /* nothing is lost: the feeds keep what is not on disk */
        if (now_us > s->upgrade.until_us)
            fail_recorders(s, "is not ready in time");
        return;
    }
    if (next)
        replace(s, next, now_us);
    else
        enter(s, UPGRADE_DONE, 0, "done");
}

void upgrade_tick(struct supervisor *s, int64_t now_us)
{
    switch (s->upgrade.step) {
    case UPGRADE_WORKERS: watch_workers(s, now_us); break;
    case UPGRADE_CONTROL: watch_control(s, now_us); break;
    case UPGRADE_MOVE: watch_move(s, now_us); break;
    case UPGRADE_RECORDERS: watch_recorders(s, now_us); break;
    case UPGRADE_NONE:
    case UPGRADE_DONE:
    case UPGRADE_FAILED: break;
    }
}
