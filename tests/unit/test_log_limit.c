#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static unsigned admitted(enum log_level level, const char *module, unsigned lines, int64_t from_us, int64_t every_us)
{
    unsigned n = 0;
    uint64_t left_out;
    for (unsigned i = 0; i < lines; i++)
        n += log_admit(level, module, from_us + i * every_us, &left_out);
    return n;
}

static void a_flood_of_lines_becomes_five_a_second(void **state)
{
    uint64_t left_out;
    /* 60 s of a thousand lines a second */
    unsigned n = admitted(LOG_LEVEL_INFO, "flood", 60000, 1000000, 1000);
    assert_in_range(n, LOG_LINES_AT_ONCE + 60 * 5 - 2, LOG_LINES_AT_ONCE + 60 * 5 + 2);
    assert_true(log_admit(LOG_LEVEL_INFO, "flood", 62000000, &left_out));
    assert_true(left_out > 100 && left_out < 60000);
    assert_true(log_admit(LOG_LEVEL_INFO, "flood", 63000000, &left_out));
    assert_int_equal(left_out, 0);
}

static void what_others_say_is_not_left_out(void **state)
{
    uint64_t left_out;
    admitted(LOG_LEVEL_INFO, "loud", 5000, 100000000, 1);
    assert_false(log_admit(LOG_LEVEL_INFO, "loud", 100005000, &left_out));
    assert_true(log_admit(LOG_LEVEL_ERROR, "loud", 100005000, &left_out));
    assert_true(log_admit(LOG_LEVEL_INFO, "quiet", 100005000, &left_out));
}

static void more_modules_than_places_share_the_last(void **state)
{
    static char names[100][8];
    uint64_t left_out;
    for (unsigned i = 0; i < 100; i++) {
        names[i][0] = (char)('A' + i / 26);
        names[i][1] = (char)('a' + i % 26);
        assert_true(log_admit(LOG_LEVEL_WARN, names[i], 200000000, &left_out));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flood_of_lines_becomes_five_a_second),
        cmocka_unit_test(what_others_say_is_not_left_out),
        cmocka_unit_test(more_modules_than_places_share_the_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
