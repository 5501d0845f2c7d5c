/* giaoband: what its parts share. Private to this folder.
 *
 *   control_main.c  start, loop, stop                    meeting.c   one briefing: two folds, commits, broadcast
 *   link.c          messages with the supervisor         entry.c     hello, resume, take-over, absence
 *   worker.c        wish links to the workers            offer.c     offers, placement, layout
 *   feed.c          making and opening feeds             http.c      /api/v1: briefings, links
 *   recording.c     recorders, composing                 archive.c   /api/v1/archive
 *   aside.c         work for the helper thread           move.c      endpoints from leaving workers to new ones
 *   admission.c     joins a second                       checks.c    checks of a room's picture and sound
 *   alarm.c         what ails the machine                room.c      how long the disk lasts
 *   wishes.c        what goes to the workers             sites.c     rooms that share a line
 *
 * Thread: control's loop owns everything here; feed.c's helper thread makes memfds, aside.c's does what its jobs say. Times
 * are CLOCK_MONOTONIC µs unless they say `_ms` (wall). */
#pragma once

#include "base/link.h"
#include "base/steady.h"
#include "briefing/briefing.h"
#include "control/config.h"
#include "control/site_list.h"
#include "control/turn.h"
#include "signaling/bucket.h"
#include "signaling/signaling.h"
#include "store/store.h"
#include "wish/message.h"

#include <stdatomic.h>
#include <stdio.h>

enum {
    WORKERS_MAX = 128, /* two banks of 64: an upgrade has new ones beside the old */
    SEATS_MAX = WISH_ENDPOINT_NUMBER_MAX + 1,
    RECENT_MAX = 500, /* events that a returning client gets instead of a snapshot */
    SECRET_BYTES = 16,
};
#define ABSENCE_US 15000000       /* without a socket for so long: `left` */
#define OFFER_US 5000000          /* in a worker's hand; then its client is told and tries again */
#define OFFER_WAIT_US 8000000     /* for its turn; clients give up after 10 s */
enum { OFFERS_IN_HAND = 4 };      /* of a worker at a time: the others wait here, in order */
#define HOLD_US 1000000           /* after our own restart no wish leaves before all workers have said HELLO, or so long */
#define CLOSED_LINGER_US 30000000 /* people read that it is over; then their sockets end */
#define SLOW_TURN_US 5000         /* the loop never keeps anybody waiting longer: what would is done aside */
#define CRASH_WINDOW_US                                                                                                     \
    10000000 /* workers that died on one endpoint's offer within this keep it out for limits.quarantine_seconds */
enum { CRASHES_MAX = 3 };

/* What ails the machine, see alarm.c; names in alarm_codes. */
enum alarm { ALARM_LOG_RESERVE, ALARM_LOG_FULL, ALARM_CLOCK_STEPPED, ALARMS };
extern const char *const alarm_codes[ALARMS];

struct control;
struct meeting;

/* What control knows of one endpoint besides the log: its socket, its place, what its worker reports. By number. */
struct seat {
    struct ws_peer *peer; /* NULL: no socket */
    int64_t absent_us;    /* since when there is none; 0: there is one, or the endpoint is not connected */
    uint8_t worker;       /* WISH_UNPLACED before its first offer */
    bool connected;       /* the worker says: DTLS is up */
    bool layout_known;    /* its client's, not a worker's memory of it */
    uint8_t site;         /* of control.sites, 0: none; by its newest socket */
    bool expected;        /* connected before our own restart; not yet known where */
    uint32_t incarnation;
    json_t *slots; /* what is in its receive slots, as last told; NULL: nothing yet */
    json_t *send;  /* what it should send, likewise */
    unsigned loss_permille, bps;
    unsigned paused;         /* pictures that its line does not hold */
    json_int_t estimate_bps; /* what its line to it holds; 0: unknown */
    int level;
    unsigned crashes; /* workers that died while they had its offer in hand */
    int64_t crash_us, quarantined_until_us;
    uint8_t moves; /* how often it was asked to join another worker since this one leaves */
};

/* A websocket that has said hello (or is about to): its peer's user pointer. */
struct visitor {
    struct meeting *meeting; /* NULL before hello */
    uint32_t number;
    bool entering; /* a join waits for admission or is being committed */
};

struct meeting {
    struct control *control;
    struct meeting *next;
    struct briefing *ahead, *settled; /* see briefing.h */
    struct people clock;              /* for people: the log's times */
    unsigned fold;                    /* rises when `ahead` is thrown away: appends of an older fold are void */
    struct seat seats[SEATS_MAX];
    struct briefing_events recent;
    struct wish_briefing wish; /* as last sent */
    uint64_t version;
    uint64_t sent[WORKERS_MAX]; /* version that a worker holds, 0: none */
    bool dirty;                 /* the wish may have changed */
    bool lift;                  /* the next one goes out even if it is the same: restrictions are settled */
    uint8_t home;               /* WISH_UNPLACED: none yet */
    unsigned turn;
    int64_t closed_us;        /* when it was closed, 0: it isn't */
    uint32_t speaker;         /* as last told */
    int64_t recorded_from_us; /* first `recording` on, 0: none yet */
    int64_t recorded_to_us;   /* last `recording` off */
    bool told_unwell;         /* staff knows that what is to be recorded can't be, or for how long */
    bool disk_short;          /* … less than is planned */
};

/* A commit under way and whom to answer. */
struct commit {
    struct commit *next;
    struct meeting *meeting;
    struct briefing_events events;
    unsigned fold;
    bool has_joined; /* a hello: answered by entry.c */
    struct ws_peer *peer;
    int64_t id;
    struct http_call *call;
    char secret[2 * SECRET_BYTES + 1];
    uint64_t acts[32];
    size_t n_acts;
};

/* What the supervisor says of an upgrade in place. */
struct upgrade_state {
    enum upgrade_step step;
    unsigned moving;
    char text[LINK_TEXT_MAX];
};

/* The endpoint that is asked to join another worker at this moment. */
struct moving {
    char briefing[WISH_ID_MAX]; /* "": none */
    uint32_t number;
    int64_t until_us, next_us, told_us;
};

struct admission;
struct aside;
struct check;
struct offer;
struct worker;
struct feed;
struct feed_maker;
struct recording;

struct control {
    struct config config;
    struct site_list sites;
    uint16_t site_endpoints[SITES_MAX + 1][WORKERS_MAX]; /* connected ones, as wishes say */
    char turn_secret[TURN_SECRET_MAX + 1];               /* "": no turn.urls */
    struct store *store;
    struct signaling *signaling;
    uint64_t epoch;
    bool stopping;
    int64_t stop_at_us;
    _Atomic uint64_t *beat;
    uint32_t beat_cell;
    bool linked; /* the supervisor's link is up */
    struct meeting *meetings;
    struct commit *commits;
    struct offer *offers_open;
    int64_t next_req;
    struct worker *workers[WORKERS_MAX];
    unsigned workers_expected; /* by the supervisor, at our start */
    struct moving moving;
    struct upgrade_state upgrade;
    uint64_t next_act;
    struct feed *feeds;
    struct feed_maker *maker;
    struct aside *aside; /* aside.h */
    uint32_t next_feed;
    bool feeds_known;        /* LINK_KEPT_END has come */
    int64_t hold_until_us;   /* see wishes_held(); 0: over */
    int64_t expect_until_us; /* see workers_known() */
    struct recording *recordings;
    struct check *checks; /* in the order of asking */
    int checker_fd;       /* giaoban-check; −1: it doesn't run */
    int64_t checker_gone_us;
    uint32_t next_check;
    uint64_t free_bytes; /* on the data directory's disk */
    bool looking;
    unsigned alarms; /* bits by enum alarm */
    int64_t alarm_told_us, refill_us;
    struct steady steady; /* for what runs out */
    int64_t steady_saved_us, steady_saved_offset_us;
    int64_t tick_us, second_us, two_seconds_us; /* when the periodic work is due */
    int64_t longest_turn_us;                    /* without its wait */
    int64_t longest_turn_cpu_us;                /* of it, what we had the processor for; the longest of its own */
    uint64_t slow_turns;                        /* over SLOW_TURN_US */
    uint64_t slow_turns_cpu;                    /* of processor time alone */
    uint64_t feeds_broken;
    uint64_t events_appended, offers, offers_refused, offers_waited, commits_failed;
    uint64_t checks_done, checks_failed;
    struct admission *admissions; /* admission.c; first come, first served */
    struct bucket admitted;
    int64_t admissions_told_us;
    uint64_t joins, joins_waited, joins_full;
};

/* ---- meeting.c ---- */
/* Loads every briefing that is not closed. [start] */
int meetings_load(struct control *c, const char **ret_why);
struct meeting *meeting_find(struct control *c, const char *id);
/* An empty one for a briefing to be scheduled; freed again when the commit fails. NULL: no memory. */
struct meeting *meeting_new(struct control *c);
void meetings_free(struct control *c);
void meeting_remove(struct meeting *m);
/* Asks the core, applies to `ahead`, acts on media at once if it restricts, queues the append. NULL: done or under way; what
 * is answered comes later through `asker` (copied; may be NULL). A command that changes nothing is answered at once. */
const struct refusal *meeting_command(struct meeting *m, struct briefing_command *command, const struct commit *asker);
/* What time it is in the briefing, for people: see base/steady.h. `m` NULL: the machine's. */
int64_t meeting_now_ms(const struct meeting *m);
/* Lets go of briefings that have been over for a while. */
void meetings_tick(struct control *c, int64_t now_us);
void meeting_forget_peer(struct control *c, const struct ws_peer *peer);
/* A notice to everyone in the briefing, or to staff alone (chair, secretary, technician, administrator). `data` is taken
 * over. */
void meeting_notice(struct meeting *m, bool staff_only, const char *name, json_t *data);
void peer_notice(struct ws_peer *peer, const char *name, json_t *data);
bool role_is_staff(enum role role);
void new_id(const char *prefix, char *ret, size_t cap);

/* ---- request.c ---- */
void request_on_peer(void *ctx, struct ws_peer *peer, int64_t id, const char *method, const json_t *params);

/* ---- entry.c ---- */
void entry_hello(struct control *c, struct ws_peer *peer, int64_t id, const json_t *params);
void entry_admitted(struct control *c, struct ws_peer *peer, int64_t id, const json_t *params); /* a hello that waited */
void entry_joined(struct commit *commit, int err);
void entry_closed(struct control *c, struct ws_peer *peer);
/* A socket that is not the endpoint's any more is told and closed. */
void entry_dismiss(struct control *c, struct ws_peer *peer, const char *notice);
void entries_tick(struct control *c, int64_t now_us);

/* ---- admission.c ---- */
bool admission_take(struct control *c, int64_t now_us);                                        /* it may join now */
int admission_wait(struct control *c, struct ws_peer *peer, int64_t id, const json_t *params); /* −1: no memory */
unsigned admissions_waiting(const struct control *c);
void admissions_tick(struct control *c, int64_t now_us);
void admission_forget_peer(struct control *c, const struct ws_peer *peer);

/* ---- offer.c ---- */
void offer_request(struct meeting *m, uint32_t number, struct ws_peer *peer, int64_t id, const json_t *params);
void offer_layout(struct meeting *m, uint32_t number, struct ws_peer *peer, int64_t id, const json_t *params);
void offer_answered(struct control *c, unsigned worker, const json_t *message);
void offer_forget_peer(struct control *c, const struct ws_peer *peer);
void offers_of_worker_gone(struct control *c, unsigned worker);
void offers_tick(struct control *c, int64_t now_us);
unsigned offers_waiting(const struct control *c); /* for a worker's hand to be free */
bool offers_pending(const struct control *c, const struct meeting *m);
bool offers_pending_at(const struct control *c, unsigned worker);
/* A place for an endpoint: a worker that has said HELLO. WISH_UNPLACED: none lives. */
uint8_t placement_choose(struct meeting *m, uint32_t number);
void seat_unplace(struct meeting *m, uint32_t number);

/* ---- worker.c ---- */
void worker_linked(struct control *c, unsigned index, uint32_t generation, bool leaving, int fd);
void worker_gone(struct control *c, unsigned index, uint32_t generation);
bool worker_lives(const struct control *c, unsigned index);
bool worker_leaves(const struct control *c, unsigned index); /* and lives */
bool worker_stays(const struct control *c, unsigned index);  /* and lives: endpoints may be placed there */
bool worker_awaited(const struct control *c);                /* one that stays has not said HELLO */
uint32_t worker_generation(const struct control *c, unsigned index);
/* A wish made after our own restart, before every worker has said what sits on it, would tear down what the others carry. */
bool wishes_held(struct control *c);
/* Every worker has said who sits on it since our own start, or has had its time for it. */
bool workers_known(const struct control *c);
unsigned worker_load(const struct control *c, unsigned index); /* endpoints placed there */
/* Queues a message (taken over) with copies of the descriptors. Bounded: when full, the link starts over with full wishes.
 */
void worker_send(struct control *c, unsigned index, json_t *message, const int *fds, size_t n_fds);
void workers_drain(struct control *c);
bool workers_waiting(const struct control *c);
const json_t *worker_counters(const struct control *c, unsigned index); /* NULL: none yet */
void workers_free(struct control *c);
void workers_tell_limits(struct control *c); /* after a reload */

/* ---- wishes.c ---- */
/* Sends wish changes of all dirty meetings to their workers. */
void meetings_flush(struct control *c);
void meeting_flush(struct meeting *m);

/* ---- sites.c ---- */
void seat_find_site(struct meeting *m, uint32_t number);         /* its socket is another one */
const char *site_name(const struct meeting *m, uint32_t number); /* "": none */
void sites_tick(struct control *c);
void sites_fill(const struct meeting *m, struct wish_briefing *wish);
void sites_print(FILE *to, const struct control *c); /* for /metrics */

/* ---- move.c ---- */
void moves_tick(struct control *c, int64_t now_us);

/* ---- report.c: what a worker says about media ---- */
void report_state(struct control *c, unsigned worker, const json_t *message);
void report_lines(struct control *c); /* every two seconds, to staff */

/* ---- feed.c ---- */
int feeds_start(struct control *c);
void feeds_stop(struct control *c);
void feeds_kept(struct control *c, const struct link_message *m, const int *fds, size_t n_fds);
/* Brings the feeds of all meetings to what placement and recording ask for. */
void feeds_update(struct control *c);
void feeds_worker_gone(struct control *c, unsigned worker);
void feeds_worker_back(struct control *c, unsigned worker, const json_t *feeds);
void feed_ready(struct control *c, unsigned worker, uint32_t id);
/* Its writer broke the format and is being killed: another feed takes its place. */
void feed_broke(struct control *c, uint32_t id);
void feeds_drop_recorder(struct control *c, const char *briefing);
/* The worker holds nothing of the briefing any more: it ends what it wrote. */
void feeds_left(struct control *c, const char *briefing, unsigned worker);
/* A feed for one look at an endpoint; check_feed_ready() or check_feed_lost() follows. 0: no memory. */
uint32_t feed_check_open(struct control *c, const char *briefing, unsigned worker, uint32_t endpoint);
void feed_check_close(struct control *c, uint32_t id);
/* A worker won't have it. */
void feed_refused(struct control *c, unsigned worker, uint32_t id);

/* ---- checks.c ---- */
void check_request(struct meeting *m, uint32_t by, struct ws_peer *peer, int64_t id, const json_t *params);
/* The same for an administrator on this machine. */
void check_call(struct meeting *m, struct http_call *call, const json_t *params);
void checker_linked(struct control *c, int fd); /* giaoban-check, with a new socket: taken over */
/* The worker writes it; the descriptors stay feed.c's. */
void check_feed_ready(struct control *c, uint32_t feed, int data, int tail);
void check_feed_lost(struct control *c, uint32_t feed);
void checks_forget_peer(struct control *c, const struct ws_peer *peer);
void checks_tick(struct control *c, int64_t now_us);
unsigned checks_running(const struct control *c); /* that giaoban-check has in hand */
void checks_free(struct control *c);

/* ---- recording.c ---- */
void recordings_resume(struct control *c); /* after LINK_KEPT_END */
void recording_follow(struct meeting *m, const struct briefing_event *e);
bool recording_runs(const struct control *c, const char *briefing);
void recording_recorder(struct control *c, const struct link_message *m);
void recording_composed(struct control *c, const struct link_message *m);
/* What recording says to a command. Switching it on is refused while disk or recorder aren't healthy; opening a briefing
 * that is to be recorded isn't: it opens unrecorded, and its staff is told (they are before, too). */
const struct refusal *recording_check(const struct meeting *m, struct briefing_command *command);
const struct refusal *recording_compose(struct control *c, const char *briefing, unsigned format);
unsigned recording_percent(const struct control *c, const char *briefing, unsigned fallback);
void recordings_tick(struct control *c);
void recordings_free(struct control *c);
void recording_dir(const struct control *c, const char *briefing, char *ret, size_t cap);

/* Alarms of recordings, for /metrics. */
void recordings_print(FILE *to, const struct control *c);
double recordings_bps(const struct control *c);
/* Seconds for which the disk takes what is being recorded now; ROOM_FOREVER_S: nothing is. */
int64_t recordings_left_s(const struct control *c);
/* The configuration was read again. */
void recordings_reload(struct control *c);

/* ---- alarm.c ---- */
void alarms_start(struct control *c);
void alarms_tick(struct control *c, int64_t now_us); /* once a second */

/* ---- http.c, archive.c, metrics.c ---- */
void http_request(void *ctx, struct http_call *call, const char *verb, const char *path, const char *query,
                  const json_t *body);
void archive_request(struct control *c, struct http_call *call, const char *verb, const char *rest, const json_t *body);
bool archive_may_read(void *ctx, const struct identity *who, const char *briefing);
char *metrics_text(void *ctx);
/* The administrator's one-time link, "/first/<token>", valid for a day. */
void control_peer_closed(void *ctx, struct ws_peer *peer); /* control_main.c */
int first_link(const struct control *c, char *ret_path, size_t cap);

/* ---- link.c ---- */
void link_readable(void *ctx, int fd);
/* Sends to the supervisor, with this text. */
void link_say(const struct link_message *m, const char *text, const int *fds, size_t n_fds);
