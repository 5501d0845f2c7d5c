/* The simulator's offer, in the order of signaling/protocol/README.md "Media", and what it needs of the answer.
 *
 * The numbers (payload types, extension ids) are those that Chromium chooses. The answer is our own server's: lines are
 * taken as they come, what is not understood is skipped. Pure. Thread: any. */
#pragma once

#include "rtp/packet.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { OFFER_OPUS = 111, OFFER_VP8 = 96, OFFER_RTX = 97, OFFER_TILES = 2, OFFER_RIDS = 3, OFFER_MAX = 16384 };

/* Sections by mid, which is the index: three we send, then the receive slots. */
enum offer_section {
    OFFER_MICROPHONE,
    OFFER_CAMERA,
    OFFER_SCREEN,
    OFFER_STAGE_SOUND,
    OFFER_STAGE,
    OFFER_SCREEN_SLOT,
    OFFER_SOUND1,
    OFFER_SOUND2,
    OFFER_SOUND3,
    OFFER_TILE,
    OFFER_SECTIONS = OFFER_TILE + OFFER_TILES,
};

extern const struct rtp_ext_ids offer_ext_ids;
extern const char *const offer_rids[OFFER_RIDS]; /* lowest first */

struct offer_transport {
    const char *ufrag, *pwd, *fingerprint;
};

/* NUL-terminated. ERR_FULL. */
int offer_write(const struct offer_transport *t, char *text, size_t cap);

struct answer {
    char ufrag[257], pwd[257], fingerprint[256];
    struct sockaddr_storage remote;                          /* the candidate of that family, else the first */
    uint32_t ssrc[OFFER_SECTIONS], rtx_ssrc[OFFER_SECTIONS]; /* of receive slots, 0: none */
    bool rejected[OFFER_SECTIONS];
};

/* ERR_MALFORMED: no credentials, fingerprint or candidate. */
int answer_parse(const char *sdp, int family, struct answer *ret);
