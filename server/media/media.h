/* Media: what giaoban-media is made of. One thread, one loop (net), one object of everything.
 *
 *   struct media      the process: net, sfu, link to the supervisor, link to control
 *   struct briefing   a briefing here: wish, restrictions, router, feeds
 *   struct endpoint   one offer of an endpoint: transport and peer; it takes part once the transport is connected
 *   struct feed       one way out of or into this worker besides the network
 *
 * media → briefings → endpoints, feeds     a parent owns its children
 *
 * Files: parent.c (supervisor link), control.c (wish protocol), briefing.c (wish, restrictions), join.c (offer → answer),
 * feeds.c (writers), mirrors.c (readers), report.c (state, metrics).
 *
 * Errors: what a client sends is refused or counted; what control sends and makes no sense is refused with a reason and
 * logged; nothing ends the process but the supervisor. Times in µs of CLOCK_MONOTONIC. */
#pragma once

#include "base/feed.h"
#include "base/link.h"
#include "net/net.h"
#include "sdp/sdp.h"
#include "sfu/router.h"
#include "wish/message.h"

#include <stdatomic.h>

enum {
    MEDIA_SOCKETS_MAX = LINK_FDS_MAX,
    MEDIA_CANDIDATES_MAX = SDP_CANDIDATES_MAX,
    MEDIA_QUEUE_MAX = 1024,
    HEARTBEAT_US = 100 * 1000,
    STATE_US = 20 * 1000,
    RATES_US = 1000 * 1000,
    FEED_TICK_US = 10 * 1000,
    TRACE_US = 1000 * 1000,
    FEED_META_US = 2 * 1000 * 1000,
};

struct media;
struct briefing;

struct restriction {
    uint64_t act;
    uint32_t endpoint; /* 0: every endpoint */
    uint8_t kinds;
    bool remove, settled; /* settled: the next wish carries it */
};

/* What was last told about an endpoint. */
struct reported {
    bool connected, speaking;
    uint32_t shown[SFU_SLOTS_MAX];
    bool paused[SFU_SLOTS_MAX];
    uint32_t wanted_version; /* of its sources' uplinks, summed */
};

struct endpoint {
    struct endpoint *next;
    struct briefing *briefing;
    uint32_t number, incarnation;
    struct net_transport *transport;
    struct peer *peer;
    bool connected;
    bool doomed; /* freed at the end of the turn */
    bool told;   /* `reported` has been sent … */
    int64_t told_us;
    struct reported reported;
    char fmtp[SFU_KINDS][SDP_FMTP_MAX];
};

enum feed_role { FEED_ROLE_WRITER, FEED_ROLE_READER, FEED_ROLE_RECORDER, FEED_ROLE_CHECK };

/* One track in a feed that we write. */
struct feed_track {
    uint32_t incarnation;
    uint8_t keyframe_seq[SFU_LAYERS]; /* of the cell, as last seen */
    uint8_t layer;                    /* recorder, check: what is written, SLOT_NO_LAYER: nothing yet */
    uint8_t target;
    bool chosen;           /* recorder, check: this track is written now */
    bool started;          /* records of this incarnation have been written */
    uint8_t wanted, alive; /* mirror: layers that the reader wants, that it was told to live */
    int64_t meta_us, rates_us;
    uint16_t heights[SFU_LAYERS];   /* of the layers, as told */
    int64_t newest_seq[SFU_LAYERS]; /* newest number written, of this incarnation */
};

struct feed {
    struct feed *next;
    struct briefing *briefing;
    uint64_t id;
    enum feed_role role;
    unsigned peer; /* the other worker; of a check, the endpoint that is looked at */
    struct feed_writer *writer;
    struct feed_reader *reader;
    int wake_fd; /* −1: none */
    bool broken;
    struct feed_track *tracks; /* writers: by track number */
};

struct briefing {
    struct briefing *next;
    struct media *media;
    char id[WISH_ID_MAX];
    uint64_t version;
    struct wish_briefing wish;      /* as told */
    struct wish_briefing effective; /* restrictions applied; what the router sees */
    struct restriction *restrictions;
    size_t n_restrictions;
    struct router *router;
    struct endpoint *endpoints;
    struct feed *feeds;
    uint32_t reported_speaker, reported_dirty; /* the router's, as last told */
};

struct queued {
    struct queued *next;
    size_t len;
    char body[];
};

struct feed_counters {
    uint64_t records_written, records_read, dropped, stale;
};

struct media {
    struct net *net;
    struct sfu sfu;
    uint32_t index, generation;
    _Atomic uint64_t *heartbeat; /* our cell */
    bool stop;

    int sockets[MEDIA_SOCKETS_MAX]; /* UDP, then the listeners */
    size_t n_sockets, n_listeners;
    char announced[LINK_TEXT_MAX];
    struct sdp_candidate candidates[MEDIA_CANDIDATES_MAX];
    size_t n_candidates;

    struct trace *trace; /* NULL: none */
    int trace_fd;
    int64_t trace_us;

    int control; /* −1: none */
    uint64_t epoch;
    struct queued *queue, **queue_end;
    size_t n_queued;
    bool state_lost; /* everybody's state is told again */
    bool hello_lost; /* the queue overflowed: hello is said again once it is empty */

    struct briefing *briefings;
    bool doomed;                   /* some endpoint is */
    struct wish_briefing incoming; /* a wish being received */
    uint64_t incoming_version;
    bool receiving;
    bool offer_taken; /* in this turn: one is enough, they take a millisecond */

    struct feed_counters feeds;
    int64_t heartbeat_us, state_us, rates_us, feed_us;

    struct sdp_offer offer; /* big: scratch of join.c */
    struct sdp_error sdp_error;
    struct sdp_answer answer;
    char text[SDP_BYTES_MAX + 1];
    char body[LINK_BODY_MAX + 1];
};

/* parent.c */
/* Takes the first messages of the supervisor (blocking) until sockets are there; makes net. */
int parent_start(struct media *m);
void parent_watch(struct media *m);

/* control.c */
void control_replace(struct media *m, int fd); /* a new link; watched at once when net is there */
void control_watch(struct media *m);           /* says hello */
void control_close(struct media *m);
void control_flush(struct media *m);
void control_send(struct media *m, json_t *message /* taken over */);
void control_refuse(struct media *m, json_int_t req, const char *code, const char *why);

/* briefing.c */
struct briefing *briefing_find(struct media *m, const char *id);
struct briefing *briefing_get(struct media *m, const char *id); /* made when missing; NULL: no memory */
void briefing_gone(struct briefing *b, int64_t now_us);
/* Takes `wish` over (its endpoints); applies it with the restrictions. */
void briefing_set_wish(struct briefing *b, struct wish_briefing *wish, uint64_t version, int64_t now_us);
int briefing_restrict(struct briefing *b, const struct restriction *r, int64_t now_us);
void briefing_settled(struct media *m, uint64_t act);
bool briefing_removed(const struct briefing *b, uint32_t number);

/* join.c */
void join_offer(struct briefing *b, json_int_t req, uint32_t number, uint32_t incarnation, const char *sdp, int64_t now_us);
void join_state(struct endpoint *e, enum net_state state, int64_t now_us);
struct endpoint *join_connected(const struct briefing *b, uint32_t number);
/* Marks it: no packet goes in or out from here on; its memory goes at the end of the turn. */
void endpoint_doom(struct endpoint *e, int64_t now_us);
/* Frees some of the doomed, if there are any; m->doomed: more are left. */
void endpoints_sweep(struct media *m, int64_t now_us);
void endpoints_drop(struct briefing *b, int64_t now_us); /* dooms and frees all of a briefing at once */
void join_find_candidates(struct media *m);

/* feeds.c: what we write */
int feeds_open(struct briefing *b, uint64_t id, enum feed_role role, unsigned peer, const int *fds, size_t n_fds);
void feed_close(struct feed *f, int64_t now_us);
struct feed *feeds_find(struct media *m, uint64_t id);
void feeds_tap(void *ctx, const struct sfu_tapped *t);
void feeds_track_ended(struct briefing *b, const struct source *s, int64_t now_us);
/* Cells, recorded layers, META, RATES; wakes readers. Returns when it wants to run again. */
int64_t feeds_tick(struct media *m, int64_t now_us);

/* mirrors.c: what we read */
void mirrors_read(struct feed *f, int64_t now_us);
void mirrors_want(void *ctx, struct source *s, uint8_t layers);
void mirrors_keyframe(void *ctx, struct source *s, uint8_t layers);
void mirrors_end(struct feed *f, int64_t now_us);
/* Reads all feeds; returns false when nothing more waits and every reader sleeps. */
bool mirrors_turn(struct media *m, int64_t now_us);

/* report.c */
void report_hello(struct media *m);
void report_turn(struct media *m, int64_t now_us);
/* An endpoint that had been told as connected has none any more. */
void report_gone(struct endpoint *e);
const char *report_kind(enum wish_kind kind);
