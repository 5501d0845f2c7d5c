#include "sfu/trace.h"

#include "sfu/peer.h"

#include <stdio.h>
#include <string.h>

enum { ITEM_BYTES = 16, BASE_US = 1000 * 1000 };

void trace_init(struct trace *t, void (*write)(void *ctx, const char *bytes, size_t len), void *ctx, uint64_t bytes,
                int64_t now_us)
{
    t->write = write;
    t->ctx = ctx;
    t->left = bytes;
    t->base_us = now_us / BASE_US * BASE_US;
    t->next_id = 1;
    t->len = (size_t)snprintf(t->bytes, sizeof t->bytes, "giaoban-trace 1 %lld\n", (long long)t->base_us);
}

void trace_flush(struct trace *t)
{
    if (!t || !t->len)
        return;
    size_t len = t->len < t->left ? t->len : (size_t)t->left;
    if (len)
        t->write(t->ctx, t->bytes, len);
    t->left -= len;
    t->len = 0;
}

static void put_char(struct trace *t, char c)
{
    t->bytes[t->len++] = c;
    if (t->len > sizeof t->bytes - ITEM_BYTES)
        trace_flush(t);
}

/* With what separates it from the one before. */
static void put(struct trace *t, char before, int64_t n)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    char text[ITEM_BYTES];
    size_t at = sizeof text;
    uint64_t rest = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    do {
        text[--at] = digits[rest % 36];
        rest /= 36;
    } while (rest);
    put_char(t, before);
    if (n < 0)
        put_char(t, '-');
    for (; at < sizeof text; at++)
        put_char(t, text[at]);
}

/* NULL: nothing is traced. Names a peer that is new. */
static struct trace *begin(struct peer *p, char record, int64_t now_us)
{
    struct trace *t = p->sfu->trace;
    struct downlink *d = p->downlink;
    if (!t || !d || !t->left)
        return NULL;
    if (!d->trace_id) {
        const struct bwe_config *c = &d->bwe.config;
        const int64_t items[] = {now_us - t->base_us, p->number, p->incarnation, c->start_bps, c->min_bps, c->max_bps};
        d->trace_id = t->next_id++;
        put_char(t, 'n');
        put(t, ' ', d->trace_id);
        for (size_t i = 0; i < sizeof items / sizeof *items; i++)
            put(t, ' ', items[i]);
        put_char(t, '\n');
    }
    put_char(t, record);
    put(t, ' ', d->trace_id);
    put(t, ' ', now_us - t->base_us);
    return t;
}

void trace_feedback(struct peer *p, const struct bwe_packet *packets, size_t n, int64_t now_us)
{
    struct trace *t = begin(p, 'f', now_us);
    int64_t former_us = t ? t->base_us : 0;
    if (!t)
        return;
    put(t, ' ', p->line.rtt_us);
    for (size_t i = 0; i < n; i++) {
        const struct bwe_packet *b = &packets[i];
        put(t, ' ', b->sent_us - former_us);
        former_us = b->sent_us;
        if (b->received)
            put(t, ':', b->arrival_us - b->sent_us);
        else {
            put_char(t, ':');
            put_char(t, '!');
        }
        put(t, ':', b->bytes);
        if (b->probe)
            put(t, ':', b->probe);
    }
    put_char(t, '\n');
}

void trace_probe(struct peer *p, uint8_t probe, size_t bytes, int64_t now_us)
{
    struct trace *t = begin(p, 'p', now_us);
    if (!t)
        return;
    put(t, ' ', probe);
    put(t, ' ', (int64_t)bytes);
    put_char(t, '\n');
}

void trace_remb(struct peer *p, uint64_t bps, int64_t now_us)
{
    struct trace *t = begin(p, 'r', now_us);
    if (!t)
        return;
    put(t, ' ', bps < INT64_MAX ? (int64_t)bps : INT64_MAX);
    put_char(t, '\n');
}

void trace_tick(struct peer *p, unsigned flags, int64_t now_us)
{
    struct trace *t = begin(p, 't', now_us);
    struct downlink *d = p->downlink;
    if (!t)
        return;
    const struct bwe *b = &d->bwe;
    const int64_t items[] = {flags,
                             b->want_bps,
                             bwe_target_bps(b),
                             bwe_acked_bps(b),
                             (int64_t)b->delay.queue_us,
                             (int64_t)(b->loss * 1000),
                             d->chosen_bps,
                             d->share_bps,
                             (int64_t)d->sent_bytes};
    for (size_t i = 0; i < sizeof items / sizeof *items; i++)
        put(t, ' ', items[i]);
    if ((flags & TRACE_ASKED) && d->cluster.id) {
        put(t, ' ', d->cluster.id);
        put(t, ' ', d->cluster.bps);
        put(t, ' ', d->cluster.bytes);
    }
    put_char(t, '\n');
    d->sent_bytes = 0;
}
