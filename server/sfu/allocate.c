#include "sfu/allocate.h"

static uint32_t rate_of(const struct allocate_track *t, int step)
{
    return step == ALLOCATE_PAUSED ? 0 : t->steps[step].bps;
}

/* What a step is counted as: more when it would be a step up. */
static uint64_t asks(const struct allocate_track *t, int step)
{
    uint64_t bps = rate_of(t, step);
    return step > t->current ? bps + bps / 10 : bps;
}

/* Raises `t` by one step if that fits. */
static bool raise(struct allocate_track *t, uint64_t *used, uint64_t available)
{
    int next = t->chosen + 1;
    if (next >= t->n_steps || *used - rate_of(t, t->chosen) + asks(t, next) > available)
        return false;
    *used = *used - rate_of(t, t->chosen) + rate_of(t, next);
    t->chosen = (int8_t)next;
    return true;
}

static void lowest_steps(struct allocate_track *tracks, size_t n, uint64_t *used, uint64_t available)
{
    for (size_t i = 0; i < n; i++) {
        struct allocate_track *t = &tracks[i];
        t->chosen = ALLOCATE_PAUSED;
        if (!t->n_steps || raise(t, used, available))
            continue;
        if (t->rank == ALLOCATE_SCREEN && *used == 0 && t->steps[0].bps <= ALLOCATE_SCREEN_OVER_BPS) {
            t->chosen = 0;
            *used += t->steps[0].bps;
        }
    }
}

/* Those of one rank side by side. */
static void further_steps(struct allocate_track *tracks, size_t n, uint64_t *used, uint64_t available)
{
    for (int rank = ALLOCATE_SCREEN; rank <= ALLOCATE_TILE; rank++) {
        bool raised = true;
        while (raised) {
            raised = false;
            for (size_t i = 0; i < n; i++)
                if ((int)tracks[i].rank == rank && tracks[i].chosen != ALLOCATE_PAUSED)
                    raised |= raise(&tracks[i], used, available);
        }
    }
}

struct allocation allocate(struct allocate_track *tracks, size_t n, uint32_t available_bps)
{
    struct allocation a = {0};
    uint64_t used = 0, wanted = 0, least = UINT64_MAX;
    lowest_steps(tracks, n, &used, available_bps);
    further_steps(tracks, n, &used, available_bps);
    for (size_t i = 0; i < n; i++) {
        const struct allocate_track *t = &tracks[i];
        if (!t->n_steps)
            continue;
        wanted += t->steps[t->n_steps - 1].bps;
        if (t->chosen + 1 == t->n_steps)
            continue;
        uint64_t before = rate_of(t, t->chosen), after = rate_of(t, t->chosen + 1),
                 more = after > before ? after - before : 0;
        least = more < least ? more : least;
    }
    a.used_bps = (uint32_t)(used < UINT32_MAX ? used : UINT32_MAX);
    a.wanted_bps = (uint32_t)(wanted < UINT32_MAX ? wanted : UINT32_MAX);
    a.next_bps = least == UINT64_MAX ? a.used_bps : (uint32_t)(used + least < UINT32_MAX ? used + least : UINT32_MAX);
    return a;
}
