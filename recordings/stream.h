/* Stream: one (feed, track, layer, incarnation) on its way from packets to files and ledger lines.
 *
 * Thread: the recorder's. A stream owns its assembler and its open segment. Lines go into two spools of the recorder's,
 * `tracks` (tracks.jsonl) and `ledger` (ledger.jsonl). */
#pragma once

#include "recordings/assembler.h"
#include "recordings/segment.h"

#include "base/feed.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum { STREAM_LAYERS = 3, STREAM_TEXT_MAX = 48 };

struct stream_key {
    uint64_t birth; /* of the feed */
    uint32_t track, incarnation;
    uint8_t layer;
};

/* Who it is, from FEED_META. codec RTP_CODEC_NONE: not known yet. */
struct stream_meta {
    char endpoint[STREAM_TEXT_MAX], kind[16];
    uint32_t number;
    unsigned channels;
    enum rtp_codec codec;
};

/* Where streams write. */
struct stream_place {
    int dir_fd;
    struct spool tracks, ledger;
    struct segment **retired; /* ended, not yet known to be on disk; the recorder frees them */
    size_t n_retired;
};

struct stream {
    struct stream *next;
    struct stream_key key;
    struct stream_meta meta;
    struct assembler *assembler;
    struct segment *segment; /* NULL: none open */
    unsigned next_segment;
    bool decodable;        /* a keyframe was seen in this incarnation */
    uint64_t dark_packets; /* packets of frames before it */
    uint64_t dark_from_seq;
    int64_t dark_from_us;
    bool wants_keyframe; /* something before the next keyframe is missing */
    int64_t asked_us;
    bool holds; /* `held` could not be written yet: no file could be made for it */
    struct assembled held;
    bool ended;            /* FEED_END: nothing comes for now */
    bool pausing;          /* FEED_END was read, but stream_pause() could not be done yet: the disk is full */
    uint64_t end_position; /* of that record's end */
    uint64_t gap_serial;   /* the feed's, as of our last packet */
    int64_t last_us;       /* session time of the last frame or hole, 0: none yet */
    int64_t succeeded_us;  /* session time of its successor's first packet, while its own end may still come; 0: none */
    int64_t succeeded_at_us;
    int64_t active_us; /* when the last packet came */
};

/* `first_seq` 0: a stream that begins now. ERR_NOMEM. */
int stream_new(const struct stream_key *key, uint64_t first_seq, struct stream **ret);
void stream_free(struct stream *s); /* doesn't flush */

void stream_set_meta(struct stream *s, const struct stream_meta *meta);
/* JSON of a FEED_META record about `track`. ERR_MALFORMED. */
int stream_meta_parse(const uint8_t *body, size_t len, uint32_t track, struct stream_meta *ret);

/* A FEED_RTP record. ERR_MALFORMED: no RTP packet. */
int stream_input(struct stream *s, const struct feed_record *record, const uint8_t *body, uint64_t position,
                 enum hole_reason gap, int64_t now_us);
/* Writes what is complete; `finish`: waits for nothing that is missing. The disk's refusals come later (spool_flush); here
 * ERR_AGAIN: no file can be made now, the frame is held and nothing may be called done until this succeeds; ERR_NOMEM and
 * ERR_IO: give up this process, a successor goes on from the index. */
int stream_drain(struct stream *s, struct stream_place *place, int64_t now_us, bool finish);
/* FEED_END: drains; what comes later begins anew and is no hole. */
int stream_pause(struct stream *s, struct stream_place *place, int64_t now_us);
/* Ends the open segment, if any: its last bytes are in its spool, the segment in place->retired. */
int stream_retire(struct stream *s, struct stream_place *place);
/* Should a keyframe be asked for now? At most twice a second. */
bool stream_wants_keyframe(struct stream *s, int64_t now_us);
bool stream_is_video(const struct stream *s);

/* One line of the gap ledger. */
int ledger_write(struct spool *ledger, const struct stream_key *key, const struct assembled *hole);

/* What a successor needs of it, and back. */
json_t *stream_to_json(const struct stream *s);
int stream_from_json(const json_t *o, uint64_t birth, struct stream **ret);
