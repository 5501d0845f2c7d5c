/* Rough lines and clients that tell nonsense, in virtual time: no lasting freeze, the picture clean within a second, and
 * nobody else notices. Endpoint 1 publishes, 2 has the rough line, 3 a good one. */
#include "sfu_viewer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { MS = 1000, MBIT = 1000000 };

static struct world *w;
static struct obeying camera;
static struct viewer rough, other;
static struct viewer *both[] = {&rough, &other};
static const struct access_config good = {.rate_bps = 10 * MBIT, .queue_us = 250 * MS, .delay_us = 20 * MS};

static int setup(void **state)
{
    w = world_new();
    w->estimates = true;
    for (uint32_t n = 1; n <= 3; n++)
        world_join(w, n, n == 1 ? 3 : 1);
    obeying_begin(&camera, w, 1);
    viewer_begin(&rough, w, 2, &good);
    viewer_begin(&other, w, 3, &good);
    world_wish(w, 2)->stage = world_wish(w, 3)->stage = 1;
    world_apply(w);
    viewers_live(&camera, both, 2, 8000);
    assert_int_equal(viewer_layer(&rough), 2);
    return 0;
}

static int teardown(void **state)
{
    world_free(w);
    return 0;
}

static void live(int64_t ms)
{
    viewers_live(&camera, both, 2, ms);
}

/* The other viewer has had every frame in time. */
static void assert_undisturbed(int64_t ms)
{
    assert_true(other.frames + 3 >= ms / 35);
    assert_true(other.longest_us < 120 * MS);
}

/* While the line is so, no freeze beyond `freeze_ms`; a second after it has ended, every frame in time. */
static void rough_for(const struct access_config *line, uint32_t lose_repairs_ppm, int64_t ms, int64_t freeze_ms)
{
    viewer_watch(&rough);
    viewer_watch(&other);
    access_change(&rough.access, line);
    rough.lose_repairs_ppm = lose_repairs_ppm;
    live(ms);
    int64_t froze_us = rough.longest_us;
    assert_undisturbed(ms);
    access_change(&rough.access, &good);
    rough.lose_repairs_ppm = 0;
    live(1000);
    viewer_watch(&rough);
    live(3000);
    print_message("froze %d ms; then %u frames, at most %d ms apart\n", (int)(froze_us / MS), rough.frames,
                  (int)(rough.longest_us / MS));
    assert_true(froze_us < freeze_ms * MS);
    assert_true(rough.longest_us < 120 * MS);
    assert_true(rough.frames > 3000 / 35 - 5);
}

static void a_burst_of_a_fifth_for_two_seconds(void **state)
{
    struct access_config line = good;
    line.loss_ppm = 200000;
    rough_for(&line, 0, 2000, 1000);
}

static void a_burst_in_which_most_repairs_are_lost_too(void **state)
{
    struct access_config line = good;
    line.loss_ppm = 200000;
    rough_for(&line, 700000, 2000, 1500);
}

static void lost_repairs_are_asked_for_again(void **state)
{
    struct access_config line = good;
    line.loss_ppm = 30000;
    rough_for(&line, 500000, 10000, 700);
    assert_true(rough.plis <= 2);
}

static void packets_that_come_thirty_milliseconds_late(void **state)
{
    struct access_config line = good;
    line.reorder_ppm = 100000;
    line.reorder_us = 30 * MS;
    uint64_t thrown = w->sfu.stats.drops[SFU_DROP_LATE];
    rough_for(&line, 0, 5000, 200);
    assert_int_equal(rough.plis, 0);
    assert_int_equal(w->sfu.stats.drops[SFU_DROP_LATE], thrown);
    assert_int_equal(viewer_layer(&rough), 2); /* lateness of some is no queue */
}

static void packets_that_come_twice(void **state)
{
    struct access_config line = good;
    line.duplicate_ppm = 300000;
    rough_for(&line, 0, 5000, 120);
    assert_int_equal(viewer_layer(&rough), 2);
}

static void everything_at_once(void **state)
{
    struct access_config line = {.rate_bps = 2 * MBIT,
                                 .queue_us = 250 * MS,
                                 .delay_us = 60 * MS,
                                 .jitter_us = 40 * MS,
                                 .loss_ppm = 50000,
                                 .duplicate_ppm = 50000,
                                 .reorder_ppm = 50000,
                                 .reorder_us = 30 * MS};
    viewer_watch(&other);
    access_change(&rough.access, &line);
    rough.lose_repairs_ppm = 200000;
    live(10000);
    viewer_watch(&rough);
    live(10000);
    assert_undisturbed(20000);
    assert_true(rough.longest_us < 1500 * MS);
    assert_true(rough.frames > 10000 / 35 / 2);
}

/* ---- clients that tell nonsense ---- */

static uint32_t target_of(uint32_t number)
{
    return bwe_target_bps(&world_line(w, number)->peer->downlink->bwe);
}

static void assert_bounded(void)
{
    assert_in_range(target_of(2), DOWNLINK_MIN_BPS, DOWNLINK_MAX_BPS);
}

static void a_client_that_never_tells_anything(void **state)
{
    viewer_watch(&other);
    rough.mute = true;
    live(20000);
    assert_bounded();
    assert_true(rough.sounds > 900);
    assert_undisturbed(20000);
}

static void say_remb(uint32_t mantissa, unsigned exponent)
{
    uint8_t bytes[64];
    struct writer x = writer_make(bytes, sizeof bytes);
    rtcp_write_remb(&x, 7, 1000, (const uint32_t[]){world_ssrc(2, STAGE_PICTURE)}, 1);
    put_u24(bytes + 17, exponent << 18 | mantissa);
    peer_input_rtcp(world_line(w, 2)->peer, bytes, writer_len(&x), w->now_us);
}

static void any_remb_is_bounded(void **state)
{
    static const struct {
        uint32_t mantissa;
        unsigned exponent;
    } rows[] = {{0, 0}, {0, 63}, {1, 0}, {1, 63}, {0x3ffff, 63}, {0x3ffff, 45}, {0x20000, 46}};
    viewer_watch(&other);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int k = 0; k < 20; k++) {
            say_remb(rows[i].mantissa, rows[i].exponent);
            live(50);
            assert_bounded();
        }
    assert_undisturbed(7000);
    live(12000); /* it is forgotten again */
    assert_int_equal(viewer_layer(&rough), 2);
}

/* Feedback on the newest packets that were really sent, at times of our choice: `deltas` of 250 µs after the reference. */
static void say_feedback(uint32_t reference, const int16_t *deltas, uint16_t n, int32_t base_off)
{
    uint8_t bytes[1200];
    struct peer *p = world_line(w, 2)->peer;
    struct writer x = writer_make(bytes, sizeof bytes);
    write_u8(&x, 0x80 | RTCP_TRANSPORT_CC);
    write_u8(&x, RTCP_RTPFB);
    write_u16(&x, 0);
    write_u32(&x, 7);
    write_u32(&x, world_ssrc(2, STAGE_PICTURE));
    write_u16(&x, (uint16_t)(p->transport_seq - n + base_off));
    write_u16(&x, n);
    write_u24(&x, reference & 0xffffff);
    write_u8(&x, 0);
    write_u16(&x, (uint16_t)(2u << 13 | n)); /* a run of large deltas */
    for (uint16_t i = 0; i < n; i++)
        write_u16(&x, (uint16_t)deltas[i]);
    while (writer_len(&x) % 4)
        write_u8(&x, 0);
    put_u16(bytes + 2, (uint16_t)(writer_len(&x) / 4 - 1));
    peer_input_rtcp(p, bytes, writer_len(&x), w->now_us);
}

static void absurd_feedback_is_bounded_and_counted(void **state)
{
    static const int16_t down[] = {-32768, -32768, -32768, -32768}, up[] = {32767, 32767, 32767, 32767};
    static const int16_t out_and_back[] = {-32768, 4000, 32767, -32768}, none[4];
    viewer_watch(&other);
    rough.mute = true;
    for (unsigned i = 0; i < 400; i++) {
        static const uint32_t references[] = {0, 1, 0x7fffff, 0x800000, 0xffffff, 0x400000, 0xc00000};
        say_feedback(references[i % 7],
                     i % 4 == 0   ? down
                     : i % 4 == 1 ? up
                     : i % 4 == 2 ? out_and_back
                                  : none,
                     4, i % 5 == 4 ? 30000 : 0);
        live(20);
        assert_bounded();
    }
    assert_true(w->sfu.stats.feedback_absurd > 100);
    assert_undisturbed(8000);
    rough.mute = false;
    live(20000); /* who tells the truth again is believed again */
    assert_int_equal(viewer_layer(&rough), 2);
}

/* A clock that begins at 0 and whose first packet is said to have come before that. */
static void a_first_arrival_before_the_clocks_beginning_breaks_nothing(void **state)
{
    static const int16_t deltas[] = {-32768, 4000, 4000, 4000};
    rough.mute = true;
    world_line(w, 2)->peer->downlink->has_clock = false;
    world_line(w, 2)->peer->downlink->bwe.acked.started = false;
    say_feedback(0, deltas, 4, 0);
    live(100);
    assert_bounded();
}

static void reports_of_any_content_are_bounded(void **state)
{
    static const struct rtcp_report rows[] = {
        {.fraction_lost = 255, .lost = 0x7fffff, .highest_seq = UINT32_MAX, .jitter = UINT32_MAX, .lsr = 1, .dlsr = 0},
        {.fraction_lost = 255, .lost = -0x800000, .lsr = UINT32_MAX, .dlsr = UINT32_MAX},
        {.lsr = 0x80000000, .dlsr = 0x80000000},
    };
    viewer_watch(&other);
    for (unsigned i = 0; i < 300; i++) {
        uint8_t bytes[64];
        struct writer x = writer_make(bytes, sizeof bytes);
        struct rtcp_report r = rows[i % 3];
        r.ssrc = world_ssrc(2, i % 2 ? STAGE_PICTURE : STAGE_SOUND);
        rtcp_write_rr(&x, 7, &r, 1);
        peer_input_rtcp(world_line(w, 2)->peer, bytes, writer_len(&x), w->now_us);
        live(10);
        assert_in_range(peer_rtt_us(world_line(w, 2)->peer), 1, 60 * 1000 * MS);
        assert_bounded();
    }
    assert_undisturbed(3000);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(a_burst_of_a_fifth_for_two_seconds),
        TEST(a_burst_in_which_most_repairs_are_lost_too),
        TEST(lost_repairs_are_asked_for_again),
        TEST(packets_that_come_thirty_milliseconds_late),
        TEST(packets_that_come_twice),
        TEST(everything_at_once),
        TEST(a_client_that_never_tells_anything),
        TEST(any_remb_is_bounded),
        TEST(absurd_feedback_is_bounded_and_counted),
        TEST(a_first_arrival_before_the_clocks_beginning_breaks_nothing),
        TEST(reports_of_any_content_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
