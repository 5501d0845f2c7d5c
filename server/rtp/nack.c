#include "rtp/nack.h"

#include <string.h>

void nack_init(struct nack_generator *g)
{
    memset(g, 0, sizeof *g);
}

static void drop_first(struct nack_generator *g, size_t n)
{
    memmove(g->list, g->list + n, (g->n - n) * sizeof g->list[0]);
    g->n = (uint16_t)(g->n - n);
}

static void remove_at(struct nack_generator *g, size_t i)
{
    memmove(g->list + i, g->list + i + 1, (g->n - i - 1) * sizeof g->list[0]);
    g->n--;
}

static void note_arrived(struct nack_generator *g, int64_t ext_seq)
{
    for (size_t i = 0; i < g->n && g->list[i].ext_seq <= ext_seq; i++) {
        if (g->list[i].ext_seq == ext_seq) {
            remove_at(g, i);
            g->recovered++;
            return;
        }
    }
}

/* Room for `n` more entries, giving up what a newer keyframe makes needless first. */
static bool make_room(struct nack_generator *g, int64_t n)
{
    if (g->n + n <= NACK_LIST)
        return true;
    size_t old = 0;
    while (old < g->n && g->list[old].ext_seq < g->newest_keyframe)
        old++;
    g->given_up += old;
    drop_first(g, old);
    if (g->n + n <= NACK_LIST)
        return true;
    g->given_up += g->n;
    g->n = 0;
    g->want_keyframe = true;
    return n <= NACK_LIST;
}

void nack_input(struct nack_generator *g, int64_t ext_seq, bool keyframe, int64_t now_us)
{
    if (!g->started) {
        g->started = true;
        g->newest = ext_seq;
    }
    if (keyframe && ext_seq > g->newest_keyframe)
        g->newest_keyframe = ext_seq;
    if (ext_seq <= g->newest) {
        note_arrived(g, ext_seq);
        return;
    }
    int64_t missing = ext_seq - g->newest - 1;
    if (missing > 0 && make_room(g, missing)) {
        for (int64_t s = g->newest + 1; s < ext_seq; s++)
            g->list[g->n++] = (struct nack_entry){.ext_seq = s, .ask_at_us = now_us + NACK_REORDER_US};
    } else {
        g->given_up += (uint64_t)missing;
    }
    g->newest = ext_seq;
}

size_t nack_poll(struct nack_generator *g, int64_t now_us, int64_t rtt_us, uint16_t *seqs, size_t cap)
{
    if (rtt_us <= 0)
        rtt_us = NACK_RTT_DEFAULT_US;
    if (rtt_us < NACK_RTT_MIN_US)
        rtt_us = NACK_RTT_MIN_US;
    size_t n = 0, kept = 0;
    for (size_t i = 0; i < g->n; i++) {
        struct nack_entry e = g->list[i];
        if (e.ask_at_us <= now_us && e.tries == NACK_TRIES) {
            g->given_up++;
            g->want_keyframe |= e.ext_seq > g->newest_keyframe;
            continue;
        }
        if (e.ask_at_us <= now_us && n < cap) {
            seqs[n++] = (uint16_t)e.ext_seq;
            e.tries++;
            e.ask_at_us = now_us + rtt_us;
        }
        g->list[kept++] = e;
    }
    g->n = (uint16_t)kept;
    return n;
}

int64_t nack_next_timeout(const struct nack_generator *g)
{
    int64_t at = INT64_MAX;
    for (size_t i = 0; i < g->n; i++)
        if (g->list[i].ask_at_us < at)
            at = g->list[i].ask_at_us;
    return at;
}

bool nack_take_keyframe_wish(struct nack_generator *g)
{
    bool wish = g->want_keyframe;
    g->want_keyframe = false;
    return wish;
}
