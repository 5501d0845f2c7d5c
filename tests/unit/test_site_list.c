/* Sites as configured: what is taken, what is refused and why, who belongs where. */
#include "control/site_list.h"

#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define LINE " down_kbps=4000 up_kbps=2000"

static void a_site_is_read_or_refused_with_a_reason(void **state)
{
    static const struct {
        const char *text;
        size_t n;
        const char *why; /* NULL: taken */
    } rows[] = {
        {"", 0, NULL},
        {" ; ;", 0, NULL},
        {"name=a addresses=10.1.0.0/16" LINE, 1, NULL},
        {"name=a units=tx,nx" LINE "; name=b addresses=fd00::/8,10.0.0.1" LINE, 2, NULL},
        {"name=a addresses=10.1.0.0/33" LINE, 0, "10.1.0.0/33"},
        {"name=a addresses=fd00::/129" LINE, 0, "fd00::/129"},
        {"name=a addresses=10.1.0.0/" LINE, 0, "address range"},
        {"name=a addresses=10.1.0.0/+8" LINE, 0, "address range"},
        {"name=a addresses=10.1.0/8" LINE, 0, "address range"},
        {"name=a addresses=here" LINE, 0, "here"},
        {"name=a" LINE, 0, "addresses or units"},
        {"units=a" LINE, 0, "needs name"},
        {"name=a units=b down_kbps=4000", 0, "up_kbps"},
        {"name=a units=b down_kbps=63 up_kbps=100", 0, "63"},
        {"name=a units=b down_kbps=100 up_kbps=65536", 0, "65536"},
        {"name=a units=b down_kbps=-1 up_kbps=100", 0, "-1"},
        {"name=a units=b down_kbps=4M up_kbps=100", 0, "4M"},
        {"name=Thường units=b" LINE, 0, "letters"},
        {"name=a units=b" LINE ";name=a units=c" LINE, 0, "of its own"},
        {"name=a colour=b" LINE, 0, "colour"},
        {"name=a units" LINE, 0, "units"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct site_list l = {0};
        char error[200] = "";
        int err = site_list_parse(rows[i].text, &l, error, sizeof error);
        if (err != (rows[i].why ? ERR_INVAL : 0) || l.n != rows[i].n || (rows[i].why && !strstr(error, rows[i].why)))
            fail_msg("\"%s\": %d, %zu sites, %s", rows[i].text, err, l.n, error);
        site_list_free(&l);
    }
}

static void a_room_belongs_to_the_first_that_has_its_address_else_its_unit(void **state)
{
    static const struct {
        const char *address, *unit;
        unsigned site;
    } rows[] = {
        {"10.36.5.1", "x", 1},
        {"10.36.6.1", "x", 0},
        {"::ffff:10.36.5.9", "x", 1},
        {"10.36.5.200", "nx", 1}, /* the address says where it is */
        {"192.0.2.1", "nx", 2},
        {"fd36:5:0:1::1", "x", 1},
        {"fd36:6::1", "x", 0},
        {"10.36.7.129", "x", 3},
        {"10.36.7.127", "x", 0},
        {"10.99.0.1", "x", 2}, /* the first of two */
        {"", "nx", 2},
        {"no address", "x", 0},
    };
    struct site_list l;
    char error[200] = "";
    assert_int_equal(site_list_parse("name=tx addresses=10.36.5.0/24,fd36:5::/32" LINE
                                     ";name=nx units=nx addresses=10.99.0.1" LINE
                                     ";name=third addresses=10.36.7.128/25,10.99.0.0/16" LINE,
                                     &l, error, sizeof error),
                     0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (site_list_find(&l, rows[i].address, rows[i].unit) != rows[i].site)
            fail_msg("%s of %s: %u", rows[i].address, rows[i].unit, site_list_find(&l, rows[i].address, rows[i].unit));
    site_list_free(&l);
}

static void nothing_is_kept_beyond_its_bounds(void **state)
{
    char text[20000];
    size_t len = 0;
    struct site_list l = {0};
    char error[200] = "";
    for (int i = 0; i <= SITES_MAX; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "name=s%d units=u" LINE ";", i);
    assert_int_equal(site_list_parse(text, &l, error, sizeof error), ERR_INVAL);
    len = (size_t)snprintf(text, sizeof text, "name=a" LINE " units=u");
    for (int i = 0; i < SITE_UNITS_MAX; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, ",u%d", i);
    assert_int_equal(site_list_parse(text, &l, error, sizeof error), ERR_INVAL);
    len = (size_t)snprintf(text, sizeof text, "name=a" LINE " addresses=10.0.0.1");
    for (int i = 0; i < SITE_RANGES_MAX; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, ",10.0.1.%d", i);
    assert_int_equal(site_list_parse(text, &l, error, sizeof error), ERR_INVAL);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_site_is_read_or_refused_with_a_reason),
        cmocka_unit_test(a_room_belongs_to_the_first_that_has_its_address_else_its_unit),
        cmocka_unit_test(nothing_is_kept_beyond_its_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
