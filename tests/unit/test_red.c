#include "base/err.h"
#include "rtp/red.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

static uint8_t payload[3000], bytes[2000];

static struct red_block block(uint16_t len, uint32_t ts)
{
    return (struct red_block){.bytes = bytes + (ts & 7), .len = len, .ts = ts, .pt = 111};
}

static void what_is_written_is_read(void **state)
{
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7);
    static const uint32_t newest[] = {5000, 900, 0}; /* timestamps wrap among them */
    for (size_t k = 0; k < 3; k++) {
        struct red_block in[] = {block(70, newest[k] - 1920), block(80, newest[k] - 960), block(90, newest[k])};
        struct red_block out[RED_BLOCKS_MAX];
        size_t n, len = red_write(in, 3, payload, sizeof payload);
        assert_int_equal(len, 4 + 4 + 1 + 70 + 80 + 90);
        assert_int_equal(red_parse(payload, len, newest[k], out, &n), 0);
        assert_int_equal(n, 3);
        for (size_t i = 0; i < 3; i++) {
            assert_int_equal(out[i].ts, in[i].ts);
            assert_int_equal(out[i].len, in[i].len);
            assert_int_equal(out[i].pt, 111);
            assert_memory_equal(out[i].bytes, in[i].bytes, in[i].len);
        }
    }
}

static void a_predecessor_that_the_format_can_not_hold_is_left_out(void **state)
{
    static const struct {
        uint16_t len;
        uint32_t behind;
        size_t blocks;
    } rows[] = {{1023, 960, 2}, {1024, 960, 1}, {80, 16383, 2}, {80, 16384, 1}, {0, 960, 1}, {80, 0, 1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct red_block in[] = {block(rows[i].len, 50000 - rows[i].behind), block(90, 50000)}, out[RED_BLOCKS_MAX];
        size_t n, len = red_write(in, 2, payload, sizeof payload);
        assert_int_equal(red_parse(payload, len, 50000, out, &n), 0);
        assert_int_equal(n, rows[i].blocks);
        assert_int_equal(out[n - 1].len, 90);
    }
}

static void the_newest_alone_must_fit(void **state)
{
    struct red_block in[] = {block(80, 1000), block(90, 1960)};
    assert_int_equal(red_write(in, 2, payload, 90), 0);
    assert_int_equal(red_write(in, 2, payload, 91), 91);
    assert_int_equal(red_write(in, 2, payload, 174), 91);
    assert_int_equal(red_write(in, 2, payload, 175), 175);
}

static void broken_payloads_are_refused(void **state)
{
    static const struct {
        uint8_t bytes[24];
        size_t len;
        int err;
    } rows[] = {
        {{0}, 0, ERR_TRUNCATED},
        {{0xef}, 1, ERR_TRUNCATED},
        {{0xef, 0x0f, 0x00, 0x10, 0x6f}, 5, ERR_TRUNCATED}, /* sixteen bytes are not there */
        {{0xef, 0, 0, 0, 0xef, 0, 0, 0, 0xef, 0, 0, 0, 0xef, 0, 0, 0, 0x6f}, 17, ERR_MALFORMED},
        {{0x6f}, 1, 0},
    };
    struct red_block out[RED_BLOCKS_MAX];
    size_t n;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(red_parse(rows[i].bytes, rows[i].len, 0, out, &n), rows[i].err);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(a_predecessor_that_the_format_can_not_hold_is_left_out),
        cmocka_unit_test(the_newest_alone_must_fit),
        cmocka_unit_test(broken_payloads_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
