/* A subscriber behind a modelled line, in virtual time: its feedback decides which layers it gets. Endpoint 1 publishes
 * three layers of about 120, 700 and 2,100 kbit/s and sound; endpoint 2 watches. */
#include "sfu_world.h"

#include "link/access.h"
#include "rtp/transport_cc.h"
#include "sfu/downlink.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { PENDING_MAX = 4096, HEADERS = 28 + 16, RETURN_US = 20000, FEEDBACK_US = 50000 };

struct far_end {
    struct world *world;
    struct access access;
    struct transport_cc_receiver receiver;
    struct {
        int64_t at_us;
        uint16_t seq;
        uint32_t ssrc;
    } pending[PENDING_MAX];
    size_t n_pending;
    int64_t feedback_us, waited_us; /* longest wait on the line */
    unsigned sounds;                /* that arrived since watch() */
    uint64_t picture_bytes;
    bool mute;                        /* tells nothing */
    unsigned pauses, resumes, untold; /* of the stage as its receiver is told; those that nobody would have told */
    bool was_paused;
    uint32_t dirty;
};

static bool over_the_line(const struct arrived *a, void *ctx)
{
    struct far_end *f = ctx;
    int64_t at[2], now_us = f->world->now_us, waits = access_waiting_us(&f->access, now_us);
    f->waited_us = waits > f->waited_us ? waits : f->waited_us;
    if (access_offer(&f->access, a->len + HEADERS, now_us, at) && f->n_pending < PENDING_MAX) {
        f->pending[f->n_pending].at_us = at[0];
        f->pending[f->n_pending].seq = a->transport_seq;
        f->pending[f->n_pending++].ssrc = a->ssrc;
        if (a->ssrc != world_ssrc(2, STAGE_SOUND))
            f->picture_bytes += a->len;
    }
    return true; /* nothing is kept by the world */
}

static void tell(struct far_end *f)
{
    struct world *w = f->world;
    size_t kept = 0;
    for (size_t i = 0; i < f->n_pending; i++) {
        if (f->pending[i].at_us > w->now_us - RETURN_US) {
            f->pending[kept++] = f->pending[i];
            continue;
        }
        f->sounds += f->pending[i].ssrc == world_ssrc(2, STAGE_SOUND);
        transport_cc_arrived(&f->receiver, f->pending[i].seq, f->pending[i].at_us);
    }
    f->n_pending = kept;
    if (w->now_us < f->feedback_us || f->mute)
        return;
    f->feedback_us = w->now_us + FEEDBACK_US;
    for (;;) {
        uint8_t bytes[1200];
        struct writer x = writer_make(bytes, sizeof bytes);
        if (transport_cc_build(&f->receiver, &x, 7, world_ssrc(2, STAGE_PICTURE)))
            return;
        peer_input_rtcp(world_line(w, 2)->peer, bytes, writer_len(&x), w->now_us);
    }
}

/* As the worker's report does: a look at the slots only when the router says that something is new. */
static void look(struct far_end *f)
{
    const struct slot *s = world_slot(f->world, 2, STAGE_PICTURE);
    uint32_t dirty = world_line(f->world, 2)->peer->router->dirty;
    bool paused = slot_told_paused(s);
    if (paused != f->was_paused) {
        f->pauses += paused;
        f->resumes += !paused;
        f->untold += dirty == f->dirty;
    }
    f->was_paused = paused;
    f->dirty = dirty;
}

static unsigned plis_answered[SFU_LAYERS];

static void live(struct far_end *f, int64_t ms)
{
    static const unsigned packets[SFU_LAYERS] = {1, 3, 9};
    struct world *w = f->world;
    for (int64_t t = 0; t < ms; t += 5) {
        if (t % 20 == 0)
            world_sound(w, 1, 30);
        for (unsigned i = t % 70 == 0 ? 0 : 1; t % 35 == 0 && i < SFU_LAYERS; i++) {
            bool asked = world_line(w, 1)->camera_plis[i] != plis_answered[i];
            plis_answered[i] = world_line(w, 1)->camera_plis[i];
            world_frame(w, &w->cameras[0], i, packets[i], asked || w->now_us < 1100000, 0);
        }
        world_run(w, 5000);
        tell(f);
        look(f);
    }
}

static struct far_end *begin(uint32_t rate_bps)
{
    struct far_end *f = calloc(1, sizeof *f);
    struct access_config config = {.rate_bps = rate_bps, .queue_us = 250000, .delay_us = 20000};
    memset(plis_answered, 0, sizeof plis_answered);
    access_init(&f->access, &config, 1);
    transport_cc_init(&f->receiver);
    struct world *w = f->world = world_new();
    w->packet_bytes = 1000;
    w->estimates = true;
    world_join(w, 1, 3);
    world_join(w, 2, 1);
    world_wish(w, 2)->stage = 1;
    world_apply(w);
    world_line(w, 2)->lose = over_the_line;
    world_line(w, 2)->lose_ctx = f;
    return f;
}

static void end(struct far_end *f)
{
    world_free(f->world);
    free(f);
}

static void watch(struct far_end *f)
{
    f->waited_us = 0;
    f->sounds = 0;
    f->picture_bytes = 0;
    f->pauses = f->resumes = f->untold = 0;
    world_line(f->world, 1)->plis = 0;
}

static unsigned layer_of(struct far_end *f)
{
    return world_slot(f->world, 2, STAGE_PICTURE)->layer;
}

static void a_line_gets_the_layer_that_fits(void **state)
{
    static const struct {
        uint32_t rate_bps;
        unsigned layer;
    } rows[] = {{10000000, 2}, {3500000, 2}, {1500000, 1}, {1000000, 1}, {500000, 0}, {100000, SLOT_NO_LAYER}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct far_end *f = begin(rows[i].rate_bps);
        live(f, 8000);
        watch(f);
        live(f, 20000);
        if (layer_of(f) != rows[i].layer || f->waited_us > 200000 || f->sounds < 980 || world_line(f->world, 1)->plis > 6)
            fail_msg("%u bit/s: layer %u, waited %d ms, %u sounds, %u requests", rows[i].rate_bps, layer_of(f),
                     (int)(f->waited_us / 1000), f->sounds, world_line(f->world, 1)->plis);
        end(f);
    }
}

static void a_good_line_has_the_full_picture_within_two_seconds(void **state)
{
    struct far_end *f = begin(10000000);
    live(f, 2000);
    assert_int_equal(layer_of(f), 2);
    end(f);
}

static void a_narrow_moment_pauses_the_picture_and_keeps_the_sound(void **state)
{
    struct far_end *f = begin(4000000);
    struct access_config narrow = f->access.config, wide = f->access.config;
    narrow.rate_bps = 150000;
    live(f, 8000);
    assert_int_equal(layer_of(f), 2);
    access_change(&f->access, &narrow);
    live(f, 5000);
    watch(f);
    live(f, 10000);
    assert_int_equal(layer_of(f), SLOT_NO_LAYER);
    assert_true(slot_paused(world_slot(f->world, 2, STAGE_PICTURE)));
    assert_true(f->sounds > 480);
    access_change(&f->access, &wide);
    live(f, 10000);
    assert_int_equal(layer_of(f), 2);
    end(f);
}

/* However long it was narrow: the probes' pauses have grown meanwhile, and sound alone shows nothing of a line that is back.
 */
static void a_pause_is_told_once_and_its_end_within_ten_seconds(void **state)
{
    static const int64_t narrow_ms[] = {9000, 12000, 20000, 45000};
    for (size_t i = 0; i < sizeof narrow_ms / sizeof *narrow_ms; i++) {
        struct far_end *f = begin(4000000);
        struct access_config narrow = f->access.config, wide = f->access.config;
        narrow.rate_bps = 150000;
        live(f, 8000);
        watch(f);
        access_change(&f->access, &narrow);
        live(f, narrow_ms[i]);
        assert_int_equal(f->pauses, 1);
        assert_int_equal(f->resumes, 0);
        assert_int_equal(slot_told_number(world_slot(f->world, 2, STAGE_PICTURE)), 1);
        access_change(&f->access, &wide);
        live(f, 10000);
        assert_int_equal(f->pauses, 1);
        assert_int_equal(f->resumes, 1);
        assert_int_equal(f->untold, 0);
        assert_int_equal(layer_of(f), 2);
        end(f);
    }
}

/* Who comes to the stage while it is paused is named at once; the picture that stands still there is nobody's any more. */
static void a_paused_slot_names_who_belongs_into_it(void **state)
{
    struct far_end *f = begin(100000);
    struct world *w = f->world;
    struct slot *stage = world_slot(w, 2, STAGE_PICTURE);
    live(f, 12000);
    assert_true(slot_told_paused(stage));
    assert_int_equal(slot_told_number(stage), 1);
    world_join(w, 3, 3);
    uint32_t dirty = world_line(w, 2)->peer->router->dirty;
    world_wish(w, 2)->stage = 3;
    world_apply(w);
    live(f, 200);
    assert_true(slot_told_paused(stage));
    assert_int_equal(slot_told_number(stage), 3);
    assert_int_not_equal(world_line(w, 2)->peer->router->dirty, dirty);
    world_wish(w, 2)->stage_size = (struct wish_size){0, 0}; /* sound only */
    world_apply(w);
    live(f, 200);
    assert_false(slot_told_paused(stage));
    assert_int_equal(slot_told_number(stage), 0);
    end(f);
}

static void a_client_that_tells_nothing_stays_at_the_start_rate(void **state)
{
    struct far_end *f = begin(10000000);
    f->mute = true;
    live(f, 3000);
    watch(f);
    live(f, 10000);
    assert_true(f->picture_bytes * 8 / 10 < DOWNLINK_START_BPS);
    assert_int_equal(layer_of(f), 0);
    end(f);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_gets_the_layer_that_fits),
        cmocka_unit_test(a_good_line_has_the_full_picture_within_two_seconds),
        cmocka_unit_test(a_narrow_moment_pauses_the_picture_and_keeps_the_sound),
        cmocka_unit_test(a_pause_is_told_once_and_its_end_within_ten_seconds),
        cmocka_unit_test(a_paused_slot_names_who_belongs_into_it),
        cmocka_unit_test(a_client_that_tells_nothing_stays_at_the_start_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
