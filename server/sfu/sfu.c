#include "sfu/sfu.h"

#include "sfu/peer.h"
#include "sfu/router.h"

#include <stdlib.h>
#include <string.h>

const char *sfu_drop_str(enum sfu_drop d)
{
    static const char *const names[SFU_DROP_COUNT] = {
        [SFU_DROP_MALFORMED] = "malformed",
        [SFU_DROP_UNKNOWN_SSRC] = "unknown_ssrc",
        [SFU_DROP_MUTED] = "muted",
        [SFU_DROP_DUPLICATE] = "duplicate",
        [SFU_DROP_OLD] = "old",
        [SFU_DROP_PAYLOAD] = "payload",
        [SFU_DROP_QUEUE_FULL] = "queue_full",
        [SFU_DROP_SWITCHED] = "switched",
        [SFU_DROP_SEND] = "send",
        [SFU_DROP_REPAIRS] = "repairs",
        [SFU_DROP_REQUESTS] = "requests",
        [SFU_DROP_RATE] = "rate",
        [SFU_DROP_SSRC_CHANGES] = "ssrc_changes",
        [SFU_DROP_LATE] = "late",
    };
    return d < SFU_DROP_COUNT ? names[d] : "unknown";
}

void sfu_init(struct sfu *s, const struct sfu_shell *shell, uint64_t seed)
{
    memset(s, 0, sizeof *s);
    s->shell = *shell;
    s->random = seed ? seed : 1;
    /* RFC 6716, 3.1: CELT, fullband, 20 ms, mono, one frame; of its two bytes the first bit says silence */
    static const uint8_t silence[SFU_SILENCE_BYTES] = {0xf8, 0xff, 0xfe};
    s->silence.refs = 1;
    s->silence.len = SFU_SILENCE_AT + SFU_SILENCE_BYTES;
    memcpy(s->silence.bytes + SFU_SILENCE_AT, silence, sizeof silence);
}

void sfu_finish(struct sfu *s)
{
    while (s->routers)
        router_free(s->routers, 0);
    sites_finish(s);
    free(s->ready);
    s->ready = NULL;
}

/* xorshift64*: unpredictable enough for first numbers, which protect nothing here (SRTP does). */
uint32_t sfu_random(struct sfu *s)
{
    s->random ^= s->random >> 12;
    s->random ^= s->random << 25;
    s->random ^= s->random >> 27;
    return (uint32_t)((s->random * 0x2545f4914f6cdd1dULL) >> 32);
}

/* Returns when the next packet may leave. */
static int64_t flush(struct sfu *s, int64_t now_us)
{
    size_t n = s->n_ready, first = n ? s->rotation++ % n : 0, kept = 0;
    int64_t next_us = INT64_MAX;
    for (size_t i = 0; i < n; i++)
        peer_flush(s->ready[(first + i) % n], now_us);
    for (size_t i = 0; i < n; i++) { /* those whose pacer holds something back stay */
        struct peer *p = s->ready[i];
        int64_t due_us = peer_due_us(p, now_us);
        p->queued = due_us != INT64_MAX;
        if (!p->queued)
            continue;
        s->ready[kept++] = p;
        next_us = due_us < next_us ? due_us : next_us;
    }
    s->n_ready = kept;
    return next_us;
}

int64_t sfu_turn(struct sfu *s, int64_t now_us)
{
    if (now_us >= s->tick_us) {
        s->tick_us = now_us + SFU_TICK_US;
        sites_tick(s, now_us);
        for (struct router *r = s->routers; r; r = r->next)
            router_tick(r, now_us);
    }
    for (struct router *r = s->routers; r; r = r->next)
        router_settle(r, now_us);
    int64_t next_us = flush(s, now_us);
    if (s->routers && s->tick_us < next_us)
        next_us = s->tick_us;
    return next_us;
}
