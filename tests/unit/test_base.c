#include "base/bytes.h"
#include "base/packet.h"
#include "base/seq.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void reader_fails_for_good_after_reading_past_the_end(void **state)
{
    const uint8_t bytes[] = {1, 2, 3};
    struct reader r = reader_make(bytes, sizeof bytes);
    assert_int_equal(read_u16(&r), 0x0102);
    assert_int_equal(read_u16(&r), 0);
    assert_true(r.failed);
    assert_int_equal(read_u8(&r), 0); /* although one byte is left */
}

static void writer_never_writes_past_its_room(void **state)
{
    uint8_t bytes[4] = {0, 0, 0, 0xee};
    struct writer w = writer_make(bytes, 3);
    write_u16(&w, 0xabcd);
    write_u16(&w, 0xffff);
    assert_true(w.failed);
    assert_int_equal(writer_len(&w), 2);
    assert_int_equal(bytes[3], 0xee);
}

static void sequence_numbers_compare_and_extend_over_the_wrap(void **state)
{
    static const struct {
        uint16_t a, b;
        int diff;
    } rows[] = {{1, 0, 1}, {0, 65535, 1}, {65535, 0, -1}, {32767, 0, 32767}, {10, 65530, 16}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(seq_diff(rows[i].a, rows[i].b), rows[i].diff);

    struct seq_extender x = {0};
    int64_t first = seq_extend(&x, 65534);
    assert_int_equal(seq_extend(&x, 1) - first, 3);
    assert_int_equal(seq_extend(&x, 65535) - first, 1);
    assert_int_equal(x.newest - first, 3);
}

static void packet_pool_hands_out_what_it_has_and_no_more(void **state)
{
    struct packet_pool *pool = packet_pool_new(2);
    struct packet *a = packet_get(pool), *b = packet_get(pool);
    assert_non_null(b);
    assert_null(packet_get(pool));
    packet_unref(packet_ref(a));
    assert_int_equal(packet_pool_available(pool), 0);
    packet_unref(a);
    assert_int_equal(packet_pool_available(pool), 1);
    packet_unref(b);
    packet_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reader_fails_for_good_after_reading_past_the_end),
        cmocka_unit_test(writer_never_writes_past_its_room),
        cmocka_unit_test(sequence_numbers_compare_and_extend_over_the_wrap),
        cmocka_unit_test(packet_pool_hands_out_what_it_has_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
