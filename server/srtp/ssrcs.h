/* Which SSRCs a transport sends, with the rollover counter and the numbers used so far (RFC 3711, 3.2.1 and 3.3.1), and
 * which it hears. Pure, fixed size, open addressing. Internal to srtp. */
#pragma once

#include "srtp/seal.h"

#include <stdbool.h>

enum { SSRC_SLOTS = 128 }; /* a power of two above SEAL_SSRCS */

struct ssrc_sent {
    uint32_t ssrc;
    bool taken;
    uint64_t newest;                 /* 48-bit index of RFC 3711: rollover counter and sequence number */
    uint64_t used[SEAL_WINDOW / 64]; /* bit index mod SEAL_WINDOW: used, for newest − SEAL_WINDOW < index <= newest */
};

struct ssrc_table {
    unsigned count;
    struct ssrc_sent slots[SSRC_SLOTS];
};

/* Takes the number as used and returns its index. Errors as seal_rtp(). */
int ssrc_table_advance(struct ssrc_table *t, uint32_t ssrc, uint16_t seq, uint64_t *ret_index);

struct ssrc_set {
    unsigned count;
    uint32_t ssrcs[SSRC_SLOTS];
    bool taken[SSRC_SLOTS];
};

/* Known, or there is room. Asked before authentication, added after it: a forger fills nothing. */
bool ssrc_set_may_hold(const struct ssrc_set *s, uint32_t ssrc);
void ssrc_set_add(struct ssrc_set *s, uint32_t ssrc);
