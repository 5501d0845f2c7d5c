/* Store: event log, units, accounts, sessions, resume secrets, used tokens, archive index. One interface; SQLite (WAL,
 * synchronous = FULL) is its first implementation. No SQL and no row number leaks out.
 *
 * Threads: the interface belongs to one thread, control's loop; every write runs on the store's own thread. Calls never
 * block the loop: what is asked while serving (units, accounts, sessions, secrets, briefing and archive lists) is answered
 * from memory; writes are queued. Marked [start] are the reads that touch the disk: before serving only.
 *
 * Writes and completions: a write is queued in order with all others and committed together with those of the same loop
 * turn: call store_submit() once at the end of each turn, before waiting (forgotten, the commit begins 2 ms later). Memory
 * shows a write at once (the index of briefings: when it is on disk); `done(ctx, err)` is called from store_poll(), in
 * order, never from inside the call that queued it: err 0 means it is on disk. `done` may be NULL. Watch store_event_fd()
 * for reading and call store_poll(). When a write has failed, memory shows again what was before, but for what errs on the
 * safe side (a failed login counts, a session that was ended stays ended until a restart) and the archive's index, which
 * follows the files.
 *
 * A full disk: what was set aside (reserve_path) is given back in steps and the write done again; only when nothing is left
 * it fails.
 *
 * Errors: ERR_STALE: a newer start of control owns the log; nothing of that append is written. ERR_STATE: the log does not
 * end where the events begin. ERR_IO: disk (store_disk_full() tells whether it is full). Times are wall ms since 1970.
 *
 * Left out: leases between nodes and watch() (several machines); hashing of passwords (a helper thread's). */
#pragma once

#include "briefing/briefing.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;

#define STORE_HASH_BYTES 32
#define STORE_FAILURES_MAX 5             /* wrong passwords in a row, then the account is locked */
#define STORE_LOCK_MS (15 * 60 * 1000LL) /* for this long, or until store_account_unlock() */

typedef void (*store_done)(void *ctx, int err);

struct store_config {
    const char *path;         /* giaoban.db; made when missing, mode 0600 */
    const char *units_path;   /* units.*.json: upserted at every start; NULL: the units of last time */
    const char *reserve_path; /* a file on the same disk; NULL: no reserve */
    uint64_t reserve_bytes;
};

/* [start] Opens or makes the database, raises the start counter and commits it, loads what is kept in memory. `ret_why`:
 * static English text. ERR_IO, ERR_MALFORMED (units), ERR_UNSUPPORTED (a newer schema), ERR_NOMEM. */
int store_open(const struct store_config *config, struct store **ret_store, const char **ret_why);
/* Finishes what is queued (completions are called), ends the thread. NULL is fine. */
void store_close(struct store *s);

/* Control's start counter: committed before store_open() returned, higher at every start. */
uint64_t store_epoch(const struct store *s);
int store_event_fd(const struct store *s);
void store_poll(struct store *s);
void store_submit(struct store *s);
/* The last failure was a full disk, and no write has succeeded since. */
bool store_disk_full(const struct store *s);
/* Room set aside for the log: what there is of it, and what there is to be. */
uint64_t store_reserve(const struct store *s, uint64_t *ret_wanted);
/* Now and then: makes the reserve whole again when there is room. No write. */
void store_reserve_refill(struct store *s);
/* Transactions that failed and were undone. */
uint64_t store_writes_failed(const struct store *s);
/* Commits so far, queued writes not yet completed: for metrics and tests. */
uint64_t store_commits(const struct store *s);
size_t store_queued(const struct store *s);

/* ---- event log ---- */
/* Appends `n` events of one briefing, all or none; they are encoded before the call returns. A `scheduled` event makes the
 * briefing; opened, closed, recording keep the index. 0: queued. ERR_INVAL, ERR_NOMEM: not queued, no completion. */
int store_append(struct store *s, const char *briefing, uint64_t epoch, const struct briefing_event *events, size_t n,
                 store_done done, void *ctx);
/* [start] Events from `from_seq` on, in order, chain of hashes checked from the beginning. `event` is borrowed for the call;
 * a result other than 0 ends the reading and is returned. ERR_NOTFOUND, ERR_AUTH (the chain is broken), ERR_MALFORMED,
 * ERR_IO. */
int store_read(struct store *s, const char *briefing, uint64_t from_seq,
               int (*event)(void *ctx, const struct briefing_event *event), void *ctx);
/* The same on the store's thread, for requests while serving: `event` is called from store_poll(), then `done`. */
int store_read_later(struct store *s, const char *briefing, uint64_t from_seq,
                     int (*event)(void *ctx, const struct briefing_event *event), store_done done, void *ctx);
/* Writes recordings/FORMAT.md's events.jsonl on the store's thread: beside `path`, synced, then renamed; mode 0600. */
int store_export_events(struct store *s, const char *briefing, const char *path, store_done done, void *ctx);

/* ---- index of briefings ---- */
struct store_briefing {
    char id[WISH_ID_MAX], title[BRIEFING_TITLE_MAX];
    int64_t starts_ms, opened_ms, closed_ms; /* 0: not yet */
    enum briefing_phase phase;
    bool record, recording;
    size_t n_units;
    const char (*units)[WISH_ID_MAX]; /* invited unit ids */
};
/* Follows the log: an event counts here when its append has completed. */
/* Scheduled to start in [from_ms, to_ms) or open now, by start. Borrowed until the next call. `each` returns false to end.
 */
void store_briefings(struct store *s, int64_t from_ms, int64_t to_ms,
                     bool (*each)(void *ctx, const struct store_briefing *b), void *ctx);
/* NULL: unknown. Borrowed until the next call. */
const struct store_briefing *store_briefing_find(struct store *s, const char *id);

/* ---- resume secrets: SHA-256 of an endpoint's secret; they go when their briefing's `closed` is appended ---- */
int store_secret_put(struct store *s, const char *briefing, const char *endpoint, const uint8_t hash[STORE_HASH_BYTES],
                     store_done done, void *ctx);
/* ERR_NOTFOUND. Compare in constant time (sodium_memcmp). */
int store_secret_get(struct store *s, const char *briefing, const char *endpoint, uint8_t ret_hash[STORE_HASH_BYTES]);

/* ---- units ---- */
struct store_unit {
    char id[WISH_ID_MAX], name[BRIEFING_UNIT_NAME_MAX], short_name[BRIEFING_UNIT_SHORT_MAX];
    char kind[24], valid_to[16]; /* "province", "department", "district"…; "2025-06-30" or "" */
    int order;
};
/* By order. Borrowed for the store's life. */
const struct store_unit *store_units(const struct store *s, size_t *ret_n);
const struct store_unit *store_unit_find(const struct store *s, const char *id);

/* ---- accounts ---- */
struct store_account {
    char login[64], name[128], unit[WISH_ID_MAX];
    enum role role;
    char hash[128]; /* argon2id string of libsodium */
    unsigned failures;
    int64_t locked_until_ms; /* 0: not locked */
};
/* ERR_EXISTS. */
int store_account_add(struct store *s, const struct store_account *account, store_done done, void *ctx);
int store_account_find(struct store *s, const char *login, struct store_account *ret_account); /* ERR_NOTFOUND */
int store_account_set_hash(struct store *s, const char *login, const char *hash, store_done done, void *ctx);
int store_account_unlock(struct store *s, const char *login, store_done done, void *ctx);
/* After a wrong and after a right password. The fifth failure in a row locks: *ret_locked. ERR_NOTFOUND. */
int store_login_failed(struct store *s, const char *login, int64_t now_ms, bool *ret_locked);
int store_login_succeeded(struct store *s, const char *login);
bool store_account_locked(const struct store_account *account, int64_t now_ms);
size_t store_accounts(const struct store *s); /* how many: none means that the first administrator's link is due */

/* ---- sessions: by SHA-256 of the cookie's value ---- */
struct store_session {
    uint8_t hash[STORE_HASH_BYTES];
    struct identity who;
    int64_t made_ms, expires_ms;
};
int store_session_put(struct store *s, const struct store_session *session, store_done done, void *ctx); /* or replaces */
int store_session_find(struct store *s, const uint8_t hash[STORE_HASH_BYTES], int64_t now_ms,
                       struct store_session *ret_session); /* ERR_NOTFOUND, also when expired */
int store_session_drop(struct store *s, const uint8_t hash[STORE_HASH_BYTES]);
void store_sessions_expire(struct store *s, int64_t now_ms); /* now and then: forgets expired sessions */

/* ---- one-time tokens ---- */
/* Marks a token's `n` as used. ERR_EXISTS: it was used before. Act on `done` with err 0 only. */
int store_token_use(struct store *s, const char *nonce, int64_t expires_ms, store_done done, void *ctx);
bool store_token_used(struct store *s, const char *nonce);
/* Now and then: forgets marks of tokens that are not valid any more. `now_ms` must be no later than what tokens are judged
 * by, or one could be used again. */
void store_tokens_expire(struct store *s, int64_t now_ms);

/* ---- clock ---- */
/* [start] The offset that was put in this boot of the machine, and when (monotonic). False: none was. */
bool store_clock(struct store *s, int64_t *ret_offset_us, int64_t *ret_saved_us);
void store_clock_put(struct store *s, int64_t offset_us, int64_t now_us);

/* ---- archive index ---- */
enum store_recording_state { RECORDING_RECORDING, RECORDING_QUEUED, RECORDING_COMPOSING, RECORDING_READY, RECORDING_FAILED };
#define RECORDING_MP4 1u
#define RECORDING_WEBM 2u
struct store_recording {
    char briefing[WISH_ID_MAX], title[BRIEFING_TITLE_MAX];
    int64_t opened_ms;
    double seconds;
    enum store_recording_state state;
    unsigned percent;
    unsigned formats; /* RECORDING_MP4 | RECORDING_WEBM: ready ones */
};
const char *store_recording_state_name(enum store_recording_state state);
int store_recording_put(struct store *s, const struct store_recording *r, store_done done, void *ctx);  /* or replaces */
int store_recording_find(struct store *s, const char *briefing, struct store_recording *ret_recording); /* ERR_NOTFOUND */
/* Newest first. `each` returns false to end. */
void store_recordings(struct store *s, bool (*each)(void *ctx, const struct store_recording *r), void *ctx);
