#include "rtp/transport_cc.h"

#include "base/err.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static struct transport_cc_receiver receiver;
static struct transport_cc_feedback feedback;
static uint8_t room[1400];

static void build_and_parse(void)
{
    struct writer w = writer_make(room, sizeof room);
    assert_int_equal(transport_cc_build(&receiver, &w, 1, 2), 0);
    assert_true(writer_len(&w) <= 1000);
    struct reader r = reader_make(room, writer_len(&w));
    struct rtcp_block b;
    assert_int_equal(rtcp_next(&r, &b), 0);
    assert_int_equal(transport_cc_parse(&b, &feedback), 0);
    assert_int_equal(rtcp_next(&r, &b), ERR_AGAIN);
}

static void what_arrived_is_what_the_sender_reads(void **state)
{
    transport_cc_init(&receiver);
    int64_t at_us = 10000000;
    for (unsigned i = 0; i < 59; i++) /* over the wrap, every seventh lost, one pause of 200 ms */
        if (i % 7 != 3)
            transport_cc_arrived(&receiver, (uint16_t)(65510 + i), at_us += i == 30 ? 200000 : 1250);
    build_and_parse();
    assert_int_equal(feedback.n, 59);
    int64_t expected_us = 10000000, first_us = feedback.packets[0].arrival_us;
    for (unsigned i = 0; i < 59; i++) {
        assert_int_equal(feedback.packets[i].seq, (uint16_t)(65510 + i));
        assert_int_equal(feedback.packets[i].received, i % 7 != 3);
        if (i % 7 == 3)
            continue;
        expected_us += i == 30 ? 200000 : 1250;
        assert_int_equal(feedback.packets[i].arrival_us - first_us, expected_us - 10001250);
    }
    struct writer w = writer_make(room, sizeof room);
    assert_int_equal(transport_cc_build(&receiver, &w, 1, 2), ERR_AGAIN);
}

static void losses_between_two_feedbacks_are_reported(void **state)
{
    transport_cc_init(&receiver);
    transport_cc_arrived(&receiver, 5, 1000000);
    build_and_parse();
    transport_cc_arrived(&receiver, 8, 1100000);
    build_and_parse();
    assert_int_equal(feedback.count, 1);
    assert_int_equal(feedback.n, 3);
    assert_int_equal(feedback.packets[0].seq, 6);
    assert_false(feedback.packets[0].received);
    assert_true(feedback.packets[2].received);
}

static void a_late_packet_is_reported_after_all(void **state)
{
    transport_cc_init(&receiver);
    transport_cc_arrived(&receiver, 5, 1000000);
    transport_cc_arrived(&receiver, 7, 1002000);
    build_and_parse();
    assert_false(feedback.packets[1].received);
    transport_cc_arrived(&receiver, 6, 1010000);
    build_and_parse();
    assert_int_equal(feedback.packets[0].seq, 6);
    assert_true(feedback.packets[0].received);
    assert_int_equal(feedback.packets[1].arrival_us - feedback.packets[0].arrival_us, -8000);
}

static void a_long_pause_is_split_over_two_feedbacks(void **state)
{
    transport_cc_init(&receiver);
    transport_cc_arrived(&receiver, 1, 1000000);
    transport_cc_arrived(&receiver, 2, 1000000 + 9000000); /* more than 16 bits of 250 µs */
    build_and_parse();
    assert_int_equal(feedback.n, 1);
    int64_t first_us = feedback.packets[0].arrival_us;
    build_and_parse();
    assert_int_equal(feedback.n, 1);
    assert_int_equal(feedback.packets[0].arrival_us - first_us, 9000000);
}

static void many_packets_take_several_feedbacks_and_no_room_loses_nothing(void **state)
{
    transport_cc_init(&receiver);
    for (unsigned i = 0; i < 900; i++)
        transport_cc_arrived(&receiver, (uint16_t)i, 1000000 + i * 100);
    struct writer small = writer_make(room, 100);
    assert_int_equal(transport_cc_build(&receiver, &small, 1, 2), ERR_FULL);
    assert_int_equal(writer_len(&small), 0);
    unsigned reported = 0;
    for (unsigned i = 0; i < 3; i++) {
        build_and_parse();
        assert_int_equal(feedback.packets[0].seq, reported);
        reported += feedback.n;
    }
    assert_int_equal(reported, 900);
}

static void a_jump_of_the_sender_begins_anew(void **state)
{
    transport_cc_init(&receiver);
    transport_cc_arrived(&receiver, 1, 1000000);
    transport_cc_arrived(&receiver, 20000, 1001000);
    build_and_parse();
    assert_int_equal(feedback.n, 1);
    assert_int_equal(feedback.packets[0].seq, 20000);
    transport_cc_arrived(&receiver, 20700, 1002000); /* 699 lost: at most 300 are said */
    build_and_parse();
    assert_int_equal(feedback.n, 301);
}

static void a_late_packet_takes_no_cell_of_one_that_is_not_reported_yet(void **state)
{
    transport_cc_init(&receiver);
    transport_cc_arrived(&receiver, 10000, 1000000);
    transport_cc_arrived(&receiver, 10000 - 400, 1001000);
    transport_cc_arrived(&receiver, 10000 - 800, 1002000);
    transport_cc_arrived(&receiver, 10000 - 1200 + 176, 1003000); /* 10000's cell, 1024 numbers before it */
    unsigned received = 0;
    for (bool newest_seen = false; !newest_seen;) {
        build_and_parse();
        for (unsigned i = 0; i < feedback.n; i++) {
            received += feedback.packets[i].received;
            newest_seen = newest_seen || feedback.packets[i].seq == 10000;
        }
    }
    assert_int_equal(received, 3);
}

static void chunks_of_every_kind_are_read(void **state)
{
    /* base 10, 19 packets: run of 3 "small", 1-bit vector, 2-bit vector cut by the count; deltas 4+2+(2: small, large) */
    static const uint8_t bytes[] = {0x8f, 205, 0,    8, 0,    0,    0,    1,    0, 0, 0, 2, 0, 10, 0,    19,   0, 0,
                                    1,    7,   0x20, 3, 0xa0, 0x01, 0xd8, 0x00, 1, 2, 3, 4, 5, 6,  0xff, 0xfc, 0, 0};
    struct reader r = reader_make(bytes, sizeof bytes);
    struct rtcp_block b;
    assert_int_equal(rtcp_next(&r, &b), 0);
    assert_int_equal(transport_cc_parse(&b, &feedback), 0);
    assert_int_equal(feedback.count, 7);
    static const struct {
        unsigned i;
        int64_t ticks;
    } received[] = {{0, 257}, {1, 259}, {2, 262}, {3, 266}, {16, 271}, {17, 277}, {18, 273}};
    unsigned k = 0;
    for (unsigned i = 0; i < 19; i++) {
        bool expected = k < 7 && received[k].i == i;
        assert_int_equal(feedback.packets[i].received, expected);
        if (expected)
            assert_int_equal(feedback.packets[i].arrival_us, received[k++].ticks * 250);
    }
}

static void broken_feedback_is_refused(void **state)
{
    static const struct {
        uint8_t tail[10]; /* base, count, reference, feedback count, one chunk */
        int err;
    } rows[] = {
        {{0, 1, 0, 0, 0, 0, 0, 0, 0x20, 1}, ERR_MALFORMED},   /* no packet */
        {{0, 1, 0, 9, 0, 0, 0, 0, 0x20, 1}, ERR_TRUNCATED},   /* chunks end early */
        {{0, 1, 0xff, 0xff, 0, 0, 0, 0, 0x20, 1}, ERR_RANGE}, /* too many */
        {{0, 1, 0, 5, 0, 0, 0, 0, 0x20, 5}, ERR_TRUNCATED},   /* deltas end early */
        {{0, 1, 0, 5, 0, 0, 0, 0, 0x60, 5}, ERR_MALFORMED},   /* symbol 3 */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t bytes[24] = {0xaf, 205, 0, 5};
        memcpy(bytes + 12, rows[i].tail, 10);
        bytes[23] = 2; /* padding */
        struct reader r = reader_make(bytes, sizeof bytes);
        struct rtcp_block b;
        assert_int_equal(rtcp_next(&r, &b), 0);
        assert_int_equal(transport_cc_parse(&b, &feedback), rows[i].err);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_arrived_is_what_the_sender_reads),
        cmocka_unit_test(losses_between_two_feedbacks_are_reported),
        cmocka_unit_test(a_late_packet_is_reported_after_all),
        cmocka_unit_test(a_long_pause_is_split_over_two_feedbacks),
        cmocka_unit_test(many_packets_take_several_feedbacks_and_no_room_loses_nothing),
        cmocka_unit_test(a_jump_of_the_sender_begins_anew),
        cmocka_unit_test(a_late_packet_takes_no_cell_of_one_that_is_not_reported_yet),
        cmocka_unit_test(chunks_of_every_kind_are_read),
        cmocka_unit_test(broken_feedback_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
