#include "rtp/history.h"

#include "base/err.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static struct packet_pool *pool;
static struct history *h;

static int setup(void **state)
{
    pool = packet_pool_new(64);
    h = history_new(16);
    return pool && h ? 0 : -1;
}

static int teardown(void **state)
{
    history_free(h);
    int leaked = packet_pool_available(pool) != 64;
    packet_pool_free(pool);
    return leaked;
}

static int put(int64_t ext_seq, int64_t arrival_us)
{
    struct packet *p = packet_get(pool);
    p->arrival_us = arrival_us;
    int err = history_put(h, &(struct history_entry){.packet = p, .ext_seq = ext_seq, .ts = (uint32_t)ext_seq});
    packet_unref(p);
    return err;
}

static void packets_are_found_until_the_ring_comes_round(void **state)
{
    for (int64_t s = 65530; s < 65550; s++)
        assert_int_equal(put(s, 0), 0);
    assert_null(history_get(h, 65533));
    assert_int_equal(history_get(h, 65534)->ts, 65534);
    assert_int_equal(history_get(h, 65549)->ts, 65549);
    assert_null(history_get(h, 65550));
    assert_int_equal(packet_pool_available(pool), 48);
}

static void late_packets_fill_their_place_and_repeated_ones_are_refused(void **state)
{
    assert_int_equal(put(100, 0), 0);
    assert_int_equal(put(102, 0), 0);
    assert_null(history_get(h, 101));
    assert_int_equal(put(101, 0), 0);
    assert_int_equal(put(101, 0), ERR_EXISTS);
    assert_int_equal(put(86, 0), ERR_STALE);
    assert_int_equal(put(87, 0), 0);
    assert_non_null(history_get(h, 87));
}

static void what_is_older_than_a_second_goes_back_to_the_pool(void **state)
{
    put(10, 0);
    put(11, 500000);
    put(14, 900000); /* 12 and 13 were lost */
    history_expire(h, 1000000);
    assert_non_null(history_get(h, 10));
    history_expire(h, 1600000);
    assert_null(history_get(h, 10));
    assert_null(history_get(h, 11));
    assert_non_null(history_get(h, 14));
    history_expire(h, 9000000);
    assert_int_equal(packet_pool_available(pool), 64);
    assert_int_equal(put(15, 9000000), 0);
    assert_non_null(history_get(h, 15));
}

static void a_number_that_has_expired_is_still_a_repeated_one(void **state)
{
    assert_int_equal(put(0, 0), 0);
    assert_int_equal(put(1, 0), 0);
    history_expire(h, HISTORY_AGE_US + 1);
    assert_int_equal(packet_pool_available(pool), 64);
    assert_int_equal(put(1, HISTORY_AGE_US + 1), ERR_EXISTS);
    assert_int_equal(put(17, HISTORY_AGE_US + 1), 0); /* a round later the cell is another number's */
    assert_int_equal(put(2, HISTORY_AGE_US + 1), 0);
}

static void a_jump_ahead_leaves_nothing_behind_for_ever(void **state)
{
    for (int64_t s = 0; s < 16; s++)
        put(s, 0);
    put(40000, 100);
    assert_int_equal(packet_pool_available(pool), 63);
    put(40009, 100);
    assert_int_equal(packet_pool_available(pool), 62);
    history_expire(h, 5000000);
    assert_int_equal(packet_pool_available(pool), 64);
}

static void a_sent_packet_is_answered_once_a_round_trip(void **state)
{
    static struct sent sent;
    memset(&sent, 0, sizeof sent);
    sent_put(&sent, &(struct sent_entry){.seq = 65535, .source = 3, .source_seq = 77});
    assert_null(sent_take_for_resend(&sent, 1023, 1000, 50000)); /* same cell, another number */
    assert_int_equal(sent_take_for_resend(&sent, 65535, 1000, 50000)->source_seq, 77);
    assert_null(sent_take_for_resend(&sent, 65535, 50999, 50000));
    assert_non_null(sent_take_for_resend(&sent, 65535, 51000, 50000)); /* the retransmission was lost too */
    assert_null(sent_take_for_resend(&sent, 5, 51000, 50000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(packets_are_found_until_the_ring_comes_round, setup, teardown),
        cmocka_unit_test_setup_teardown(late_packets_fill_their_place_and_repeated_ones_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_older_than_a_second_goes_back_to_the_pool, setup, teardown),
        cmocka_unit_test_setup_teardown(a_number_that_has_expired_is_still_a_repeated_one, setup, teardown),
        cmocka_unit_test_setup_teardown(a_jump_ahead_leaves_nothing_behind_for_ever, setup, teardown),
        cmocka_unit_test(a_sent_packet_is_answered_once_a_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
