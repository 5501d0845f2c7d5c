/* One slot's numbers through any sequence of sources, losses, late packets, packets left out, silence of our own. A model
 * that keeps the number of every packet says what must come: continuous, none twice, a hole only where the network left
 * one, one where a frame was cut off; pictures likewise; timestamps forward at every switch. */
#include "base/err.h"
#include "rtp/rewrite.h"
#include "require.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { MISSING, LEFT_OUT };

struct input {
    const uint8_t *at, *end;
};

static struct rewrite rewrite;
static int64_t now_us;
static struct {
    bool ever, running, ended;
    uint16_t next; /* number that the next packet in order must get */
    int64_t first, newest;
    uint16_t number[REWRITE_WINDOW]; /* by the source's number */
    bool left_out[REWRITE_WINDOW];
    uint32_t offset, newest_ts, source_ts; /* timestamps: of the run, the newest out, the newest in */
    uint16_t picture, picture_out;         /* VP8: newest in, newest out */
    uint8_t picture_bits;
    bool pictures, picture_first; /* some picture has been sent; the next one is a source's first */
} model;

static uint8_t byte(struct input *in)
{
    return in->at < in->end ? *in->at++ : 0;
}

static void change_source(struct input *in)
{
    int64_t ext_seq = 65536 + byte(in) * 300, session_us = now_us - byte(in) * 1000 + byte(in) * 1000;
    uint32_t ts = byte(in) * 0x01010101u;
    int err = rewrite_switch(&rewrite, ext_seq, ts, session_us, now_us);
    if (err == ERR_AGAIN) { /* doubted, once */
        err = rewrite_switch(&rewrite, ext_seq, ts, session_us, now_us);
        require(err != ERR_AGAIN);
    }
    require(!err || (err == ERR_BUSY && rewrite.clock_hz == 48000));
    if (err)
        return;
    model.next = (uint16_t)(model.next + (model.ever && !model.ended));
    require(!model.ever || ts_diff(rewrite_ts(&rewrite, ts), model.newest_ts) > 0);
    model.offset = rewrite_ts(&rewrite, ts) - ts;
    model.ever = model.running = model.ended = model.picture_first = true;
    model.first = ext_seq;
    model.newest = ext_seq - 1;
    model.source_ts = ts;
    model.picture = (uint16_t)(byte(in) << 7 | 5);
    model.picture_bits = byte(in) % 3 == 0 ? 7 : 15;
}

/* The newest number of the source becomes `ext_seq`; those in between keep theirs. */
static void advance(int64_t ext_seq)
{
    if (ext_seq - model.newest - 1 >= REWRITE_WINDOW) {
        model.first = ext_seq;
        model.next++;
    } else {
        for (int64_t s = model.newest + 1; s < ext_seq; s++) {
            model.number[s % REWRITE_WINDOW] = model.next++;
            model.left_out[s % REWRITE_WINDOW] = false;
        }
    }
    model.newest = ext_seq;
    model.number[ext_seq % REWRITE_WINDOW] = model.next;
    model.left_out[ext_seq % REWRITE_WINDOW] = false;
}

static void picture_in(unsigned ahead, bool forward)
{
    struct rewritten_vp8 out;
    model.picture = (uint16_t)((model.picture + ahead) & (model.picture_bits == 7 ? 0x7f : 0x7fff));
    struct vp8_descriptor d = {.picture_id_bits = model.picture_bits, .picture_id = model.picture};
    if (!forward) {
        rewrite_vp8_drop(&rewrite, &d);
        if (!model.picture_first)
            model.picture_out = (uint16_t)(model.picture_out + ahead - 1);
        return;
    }
    require(rewrite_vp8(&rewrite, &d, &out) == 0);
    uint16_t expected = (uint16_t)((model.picture_out + (model.picture_first ? 1 : ahead)) & 0x7fff);
    require(!model.pictures || out.picture_id == expected);
    model.picture_out = out.picture_id;
    model.pictures = true;
    model.picture_first = false;
}

static void in_order(struct input *in)
{
    uint8_t flags = byte(in);
    int64_t ext_seq = model.newest + 1 + (flags & 1 ? byte(in) * (flags & 2 ? 8 : 1) : 0);
    bool ends = flags & 4, forward = !(flags & 8);
    uint32_t step = flags & 16 ? rewrite.frame_ticks : 0;
    struct rewritten out;
    if (!forward) {
        rewrite_drop(&rewrite, ext_seq);
        if (model.running) {
            advance(ext_seq);
            model.left_out[ext_seq % REWRITE_WINDOW] = true;
            if (rewrite.clock_hz == 90000)
                picture_in(1, false);
        }
        return;
    }
    int err = rewrite_packet(&rewrite, ext_seq, model.source_ts + step, ends, now_us, &out);
    require((err == ERR_STATE) == !model.running && (!err || err == ERR_STATE));
    if (err)
        return;
    advance(ext_seq);
    require(out.seq == model.next++ && !out.late);
    model.source_ts += step;
    require(out.ts == model.source_ts + model.offset);
    if (ts_diff(out.ts, model.newest_ts) > 0)
        model.newest_ts = out.ts;
    model.ended = ends;
    if (rewrite.clock_hz == 90000)
        picture_in(1 + (flags & 32 ? byte(in) % 20u : 0), true);
}

static void late(struct input *in)
{
    struct rewritten out;
    int64_t ext_seq = model.newest - byte(in) * 5;
    if (!model.running || ext_seq < 0)
        return;
    int err = rewrite_packet(&rewrite, ext_seq, model.source_ts, true, now_us, &out);
    if (ext_seq < model.first || model.newest - ext_seq >= REWRITE_WINDOW)
        require(err == ERR_STALE);
    else if (model.left_out[ext_seq % REWRITE_WINDOW])
        require(err == ERR_EXISTS);
    else
        require(!err && out.late && out.seq == model.number[ext_seq % REWRITE_WINDOW]);
}

static void own(void)
{
    struct rewritten out;
    int err = rewrite_own(&rewrite, now_us, &out);
    require((err != 0) == (model.running || !model.ever));
    if (err)
        return;
    model.next = (uint16_t)(model.next + !model.ended);
    model.ended = true;
    require(out.seq == model.next++ && ts_diff(out.ts, model.newest_ts) > 0);
    model.newest_ts = out.ts;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, data + size};
    memset(&model, 0, sizeof model);
    uint8_t first = byte(&in);
    bool picture = first & 1;
    now_us = 1000000;
    rewrite_init(&rewrite, (uint16_t)(first * 0x0101), 0xfffff000u + first, picture ? 90000 : 48000, picture ? 3000 : 960);
    model.next = rewrite.next_seq;
    model.newest_ts = rewrite.newest_ts;
    model.ended = true;
    require(model.next < 32768);
    while (in.at < in.end) {
        uint8_t op = byte(&in);
        now_us += op / 8 * 1000;
        switch (op % 8) {
        case 0: change_source(&in); break;
        case 1: late(&in); break;
        case 2: own(); break;
        case 3:
            rewrite_stop(&rewrite);
            model.running = false;
            break;
        default: in_order(&in); break;
        }
    }
    return 0;
}
