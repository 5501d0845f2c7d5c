/* Router: one briefing on this worker. It folds the wish into who is in which slot.
 *
 * router_apply() with the same wish twice changes nothing; every other event (a peer comes or goes, a track begins, somebody
 * else speaks) runs the same fold again. Rules, by the wish of each endpoint homed here:
 *   - stage sound, stage picture, shared screen and tiles show what the wish says; 0 × 0 pixels means not shown;
 *   - the further sound slots hold the floor holder and the loudest others; one who is in keeps its slot;
 *   - no source is ever in two slots of one subscriber (the stage before tiles, an earlier tile before a later one), and
 *     nobody gets its own;
 *   - `hears` false: no sound at all; a track that may not be sent reaches nobody.
 *
 * Pure, one thread, times in µs. Owner: sfu. The wish stays the caller's and outlives its use (until the next apply). */
#pragma once

#include "sfu/peer.h"
#include "sfu/sfu.h"
#include "sfu/speakers.h"

struct router {
    struct sfu *sfu;
    struct router *next;
    void *user;
    char id[WISH_ID_MAX];
    const struct wish_briefing *wish;
    const struct wish_endpoint *wished[WISH_ENDPOINT_NUMBER_MAX + 1]; /* its endpoints by number */
    struct peer *peers[WISH_ENDPOINT_NUMBER_MAX + 1];
    struct source *sources[WISH_ENDPOINT_NUMBER_MAX + 1][SFU_KINDS];
    size_t n_peers;
    struct speakers speakers;
    struct speaker speaker_array[SPEAKERS_MAX];
    uint32_t speaker; /* who is shown as speaking, 0: silence */
    uint32_t dirty;   /* counts changes of slots and speaker, for whoever reports them */
    bool unsettled;
};

struct router *router_new(struct sfu *s, const char *id);
/* Frees its peers and mirrors. NULL is fine. */
void router_free(struct router *r, int64_t now_us);
struct router *router_find(struct sfu *s, const char *id);

/* The effective wish (restrictions applied). NULL: nothing is forwarded. What may be sent is in force on return, who is in
 * which slot at the end of the turn: many changes of one turn cost one fold. */
void router_apply(struct router *r, const struct wish_briefing *wish, int64_t now_us);

/* Takes the peer over; a peer of the same number is freed (its slots and tracks are gone on as the new one's). */
int router_attach(struct router *r, struct peer *p, int64_t now_us);
/* The peer's tracks end, its slots are emptied; it belongs to the caller again. */
void router_detach(struct peer *p, int64_t now_us);

/* The mirror of a track homed elsewhere, made when missing or when its incarnation or codec changed. NULL: no memory, a
 * lower incarnation, or the track is published here. */
struct source *router_mirror(struct router *r, uint32_t number, enum wish_kind kind, uint32_t incarnation,
                             enum rtp_codec codec, uint8_t n_layers, int64_t now_us);
void router_mirror_end(struct router *r, uint32_t number, enum wish_kind kind, int64_t now_us);

struct source *router_source(struct router *r, uint32_t number, enum wish_kind kind);
/* Runs the fold over every peer now, if something has changed. */
void router_settle(struct router *r, int64_t now_us);
void router_tick(struct router *r, int64_t now_us);

/* Broken invariants as a text, NULL: all hold. For tests. */
const char *router_check(const struct router *r);
