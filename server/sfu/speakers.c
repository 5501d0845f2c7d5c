#include "sfu/speakers.h"

#include <math.h>
#include <string.h>

/* The paper's constants: how far a challenger's scores must lie above the dominant speaker's, and the activity models. */
static const double beat_immediate = 3.0, beat_medium = 2.0, beat_long = 0.0;
static const double score_least = 1e-10;

enum {
    LEVELS = 13, /* activity of a step: 127 levels in 13 bands of 10 dB */
    BAND_DB = 10,
    STEP_ACTIVE = 7,   /* a step counts into a medium window from this activity on: −57 dBov */
    MEDIUM_ACTIVE = 4, /* a medium window counts into the long one when more than this many of its steps are active … */
    FLOOR_MAX = 67,    /* −60 dBov: what is louder is never taken for background */
    FLOOR_US = 7500 * 1000,
    LOUDER = SPEAKERS_STEPS / 2, /* a challenger takes a routed place when it is 5 dB louder on average */
};

void speakers_init(struct speakers *s, struct speaker *array)
{
    memset(s, 0, sizeof *s);
    s->speakers = array;
}

static void put_step(struct speaker *p, uint8_t activity)
{
    p->at = (uint8_t)((p->at + 1) % SPEAKERS_STEPS);
    p->activity = (uint16_t)(p->activity - p->steps[p->at] + activity);
    p->steps[p->at] = activity;
}

/* Steps without a packet (DTX, loss) are silence. */
static void catch_up(struct speaker *p, int64_t now_us)
{
    int64_t missed = (now_us - p->newest_us) / SPEAKERS_STEP_US;
    if (missed <= 0)
        return;
    p->newest_us += missed * SPEAKERS_STEP_US;
    if (missed > SPEAKERS_STEPS)
        missed = SPEAKERS_STEPS;
    while (missed--)
        put_step(p, 0);
}

static uint8_t lesser(uint8_t a, uint8_t b)
{
    return a && (a < b || !b) ? a : b;
}

/* Background noise is no activity, however steady: what is within a band above the least loudness of late. */
static uint8_t activity_of(struct speaker *p, uint8_t loudness, int64_t now_us)
{
    if (now_us - p->floor_us >= FLOOR_US) {
        p->floor = p->floor_next;
        p->floor_next = 0;
        p->floor_us = now_us;
    }
    p->floor_next = lesser(loudness, p->floor_next);
    p->floor = lesser(loudness, p->floor);
    uint8_t background = p->floor < FLOOR_MAX ? p->floor : FLOOR_MAX;
    return loudness < background + BAND_DB ? 0 : loudness / BAND_DB;
}

void speakers_level(struct speakers *s, uint32_t number, uint8_t level, int64_t now_us)
{
    if (number >= SPEAKERS_MAX)
        return;
    struct speaker *p = &s->speakers[number];
    uint8_t loudness = (uint8_t)(127 - (level & 0x7f));
    if (!p->used) {
        memset(p, 0, sizeof *p);
        p->used = true;
        p->newest_us = p->floor_us = now_us;
    }
    uint8_t activity = activity_of(p, loudness, now_us);
    /* Packets come a little early or late; within a step the louder counts. */
    catch_up(p, now_us - SPEAKERS_STEP_US / 2);
    if (now_us - p->newest_us >= SPEAKERS_STEP_US / 2) {
        p->newest_us += SPEAKERS_STEP_US;
        put_step(p, activity);
    } else if (activity > p->steps[p->at]) {
        p->activity = (uint16_t)(p->activity + activity - p->steps[p->at]);
        p->steps[p->at] = activity;
    }
}

static void leave_loudest(struct speakers *s, uint32_t number)
{
    for (size_t i = 0; i < s->n_loudest; i++) {
        if (s->loudest[i] != number)
            continue;
        memmove(&s->loudest[i], &s->loudest[i + 1], (s->n_loudest - i - 1) * sizeof s->loudest[0]);
        s->n_loudest--;
        return;
    }
}

void speakers_remove(struct speakers *s, uint32_t number)
{
    if (number >= SPEAKERS_MAX)
        return;
    memset(&s->speakers[number], 0, sizeof s->speakers[number]);
    leave_loudest(s, number);
    if (s->dominant == number)
        s->dominant = 0;
}

static double log_binomial(unsigned n, unsigned k)
{
    return lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(n - k + 1.0);
}

/* Log likelihood ratio of speech against silence for `k` active out of `n`: binomial against exponential. */
static double score(unsigned k, unsigned n, double lambda)
{
    double v = log_binomial(n, k) + n * log(0.5) - log(lambda) + lambda * k;
    return v < score_least ? score_least : v;
}

static void evaluate(struct speaker *p)
{
    unsigned medium_active = 0, newest_medium = 0;
    for (unsigned m = 0; m < SPEAKERS_LONG; m++) {
        unsigned active = 0;
        for (unsigned i = 0; i < SPEAKERS_MEDIUM; i++) {
            unsigned back = m * SPEAKERS_MEDIUM + i;
            active += p->steps[(p->at + SPEAKERS_STEPS - back) % SPEAKERS_STEPS] >= STEP_ACTIVE;
        }
        if (m == 0)
            newest_medium = active;
        medium_active += active > MEDIUM_ACTIVE;
    }
    p->immediate = score(p->steps[p->at], LEVELS, 0.78);
    p->medium = score(newest_medium, SPEAKERS_MEDIUM, 24.0);
    p->longer = score(medium_active, SPEAKERS_LONG, 47.0);
}

static uint32_t find_dominant(const struct speakers *s)
{
    uint32_t best = s->dominant;
    double best_medium = beat_medium;
    const struct speaker *holder = s->dominant ? &s->speakers[s->dominant] : NULL;
    for (uint32_t n = 1; n < SPEAKERS_MAX; n++) {
        const struct speaker *p = &s->speakers[n];
        if (!p->used || n == s->dominant || p->activity == 0)
            continue;
        double immediate = log(p->immediate / (holder ? holder->immediate : score_least));
        double medium = log(p->medium / (holder ? holder->medium : score_least));
        double longer = log(p->longer / (holder ? holder->longer : score_least));
        if (immediate > beat_immediate && medium > best_medium && longer > beat_long) {
            best_medium = medium;
            best = n;
        }
    }
    return best;
}

static bool is_loudest(const struct speakers *s, uint32_t number)
{
    for (size_t i = 0; i < s->n_loudest; i++)
        if (s->loudest[i] == number)
            return true;
    return false;
}

static uint32_t loudest_outside(const struct speakers *s)
{
    uint32_t best = 0;
    for (uint32_t n = 1; n < SPEAKERS_MAX; n++) {
        const struct speaker *p = &s->speakers[n];
        if (p->used && p->activity && !is_loudest(s, n) && (!best || p->activity > s->speakers[best].activity))
            best = n;
    }
    return best;
}

static size_t quietest_inside(const struct speakers *s)
{
    size_t quietest = 0;
    for (size_t i = 1; i < s->n_loudest; i++)
        if (s->speakers[s->loudest[i]].activity < s->speakers[s->loudest[quietest]].activity)
            quietest = i;
    return quietest;
}

static bool rank_loudest(struct speakers *s)
{
    bool changed = false;
    uint32_t n;
    while ((n = loudest_outside(s)) != 0) {
        if (s->n_loudest < SPEAKERS_ROUTED) {
            s->loudest[s->n_loudest++] = n;
        } else {
            size_t q = quietest_inside(s);
            if (s->loudest[q] == s->dominant || s->speakers[n].activity <= s->speakers[s->loudest[q]].activity + LOUDER)
                break;
            s->loudest[q] = n;
        }
        changed = true;
    }
    return changed;
}

bool speakers_poll(struct speakers *s, int64_t now_us)
{
    if (now_us < s->decide_us)
        return false;
    s->decide_us = now_us + SPEAKERS_DECIDE_US;
    for (uint32_t n = 1; n < SPEAKERS_MAX; n++) {
        if (!s->speakers[n].used)
            continue;
        catch_up(&s->speakers[n], now_us - SPEAKERS_STEP_US); /* the newest packet may still be on its way */
        evaluate(&s->speakers[n]);
    }
    uint32_t dominant = find_dominant(s);
    bool changed = dominant != s->dominant;
    s->dominant = dominant;
    return rank_loudest(s) || changed;
}

int64_t speakers_next_us(const struct speakers *s)
{
    return s->decide_us;
}

bool speakers_speaking(const struct speakers *s, uint32_t number, int64_t now_us)
{
    if (number >= SPEAKERS_MAX || !s->speakers[number].used)
        return false;
    const struct speaker *p = &s->speakers[number];
    unsigned active = 0;
    if (now_us - p->newest_us > SPEAKERS_STEPS * SPEAKERS_STEP_US / 2)
        return false;
    for (size_t i = 0; i < SPEAKERS_STEPS; i++)
        active += p->steps[i] >= STEP_ACTIVE;
    return active >= SPEAKERS_MEDIUM;
}
