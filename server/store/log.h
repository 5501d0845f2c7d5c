/* Event log: append and read, for this folder's own files. */
#pragma once

#include "store/internal.h"

#include <sodium.h>

_Static_assert(STORE_HASH_BYTES == crypto_hash_sha256_BYTES, "the chain is SHA-256");

/* What an append changes in the index of briefings. */
struct index_change {
    struct briefing_schedule *made; /* a new briefing; owned */
    int64_t opened_ms, closed_ms;   /* 0: no change */
    enum briefing_phase phase;      /* at least this */
    int recording;                  /* −1: no change */
};

/* Caller's thread: the append is on disk. */
void store_index_apply(struct store *s, const char *briefing, const struct index_change *change);

/* Caller's thread: the briefing is closed, its resume secrets are gone from disk. */
void store_secrets_forget(struct store *s, const char *briefing);

/* Invited unit ids as a JSON array; malloc'd, NULL: no memory. */
char *store_units_text(const struct briefing_schedule *schedule);

/* Reads a briefing's log on connection `q`, checking the chain of hashes from the first event on. */
int log_read(struct sql *q, const char *briefing, uint64_t from_seq,
             int (*event)(void *ctx, const struct briefing_event *event), void *ctx);
