#include "recordings/assembler.h"

#include "recordings/depacket.h"
#include "rtp/video.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

/* A hole that no frame start ends (a source that sends continuations only) is reported in pieces, or it would hold the feed.
 */
#define HOLE_REPORT_US 2000000

struct waiting {
    struct assembler_packet p;
    int64_t arrived_us;
    uint8_t bytes[]; /* the payload */
};

struct assembler {
    struct depacket frame;
    struct waiting **queue; /* by ext_seq; [0, n) */
    size_t n, cap;
    uint64_t next; /* the number to be consumed next; 0: none came yet */
    int64_t last_us;

    bool building; /* a frame is being put together */
    uint64_t frame_seq, frame_position;
    int64_t frame_us;
    uint32_t frame_ts;

    bool resumed; /* the next packet is adopted whatever its number */
    bool aligned; /* the next packet begins a frame unless it says otherwise */
    bool in_hole;
    struct assembled hole;
    uint64_t hole_position;
    int64_t hole_since_us; /* when it was opened, in the caller's time */
    bool hole_holds;       /* hole_position is valid: received packets are part of it */
};

int assembler_new(enum rtp_codec codec, uint64_t first_seq, struct assembler **ret)
{
    if (codec > RTP_H264)
        return ERR_UNSUPPORTED;
    struct assembler *a = calloc(1, sizeof *a);
    if (!a)
        return ERR_NOMEM;
    depacket_init(&a->frame, codec);
    a->next = first_seq;
    a->aligned = true;
    *ret = a;
    return 0;
}

void assembler_free(struct assembler *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < a->n; i++)
        free(a->queue[i]);
    free(a->queue);
    depacket_clear(&a->frame);
    free(a);
}

const char *hole_reason_name(enum hole_reason reason)
{
    static const char *const names[] = {"lost",      "gave-up",     "ring-full",   "recorder-down",
                                        "disk-full", "no-keyframe", "feed-broken", "interrupted"};
    return names[reason];
}

void assembler_set_codec(struct assembler *a, enum rtp_codec codec)
{
    if (a->frame.codec == RTP_CODEC_NONE && codec <= RTP_H264)
        a->frame.codec = codec;
}

const struct depacket *assembler_depacket(const struct assembler *a)
{
    return &a->frame;
}

/* --- waiting packets ---------------------------------------------------------------------------------------------- */

static int make_room(struct assembler *a)
{
    if (a->n < a->cap)
        return 0;
    size_t cap = a->cap ? a->cap * 2 : 32;
    struct waiting **grown = realloc(a->queue, cap * sizeof(struct waiting *));
    if (!grown)
        return ERR_NOMEM;
    a->queue = grown;
    a->cap = cap;
    return 0;
}

int assembler_input(struct assembler *a, const struct assembler_packet *p, int64_t now_us)
{
    if (a->next == 0 || (a->resumed && p->ext_seq > a->next)) {
        a->next = p->ext_seq;
        a->aligned = true;
    }
    if (p->ext_seq >= a->next)
        a->resumed = false;
    size_t at = a->n;
    while (at > 0 && a->queue[at - 1]->p.ext_seq > p->ext_seq)
        at--;
    if (p->ext_seq < a->next || (at > 0 && a->queue[at - 1]->p.ext_seq == p->ext_seq))
        return ERR_EXISTS;
    struct waiting *w = malloc(sizeof *w + p->payload_len);
    if (!w || make_room(a)) {
        free(w);
        return ERR_NOMEM;
    }
    w->p = *p;
    w->arrived_us = now_us;
    if (p->payload_len)
        memcpy(w->bytes, p->payload, p->payload_len);
    w->p.payload = w->bytes;
    memmove(&a->queue[at + 1], &a->queue[at], (a->n - at) * sizeof(struct waiting *));
    a->queue[at] = w;
    a->n++;
    return 0;
}

static void take_first(struct assembler *a)
{
    a->next = a->queue[0]->p.ext_seq + 1;
    a->last_us = a->queue[0]->p.session_us;
    free(a->queue[0]);
    a->n--;
    memmove(&a->queue[0], &a->queue[1], a->n * sizeof(struct waiting *));
}

void assembler_resume(struct assembler *a)
{
    a->resumed = a->n == 0 && !a->building && !a->in_hole;
}

/* --- holes -------------------------------------------------------------------------------------------------------- */

static void open_hole(struct assembler *a, uint64_t from_seq, enum hole_reason reason, int64_t now_us)
{
    if (a->in_hole) {
        if (reason != HOLE_GAVE_UP && a->hole.missing == 0)
            a->hole.reason = reason;
        return;
    }
    a->in_hole = true;
    a->hole_holds = false;
    a->hole_since_us = now_us;
    a->hole = (struct assembled){.kind = ASSEMBLED_HOLE, .from_seq = from_seq, .from_us = a->last_us, .reason = reason};
}

static void hold_in_hole(struct assembler *a, uint64_t position, int64_t session_us)
{
    if (a->hole_holds && a->hole_position <= position)
        return;
    a->hole_holds = true;
    a->hole_position = position;
    a->hole.from_us = session_us < a->hole.from_us || a->hole.from_us == 0 ? session_us : a->hole.from_us;
}

/* The frame in progress can't be completed: its packets belong to the hole. */
static void give_up_frame(struct assembler *a, enum hole_reason reason, int64_t now_us)
{
    if (!a->building)
        return;
    open_hole(a, a->frame_seq, reason, now_us);
    hold_in_hole(a, a->frame_position, a->frame_us);
    a->building = false;
    depacket_begin(&a->frame);
}

static bool close_hole(struct assembler *a, uint64_t to_seq, int64_t to_us, struct assembled *ret)
{
    a->in_hole = false;
    a->hole.to_seq = to_seq;
    a->hole.packets = to_seq - a->hole.from_seq + 1;
    a->hole.to_us = to_us;
    *ret = a->hole;
    return true;
}

/* --- frames ------------------------------------------------------------------------------------------------------- */

static bool begins_frame(const struct assembler *a, const struct assembler_packet *p)
{
    if (a->frame.codec == RTP_OPUS)
        return true;
    struct video_info v;
    if (video_parse(a->frame.codec, p->payload, p->payload_len, p->marker, &v))
        return false;
    /* H.264 has no sure mark of a frame's first packet: behind a frame's end it is one. */
    return v.start || (a->aligned && a->frame.codec == RTP_H264);
}

static void emit_frame(struct assembler *a, struct assembled *ret)
{
    *ret = (struct assembled){.kind = ASSEMBLED_FRAME,
                              .from_seq = a->frame_seq,
                              .to_seq = a->next - 1,
                              .from_us = a->frame_us,
                              .to_us = a->frame_us,
                              .bytes = a->frame.bytes,
                              .len = a->frame.len,
                              .keyframe = a->frame.keyframe,
                              .parameters_changed = a->frame.parameters_changed};
    a->frame.parameters_changed = false;
    a->building = false;
    a->aligned = true;
}

static void begin_frame(struct assembler *a, const struct assembler_packet *p)
{
    depacket_begin(&a->frame);
    a->building = true;
    a->frame_seq = p->ext_seq;
    a->frame_position = p->position;
    a->frame_us = p->session_us;
    a->frame_ts = p->ts;
}

/* Consumes the first waiting packet, whose number is the next one. True: `ret` is filled. */
static bool consume(struct assembler *a, int64_t now_us, struct assembled *ret)
{
    const struct assembler_packet p = a->queue[0]->p;
    if (a->building && (p.ts != a->frame_ts || a->frame.codec == RTP_OPUS)) {
        emit_frame(a, ret); /* its marker was on a packet without payload, or not sent */
        return true;
    }
    if (p.payload_len == 0) { /* padding: a number without content */
        if (!a->building && a->in_hole && p.ext_seq > a->hole.from_seq)
            hold_in_hole(a, p.position, p.session_us);
        take_first(a);
        return false;
    }
    if (!a->building) {
        if (!begins_frame(a, &p)) {
            open_hole(a, p.ext_seq, HOLE_GAVE_UP, now_us);
            hold_in_hole(a, p.position, p.session_us);
            a->aligned = p.marker;
            take_first(a);
            return false;
        }
        if (a->in_hole)
            return close_hole(a, p.ext_seq - 1, p.session_us, ret);
        begin_frame(a, &p);
    }
    int err = depacket_add(&a->frame, p.payload, p.payload_len);
    if (err) {
        give_up_frame(a, HOLE_GAVE_UP, now_us);
        a->aligned = p.marker;
        take_first(a);
        return false;
    }
    take_first(a);
    if (p.marker || a->frame.codec == RTP_OPUS) {
        emit_frame(a, ret);
        return true;
    }
    return false;
}

static bool may_skip(const struct assembler *a, int64_t now_us, bool finish)
{
    return finish || a->n > ASSEMBLER_PACKETS_MAX || now_us - a->queue[0]->arrived_us >= ASSEMBLER_WAIT_US;
}

static void skip_missing(struct assembler *a, int64_t now_us)
{
    const struct assembler_packet *p = &a->queue[0]->p;
    give_up_frame(a, p->gap, now_us);
    open_hole(a, a->next, p->gap, now_us);
    a->hole.missing += p->ext_seq - a->next;
    a->next = p->ext_seq;
    a->aligned = false;
}

bool assembler_poll(struct assembler *a, int64_t now_us, bool finish, struct assembled *ret)
{
    if (a->frame.codec == RTP_CODEC_NONE && a->n && !finish && now_us - a->queue[0]->arrived_us < ASSEMBLER_CODEC_WAIT_US)
        return false;
    while (a->n) {
        if (a->queue[0]->p.ext_seq != a->next) {
            if (!may_skip(a, now_us, finish))
                break;
            skip_missing(a, now_us);
        } else if (consume(a, now_us, ret)) {
            return true;
        }
    }
    if (finish && a->n == 0 && a->building) {
        give_up_frame(a, HOLE_GAVE_UP, now_us);
        a->aligned = false;
    }
    if (a->in_hole && !a->building && a->next > a->hole.from_seq && (finish || now_us - a->hole_since_us >= HOLE_REPORT_US))
        return close_hole(a, a->next - 1, a->last_us, ret);
    return false;
}

uint64_t assembler_next_seq(const struct assembler *a)
{
    if (a->in_hole && a->hole_holds)
        return a->hole.from_seq;
    return a->building ? a->frame_seq : a->in_hole ? a->hole.from_seq : a->next;
}

bool assembler_oldest(const struct assembler *a, uint64_t *ret_position, int64_t *ret_us)
{
    bool found = false;
    uint64_t oldest = 0;
    int64_t us = 0;
    if (a->building) {
        found = true;
        oldest = a->frame_position;
        us = a->frame_us;
    }
    if (a->in_hole && a->hole_holds && (!found || a->hole_position < oldest)) {
        found = true;
        oldest = a->hole_position;
        us = a->hole.from_us;
    }
    for (size_t i = 0; i < a->n; i++)
        if (!found || a->queue[i]->p.position < oldest) {
            found = true;
            oldest = a->queue[i]->p.position;
            us = us && us < a->queue[i]->p.session_us ? us : a->queue[i]->p.session_us;
        }
    if (!found)
        return false;
    *ret_position = oldest;
    *ret_us = us;
    return true;
}
