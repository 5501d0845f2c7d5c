#include "rtp/packet.h"

#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static const uint8_t one_byte_packet[] = {
    0xb1, 0xe0, 0xff, 0xfe, 0x00, 0x00, 0x10, 0x00, 0x11, 0x22, 0x33, 0x44, /* V2 P X CC1, M pt 96 */
    0xaa, 0xbb, 0xcc, 0xdd,                                                 /* CSRC */
    0xbe, 0xde, 0x00, 0x03, 0x10, 0x90, 0x31, 0x12, 0x34, 0x00, 0x41, 'm',
    '1',  0xf0, 0xff, 0xff, 0x01, 0x02, 0x03, 0x00, 0x00, 0x03, /* payload, padding of 3 */
};

static void a_packet_is_taken_apart_in_place(void **state)
{
    struct rtp_packet p;
    uint16_t transport_seq;
    uint8_t level;
    char mid[17];
    assert_int_equal(rtp_parse(one_byte_packet, sizeof one_byte_packet, &p), 0);
    assert_int_equal(p.pt, 96);
    assert_true(p.marker);
    assert_int_equal(p.seq, 65534);
    assert_int_equal(p.ts, 0x1000);
    assert_int_equal(p.ssrc, 0x11223344);
    assert_int_equal(p.n_csrc, 1);
    assert_int_equal(p.payload_len, 3);
    assert_int_equal(p.padding, 3);
    assert_ptr_equal(p.payload, one_byte_packet + p.header_len);
    assert_int_equal(p.payload[0], 1);
    assert_true(rtp_ext_audio_level(&p, 1, &level));
    assert_int_equal(level, 0x90);
    assert_true(rtp_ext_transport_seq(&p, 3, &transport_seq));
    assert_int_equal(transport_seq, 0x1234);
    assert_true(rtp_ext_text(&p, 4, mid, sizeof mid));
    assert_string_equal(mid, "m1");
    assert_false(rtp_ext_text(&p, 4, mid, 2)); /* no room for the NUL */
    assert_false(rtp_ext_text(&p, 0, mid, sizeof mid));
    assert_false(rtp_ext_text(&p, 5, mid, sizeof mid));
}

static void two_byte_extensions_are_read_too(void **state)
{
    static const uint8_t bytes[] = {0x90, 111, 0, 1,   0,   0, 0, 0, 0, 0, 0, 1, 0x10, 0x00, 0,
                                    3,    20,  2, 'a', 'b', 0, 1, 0, 2, 1, 9, 0, 0,    0x55};
    struct rtp_packet p;
    char text[8];
    uint8_t len = 9;
    assert_int_equal(rtp_parse(bytes, sizeof bytes, &p), 0);
    assert_true(rtp_ext_text(&p, 20, text, sizeof text));
    assert_string_equal(text, "ab");
    assert_non_null(rtp_ext(&p, 1, &len));
    assert_int_equal(len, 0);
    assert_false(rtp_ext_audio_level(&p, 1, &len)); /* an empty value holds no level */
    assert_true(rtp_ext_audio_level(&p, 2, &len));
    assert_int_equal(len, 9);
    assert_int_equal(p.payload_len, 1);
}

static void broken_packets_are_refused(void **state)
{
    static const struct {
        const char *why;
        uint8_t bytes[24];
        size_t len;
        int err;
    } rows[] = {
        {"shorter than a header", {0x80, 96}, 11, ERR_TRUNCATED},
        {"version 1", {0x40, 96}, 12, ERR_MALFORMED},
        {"CSRC past the end", {0x82, 96}, 16, ERR_TRUNCATED},
        {"extension header past the end", {0x90, 96}, 14, ERR_TRUNCATED},
        {"extension longer than the packet", {0x90, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xbe, 0xde, 0, 2}, 20, ERR_TRUNCATED},
        {"element longer than the extension",
         {0x90, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xbe, 0xde, 0, 1, 0x1f},
         20,
         ERR_MALFORMED},
        {"two-byte element without its length",
         {0x90, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 1, 0, 0, 0, 7},
         20,
         ERR_MALFORMED},
        {"padding of nothing", {0xa0, 96}, 12, ERR_MALFORMED},
        {"padding count 0", {0xa0, 96}, 13, ERR_MALFORMED},
        {"padding longer than the payload", {0xa0, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 3}, 14, ERR_MALFORMED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rtp_packet p = {.pt = 77};
        print_message("%s\n", rows[i].why);
        assert_int_equal(rtp_parse(rows[i].bytes, rows[i].len, &p), rows[i].err);
        assert_int_equal(p.pt, 77); /* untouched */
    }
}

static void rtcp_is_told_from_rtp_by_its_second_byte(void **state)
{
    static const struct {
        uint8_t second;
        bool rtcp;
    } rows[] = {{96, false}, {191, false}, {192, true}, {200, true}, {223, true}, {224, false}, {0x80 | 111, false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(rtp_is_rtcp((uint8_t[]){0x80, rows[i].second}, 2), rows[i].rtcp);
    assert_false(rtp_is_rtcp((uint8_t[]){0x80}, 1));
}

static void a_stamped_header_is_what_a_parser_reads(void **state)
{
    const struct rtp_header_plan plan = {.pt = 120,
                                         .ssrc = 0xdeadbeef,
                                         .ids = {.mid = 3, .transport_seq = 7, .abs_time = 2, .audio_level = 1},
                                         .mid = "12",
                                         .csrc = true,
                                         .audio_level = true};
    const struct rtp_stamp stamp = {.marker = true,
                                    .padding = true,
                                    .audio_level = 0x85,
                                    .seq = 65535,
                                    .transport_seq = 0xabcd,
                                    .ts = 0xfffffff0,
                                    .csrc = 42,
                                    .abs_time = 0x123456};
    struct rtp_header h;
    struct rtp_packet p;
    uint8_t bytes[RTP_HEADER_MAX + 4], level, len;
    uint16_t transport_seq;
    char mid[17];
    assert_int_equal(rtp_header_build(&plan, &h), 0);
    assert_int_equal(h.len % 4, 0);
    rtp_header_stamp(&h, &stamp, bytes);
    memcpy(bytes + h.len, (uint8_t[]){9, 0, 0, 3}, 4);
    assert_int_equal(rtp_parse(bytes, h.len + 4u, &p), 0);
    assert_int_equal(p.header_len, h.len);
    assert_int_equal(p.pt, 120);
    assert_true(p.marker);
    assert_int_equal(p.payload_len, 1);
    assert_int_equal(p.seq, 65535);
    assert_int_equal(p.ts, 0xfffffff0);
    assert_int_equal(p.ssrc, 0xdeadbeef);
    assert_int_equal(p.start[15], 42);
    assert_true(rtp_ext_audio_level(&p, 1, &level));
    assert_int_equal(level, 0x85);
    assert_true(rtp_ext_transport_seq(&p, 7, &transport_seq));
    assert_int_equal(transport_seq, 0xabcd);
    assert_true(rtp_ext_text(&p, 3, mid, sizeof mid));
    assert_string_equal(mid, "12");
    assert_memory_equal(rtp_ext(&p, 2, &len), ((uint8_t[]){0x12, 0x34, 0x56}), 3);
}

static void a_template_without_extensions_has_no_extension_header(void **state)
{
    struct rtp_header h;
    assert_int_equal(rtp_header_build(&(struct rtp_header_plan){.pt = 96, .mid = "0"}, &h), 0);
    assert_int_equal(h.len, 12);
    assert_int_equal(h.bytes[0], 0x80);
}

static void what_does_not_fit_the_one_byte_form_is_refused(void **state)
{
    struct rtp_header h;
    assert_int_equal(rtp_header_build(&(struct rtp_header_plan){.ids.mid = 15, .mid = "0"}, &h), ERR_RANGE);
    assert_int_equal(rtp_header_build(&(struct rtp_header_plan){.ids.mid = 1, .mid = "seventeen letters"}, &h), ERR_RANGE);
}

static void abs_send_time_wraps_every_64_seconds(void **state)
{
    assert_int_equal(rtp_abs_time(0), 0);
    assert_int_equal(rtp_abs_time(500000), 1 << 17);
    assert_int_equal(rtp_abs_time(64000000), 0);
    assert_int_equal(rtp_abs_time(65000000), 1 << 18);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_packet_is_taken_apart_in_place),
        cmocka_unit_test(two_byte_extensions_are_read_too),
        cmocka_unit_test(broken_packets_are_refused),
        cmocka_unit_test(rtcp_is_told_from_rtp_by_its_second_byte),
        cmocka_unit_test(a_stamped_header_is_what_a_parser_reads),
        cmocka_unit_test(a_template_without_extensions_has_no_extension_header),
        cmocka_unit_test(what_does_not_fit_the_one_byte_form_is_refused),
        cmocka_unit_test(abs_send_time_wraps_every_64_seconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
