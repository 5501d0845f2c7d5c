/* Examine: a few seconds of one room's camera and microphone → what a technician wants to know of them.
 *
 * Records are collected while they come, in any order (retransmissions come late), then put in order and decoded a frame at
 * a time:
 *
 *   examine_new → examine_codec, examine_input … → examine_close → examine_step until false → examine_verdict
 *
 * Everything in a packet is a stranger's. Bounded are packets, bytes, pictures' size and number; what is beyond is left out.
 * An incomplete frame is dropped; what follows is decoded all the same, so a lossy line costs colours, not the verdict.
 * Only VP8 is decoded (`PICTURE_UNSUPPORTED` otherwise). Of a camera one layer is looked at, the first that comes.
 *
 * Pure: time is a parameter, in µs. Thread: one. */
#pragma once

#include "check/listen.h"
#include "check/look.h"
#include "rtp/packet.h"

enum {
    EXAMINE_PACKETS_MAX = 4096, /* of each track */
    EXAMINE_PICTURE_BYTES = 4 * 1024 * 1024,
    EXAMINE_SOUND_BYTES = 512 * 1024,
    EXAMINE_STALL_US = 1500000, /* no picture for so long at the end: frozen */
    EXAMINE_PICTURES_PER_S =
        2, /* besides keyframes; fewer: frozen. Viewers' requests get keyframes of a camera that hangs */
    EXAMINE_MOVED_PERMYRIAD = 4, /* fewer pixels changed: frozen */
    EXAMINE_BRIGHT_PERMILLE = 5, /* fewer pixels are brighter than black: black */
    EXAMINE_SILENT_DB = -60,
    EXAMINE_QUIET_DB = -45,
    EXAMINE_CLIPPED_PERMILLE = 1,
};

/* In rising order of precedence: what makes the rest meaningless comes last. */
enum picture_verdict {
    PICTURE_GOOD,
    PICTURE_FROZEN,
    PICTURE_BLACK,
    PICTURE_BROKEN, /* packets came, but nothing could be decoded */
    PICTURE_UNSUPPORTED,
    PICTURE_NONE, /* no packet */
};

enum sound_verdict { SOUND_GOOD, SOUND_CLIPPED, SOUND_QUIET, SOUND_SILENT, SOUND_BROKEN, SOUND_NONE };

struct picture_report {
    enum picture_verdict verdict;
    enum rtp_codec codec;
    uint32_t packets, lost; /* numbers between the first and the last that never came */
    uint32_t incomplete;    /* frames that lacked a packet */
    struct look_result seen;
};

struct sound_report {
    enum sound_verdict verdict;
    uint32_t packets, lost;
    struct listen_result heard;
};

struct verdict {
    struct picture_report picture;
    struct sound_report sound;
};

enum examine_track { EXAMINE_PICTURE, EXAMINE_SOUND, EXAMINE_TRACKS };

struct examine;

int examine_new(struct examine **ret); /* ERR_NOMEM, ERR_UNSUPPORTED */
void examine_free(struct examine *x);  /* NULL is fine */
void examine_codec(struct examine *x, enum examine_track track, enum rtp_codec codec);
/* An RTP packet of the track; copied. `layer` 0 for sound. ERR_FULL, or what rtp_parse() says: left out. */
int examine_input(struct examine *x, enum examine_track track, unsigned layer, uint64_t ext_seq, const uint8_t *rtp,
                  size_t len, int64_t now_us);
/* When the first packet of a track came; INT64_MAX: none yet. */
int64_t examine_began_us(const struct examine *x, enum examine_track track);
/* No packet comes any more. Then each step decodes one frame or one sound packet; false: nothing is left. */
void examine_close(struct examine *x, int64_t now_us);
bool examine_step(struct examine *x);
struct verdict examine_verdict(const struct examine *x);

const char *picture_verdict_name(enum picture_verdict v);
const char *sound_verdict_name(enum sound_verdict v);
