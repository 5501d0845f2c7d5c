/* Uplink: what a publisher should send of a picture, so that its line carries nothing that nobody looks at.
 *
 * From what each viewer shows and what its line leaves for it (slot.h, `room_bps`, set by downlink.c), and from what feeds
 * take, follow the simulcast layers that are needed and how much of each is useful at most. The rule, from the top down: a
 * layer is needed by the viewers that show it so large and whose line has a useful part of it; it may be as large as fits
 * the *best* of these lines, so that a narrow line changes nothing for a good one; whoever has not even that much is looked
 * after by the next layer down, which again may be as large as fits the best of those that are left. With one viewer, or all
 * on narrow lines, this steers a layer to what fits. The lowest layer goes on as long as anybody looks at all: a line that
 * drops finds it there.
 *
 * A publisher whose room shares its line with others has a share of that (site.h). It is kept whatever viewers or feeds ask
 * for: layers fill it from the lowest one, each as large as it should be, the highest that fits takes the rest; what does
 * not fit is withheld, and counts as absent.
 *
 * It is state, not edges: the newest answer is told again to whoever asks. A layer begins at once, and ends when nobody has
 * needed it for UPLINK_WINDOW_US × (UPLINK_WINDOWS − 1) … UPLINK_WINDOW_US × UPLINK_WINDOWS: to begin costs a keyframe, a
 * bound nothing. A publisher that does
 * not obey costs its own line and nothing else.
 *
 * Owner: source. Pure, one thread, times in µs, rates in bit/s. */
#pragma once

#include "sfu/sfu.h"

enum {
    UPLINK_TICK_US = 50 * 1000,
    UPLINK_WINDOW_US = 1000 * 1000,
    UPLINK_WINDOWS = 3,
    UPLINK_ROOM_US = 300 * 1000,       /* a bound follows when lines have had less for one or two of these */
    UPLINK_START_US = 3 * 1000 * 1000, /* a layer that was asked for and has not come in that time is not there */
    UPLINK_PERCENT = 87,        /* of the room: headers, what an encoder overshoots, and the tenth that a step up asks for */
    UPLINK_LEAST_PERCENT = 30,  /* of what a layer of its size usually takes: with less, the smaller one is better … */
    UPLINK_STAY_PERCENT = 27,   /* … one that is being sent may go so low */
    UPLINK_LEAST_BPS = 60000,   /* of the lowest layer */
    UPLINK_CHANGE_PERCENT = 10, /* smaller changes of a bound are not told */
};
#define UPLINK_ANY UINT32_MAX /* no bound */

struct uplink_need {
    uint8_t layers;
    uint32_t bps[SFU_LAYERS]; /* of each needed layer: what fits, UPLINK_ANY: whatever it is */
};

struct uplink {
    uint8_t active;                      /* layers it should send */
    uint32_t max_bps[SFU_LAYERS];        /* of each at most; 0: as much as the client would by itself */
    uint32_t own_bps[SFU_LAYERS];        /* the same, before its site's share */
    bool of_site;                        /* there is a share: */
    uint32_t site_bps, claim_bps;        /* it, and what this picture would take of the line */
    uint8_t withheld;                    /* layers that somebody needs and the share does not hold */
    uint32_t version;                    /* counts changes of both */
    uint8_t needed[UPLINK_WINDOWS];      /* layers, in the newest windows, newest first */
    uint32_t room_bps[2][SFU_LAYERS];    /* the most that a line had for each, likewise */
    int64_t tick_us, window_us, room_us; /* when the newest began */
    int64_t asked_us[SFU_LAYERS];        /* when the layer was last asked for */
};

struct uplink_viewer {
    uint8_t layer;     /* that suits the size it shows */
    uint32_t room_bps; /* that its line has for this picture */
};

struct uplink_track {
    uint8_t n_layers;
    uint8_t there;  /* layers that flow, or would at once */
    uint8_t active; /* as told so far */
    uint32_t usual_bps[SFU_LAYERS];
};

/* The rule above. `viewers` is used as scratch. */
struct uplink_need uplink_needs(const struct uplink_track *t, struct uplink_viewer *viewers, size_t n);

/* Looks again when it is due. */
void uplink_tick(struct source *s, int64_t now_us);
/* The layer is not being sent because we said so, or will come since we asked for it again: to be counted on. */
bool uplink_rests(const struct source *s, unsigned layer, int64_t now_us);
/* All of it: the share holds nothing of this picture. */
bool uplink_withheld(const struct source *s);
/* What the layer would take if nothing bounded it, bit/s. */
uint32_t uplink_full_bps(const struct source *s, unsigned layer, int64_t now_us);
