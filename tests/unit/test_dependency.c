#include "rtp/dependency.h"

#include "base/err.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum { CAP = 64 };

/* Text of 0 and 1, with spaces between fields, to bytes; the last one is filled up with 0. */
static size_t bytes_of(const char *text, uint8_t out[CAP])
{
    size_t n = 0;
    memset(out, 0, CAP);
    for (; *text; text++) {
        if (*text == ' ')
            continue;
        assert_true(n < CAP * 8);
        out[n / 8] |= (uint8_t)((*text == '1') << (7 - n % 8));
        n++;
    }
    return (n + 7) / 8;
}

/* L1T2: ids from 62 on, two targets, layers T0 T1, roles "SS" "-D", one difference each, one chain, 320×180. */
#define L1T2                                                                                                                \
    "111110 00001 01 11 10100001 1 0001 0 1 0000 0 10 0010 0001 "                                                           \
    "1 0000000100111111 0000000010110011"
/* L3T1 without chains: ids from 1 on, three targets, roles "SSS" "-SR" "--S", 180, 360 and 720 lines. */
#define L3T1                                                                                                                \
    "000001 00010 10 10 11 101010 001011 000010 0 1 0000 0 1 0000 0 00 "                                                    \
    "1 0000000100111111 0000000010110011 0000001001111111 0000000101100111 0000010011111111 0000001011001111"

static int parse(struct dependency_state *s, const char *text, struct dependency_frame *ret)
{
    uint8_t bytes[CAP];
    size_t len = bytes_of(text, bytes);
    return dependency_parse(s, bytes, len, ret);
}

static void a_keyframe_brings_the_structure(void **state)
{
    struct dependency_state s = {0};
    struct dependency_frame f;
    assert_int_equal(parse(&s, "1 0 111110 0000000100000010 10000 " L1T2, &f), 0);
    assert_true(f.start && !f.end && f.structure);
    assert_int_equal(f.number, 0x102);
    assert_int_equal(f.sid, 0);
    assert_int_equal(f.tid, 0);
    assert_int_equal(dependency_role(f.roles, 0), DEPENDENCY_SWITCH);
    assert_int_equal(s.active, 3);
    assert_int_equal(s.structure.n_templates, 2);
    assert_int_equal(s.structure.n_targets, 2);
    assert_int_equal(s.structure.n_chains, 1);
    assert_int_equal(s.structure.targets[0].tid, 0);
    assert_int_equal(s.structure.targets[1].tid, 1);
    assert_true(s.structure.has_sizes);
    assert_int_equal(s.structure.width[0], 320);
    assert_int_equal(s.structure.height[0], 180);
}

static void spatial_layers_have_sizes_and_targets(void **state)
{
    struct dependency_state s = {0};
    struct dependency_frame f;
    assert_int_equal(parse(&s, "1 1 000011 0000000000000001 11000 " L3T1 " 011", &f), 0);
    assert_int_equal(f.sid, 2);
    assert_int_equal(s.structure.n_sids, 3);
    assert_int_equal(s.structure.n_chains, 0);
    assert_int_equal(s.structure.height[1], 360);
    assert_int_equal(s.structure.width[2], 1280);
    assert_int_equal(s.structure.targets[1].sid, 1);
    assert_int_equal(s.structure.targets[2].sid, 2);
    assert_int_equal(s.active, 3); /* the top layer is not being sent */
}

static void later_frames_name_a_template(void **state)
{
    struct dependency_state s = {0};
    struct dependency_frame f;
    assert_int_equal(parse(&s, "1 1 111110 0000000000000001 10000 " L1T2, &f), 0);
    assert_int_equal(parse(&s, "0 1 111111 1111111111111111", &f), 0);
    assert_true(!f.start && f.end && !f.structure);
    assert_int_equal(f.number, 0xffff);
    assert_int_equal(f.tid, 1);
    assert_int_equal(dependency_role(f.roles, 0), DEPENDENCY_ABSENT);
    assert_int_equal(dependency_role(f.roles, 1), DEPENDENCY_DISCARDABLE);
    assert_int_equal(parse(&s, "1 1 000000 0000000000000011", &f), ERR_STATE); /* the third of two */
    /* own roles, other active targets */
    assert_int_equal(parse(&s, "1 1 111111 0000000000000011 01100 01 1110", &f), 0);
    assert_int_equal(dependency_role(f.roles, 0), DEPENDENCY_REQUIRED);
    assert_int_equal(dependency_role(f.roles, 1), DEPENDENCY_SWITCH);
    assert_int_equal(s.active, 1);
    assert_int_equal(s.structure.n_templates, 2);
}

static void without_a_structure_nothing_is_known(void **state)
{
    struct dependency_state s = {0};
    struct dependency_frame f = {.number = 77};
    assert_int_equal(parse(&s, "1 1 000000 0000000000000001", &f), ERR_STATE);
    assert_int_equal(f.number, 77);
}

static void what_is_broken_leaves_the_structure_as_it_was(void **state)
{
    static const struct {
        const char *bits;
        int err;
    } rows[] = {
        {"1 1 000000 0000000000000001 10000 000000 00000 10 10 10 10 11", ERR_MALFORMED},             /* a fifth spatial */
        {"1 1 000000 0000000000000001 10000 000000 00000 01 01 01 01 01 01 01 01 11", ERR_MALFORMED}, /* a ninth temporal */
        {"1 1 000001 0000000000000001 10000 000000 00000 11 10 0 0 0", ERR_STATE}, /* its own template is missing */
        {"1 1 000000 0000000000000001 10000 000000 00000 00 00 00", ERR_TRUNCATED},
        {"1 1 111110 0000000000000001 01100 01 1", ERR_TRUNCATED},
    };
    struct dependency_state s = {0}, before;
    struct dependency_frame f;
    uint8_t bytes[CAP];
    assert_int_equal(parse(&s, "1 1 111110 0000000000000001 10000 " L1T2, &f), 0);
    memcpy(&before, &s, sizeof s);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(parse(&s, rows[i].bits, &f), rows[i].err);
        assert_memory_equal(&s, &before, sizeof s);
    }
    size_t len = bytes_of("1 1 000011 0000000000000001 10000 " L3T1, bytes);
    for (size_t n = 0; n < len; n++)
        if (n != 3) { /* three bytes are a descriptor of their own, here of no template */
            assert_int_equal(dependency_parse(&s, bytes, n, &f), ERR_TRUNCATED);
            assert_memory_equal(&s, &before, sizeof s);
        }
    assert_int_equal(dependency_parse(&s, bytes, len, &f), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_keyframe_brings_the_structure),
        cmocka_unit_test(spatial_layers_have_sizes_and_targets),
        cmocka_unit_test(later_frames_name_a_template),
        cmocka_unit_test(without_a_structure_nothing_is_known),
        cmocka_unit_test(what_is_broken_leaves_the_structure_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
