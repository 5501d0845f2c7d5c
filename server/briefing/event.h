/* Events of a briefing: what the log holds, what a replay folds, what clients are told.
 *
 * Every change of a state is an event of its own and folds without knowing a rule: granting the floor, for instance, is
 * `hand-lowered`, `media` (former holder's microphone closed), `floor-granted`, `media` (holder's microphone open). A
 * client's fold and ours are therefore the same few assignments:
 *   media        sets the three switches            muted, all-muted  clear microphones
 *   left         clears connected and the switches  removed           takes the endpoint out
 *   joined       adds it or brings it back (switches off; number and id as before)
 *   floor-…, hand-…, spotlighted, screen-shown, microphones-locked, recording, opened, closed   set their one field
 *
 * Stored form (canonical JSON: keys sorted, no space, UTF-8): {"at_ms","at_us","data":{…},"event","seq","v":1}. These bytes
 * are hashed and stored; they are never written again. `v` is the schema version; older ones are raised on read.
 *
 * Ownership: an event owns its `schedule` (briefing_event_clear). Pure. Thread: any. */
#pragma once

#include "briefing/role.h"

#include <jansson.h>

#define BRIEFING_EVENT_VERSION 1
#define BRIEFING_EVENT_BYTES_MAX (256 * 1024)
#define BRIEFING_TITLE_MAX 400      /* bytes with NUL */
#define BRIEFING_UNIT_NAME_MAX 200  /* bytes with NUL */
#define BRIEFING_UNIT_SHORT_MAX 100 /* bytes with NUL */
#define BRIEFING_UNITS_MAX 600
#define BRIEFING_EXCEPT_MAX 16

enum briefing_event_kind {
    EVENT_SCHEDULED, /* first of every log; no client is told, its content is in every snapshot */
    EVENT_OPENED,
    EVENT_CLOSED,
    EVENT_JOINED,
    EVENT_LEFT,
    EVENT_MEDIA,
    EVENT_HAND_RAISED,
    EVENT_HAND_LOWERED,
    EVENT_FLOOR_GRANTED,
    EVENT_FLOOR_REVOKED,
    EVENT_MUTED,
    EVENT_ALL_MUTED,
    EVENT_MICROPHONES_LOCKED,
    EVENT_SPOTLIGHTED,
    EVENT_REMOVED,
    EVENT_SCREEN_SHOWN,
    EVENT_RECORDING,
    EVENT_KINDS,
};

enum endpoint_kind { ENDPOINT_ROOM, ENDPOINT_DESK, ENDPOINT_PHONE, ENDPOINT_SIM };

struct briefing_unit {
    char id[WISH_ID_MAX], name[BRIEFING_UNIT_NAME_MAX], short_name[BRIEFING_UNIT_SHORT_MAX];
};

struct briefing_schedule {
    char id[WISH_ID_MAX], title[BRIEFING_TITLE_MAX];
    int64_t starts_ms;
    bool record;                 /* recording follows the opening */
    struct briefing_unit *units; /* invited, named as they are called at that time */
    size_t n_units;
};

/* Who joins: one endpoint of one unit. */
struct briefing_seat {
    char id[WISH_ID_MAX]; /* endpoint id: a new one, or that of a resumed endpoint */
    struct briefing_unit unit;
    char name[128]; /* person's or room's name, may be "" */
    char key[80];   /* account or link it came by ("login:x", "link:n"); stays in the log, clients don't see it */
    enum role role;
    enum endpoint_kind kind;
};

struct briefing_event {
    enum briefing_event_kind kind;
    uint64_t seq;                         /* 1, 2, 3 … in the briefing's log */
    int64_t at_ms;                        /* wall, for people */
    int64_t at_us;                        /* CLOCK_MONOTONIC, for media */
    uint32_t number;                      /* whom it concerns; spotlighted, screen-shown: 0 for nobody */
    uint32_t by;                          /* muted, removed: who did it, 0: the server or an administrator */
    bool on;                              /* microphones-locked, recording */
    bool microphone, camera, screen;      /* media */
    bool hears;                           /* joined */
    struct briefing_seat seat;            /* joined */
    uint32_t except[BRIEFING_EXCEPT_MAX]; /* all-muted */
    size_t n_except;
    struct briefing_schedule *schedule; /* scheduled; owned */
};

/* A growing list; zero-initialised is empty. */
struct briefing_events {
    struct briefing_event *items;
    size_t n, cap;
};

void briefing_event_clear(struct briefing_event *e);
void briefing_events_free(struct briefing_events *l); /* frees what it owns; the list may be used again */
void briefing_schedule_free(struct briefing_schedule *s);
struct briefing_schedule *briefing_schedule_copy(const struct briefing_schedule *s); /* NULL: no memory */

/* "floor-granted", …; never NULL. */
const char *briefing_event_name(enum briefing_event_kind kind);
const char *endpoint_kind_name(enum endpoint_kind kind);
int endpoint_kind_parse(const char *name, enum endpoint_kind *ret_kind);

/* Stored form, malloc'd, NUL-terminated; NULL when out of memory. */
char *briefing_event_encode(const struct briefing_event *e, size_t *ret_len);
/* Strict. ERR_MALFORMED, ERR_UNSUPPORTED (a newer schema), ERR_NOMEM. The result is the caller's to clear. */
int briefing_event_decode(const char *bytes, size_t len, struct briefing_event *ret_event);

/* May this role see it? The log's numbers have holes for a client; `prev` bridges them. */
bool briefing_event_visible(enum briefing_event_kind kind, enum role role);
/* What a client is told: {"event","seq","prev","at_ms","data"}. A new reference, NULL when out of memory. `prev` is
 * briefing_last_visible() of its role before this event. A client has a hole when `prev` is above the last it has seen. */
json_t *briefing_event_message(const struct briefing_event *e, uint64_t prev);
/* `data` alone, as clients see it (also for events.jsonl). */
json_t *briefing_event_data(const struct briefing_event *e);
