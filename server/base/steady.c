#include "base/steady.h"

static bool within(int64_t a_us, int64_t tolerance_us)
{
    return a_us <= tolerance_us && a_us >= -tolerance_us;
}

static void note(struct steady *s, int64_t ahead_us, int64_t tolerance_us, int64_t now_us)
{
    if (within(ahead_us, tolerance_us)) {
        s->offset_us += ahead_us;
        s->step_us = 0;
        return;
    }
    if (!within(ahead_us - s->step_us, STEADY_TOLERANCE_US)) {
        s->steps++;
        s->stepped_us = now_us;
    }
    s->step_us = ahead_us;
}

void steady_look(struct steady *s, int64_t now_us, int64_t wall_us)
{
    if (!s->set)
        *s = (struct steady){.set = true, .offset_us = wall_us - now_us};
    note(s, wall_us - now_us - s->offset_us, STEADY_TOLERANCE_US, now_us);
}

void steady_resume(struct steady *s, int64_t offset_us, int64_t saved_us, int64_t now_us, int64_t wall_us)
{
    *s = (struct steady){.set = true, .offset_us = offset_us};
    note(s, wall_us - now_us - offset_us, STEADY_TOLERANCE_US + (now_us - saved_us) / 1000, now_us);
}

void people_look(struct people *p, bool open, int64_t now_us, int64_t wall_us)
{
    int64_t offset_us = wall_us - now_us;
    if (!p->set || !open || within(offset_us - p->offset_us, STEADY_TOLERANCE_US))
        p->offset_us = offset_us;
    p->set = true;
}

int64_t people_ms(struct people *p, int64_t now_us)
{
    int64_t ms = (now_us + p->offset_us) / 1000;
    p->last_ms = ms > p->last_ms ? ms : p->last_ms;
    return p->last_ms;
}

void people_follow(struct people *p, int64_t at_ms)
{
    p->last_ms = at_ms > p->last_ms ? at_ms : p->last_ms;
}
