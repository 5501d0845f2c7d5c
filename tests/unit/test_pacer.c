#include "base/err.h"
#include "bwe/pacer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static struct packet_pool *pool;
static struct pacer *pacer;

static int begin(void **state)
{
    pool = packet_pool_new(PACER_PICTURE_MAX + PACER_SOUND_MAX);
    pacer = pacer_new();
    return pool && pacer ? 0 : -1;
}

static int end(void **state)
{
    pacer_free(pacer);
    packet_pool_free(pool); /* asserts that all references have come back */
    return 0;
}

static int put(bool sound, uint16_t seq, void *slot)
{
    struct pacer_packet item = {.packet = packet_get(pool), .slot = slot, .seq = seq};
    int err = pacer_put(pacer, sound, &item);
    if (err)
        packet_unref(item.packet);
    return err;
}

static void sound_is_released_before_pictures_and_order_is_kept(void **state)
{
    static const uint16_t expected[] = {10, 11, 1, 2};
    struct pacer_packet item;
    put(false, 1, NULL);
    put(true, 10, NULL);
    put(false, 2, NULL);
    put(true, 11, NULL);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pacer_peek(pacer, 0)->seq, expected[i]);
        assert_true(pacer_next(pacer, 0, &item));
        assert_int_equal(item.seq, expected[i]);
        packet_unref(item.packet);
    }
    assert_false(pacer_next(pacer, 0, &item));
    assert_true(pacer_empty(pacer));
}

static void a_full_queue_refuses_and_keeps_what_it_has(void **state)
{
    for (unsigned i = 0; i < PACER_SOUND_MAX; i++)
        assert_int_equal(put(true, (uint16_t)i, NULL), 0);
    assert_int_equal(put(true, 99, NULL), ERR_FULL);
    assert_int_equal(put(false, 1, NULL), 0);
}

static void a_slot_that_ended_leaves_nothing_behind(void **state)
{
    int a, b;
    for (uint16_t i = 0; i < 6; i++)
        put(i % 2, i, i < 3 ? &a : &b);
    pacer_forget(pacer, &a);
    struct pacer_packet item;
    for (size_t i = 0; i < 3; i++) {
        assert_true(pacer_next(pacer, 0, &item));
        assert_ptr_equal(item.slot, &b);
        packet_unref(item.packet);
    }
    assert_true(pacer_empty(pacer));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sound_is_released_before_pictures_and_order_is_kept, begin, end),
        cmocka_unit_test_setup_teardown(a_full_queue_refuses_and_keeps_what_it_has, begin, end),
        cmocka_unit_test_setup_teardown(a_slot_that_ended_leaves_nothing_behind, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
