/* A briefing on virtual time for the tests of server/sfu: peers whose lines are arrays, publishers that make VP8 and Opus.
 */
#pragma once

#include "base/packet.h"
#include "rtp/rtcp.h"
#include "sfu/router.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WORLD_PEERS = 12, WORLD_ARRIVED = 8192, WORLD_NACKS = 256 };

struct arrived {
    uint32_t ssrc, ts;
    uint16_t seq, len;
    uint8_t pt, padding;
    bool marker;
    int64_t at_us;
    /* VP8 */
    bool picture, start, keyframe;
    uint16_t picture_id;
    uint8_t tl0;
    uint32_t tag;          /* what the publisher wrote at the payload's end: which of its packets this is */
    uint16_t original_seq; /* RTX */
    uint16_t transport_seq;
    uint8_t sid, tid; /* VP9; with `end` of a layer's frame */
    bool end;
    bool repair;
    bool silence; /* the three bytes that are 20 ms of silence in Opus, nothing else */
};

struct line {
    struct world *world;
    struct peer *peer;
    struct arrived *arrived;
    size_t n_arrived;
    bool (*lose)(const struct arrived *a, void *ctx); /* NULL: nothing is lost */
    void *lose_ctx;
    unsigned plis, feedbacks, reports;
    uint32_t last_pli_ssrc;
    unsigned camera_plis[SFU_LAYERS]; /* of them those for a layer of the camera */
    uint16_t nacks[WORLD_NACKS];
    size_t n_nacks;
    struct rtcp_sender_info sr[SFU_SLOTS_MAX]; /* newest of each slot */
    uint8_t sound_fraction;                    /* newest report on its microphone */
    int32_t sound_lost;
};

struct camera {
    struct line *line;
    uint32_t ssrc[SFU_LAYERS], rtx_ssrc[SFU_LAYERS];
    uint16_t seq[SFU_LAYERS], rtx_seq[SFU_LAYERS], picture_id[SFU_LAYERS];
    uint32_t ts[SFU_LAYERS], base_ts[SFU_LAYERS];
    uint8_t tl0[SFU_LAYERS];
    uint16_t height[SFU_LAYERS];
    uint32_t tag;
    unsigned layers;
};

struct world {
    struct sfu sfu;
    struct packet_pool *pool;
    struct router *router;
    struct wish_briefing wish;
    struct wish_endpoint endpoints[WORLD_PEERS];
    struct line lines[WORLD_PEERS]; /* of endpoint i + 1 */
    struct camera cameras[WORLD_PEERS], screens[WORLD_PEERS];
    uint16_t sound_seq[WORLD_PEERS];
    uint32_t sound_ts[WORLD_PEERS];
    uint16_t transport_seq[WORLD_PEERS];
    int64_t now_us;
    unsigned packet_bytes; /* of a picture's payload, about; 0: 100 */
    bool estimates;        /* who joins promises transport-wide feedback */
    bool vp9;              /* who joins publishes a camera of one stream by world_payload() */
    bool hold;             /* packets are put in without a turn: a burst of one recvmmsg */
};

/* Slots of every peer, by index. */
enum { STAGE_SOUND, STAGE_PICTURE, SHARED_SCREEN, SOUND_1, SOUND_2, SOUND_3, TILE_1, TILE_2, WORLD_SLOTS };

struct world *world_new(void);
void world_free(struct world *w);
/* An endpoint of the wish that may send everything and hears; `layers` of its camera. */
void world_join(struct world *w, uint32_t number, unsigned layers);
void world_join_again(struct world *w, uint32_t number, unsigned layers, uint32_t incarnation);
struct wish_endpoint *world_wish(struct world *w, uint32_t number);
void world_apply(struct world *w);
struct line *world_line(struct world *w, uint32_t number);
struct slot *world_slot(struct world *w, uint32_t number, unsigned slot);

/* Runs the core's turns up to now + us. */
void world_run(struct world *w, int64_t us);

/* One frame of one layer now: `packets` packets, `lost` a mask of those that do not reach us. */
void world_frame(struct world *w, struct camera *c, unsigned layer, unsigned packets, bool keyframe, uint32_t lost);
/* A payload of any content on the camera's first stream; `lost`: it does not reach us. */
void world_payload(struct world *w, struct camera *c, uint32_t ts, bool marker, const uint8_t *payload, size_t len,
                   bool lost);
/* The same number again, repaired. */
void world_payload_again(struct world *w, struct camera *c, uint16_t seq, uint32_t ts, bool marker, const uint8_t *payload,
                         size_t len);
/* Sends the packet `back` places before the newest of that layer again, on RTX, with that tag and place in its frame. */
void world_repair(struct world *w, struct camera *c, unsigned layer, uint16_t seq, uint32_t ts, uint16_t picture_id,
                  uint8_t tl0, bool start, bool keyframe, bool marker, uint32_t tag);
void world_sound(struct world *w, uint32_t number, uint8_t level);
/* `ms` of live: 30 frames/s of 3 packets from each camera given by mask (bit number), sound of level from each in `sounds`.
 */
void world_live(struct world *w, int64_t ms, uint32_t cameras, uint32_t sounds, uint8_t level);

void world_nack(struct world *w, uint32_t number, uint32_t ssrc, const uint16_t *seqs, size_t n);
void world_pli(struct world *w, uint32_t number, uint32_t ssrc);
/* Packets that arrived at `number` under `ssrc`, oldest first. */
size_t world_received(struct world *w, uint32_t number, uint32_t ssrc, const struct arrived **ret, size_t cap);
void world_clear(struct world *w, uint32_t number);
uint32_t world_ssrc(uint32_t number, unsigned slot);
void world_check(struct world *w);
