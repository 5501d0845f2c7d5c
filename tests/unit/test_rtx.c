#include "rtp/rtx.h"

#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void a_wrapped_packet_unwraps_to_the_original_and_the_shared_buffer_is_put_back(void **state)
{
    uint8_t original[] = {0x80, 0xe0, 0x12, 0x34, 0, 0, 0, 9, 0, 0, 0, 7, 'a', 'b', 'c'};
    uint8_t before[sizeof original], sent[64];
    memcpy(before, original, sizeof original);
    struct rtp_packet p;
    assert_int_equal(rtp_parse(original, sizeof original, &p), 0);
    struct rtx_wrapped w = rtx_wrap(original + p.header_len, p.payload_len, p.seq);
    struct rtp_header h;
    assert_int_equal(rtp_header_build(&(struct rtp_header_plan){.pt = 97, .ssrc = 8}, &h), 0);
    rtp_header_stamp(&h, &(struct rtp_stamp){.seq = 1, .ts = 9, .marker = true}, sent);
    memcpy(sent + h.len, w.at, w.len);
    rtx_unwrap_after_send(&w);
    assert_memory_equal(original, before, sizeof original);

    assert_int_equal(rtp_parse(sent, h.len + w.len, &p), 0);
    assert_int_equal(rtx_unwrap(&p, 96, 7), 0);
    assert_int_equal(p.seq, 0x1234);
    assert_int_equal(p.pt, 96);
    assert_int_equal(p.ssrc, 7);
    assert_int_equal(p.payload_len, 3);
    assert_memory_equal(p.payload, "abc", 3);
}

static void a_packet_without_room_for_a_number_is_refused(void **state)
{
    static const uint8_t probe[] = {0xa0, 97, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 3}; /* padding only */
    static const uint8_t one[] = {0x80, 97, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 5};
    struct rtp_packet p;
    assert_int_equal(rtp_parse(probe, sizeof probe, &p), 0);
    assert_int_equal(rtx_unwrap(&p, 96, 7), ERR_TRUNCATED);
    assert_int_equal(rtp_parse(one, sizeof one, &p), 0);
    assert_int_equal(rtx_unwrap(&p, 96, 7), ERR_TRUNCATED);
    assert_int_equal(p.payload_len, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wrapped_packet_unwraps_to_the_original_and_the_shared_buffer_is_put_back),
        cmocka_unit_test(a_packet_without_room_for_a_number_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
