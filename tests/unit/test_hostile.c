#include "sim/hostile.h"

#include "rtp/rtcp.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

/* A test with noise proves something only if the noise gets past the first check, and breaks later ones. */
static void noise_is_taken_and_refused_in_good_measure(void **state)
{
    struct hostile h;
    unsigned taken = 0, refused = 0, named = 0, blocks = 0, broken = 0;
    hostile_init(&h, HOSTILE_NOISE, 5);
    for (unsigned i = 0; i < 4000; i++) {
        uint8_t bytes[HOSTILE_MAX];
        size_t header, len = hostile_rtp(&h, bytes, &header);
        struct rtp_packet p;
        char mid[17];
        assert_true(len <= sizeof bytes && header <= len && header % 4 == 0);
        if (rtp_parse(bytes, len, &p)) {
            refused++;
        } else {
            taken++;
            named += rtp_ext_text(&p, offer_ext_ids.mid, mid, sizeof mid) && strcmp(mid, "1") == 0;
        }
        len = hostile_rtcp(&h, bytes);
        struct reader r = reader_make(bytes, len);
        struct rtcp_block b;
        int err = rtcp_next(&r, &b);
        blocks += err == 0;
        broken += err != 0;
    }
    assert_true(taken > 400 && refused > 400 && named > 200 && blocks > 400 && broken > 400);
}

static void a_seed_gives_the_same_noise_again(void **state)
{
    struct hostile a, b;
    uint8_t x[HOSTILE_MAX], y[HOSTILE_MAX];
    size_t header;
    hostile_init(&a, HOSTILE_NOISE, 9);
    hostile_init(&b, HOSTILE_NOISE, 9);
    for (unsigned i = 0; i < 100; i++) {
        size_t len = hostile_rtp(&a, x, &header);
        assert_int_equal(hostile_rtp(&b, y, &header), len);
        assert_memory_equal(x, y, len);
    }
}

static void kinds_are_known_by_name(void **state)
{
    enum hostile_kind kind = HOSTILE_NOT;
    assert_true(hostile_kind_of("keyframes", &kind));
    assert_int_equal(kind, HOSTILE_KEYFRAMES);
    assert_true(hostile_kind_of("noise", &kind));
    assert_int_equal(kind, HOSTILE_NOISE);
    assert_false(hostile_kind_of("kind", &kind));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(noise_is_taken_and_refused_in_good_measure),
        cmocka_unit_test(a_seed_gives_the_same_noise_again),
        cmocka_unit_test(kinds_are_known_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
