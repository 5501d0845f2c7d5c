/* Assembler: every sequence number ends in a frame or in a hole, whatever the order and the losses. */
#include "recordings/assembler.h"
#include "recordings/depacket.h"

#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A packet in a script: sequence number, frame number, place in it. */
struct step {
    unsigned seq, frame;
    char place; /* 's' start, 'm' middle, 'e' end, 'a' all of a frame, 'p' padding only */
    int64_t at_us;
};

static int feed_step(struct assembler *a, const struct step *s)
{
    uint8_t payload[4] = {0x00, 0x01, (uint8_t)s->seq, (uint8_t)s->frame}; /* VP8: empty descriptor, inter frame */
    if (s->place == 's' || s->place == 'a')
        payload[0] = 0x10;
    struct assembler_packet p = {.ext_seq = 0x10000 + s->seq,
                                 .session_us = 40000 * (int64_t)s->frame,
                                 .ts = 3600 * s->frame,
                                 .marker = s->place == 'e' || s->place == 'a',
                                 .payload = payload,
                                 .payload_len = s->place == 'p' ? 0 : sizeof payload,
                                 .position = s->seq * 16};
    return assembler_input(a, &p, s->at_us);
}

/* What came out, in words: "F3-5" a frame of these numbers, "H6-6/1lost" a hole with one missing. */
static void drain(struct assembler *a, int64_t now_us, bool finish, char *text, size_t cap)
{
    struct assembled out;
    while (assembler_poll(a, now_us, finish, &out)) {
        size_t len = strlen(text);
        unsigned from = (unsigned)(out.from_seq - 0x10000), to = (unsigned)(out.to_seq - 0x10000);
        if (out.kind == ASSEMBLED_FRAME)
            snprintf(text + len, cap - len, "F%u-%u ", from, to);
        else
            snprintf(text + len, cap - len, "H%u-%u/%u%s ", from, to, (unsigned)out.missing, hole_reason_name(out.reason));
        if (out.kind == ASSEMBLED_HOLE)
            assert_int_equal(out.packets, to - from + 1);
    }
}

static void packets_become_frames_and_holes(void **state)
{
    static const struct {
        const char *what;
        struct step steps[10];
        int64_t late_us; /* polled here once more */
        bool finish;
        const char *out;
    } rows[] = {
        {"in order", {{1, 1, 'a'}, {2, 2, 's'}, {3, 2, 'm'}, {4, 2, 'e'}}, 0, false, "F1-1 F2-4 "},
        {"reordered", {{1, 1, 'a'}, {4, 2, 'e'}, {2, 2, 's'}, {3, 2, 'm'}, {3, 2, 'm'}}, 0, false, "F1-1 F2-4 "},
        {"waits for a missing one", {{1, 1, 'a'}, {3, 2, 'e'}, {4, 3, 'a'}}, 999999, false, "F1-1 "},
        {"gives it up after a second, its frame with it",
         {{1, 1, 'a'}, {2, 2, 's'}, {4, 2, 'e'}, {5, 3, 'a'}},
         1000000,
         false,
         "F1-1 H2-4/1lost F5-5 "},
        {"a whole frame is missing", {{1, 1, 'a'}, {4, 3, 's'}, {5, 3, 'e'}}, 1000000, false, "F1-1 H2-3/2lost F4-5 "},
        {"the last packet of a frame is missing",
         {{1, 1, 's'}, {2, 1, 'm'}, {4, 2, 'a'}},
         1000000,
         false,
         "H1-3/1lost F4-4 "},
        {"the first packet of a frame is missing",
         {{1, 1, 'a'}, {3, 2, 'm'}, {4, 2, 'e'}, {5, 3, 'a'}},
         1000000,
         false,
         "F1-1 H2-4/1lost F5-5 "},
        {"no marker: the next time stamp ends the frame", {{1, 1, 's'}, {2, 1, 'm'}, {3, 2, 'a'}}, 0, false, "F1-2 F3-3 "},
        {"padding is a number without content",
         {{1, 1, 'a'}, {2, 1, 'p'}, {3, 1, 'p'}, {4, 2, 'a'}},
         0,
         false,
         "F1-1 F4-4 "},
        {"padding with the marker's number lost in a frame",
         {{1, 1, 's'}, {2, 1, 'p'}, {3, 1, 'e'}, {4, 2, 'a'}},
         0,
         false,
         "F1-3 F4-4 "},
        {"finish waits for nothing",
         {{1, 1, 'a'}, {3, 2, 'a'}, {4, 3, 's'}},
         0,
         true,
         "F1-1 H2-2/1lost F3-3 H4-4/0gave-up "},
        {"a continuation without a beginning", {{1, 1, 'm'}, {2, 1, 'e'}, {3, 2, 'a'}}, 0, false, "H1-2/0gave-up F3-3 "},
        {"continuations only are reported in pieces", {{1, 1, 'm'}, {2, 1, 'm'}}, 2000000, false, "H1-2/0gave-up "},
        {"wraps of 16 bits are nothing special",
         {{65535, 1, 's'}, {65536, 1, 'm'}, {65537, 1, 'e'}, {65538, 2, 'a'}},
         0,
         false,
         "F65535-65537 F65538-65538 "},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct assembler *a;
        char text[400] = "";
        assert_int_equal(assembler_new(RTP_VP8, 0, &a), 0);
        for (size_t k = 0; k < 10 && rows[i].steps[k].seq; k++) {
            feed_step(a, &rows[i].steps[k]);
            drain(a, 0, false, text, sizeof text);
        }
        drain(a, rows[i].late_us, rows[i].finish, text, sizeof text);
        if (strcmp(text, rows[i].out) != 0)
            fail_msg("%s: %s, not %s", rows[i].what, text, rows[i].out);
        assembler_free(a);
    }
}

static void opus_packets_are_frames_and_losses_are_counted(void **state)
{
    struct assembler *a;
    char text[400] = "";
    assert_int_equal(assembler_new(RTP_OPUS, 0, &a), 0);
    static const struct step steps[] = {{1, 1, 'a'}, {2, 2, 'm'}, {5, 5, 'm'}, {6, 6, 'a'}};
    for (size_t i = 0; i < 4; i++)
        feed_step(a, &steps[i]);
    drain(a, 1000000, false, text, sizeof text);
    assert_string_equal(text, "F1-1 F2-2 H3-4/2lost F5-5 F6-6 ");
    assembler_free(a);
}

static void a_pause_is_no_hole(void **state)
{
    struct assembler *a;
    char text[400] = "";
    assert_int_equal(assembler_new(RTP_VP8, 0, &a), 0);
    feed_step(a, &(struct step){1, 1, 'a'});
    drain(a, 0, true, text, sizeof text);
    assembler_resume(a);
    feed_step(a, &(struct step){900, 30, 'a'});
    feed_step(a, &(struct step){902, 32, 'a'});
    drain(a, 1000000, false, text, sizeof text);
    assert_string_equal(text, "F1-1 F900-900 H901-901/1lost F902-902 ");
    assembler_free(a);
}

static void a_gap_in_the_feed_gives_the_hole_its_reason(void **state)
{
    struct assembler *a;
    struct assembled out;
    assert_int_equal(assembler_new(RTP_OPUS, 0, &a), 0);
    struct assembler_packet p = {.ext_seq = 10, .session_us = 1, .payload = (const uint8_t *)"x", .payload_len = 1};
    assert_int_equal(assembler_input(a, &p, 0), 0);
    p.ext_seq = 15;
    p.gap = HOLE_RING_FULL;
    assert_int_equal(assembler_input(a, &p, 0), 0);
    assert_true(assembler_poll(a, 0, false, &out));
    assert_true(assembler_poll(a, 1000000, false, &out));
    assert_int_equal(out.kind, ASSEMBLED_HOLE);
    assert_int_equal(out.reason, HOLE_RING_FULL);
    assert_int_equal(out.missing, 4);
    assembler_free(a);
}

/* Cuts the stream at every packet, throws the assembler away, and lets a second one go on from its number and position. */
static void a_successor_goes_on_where_the_first_one_stopped(void **state)
{
    static const struct step steps[] = {{1, 1, 'a'},  {2, 2, 's'},  {4, 2, 'e'},  {3, 2, 'm'},  {5, 3, 's'},
                                        {7, 3, 'e'},  {8, 4, 'a'},  {9, 5, 's'},  {10, 5, 'e'}, {12, 7, 'm'},
                                        {13, 7, 'e'}, {14, 8, 'a'}, {15, 9, 'p'}, {16, 9, 'a'}};
    enum { N = sizeof steps / sizeof steps[0] };
    for (size_t cut = 1; cut < N; cut++) {
        struct assembler *a;
        char text[400] = "";
        uint64_t position;
        int64_t us;
        assert_int_equal(assembler_new(RTP_VP8, 0, &a), 0);
        for (size_t i = 0; i < cut; i++) {
            struct step s = steps[i];
            s.at_us = (int64_t)i * 200000;
            feed_step(a, &s);
            drain(a, s.at_us, false, text, sizeof text);
        }
        uint64_t next = assembler_next_seq(a);
        size_t from = cut;
        if (assembler_oldest(a, &position, &us))
            for (size_t i = 0; i < cut; i++)
                if (steps[i].seq * 16 == position)
                    from = i;
        for (size_t i = 0; i < from; i++) /* the order in the feed is the order of arrival: take the first still needed */
            if (steps[i].seq + 0x10000 >= next && steps[i].place != 'p')
                from = i < from ? i : from;
        assembler_free(a);
        assert_int_equal(assembler_new(RTP_VP8, next, &a), 0);
        for (size_t i = from; i < N; i++)
            feed_step(a, &steps[i]);
        drain(a, 5000000, true, text, sizeof text);
        const char *whole = "F1-1 F2-4 H5-7/1lost F8-8 F9-10 H11-13/1lost F14-14 F16-16 ";
        if (strcmp(text, whole) != 0)
            fail_msg("cut at %zu: %s", cut, text);
        assembler_free(a);
    }
}

static void random_orders_and_losses_keep_the_account(void **state)
{
    for (unsigned seed = 1; seed <= 60; seed++) {
        struct assembler *a;
        struct assembled out;
        uint64_t frames = 0, holes = 0, missing = 0, dropped = 0, next = 0x10000 + 100;
        unsigned x = seed * 2654435761u;
        assert_int_equal(assembler_new(RTP_VP8, 0x10000 + 100, &a), 0);
        for (unsigned n = 0; n < 3000; n++) {
            x = x * 1664525u + 1013904223u;
            unsigned seq = 100 + n, frame = n / 3;
            bool lost = x >> 24 < 12 && n + 1 < 3000 && n > 0;
            dropped += lost;
            struct step s = {seq, frame, n % 3 == 0 ? 's' : n % 3 == 2 ? 'e' : 'm', (int64_t)n * 10000};
            if (!lost)
                feed_step(a, &s);
            while (assembler_poll(a, s.at_us, n == 2999, &out)) {
                assert_int_equal(out.from_seq, next); /* no number twice, none left out */
                next = out.to_seq + 1;
                if (out.kind == ASSEMBLED_FRAME)
                    frames += out.to_seq - out.from_seq + 1;
                else
                    holes += out.packets, missing += out.missing;
            }
        }
        assert_int_equal(next, 0x10000 + 3100);
        assert_int_equal(frames + holes, 3000);
        assert_int_equal(missing, dropped);
        assembler_free(a);
    }
}

static void h264_becomes_length_prefixed_units_with_parameter_sets_kept(void **state)
{
    struct depacket d;
    depacket_init(&d, RTP_H264);
    static const uint8_t stap[] = {0x78, 0, 5, 0x67, 0x42, 0xe0, 0x1f, 0x8d, 0, 3, 0x68, 0xce, 0x3c};
    static const uint8_t fu1[] = {0x7c, 0x85, 1, 2, 3}, fu2[] = {0x7c, 0x05, 4}, fu3[] = {0x7c, 0x45, 5, 6};
    depacket_begin(&d);
    assert_int_equal(depacket_add(&d, stap, sizeof stap), 0);
    assert_int_equal(depacket_add(&d, fu1, sizeof fu1), 0);
    assert_int_equal(depacket_add(&d, fu2, sizeof fu2), 0);
    assert_int_equal(depacket_add(&d, fu3, sizeof fu3), 0);
    static const uint8_t whole[] = {0,    0,    0, 5, 0x67, 0x42, 0xe0, 0x1f, 0x8d, 0, 0, 0, 3, 0x68,
                                    0xce, 0x3c, 0, 0, 0,    7,    0x65, 1,    2,    3, 4, 5, 6};
    assert_int_equal(d.len, sizeof whole);
    assert_memory_equal(d.bytes, whole, sizeof whole);
    assert_true(d.keyframe && d.parameters_changed);
    uint8_t avcc[64];
    size_t len;
    static const uint8_t record[] = {1,    0x42, 0xe0, 0x1f, 0xff, 0xe1, 0,    5,    0x67, 0x42,
                                     0xe0, 0x1f, 0x8d, 1,    0,    3,    0x68, 0xce, 0x3c};
    assert_int_equal(depacket_avcc(&d, avcc, sizeof avcc, &len), 0);
    assert_int_equal(len, sizeof record);
    assert_memory_equal(avcc, record, sizeof record);
    d.parameters_changed = false;
    depacket_begin(&d);
    assert_int_equal(depacket_add(&d, stap, sizeof stap), 0);
    assert_false(d.parameters_changed); /* the same ones again */
    assert_int_equal(depacket_add(&d, fu2, sizeof fu2), ERR_MALFORMED);
    assert_int_equal(depacket_add(&d, (const uint8_t *)"\x78\x00\x09\x67", 4), ERR_MALFORMED);
    depacket_clear(&d);
}

static void vp9_descriptors_are_measured(void **state)
{
    static const struct {
        uint8_t bytes[16];
        size_t len, descriptor;
        bool start, inter;
        int err;
    } rows[] = {
        {{0x8c, 0x05, 0xaa}, 3, 2, true, false, 0},                                 /* I B E, 7 bits */
        {{0x88, 0x85, 0x01, 0xaa}, 4, 3, true, false, 0},                           /* 15 bits */
        {{0xe8, 0x81, 0x02, 0x20, 0x07, 0xaa}, 6, 5, true, true, 0},                /* P, layers, TL0PICIDX */
        {{0xd8, 0x81, 0x02, 0x03, 0x05, 0x04, 0xaa}, 7, 6, true, true, 0},          /* flexible: three references */
        {{0x8a, 0x05, 0x18, 1, 2, 3, 4, 1, 0x04, 9, 0xaa}, 11, 10, true, false, 0}, /* V: size, one picture with one
                                                                                       reference */
        {{0x8c, 0x05}, 2, 0, false, false, ERR_TRUNCATED},
        {{0x8a, 0x05, 0xf8, 1, 2}, 5, 0, false, false, ERR_TRUNCATED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t len = 0;
        bool start = false, inter = false;
        assert_int_equal(vp9_descriptor_len(rows[i].bytes, rows[i].len, &len, &start, &inter), rows[i].err);
        assert_int_equal(len, rows[i].descriptor);
        assert_int_equal(start, rows[i].start);
        assert_int_equal(inter, rows[i].inter);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_become_frames_and_holes),
        cmocka_unit_test(opus_packets_are_frames_and_losses_are_counted),
        cmocka_unit_test(a_pause_is_no_hole),
        cmocka_unit_test(a_gap_in_the_feed_gives_the_hole_its_reason),
        cmocka_unit_test(a_successor_goes_on_where_the_first_one_stopped),
        cmocka_unit_test(random_orders_and_losses_keep_the_account),
        cmocka_unit_test(h264_becomes_length_prefixed_units_with_parameter_sets_kept),
        cmocka_unit_test(vp9_descriptors_are_measured),
    };
    return cmocka_run_group_tests_name("assembler", tests, NULL, NULL);
}
