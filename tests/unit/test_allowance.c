#include "base/allowance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum { AT_ONCE = 3, EVERY_US = 1000 };

static void a_burst_passes_and_then_one_at_a_time(void **state)
{
    static const struct {
        int64_t at_us;
        bool granted;
    } rows[] = {
        {5000000, true}, {5000000, true},  {5000000, true}, {5000000, false}, {5000999, false},
        {5001000, true}, {5001000, false}, {5003000, true}, {5003000, true},  {5003000, false},
        {9000000, true}, {9000000, true},  {9000000, true}, {9000000, false}, /* rest fills it up, and no further */
    };
    struct allowance a = {0};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(allowance_take(&a, AT_ONCE, EVERY_US, rows[i].at_us), rows[i].granted);
}

static void asking_in_vain_costs_nothing(void **state)
{
    struct allowance a = {0};
    unsigned granted = 0;
    for (int64_t at_us = 1000000; at_us < 2000000; at_us += 10)
        granted += allowance_take(&a, AT_ONCE, EVERY_US, at_us);
    assert_in_range(granted, 1000 + AT_ONCE - 1, 1000 + AT_ONCE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_passes_and_then_one_at_a_time),
        cmocka_unit_test(asking_in_vain_costs_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
