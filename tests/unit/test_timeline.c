/* Timeline: what is on stage, which stretches are recorded, which chapters they have. */
#include "recordings/timeline.h"

#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define S 1000000ll
#define HEAD                                                                                                                \
    "{\"briefing\":{\"id\":\"b\",\"title\":\"T\",\"units\":{\"u7\":{\"name\":\"UBND huyện Quan Hóa\",\"short\":\"Quan "  \
    "Hóa\"}}}}\n"
#define E(at, event, data) "{\"seq\":1,\"at_us\":" #at "000000,\"event\":\"" event "\",\"data\":" data "}\n"
#define JOINS                                                                                                               \
    E(1, "joined", "{\"endpoint\":{\"number\":1,\"unit\":\"u1\",\"unit_short\":\"Chủ tọa\",\"role\":\"chair\"}}")           \
    E(1, "joined", "{\"endpoint\":{\"number\":7,\"unit\":\"u7\",\"role\":\"delegate\"}}")                                   \
    E(1, "joined", "{\"endpoint\":{\"number\":9,\"unit\":\"u9\",\"unit_short\":\"Mường Lát\",\"role\":\"delegate\"}}")

static struct timeline read_well(const char *text, int64_t end_us)
{
    struct timeline t;
    char why[200] = "";
    if (timeline_read(text, strlen(text), end_us, &t, why, sizeof why))
        fail_msg("%s", why);
    return t;
}

static void the_stage_is_the_spotlight_else_the_floor_else_the_chair(void **state)
{
    struct timeline t = read_well(HEAD JOINS E(10, "recording", "{\"on\":true}") E(12, "floor-granted", "{\"number\":7}")
                                      E(14, "spotlighted", "{\"number\":9}") E(16, "floor-granted", "{\"number\":1}")
                                          E(18, "spotlighted", "{\"number\":0}") E(20, "floor-revoked", "{\"number\":1}")
                                              E(21, "screen-shown", "{\"number\":9}") E(30, "closed", "{}"),
                                  0);
    static const struct {
        int64_t at_us;
        uint32_t stage, screen;
    } rows[] = {{0, 0, 0},      {1 * S, 1, 0},  {11 * S, 1, 0}, {12 * S, 7, 0}, {13 * S, 7, 0},     {14 * S, 9, 0},
                {17 * S, 9, 0}, {18 * S, 1, 0}, {20 * S, 1, 0}, {21 * S, 1, 9}, {21 * S - 1, 1, 0}, {99 * S, 1, 9}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(timeline_scene_at(&t, rows[i].at_us)->stage, rows[i].stage);
        assert_int_equal(timeline_scene_at(&t, rows[i].at_us)->screen, rows[i].screen);
    }
    assert_string_equal(timeline_name(&t, 7), "Quan Hóa"); /* from the head: the event has no short name */
    assert_string_equal(timeline_name(&t, 9), "Mường Lát");
    assert_string_equal(timeline_name(&t, 0), "");
    timeline_clear(&t);
}

static void a_chair_that_leaves_is_followed_by_another_chair(void **state)
{
    struct timeline t = read_well(HEAD JOINS E(2, "joined", "{\"endpoint\":{\"number\":4,\"role\":\"chair\"}}")
                                      E(3, "recording", "{\"on\":true}") E(5, "left", "{\"number\":1}") E(9, "closed", "{}"),
                                  0);
    assert_int_equal(timeline_scene_at(&t, 4 * S)->stage, 1);
    assert_int_equal(timeline_scene_at(&t, 6 * S)->stage, 4);
    timeline_clear(&t);
}

static void chapters_are_turns_of_the_floor_in_programme_time(void **state)
{
    /* Recording is off from 20 to 26: a turn across it is one chapter, one inside it is none. */
    struct timeline t = read_well(HEAD JOINS E(8, "floor-granted", "{\"number\":9}") E(10, "recording", "{\"on\":true}")
                                      E(12, "floor-granted", "{\"number\":7}") E(14, "floor-granted", "{\"number\":7}")
                                          E(18, "floor-revoked", "{\"number\":7}") E(19, "floor-granted", "{\"number\":9}")
                                              E(20, "recording", "{\"on\":false}") E(22, "floor-granted", "{\"number\":7}")
                                                  E(24, "floor-granted", "{\"number\":9}")
                                                      E(26, "recording", "{\"on\":true}") E(30, "closed", "{}"),
                                  0);
    static const struct timeline_chapter expected[] = {
        {9, 0, 2 * S}, {7, 2 * S, 8 * S}, {9, 9 * S, 10 * S}, {9, 10 * S, 14 * S}};
    assert_int_equal(t.n_spans, 2);
    assert_int_equal(timeline_duration_us(&t), 14 * S);
    assert_int_equal(t.n_chapters, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(t.chapters[i].number, expected[i].number);
        assert_int_equal(t.chapters[i].from_us, expected[i].from_us);
        assert_int_equal(t.chapters[i].to_us, expected[i].to_us);
    }
    timeline_clear(&t);
}

static void without_a_recording_event_it_is_opened_to_closed_or_to_what_is_on_disk(void **state)
{
    struct timeline t = read_well(HEAD JOINS E(10, "opened", "{}") E(30, "closed", "{}"), 25 * S);
    assert_int_equal(timeline_duration_us(&t), 20 * S);
    timeline_clear(&t);
    t = read_well(HEAD JOINS E(10, "opened", "{}"), 25 * S);
    assert_int_equal(timeline_duration_us(&t), 15 * S);
    timeline_clear(&t);
}

static void what_makes_no_sense_is_refused_with_its_line(void **state)
{
    static const struct {
        const char *text, *why;
        int err;
    } rows[] = {
        {HEAD "nonsense\n", "line 2", ERR_MALFORMED},
        {HEAD "[1]\n", "line 2", ERR_MALFORMED},
        {"{\"event\":\"opened\"}\n", "line 1", ERR_MALFORMED},
        {"{\"at_us\":\"1\",\"event\":\"opened\"}\n", "line 1", ERR_MALFORMED},
        {"", "nothing was recorded", ERR_NOTFOUND},
        {HEAD JOINS E(10, "recording", "{\"on\":true}") E(10, "closed", "{}"), "nothing was recorded", ERR_NOTFOUND},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct timeline t;
        char why[200] = "";
        assert_int_equal(timeline_read(rows[i].text, strlen(rows[i].text), 0, &t, why, sizeof why), rows[i].err);
        assert_non_null(strstr(why, rows[i].why));
    }
    /* Numbers outside the range are nobody. */
    struct timeline t = read_well(HEAD JOINS E(2, "recording", "{\"on\":true}") E(3, "floor-granted", "{\"number\":99999}")
                                      E(4, "spotlighted", "{\"number\":-3}") E(9, "closed", "{}"),
                                  0);
    assert_int_equal(timeline_scene_at(&t, 5 * S)->stage, 1);
    assert_int_equal(t.n_chapters, 0);
    timeline_clear(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_stage_is_the_spotlight_else_the_floor_else_the_chair),
        cmocka_unit_test(a_chair_that_leaves_is_followed_by_another_chair),
        cmocka_unit_test(chapters_are_turns_of_the_floor_in_programme_time),
        cmocka_unit_test(without_a_recording_event_it_is_opened_to_closed_or_to_what_is_on_disk),
        cmocka_unit_test(what_makes_no_sense_is_refused_with_its_line),
    };
    return cmocka_run_group_tests_name("timeline", tests, NULL, NULL);
}
