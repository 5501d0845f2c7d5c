/* Wish: what media should be, as a type. The fold of a briefing yields it, a worker brings itself to it.
 *
 * One struct wish_briefing says everything a worker must know about one briefing. Every worker that homes an endpoint of
 * the briefing gets the whole of it (endpoints elsewhere included, so that it knows what to mirror). Nothing in it is an
 * edge: applying the same wish twice changes nothing. Pure. Thread: any.
 *
 * Ownership: a wish_briefing owns its endpoint array (wish_briefing_free). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WISH_ID_MAX 40    /* bytes of an id with its NUL: briefing id, endpoint id */
#define WISH_TILES_MAX 24 /* tile slots of one endpoint */
#define WISH_UNPLACED 0xff
#define WISH_ENDPOINT_NUMBER_MAX 511 /* so that a feed's cells suffice */

enum wish_kind { WISH_MICROPHONE = 1, WISH_CAMERA = 2, WISH_SCREEN = 3 };
#define WISH_BIT(kind) (1u << (kind))

struct wish_size {
    uint16_t width, height; /* pixels on the client's display; 0 × 0: not shown */
};

struct wish_tile {
    uint32_t endpoint; /* number, 0: empty */
    struct wish_size size;
};

/* The line that its room shares with others: docs/lines.md, "Sites". */
struct wish_site {
    uint16_t number;    /* 0: none */
    uint16_t elsewhere; /* connected endpoints of it on other workers than this endpoint's */
    uint16_t down_kbps, up_kbps;
};

struct wish_endpoint {
    char id[WISH_ID_MAX]; /* stable for the endpoint's life in the briefing */
    uint32_t number;      /* 1 … WISH_ENDPOINT_NUMBER_MAX, unique within the briefing for its whole life */
    uint32_t incarnation; /* rises with every offer (re-join); a lower one is over */
    uint8_t worker;       /* index of its home, WISH_UNPLACED before its first offer */
    uint8_t may_send;     /* WISH_BIT mask: what the server forwards. A mute clears the microphone's bit. */
    bool hears;           /* false: its loudspeaker is off (second endpoint of a unit): no sound is sent to it */
    uint32_t stage;       /* number of the endpoint whose camera and microphone fill its stage slots; 0: nobody */
    uint32_t screen;      /* number of the endpoint whose screen it shows; 0: nobody */
    struct wish_size stage_size, screen_size;
    struct wish_tile tiles[WISH_TILES_MAX];
    uint8_t n_tiles;
    struct wish_site site;
};

struct wish_briefing {
    char id[WISH_ID_MAX];
    bool record;            /* every open microphone, the stage picture and the screen go into the recorder's feed */
    bool record_cameras;    /* every camera too */
    uint32_t stage, screen; /* what the programme shows: numbers, 0: nobody */
    uint32_t floor;         /* the floor holder wins over loudness; 0: nobody */
    struct wish_endpoint *endpoints;
    size_t n_endpoints;
};

void wish_briefing_free(struct wish_briefing *b); /* frees what `b` owns, not `b` */
int wish_briefing_copy(struct wish_briefing *ret, const struct wish_briefing *b);
bool wish_size_equal(struct wish_size a, struct wish_size b);
bool wish_site_equal(struct wish_site a, struct wish_site b);
bool wish_tiles_equal(const struct wish_endpoint *a, const struct wish_endpoint *b);
bool wish_endpoint_equal(const struct wish_endpoint *a, const struct wish_endpoint *b);
/* Endpoints are compared by number, in whatever order. */
bool wish_briefing_equal(const struct wish_briefing *a, const struct wish_briefing *b);
/* Adds the endpoint, or replaces the one with its number; keeps the array by rising number. ERR_NOMEM. */
int wish_put(struct wish_briefing *b, const struct wish_endpoint *e);
bool wish_drop(struct wish_briefing *b, uint32_t number); /* false: there was none */
/* 1 … WISH_ID_MAX − 1 letters, digits, '-', '_': safe as a file name too. */
bool wish_id_valid(const char *id);
/* The endpoint with that number, or NULL. */
struct wish_endpoint *wish_find(const struct wish_briefing *b, uint32_t number);

static inline uint32_t wish_track(uint32_t number, enum wish_kind kind)
{
    return number * 4 + (uint32_t)kind;
}

static inline unsigned wish_cell(uint32_t number, enum wish_kind kind)
{
    return number * 2 + (kind == WISH_SCREEN ? 1u : 0u);
}
