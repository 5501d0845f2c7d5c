#include "net/frame.h"

#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

static struct frame_reader reader;

static void arrive(const void *bytes, size_t len)
{
    size_t room;
    uint8_t *at = frame_room(&reader, &room);
    assert_true(room >= len);
    memcpy(at, bytes, len);
    frame_filled(&reader, len);
}

static void assert_packet(const char *text)
{
    const uint8_t *packet = NULL;
    size_t len = 0;
    assert_int_equal(frame_next(&reader, 1500, &packet, &len), 0);
    assert_int_equal(len, strlen(text));
    assert_memory_equal(packet, text, len);
}

static void assert_none(int err)
{
    const uint8_t *packet = (const uint8_t *)"untouched";
    size_t len = 7;
    assert_int_equal(frame_next(&reader, 1500, &packet, &len), err);
    assert_string_equal(packet, "untouched");
    assert_int_equal(len, 7);
}

static void packets_of_one_segment_come_one_by_one(void **state)
{
    reader = (struct frame_reader){0};
    assert_none(ERR_AGAIN);
    arrive("\0\3one\0\3two\0\5th", 14);
    assert_packet("one");
    assert_packet("two");
    assert_none(ERR_AGAIN);
    arrive("ree", 3);
    assert_packet("three");
    assert_none(ERR_AGAIN);
}

static void a_packet_may_come_byte_by_byte(void **state)
{
    reader = (struct frame_reader){0};
    static const char begun[] = {0, 4, 'f', 'o', 'u'};
    for (size_t i = 0; i < sizeof begun; i++) {
        arrive(begun + i, 1);
        assert_none(ERR_AGAIN);
    }
    arrive("r", 1);
    assert_packet("four");
}

static void empty_frames_are_passed_over(void **state)
{
    reader = (struct frame_reader){0};
    arrive("\0\0\0\0\0\1x\0\0", 9);
    assert_packet("x");
    assert_none(ERR_AGAIN);
}

static void an_impossible_length_ends_the_stream(void **state)
{
    static const struct {
        uint16_t len;
        int err;
    } rows[] = {{1500, ERR_AGAIN}, {1501, ERR_MALFORMED}, {2049, ERR_MALFORMED}, {65535, ERR_MALFORMED}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t header[2] = {(uint8_t)(rows[i].len >> 8), (uint8_t)rows[i].len};
        reader = (struct frame_reader){0};
        arrive(header, 2);
        assert_none(rows[i].err);
        assert_none(rows[i].err); /* and stays so */
    }
}

static void there_is_always_room_for_more(void **state)
{
    static uint8_t longest[FRAME_HEADER + FRAME_MAX] = {FRAME_MAX >> 8, FRAME_MAX & 255};
    const uint8_t *packet;
    size_t len, room, packets = 0, given = 0;
    reader = (struct frame_reader){0};
    while (packets < 100) {
        uint8_t *at = frame_room(&reader, &room);
        assert_true(room > 0);
        for (size_t i = 0; i < room; i++)
            at[i] = longest[(given + i) % sizeof longest];
        frame_filled(&reader, room);
        given += room;
        while (!frame_next(&reader, FRAME_MAX, &packet, &len)) {
            assert_int_equal(len, FRAME_MAX);
            packets++;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_of_one_segment_come_one_by_one), cmocka_unit_test(a_packet_may_come_byte_by_byte),
        cmocka_unit_test(empty_frames_are_passed_over),           cmocka_unit_test(an_impossible_length_ends_the_stream),
        cmocka_unit_test(there_is_always_room_for_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
