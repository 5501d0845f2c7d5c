/* Briefing core: one meeting. A command is checked against the state and yields events or a refusal; events are folded into
 * the state; the state yields the snapshot, the summary and the wish.
 *
 * Pure: no clock, socket, thread, randomness or log; time and ids are parameters. Thread: any, one object a thread.
 *
 * How control uses it. The log is the truth: events are appended, then applied, broadcast and acted on. A commit takes
 * milliseconds while commands come in, so control keeps two folds of each briefing:
 *   ahead   = everything decided: briefing_command() is asked of it, its events are applied to it at once and handed to
 *             store_append();
 *   settled = everything on disk: when the append completes, the same events are applied to it; snapshot, messages, layout,
 *             placement and wish are this one's.
 * When an append fails, `ahead` is thrown away and becomes a copy of `settled` (briefing_copy). The restrictive acts
 * (briefing_command_restricts) may reach media before the commit.
 *
 * Rules worth knowing
 * - Numbers rise from 1 and are never used again; an endpoint keeps number and id for the briefing's life.
 * - A lost connection is `left` (control waits 15 s first): floor and hand stay. Leaving (`leave`) gives them up.
 * - JOIN of an endpoint that is connected yields no event: it is a take-over, and control's matter.
 * - A unit's second endpoint (delegates, observers: who sits in a unit's room) joins with hears = false. Chair, secretary
 *   and technician have a seat of their own and neither count nor are counted.
 * - Locking keeps microphones from being opened; it closes none (mute-all does). Chair, secretary and floor holder may open
 *   theirs all the same. Observers send nothing.
 * - Closing ends everything: nobody is connected, the wish is empty. What comes later yields no event or "already-closed".
 * - Who was removed does not come back with the same endpoint, link or account until the briefing is over.
 * - Before the opening, people may join, test sound and pictures; floor, hands and recording need an open briefing.
 * - Stage: spotlight, else floor holder, else chair, each if connected; for whoever that is itself: the chair, or the former
 *   holder if it is the chair. Granting the floor ends a spotlight.
 *
 * Left out: sockets and their take-over, timing of `left`, recorder's health (control refuses before it asks), ballots,
 * agenda, papers. */
#pragma once

#include "briefing/event.h"
#include "briefing/refusal.h"

struct briefing;

enum briefing_phase { BRIEFING_SCHEDULED, BRIEFING_OPEN, BRIEFING_CLOSED };

enum briefing_command_kind {
    COMMAND_SCHEDULE, /* on an empty briefing only; `schedule` */
    COMMAND_OPEN,
    COMMAND_CLOSE,
    COMMAND_JOIN,  /* `seat` */
    COMMAND_LOST,  /* control: the endpoint's connection has been gone for too long; `endpoint` */
    COMMAND_LEAVE, /* by itself */
    COMMAND_MEDIA, /* `microphone`, `camera`, `screen` */
    COMMAND_RAISE_HAND,
    COMMAND_LOWER_HAND, /* `endpoint`, 0: itself; the same for raising */
    COMMAND_GRANT,
    COMMAND_REVOKE,
    COMMAND_MUTE,
    COMMAND_MUTE_ALL,
    COMMAND_LOCK_MICROPHONES, /* `on` */
    COMMAND_SPOTLIGHT,        /* `endpoint`, 0: nobody */
    COMMAND_REMOVE,
    COMMAND_RECORD, /* `on` */
    COMMAND_KINDS,
};

struct briefing_command {
    enum briefing_command_kind kind;
    uint32_t by;    /* the acting endpoint; 0: through the API or by control itself, then `role` counts */
    enum role role; /* with by = 0 only; ROLE_ADMINISTRATOR may do everything */
    uint32_t endpoint;
    bool on, microphone, camera, screen;
    bool unrecorded; /* open: the recorder isn't healthy, so recording isn't switched on whatever the schedule says */
    const struct briefing_seat *seat;
    const struct briefing_schedule *schedule;
    int64_t at_ms, at_us; /* wall and CLOCK_MONOTONIC */
};

struct briefing_endpoint {
    char id[WISH_ID_MAX];
    uint32_t number;
    struct briefing_unit unit;
    char name[128], key[80];
    enum role role;
    enum endpoint_kind kind;
    bool connected;
    bool removed;                    /* not in snapshot and wish any more, kept to refuse its return */
    bool microphone, camera, screen; /* microphone: open, as the server forwards it */
    bool hears;
    int64_t hand_ms;   /* when its hand went up, 0: down */
    uint64_t hand_seq; /* the event that raised it: the order of the queue; 0: down */
};

/* What one endpoint's screen shows. Not an event: it is gone when control restarts, and clients send it again after hello.
 * Until then the wish assumes a 1280 × 720 stage, a 1920 × 1080 screen and no tiles: a restarted control therefore waits for
 * its endpoints' layouts before its first wish (processes.md), or sound goes on and tiles blink. */
struct briefing_layout {
    struct wish_size stage, screen;
    struct wish_tile tiles[WISH_TILES_MAX]; /* an unknown endpoint is an empty tile */
    uint8_t n_tiles;
};

struct briefing *briefing_new(void); /* empty: the first event must be `scheduled`; NULL: no memory */
void briefing_free(struct briefing *b);
struct briefing *briefing_copy(const struct briefing *b); /* with layouts and placements; NULL: no memory */
/* Equal in everything that events make (not layouts, placements). */
bool briefing_equal(const struct briefing *a, const struct briefing *b);

/* Method and params of a websocket request (open, close, media, raise-hand, …, leave) as a command; `by`, times are the
 * caller's. NULL: done. Otherwise "unknown-method" or "bad-params". join and schedule are no methods. */
const struct refusal *briefing_command_parse(const char *method, const json_t *params, struct briefing_command *ret_command);
/* mute, mute-all, remove, revoke: may act on media before the commit. */
bool briefing_command_restricts(enum briefing_command_kind kind);

/* NULL: allowed, and the events (maybe none: it is so already) are appended to `events`, numbered from briefing_seq() + 1;
 * they are not applied. Otherwise the refusal, and `events` as before. */
const struct refusal *briefing_command(const struct briefing *b, const struct briefing_command *c,
                                       struct briefing_events *events);

/* Folds one event. ERR_STATE: its number is not the next one, or it cannot follow this state (a broken log); ERR_NOMEM. The
 * state is unchanged then. */
int briefing_apply(struct briefing *b, const struct briefing_event *e);

/* Snapshot as in signaling/protocol/README.md, for a role; a new reference, NULL: no memory. */
json_t *briefing_state(const struct briefing *b, enum role role);
/* Briefing summary as in the protocol; "role" is what the asker would be. */
json_t *briefing_summary(const struct briefing *b, enum role role);
/* First line of events.jsonl: {"briefing":{"id","title","units":{id:{"name","short"}}}}. */
json_t *briefing_export_head(const struct briefing *b);

/* The wish. `ret` is the caller's to free by wish_briefing_free(). Connected endpoints only. ERR_NOMEM. */
int briefing_wish(const struct briefing *b, struct wish_briefing *ret);
/* ERR_NOTFOUND. Placement: the endpoint's worker and incarnation, WISH_UNPLACED for none. */
int briefing_set_layout(struct briefing *b, uint32_t number, const struct briefing_layout *layout);
int briefing_set_placement(struct briefing *b, uint32_t number, uint8_t worker, uint32_t incarnation);
/* Configuration that the wish passes on: every camera is recorded too. */
void briefing_set_record_cameras(struct briefing *b, bool on);

/* May this identity enter (and see it in its list)? NULL: yes. The same check as JOIN's, without the removed. */
const struct refusal *briefing_may_enter(const struct briefing *b, const struct identity *who);

const char *briefing_id(const struct briefing *b);
const char *briefing_title(const struct briefing *b);
const struct briefing_schedule *briefing_schedule_of(const struct briefing *b); /* NULL while empty */
enum briefing_phase briefing_phase(const struct briefing *b);
const char *briefing_phase_name(enum briefing_phase phase); /* "scheduled", "open", "closed" */
uint64_t briefing_seq(const struct briefing *b);            /* of the last event applied */
uint64_t briefing_last_visible(const struct briefing *b, enum role role);
uint32_t briefing_floor(const struct briefing *b);
bool briefing_recording(const struct briefing *b);
int64_t briefing_opened_ms(const struct briefing *b); /* 0: not opened */
int64_t briefing_closed_ms(const struct briefing *b);
/* All there ever were, by rising number; removed ones too. Borrowed until the next apply. */
const struct briefing_endpoint *briefing_endpoints(const struct briefing *b, size_t *ret_n);
const struct briefing_endpoint *briefing_endpoint(const struct briefing *b, uint32_t number); /* NULL: unknown or removed */
const struct briefing_endpoint *briefing_endpoint_by_id(const struct briefing *b, const char *id); /* removed ones too */
size_t briefing_connected(const struct briefing *b);
