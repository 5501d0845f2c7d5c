/* The estimator on modelled lines in virtual time: a sender of pictures and sound that obeys it, a receiver that reports as
 * browsers do. */
#include "base/err.h"
#include "bwe/bwe.h"
#include "link/access.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum {
    STEP_US = 1000,
    FEEDBACK_US = 50 * 1000,
    FRAME_US = 40 * 1000,
    SOUND_US = 20 * 1000,
    SOUND_BYTES = 160,
    FLIGHT_MAX = 1 << 14,
    HEADERS = 28, /* IP and UDP */
};

struct flight {
    struct bwe_packet packet;
    int64_t arrives_us, told_us;
    bool there, told;
};

struct world {
    struct bwe bwe;
    struct access line;
    uint32_t return_us; /* of feedback */
    struct flight flights[FLIGHT_MAX];
    unsigned sent, reported;
    int64_t now_us, next_frame_us, next_sound_us, next_feedback_us;
    double debt_bytes, backlog_bytes; /* of the pacer */
    uint32_t source_bps;              /* what the publisher has; the most that is sent */
    struct probe_cluster cluster;
    int64_t clock_offset_us;
    /* figures since measure() */
    uint64_t bytes;
    int64_t since_us;
    int64_t queues[100000];
    unsigned n_queues;
};

static void send(struct world *w, unsigned bytes, uint8_t probe)
{
    struct flight *f = &w->flights[w->sent++ % FLIGHT_MAX];
    int64_t at[2];
    *f = (struct flight){.packet = {.sent_us = w->now_us, .bytes = (uint16_t)bytes, .probe = probe}};
    if (w->n_queues < sizeof w->queues / sizeof *w->queues)
        w->queues[w->n_queues++] = access_waiting_us(&w->line, w->now_us);
    if (access_offer(&w->line, bytes + HEADERS, w->now_us, at)) {
        f->there = true;
        f->arrives_us = at[0];
        w->bytes += bytes + HEADERS;
    }
    if (probe && probe_sent(&w->bwe.probe, probe, bytes, w->now_us))
        w->cluster.id = 0;
}

static void send_media(struct world *w)
{
    if (w->now_us >= w->next_sound_us) {
        w->next_sound_us += SOUND_US;
        send(w, SOUND_BYTES, 0);
    }
    uint32_t target = bwe_target_bps(&w->bwe);
    if (w->now_us >= w->next_frame_us) {
        uint32_t rate = target < w->source_bps ? target : w->source_bps;
        double sound = SOUND_BYTES * 8e6 / SOUND_US;
        w->next_frame_us += FRAME_US;
        w->backlog_bytes += rate > sound ? (rate - sound) * FRAME_US / 8e6 : 0;
    }
    if (w->cluster.id || bwe_probe(&w->bwe, w->now_us, &w->cluster)) {
        if (!w->bwe.probe.sent_packets)
            w->debt_bytes = 1100;
        else
            w->debt_bytes += w->cluster.bps * (double)STEP_US / 8e6;
        while (w->cluster.id) {
            double bytes = w->backlog_bytes > 1000 ? 1100 : 255;
            if (w->debt_bytes < bytes)
                break;
            w->backlog_bytes -= w->backlog_bytes > bytes ? bytes : w->backlog_bytes;
            w->debt_bytes -= bytes;
            send(w, (unsigned)bytes, w->cluster.id);
        }
        return;
    }
    w->debt_bytes += 1.5 * target * (double)STEP_US / 8e6;
    if (w->debt_bytes > 3000)
        w->debt_bytes = 3000;
    while (w->backlog_bytes > 0 && w->debt_bytes > 0) {
        double bytes = w->backlog_bytes < 1100 ? w->backlog_bytes + 1 : 1100;
        w->backlog_bytes -= bytes < w->backlog_bytes ? bytes : w->backlog_bytes;
        w->debt_bytes -= bytes;
        send(w, (unsigned)bytes, 0);
    }
}

/* Everything up to the newest arrival; what has not come by then counts as lost. */
static void report(struct world *w)
{
    struct bwe_packet packets[1024];
    size_t n = 0;
    if (w->now_us < w->next_feedback_us)
        return;
    w->next_feedback_us += FEEDBACK_US;
    int64_t seen_us = w->now_us - w->return_us;
    unsigned end = w->reported;
    for (unsigned i = w->reported; i < w->sent; i++)
        if (w->flights[i % FLIGHT_MAX].there && w->flights[i % FLIGHT_MAX].arrives_us <= seen_us)
            end = i + 1;
    for (; w->reported < end && n < 1024; w->reported++) {
        struct flight *f = &w->flights[w->reported % FLIGHT_MAX];
        f->packet.received = f->there;
        f->packet.arrival_us = f->arrives_us + w->clock_offset_us;
        packets[n++] = f->packet;
    }
    if (n)
        bwe_feedback(&w->bwe, packets, n, w->now_us);
}

static int trace_every;

static void run(struct world *w, double seconds)
{
    int64_t end = w->now_us + (int64_t)(seconds * 1e6);
    for (; w->now_us < end; w->now_us += STEP_US) {
        send_media(w);
        report(w);
        if (w->now_us % 50000 == 0)
            bwe_tick(&w->bwe, w->sent > w->reported, w->now_us);
        if (trace_every && w->now_us % trace_every == 0)
            fprintf(
                stderr,
                "%7.2f target %7u delay %7.0f loss %8.0f acked %7u queue %4lld/%4lld ms sig %d th %.1f own %.3f los %.3f\n",
                (double)w->now_us / 1e6, bwe_target_bps(&w->bwe), w->bwe.delay_bps, w->bwe.loss_bps, bwe_acked_bps(&w->bwe),
                (long long)access_waiting_us(&w->line, w->now_us) / 1000, (long long)w->bwe.delay.queue_us / 1000,
                w->bwe.delay.signal, w->bwe.delay.threshold_ms, w->bwe.own_loss, w->bwe.loss);
    }
}

static void measure(struct world *w)
{
    w->bytes = 0;
    w->n_queues = 0;
    w->since_us = w->now_us;
}

static double used_bps(const struct world *w)
{
    return (double)w->bytes * 8e6 / (double)(w->now_us - w->since_us);
}

static int compare(const void *a, const void *b)
{
    int64_t d = *(const int64_t *)a - *(const int64_t *)b;
    return d < 0 ? -1 : d > 0;
}

static int64_t queue_p95_us(struct world *w)
{
    qsort(w->queues, w->n_queues, sizeof *w->queues, compare);
    return w->n_queues ? w->queues[w->n_queues * 95 / 100] : 0;
}

static struct world *world_new(char profile, uint64_t seed)
{
    struct world *w = calloc(1, sizeof *w);
    struct access_config line;
    assert_true(access_profile(profile, false, &line));
    access_init(&w->line, &line, seed);
    w->return_us = line.delay_us + line.jitter_us / 2;
    w->source_bps = 3000000;
    w->now_us = 1000000;
    w->next_frame_us = w->next_sound_us = w->next_feedback_us = w->now_us;
    w->clock_offset_us = 123456789012;
    bwe_init(&w->bwe, &(struct bwe_config){.start_bps = 300000, .min_bps = 30000, .max_bps = 20000000});
    bwe_rtt(&w->bwe, 2 * line.delay_us + line.jitter_us);
    bwe_want(&w->bwe, w->source_bps);
    return w;
}

/* Every line of the province: within ten seconds most of it is used and it stays so, without a queue that is felt. */
static void each_line_is_used_without_a_queue(void **state)
{
    static const struct {
        char profile;
        double used; /* share of the line, or of the source */
    } rows[] = {{'A', 0.95}, {'B', 0.9}, {'C', 0.8}, {'D', 0.8}, {'E', 0.8}, {'F', 0.6}, {'G', 0.8}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (uint64_t seed = 1; seed <= 3; seed++) {
            struct world *w = world_new(rows[i].profile, seed);
            double line = w->line.config.rate_bps < w->source_bps ? w->line.config.rate_bps : w->source_bps;
            run(w, 10);
            measure(w);
            run(w, 50);
            double used = used_bps(w) / line;
            int64_t queue = queue_p95_us(w);
            if (used < rows[i].used || queue > 150000)
                fail_msg("line %c seed %d: used %.0f %%, queue p95 %d ms", rows[i].profile, (int)seed, 100 * used,
                         (int)(queue / 1000));
            free(w);
        }
}

static void a_line_that_narrows_and_widens_is_followed(void **state)
{
    struct world *w = world_new('B', 1);
    struct access_config narrow = w->line.config, wide = w->line.config;
    narrow.rate_bps = 500000;
    run(w, 10);
    access_change(&w->line, &narrow);
    run(w, 3);
    measure(w);
    run(w, 17);
    assert_true(queue_p95_us(w) < 150000);
    assert_true(used_bps(w) > 0.8 * 500000);
    access_change(&w->line, &wide);
    run(w, 10);
    assert_true(bwe_target_bps(&w->bwe) > 2500000); /* the full picture again */
    free(w);
}

static void after_an_outage_the_line_is_back_in_seconds(void **state)
{
    struct world *w = world_new('C', 1);
    struct access_config down = w->line.config, up = w->line.config;
    down.down = true;
    run(w, 10);
    access_change(&w->line, &down);
    run(w, 5);
    assert_true(bwe_target_bps(&w->bwe) < 300000);
    access_change(&w->line, &up);
    run(w, 8);
    assert_true(bwe_target_bps(&w->bwe) > 1200000);
    free(w);
}

static void loss_that_the_line_has_at_any_rate_is_not_counted(void **state)
{
    struct world *w = world_new('A', 1);
    w->line.config.loss_ppm = 80000;
    run(w, 30);
    assert_true(bwe_target_bps(&w->bwe) > 2500000);
    free(w);
}

static void loss_that_comes_with_the_rate_is_answered(void **state)
{
    struct world *w = world_new('A', 1);
    w->line.config.rate_bps = 1000000;
    w->line.config.queue_us = 30000; /* too short for the delay to tell */
    run(w, 10);
    measure(w);
    uint64_t offered = w->line.stats.offered, dropped = w->line.stats.dropped;
    run(w, 30);
    assert_true(used_bps(w) > 700000);
    assert_true((double)(w->line.stats.dropped - dropped) < 0.15 * (double)(w->line.stats.offered - offered));
    free(w);
}

/* ---- feedback that makes no sense ---- */

static struct bwe fresh(void)
{
    struct bwe b;
    bwe_init(&b, &(struct bwe_config){.start_bps = 300000, .min_bps = 30000, .max_bps = 5000000});
    return b;
}

static void within(const struct bwe *b)
{
    assert_in_range(bwe_target_bps(b), 30000, 5000000);
}

static void absurd_feedback_stays_within_bounds(void **state)
{
    static const int64_t times[] = {0, INT64_MAX / 4, -INT64_MAX / 4, 1, -1, 1000000, -1000000};
    struct bwe b = fresh();
    for (int i = 0; i < 2000; i++) {
        struct bwe_packet p[3];
        for (int k = 0; k < 3; k++)
            p[k] = (struct bwe_packet){.sent_us = i * 1000,
                                       .arrival_us = times[(i + k) % 7] + i,
                                       .bytes = (uint16_t)(k * 32767),
                                       .received = (i + k) % 5 != 0,
                                       .probe = (uint8_t)(i + k)};
        bwe_feedback(&b, p, 3, i * 1000);
        bwe_tick(&b, true, i * 1000);
        within(&b);
    }
}

static void a_clock_before_zero_is_a_clock_like_any(void **state)
{
    struct bwe b = fresh();
    for (int64_t i = 0; i < 200; i++) {
        struct bwe_packet p = {.sent_us = i * 20000, .arrival_us = i * 20000 - 8192000, .bytes = 1000, .received = true};
        bwe_feedback(&b, &p, 1, i * 20000);
    }
    assert_in_range(bwe_acked_bps(&b), 390000, 410000);
}

static void remb_of_any_value_stays_within_bounds(void **state)
{
    static const uint64_t values[] = {0, 1, UINT64_MAX, 1ull << 63, 1000000};
    struct bwe b = fresh();
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        bwe_remb(&b, values[i], (int64_t)i * 1000000);
        within(&b);
    }
    assert_int_equal(bwe_target_bps(&b), 1000000);
}

static void without_any_feedback_the_start_rate_stays(void **state)
{
    struct bwe b = fresh();
    for (int64_t now = 0; now < 10000000; now += 50000)
        bwe_tick(&b, true, now);
    assert_int_equal(bwe_target_bps(&b), 300000);
}

static void probing_stops_at_what_is_wanted(void **state)
{
    struct bwe b = fresh();
    struct probe_cluster c;
    bwe_want(&b, 250000);
    assert_false(bwe_probe(&b, 0, &c));
    bwe_want(&b, 1000000);
    assert_true(bwe_probe(&b, 0, &c));
    assert_true(c.bps <= 1250000);
    assert_false(bwe_probe(&b, 1000, &c)); /* one at a time */
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_line_is_used_without_a_queue),
        cmocka_unit_test(a_line_that_narrows_and_widens_is_followed),
        cmocka_unit_test(after_an_outage_the_line_is_back_in_seconds),
        cmocka_unit_test(loss_that_the_line_has_at_any_rate_is_not_counted),
        cmocka_unit_test(loss_that_comes_with_the_rate_is_answered),
        cmocka_unit_test(absurd_feedback_stays_within_bounds),
        cmocka_unit_test(a_clock_before_zero_is_a_clock_like_any),
        cmocka_unit_test(remb_of_any_value_stays_within_bounds),
        cmocka_unit_test(without_any_feedback_the_start_rate_stays),
        cmocka_unit_test(probing_stops_at_what_is_wanted),
    };
    trace_every = argc > 1 ? atoi(argv[1]) : 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
