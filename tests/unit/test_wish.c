#include "base/err.h"
#include "base/link.h"
#include "wish/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A seeded generator of valid wishes: the same ones in every run. */
static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static uint32_t below(uint32_t *state, uint32_t n)
{
    return next_random(state) % n;
}

static struct wish_size random_size(uint32_t *r)
{
    return (struct wish_size){.width = (uint16_t)below(r, 65536), .height = (uint16_t)below(r, 65536)};
}

static bool shown(const struct wish_endpoint *e, uint32_t number)
{
    for (unsigned i = 0; i < e->n_tiles; i++) {
        if (e->tiles[i].endpoint == number)
            return true;
    }
    return number == e->stage || number == e->number;
}

static struct wish_endpoint random_endpoint(uint32_t *r, uint32_t number)
{
    struct wish_endpoint e = {.number = number,
                              .incarnation = next_random(r),
                              .worker = (uint8_t)below(r, 256),
                              .may_send = (uint8_t)(below(r, 8) * 2),
                              .hears = below(r, 2),
                              .stage_size = random_size(r),
                              .screen_size = random_size(r)};
    snprintf(e.id, sizeof(e.id), "e-%u_%u", number, below(r, 3));
    e.stage = below(r, 20) ? 1 + below(r, 12) : 0;
    e.screen = 1 + below(r, WISH_ENDPOINT_NUMBER_MAX);
    if (e.stage == number)
        e.stage = 0;
    if (e.screen == number)
        e.screen = 0;
    unsigned tiles = below(r, WISH_TILES_MAX + 1);
    for (unsigned i = 0; i < tiles; i++) {
        uint32_t n = below(r, 12);
        struct wish_tile t = {.endpoint = n && shown(&e, n) ? 0 : n, .size = random_size(r)};
        e.tiles[e.n_tiles++] = t;
    }
    if (below(r, 2))
        e.site = (struct wish_site){.number = (uint16_t)(1 + below(r, 3)),
                                    .elsewhere = (uint16_t)below(r, 3),
                                    .down_kbps = (uint16_t)(1 + below(r, 65535)),
                                    .up_kbps = (uint16_t)(1 + below(r, 65535))};
    return e;
}

static struct wish_briefing random_wish(uint32_t *r)
{
    struct wish_briefing b = {.id = "giao-ban-1",
                              .record = below(r, 2),
                              .record_cameras = below(r, 2),
                              .stage = below(r, 12),
                              .screen = below(r, 12),
                              .floor = below(r, 12)};
    unsigned n = below(r, 12);
    for (unsigned i = 0; i < n; i++) {
        struct wish_endpoint e = random_endpoint(r, 1 + below(r, 14));
        assert_int_equal(wish_put(&b, &e), 0);
    }
    return b;
}

static void endpoint_survives_a_round_trip(void **state)
{
    uint32_t r = 7;
    for (int i = 0; i < 500; i++) {
        struct wish_endpoint e = random_endpoint(&r, 1 + below(&r, WISH_ENDPOINT_NUMBER_MAX)), back;
        json_t *o = wish_endpoint_to_json(&e);
        const char *why = "";
        assert_int_equal(wish_endpoint_from_json(o, &back, &why), 0);
        assert_true(wish_endpoint_equal(&e, &back));
        json_decref(o);
    }
}

static void endpoint_has_the_documented_form(void **state)
{
    struct wish_endpoint e = {.id = "ep1",
                              .number = 7,
                              .incarnation = 2,
                              .worker = 1,
                              .may_send = 6,
                              .hears = true,
                              .stage = 3,
                              .screen = 0,
                              .stage_size = {1280, 720},
                              .n_tiles = 2,
                              .tiles = {{.endpoint = 4, .size = {320, 180}}}};
    json_t *o = wish_endpoint_to_json(&e);
    char *text = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(text, "{\"hears\":true,\"id\":\"ep1\",\"incarnation\":2,\"may_send\":6,\"number\":7,\"screen\":0,"
                              "\"screen_size\":[0,0],\"stage\":3,\"stage_size\":[1280,720],\"tiles\":[[4,320,180],[0,0,0]],"
                              "\"worker\":1}");
    free(text);
    json_decref(o);
}

static void layout_fills_sizes_and_tiles_alone(void **state)
{
    uint32_t r = 13;
    for (int i = 0; i < 50; i++) {
        struct wish_endpoint e = random_endpoint(&r, 5), back = {.id = "kept", .number = 9, .may_send = 6, .n_tiles = 3};
        json_t *o = wish_layout_to_json(&e);
        assert_int_equal(wish_layout_from_json(o, &back, NULL), 0);
        assert_true(back.number == 9 && back.may_send == 6 && !strcmp(back.id, "kept") && back.n_tiles == e.n_tiles);
        assert_memory_equal(back.tiles, e.tiles, e.n_tiles * sizeof(e.tiles[0]));
        assert_true(back.stage_size.width == e.stage_size.width && back.screen_size.height == e.screen_size.height);
        json_object_set_new(o, "more", json_null());
        assert_int_equal(wish_layout_from_json(o, &back, NULL), ERR_MALFORMED);
        json_decref(o);
    }
}

static void header_survives_a_round_trip(void **state)
{
    uint32_t r = 11;
    for (int i = 0; i < 100; i++) {
        struct wish_briefing b = random_wish(&r), back;
        json_t *o = wish_briefing_to_json(&b);
        assert_int_equal(wish_briefing_from_json(o, &back, NULL), 0);
        assert_int_equal(back.n_endpoints, 0);
        wish_briefing_free(&b);
        assert_true(!strcmp(back.id, b.id) && back.record == b.record && back.record_cameras == b.record_cameras &&
                    back.stage == b.stage && back.screen == b.screen && back.floor == b.floor);
        json_decref(o);
    }
}

#define ENDPOINT(field, value)                                                                                              \
    "{\"id\":\"a\",\"number\":1,\"incarnation\":1,\"worker\":0,\"may_send\":2,\"hears\":true,\"stage\":2,\"screen\":3,"     \
    "\"stage_size\":[1,1],\"screen_size\":[1,1],\"tiles\":[],\"" field "\":" value "}"

static void endpoint_is_read_strictly(void **state)
{
    static const struct {
        const char *text;
        int err;
    } rows[] = {
        {ENDPOINT("m", "\"wish-endpoint\""), 0},
        {ENDPOINT("number", "511"), 0},
        {ENDPOINT("number", "512"), ERR_MALFORMED},
        {ENDPOINT("number", "0"), ERR_MALFORMED},
        {ENDPOINT("number", "-1"), ERR_MALFORMED},
        {ENDPOINT("number", "1.0"), ERR_MALFORMED},
        {ENDPOINT("number", "\"1\""), ERR_MALFORMED},
        {ENDPOINT("number", "99999999999999"), ERR_MALFORMED},
        {ENDPOINT("id", "\"\""), ERR_MALFORMED},
        {ENDPOINT("id", "\"../a\""), ERR_MALFORMED},
        {ENDPOINT("id", "\"a\\u0000b\""), ERR_MALFORMED},
        {ENDPOINT("id", "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\""), 0},
        {ENDPOINT("id", "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\""), ERR_MALFORMED},
        {ENDPOINT("worker", "255"), 0},
        {ENDPOINT("worker", "256"), ERR_MALFORMED},
        {ENDPOINT("may_send", "14"), 0},
        {ENDPOINT("may_send", "1"), ERR_MALFORMED},
        {ENDPOINT("may_send", "15"), ERR_MALFORMED},
        {ENDPOINT("may_send", "16"), ERR_MALFORMED},
        {ENDPOINT("hears", "1"), ERR_MALFORMED},
        {ENDPOINT("stage", "1"), ERR_MALFORMED}, /* itself */
        {ENDPOINT("screen", "1"), ERR_MALFORMED},
        {ENDPOINT("stage_size", "[1]"), ERR_MALFORMED},
        {ENDPOINT("stage_size", "[1,65536]"), ERR_MALFORMED},
        {ENDPOINT("stage_size", "[1,-1]"), ERR_MALFORMED},
        {ENDPOINT("tiles", "[[3,1,1],[4,1,1],[0,0,0],[0,0,0]]"), 0},
        {ENDPOINT("tiles", "[[3,1,1],[3,1,1]]"), ERR_MALFORMED}, /* a source in two slots */
        {ENDPOINT("tiles", "[[2,1,1]]"), ERR_MALFORMED},         /* the stage's */
        {ENDPOINT("tiles", "[[1,1,1]]"), ERR_MALFORMED},         /* itself */
        {ENDPOINT("tiles", "[[512,1,1]]"), ERR_MALFORMED},
        {ENDPOINT("tiles", "[5]"), ERR_MALFORMED},
        {ENDPOINT("tiles", "{}"), ERR_MALFORMED},
        {ENDPOINT("site", "[1,0,4000,1000]"), 0},
        {ENDPOINT("site", "[0,0,0,0]"), 0},
        {ENDPOINT("site", "[1,0,0,1000]"), ERR_MALFORMED}, /* without a line */
        {ENDPOINT("site", "[0,0,4000,0]"), ERR_MALFORMED},
        {ENDPOINT("site", "[1,0,65536,1000]"), ERR_MALFORMED},
        {ENDPOINT("site", "[1,0,4000]"), ERR_MALFORMED},
        {ENDPOINT("colour", "1"), ERR_MALFORMED},
        {"{\"id\":\"a\"}", ERR_MALFORMED},
        {"[]", ERR_MALFORMED},
        {"3", ERR_MALFORMED},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct wish_endpoint e = {.number = 77};
        const char *why = NULL;
        json_t *o = json_loads(rows[i].text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        assert_non_null(o);
        if (wish_endpoint_from_json(o, &e, &why) != rows[i].err)
            fail_msg("%s", rows[i].text);
        if (rows[i].err) {
            assert_non_null(why);
            assert_int_equal(e.number, 77); /* untouched */
        }
        json_decref(o);
    }
}

static void delta_applied_to_its_base_is_the_next_wish(void **state)
{
    uint32_t r = 3;
    for (int i = 0; i < 400; i++) {
        struct wish_briefing base = random_wish(&r), next = random_wish(&r);
        bool same;
        json_t *delta = wish_delta(&base, &next, 5, 8, 9, &same);
        assert_int_equal(same, wish_briefing_equal(&base, &next));
        if (delta) {
            const char *why = "";
            assert_int_equal(wish_apply_delta(&base, delta, &why), 0);
            assert_int_equal(json_integer_value(json_object_get(delta, "base")), 8);
        }
        assert_true(wish_briefing_equal(&base, &next));
        json_decref(delta);
        wish_briefing_free(&base);
        wish_briefing_free(&next);
    }
}

static void delta_between_equal_wishes_is_none(void **state)
{
    uint32_t r = 5;
    struct wish_briefing base = random_wish(&r), next;
    bool same = false;
    assert_int_equal(wish_briefing_copy(&next, &base), 0);
    assert_null(wish_delta(&base, &next, 1, 1, 2, &same));
    assert_true(same);
    wish_briefing_free(&base);
    wish_briefing_free(&next);
}

static void delta_names_only_what_changed(void **state)
{
    struct wish_briefing base = {.id = "b"}, next;
    for (uint32_t n = 1; n <= 4; n++) {
        struct wish_endpoint e = {.id = "e", .number = n};
        assert_int_equal(wish_put(&base, &e), 0);
    }
    assert_int_equal(wish_briefing_copy(&next, &base), 0);
    wish_find(&next, 2)->may_send = WISH_BIT(WISH_MICROPHONE);
    wish_drop(&next, 3);
    bool same;
    json_t *delta = wish_delta(&base, &next, 1, 1, 2, &same);
    char *text = json_dumps(json_object_get(delta, "endpoints"), JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(text, "[{\"may_send\":2,\"number\":2}]");
    free(text);
    assert_int_equal(json_integer_value(json_array_get(json_object_get(delta, "gone"), 0)), 3);
    json_decref(delta);
    wish_briefing_free(&base);
    wish_briefing_free(&next);
}

static void new_stage_for_all_fits_into_one_message(void **state)
{
    struct wish_briefing base = {.id = "b"}, next;
    uint32_t r = 17;
    for (uint32_t n = 1; n <= WISH_ENDPOINT_NUMBER_MAX; n++) {
        struct wish_endpoint e = random_endpoint(&r, n);
        e.stage = 0;
        assert_int_equal(wish_put(&base, &e), 0);
    }
    assert_int_equal(wish_briefing_copy(&next, &base), 0);
    for (size_t i = 0; i < next.n_endpoints; i++)
        next.endpoints[i].stage = next.endpoints[i].number == 500 ? 499 : 500;
    bool same;
    json_t *delta = wish_delta(&base, &next, 1, 1, 2, &same);
    char *text = json_dumps(delta, JSON_COMPACT);
    assert_true(strlen(text) < LINK_BODY_MAX / 4);
    assert_int_equal(wish_apply_delta(&base, delta, NULL), 0);
    assert_true(wish_briefing_equal(&base, &next));
    free(text);
    json_decref(delta);
    wish_briefing_free(&base);
    wish_briefing_free(&next);
}

#define DELTA(id, endpoints, gone)                                                                                          \
    "{\"m\":\"wish-delta\",\"epoch\":1,\"base\":1,\"version\":2,\"briefing\":\"" id "\",\"record\":true,"                   \
    "\"record_cameras\":false,\"stage\":2,\"screen\":0,\"floor\":0,\"endpoints\":" endpoints ",\"gone\":" gone "}"

static void broken_delta_changes_nothing(void **state)
{
    static const char *const rows[] = {
        DELTA("other", "[]", "[]"),
        DELTA("b", "[]", "[2]"), /* was not there */
        DELTA("b", "[]", "[1,1]"),
        DELTA("b", "[]", "[\"1\"]"),
        DELTA("b", "[]", "{}"),
        DELTA("b", "{}", "[]"),
        DELTA("b", "[3]", "[]"),
        DELTA("b", "[" ENDPOINT("m", "1") "]", "[1]"), /* gone and changed */
        DELTA("b", "[" ENDPOINT("m", "1") "," ENDPOINT("m", "1") "]", "[]"),
        DELTA("b", "[" ENDPOINT("hears", "3") "]", "[]"),
        DELTA("b", "[{\"number\":2,\"stage\":1}]", "[]"), /* a new one must be whole */
        DELTA("b", "[{\"number\":1,\"stage\":1}]", "[]"),
        DELTA("b", "[{\"number\":1,\"colour\":1}]", "[]"),
        DELTA("b", "[{\"stage\":2}]", "[]"),
        "{\"m\":\"wish-delta\",\"briefing\":\"b\"}",
    };
    struct wish_briefing b = {.id = "b"}, before;
    struct wish_endpoint e = {.id = "one", .number = 1};
    assert_int_equal(wish_put(&b, &e), 0);
    assert_int_equal(wish_briefing_copy(&before, &b), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        json_t *delta = json_loads(rows[i], 0, NULL);
        const char *why = NULL;
        assert_non_null(delta);
        if (wish_apply_delta(&b, delta, &why) != ERR_MALFORMED || !why || !wish_briefing_equal(&b, &before))
            fail_msg("row %zu", i);
        json_decref(delta);
    }
    wish_briefing_free(&b);
    wish_briefing_free(&before);
}

static void endpoints_are_kept_by_rising_number(void **state)
{
    static const uint32_t numbers[] = {5, 1, 9, 5, 3};
    struct wish_briefing b = {.id = "b"};
    for (size_t i = 0; i < 5; i++) {
        struct wish_endpoint e = {.number = numbers[i], .incarnation = (uint32_t)i};
        assert_int_equal(wish_put(&b, &e), 0);
    }
    assert_int_equal(b.n_endpoints, 4);
    assert_int_equal(b.endpoints[0].number, 1);
    assert_int_equal(b.endpoints[3].number, 9);
    assert_int_equal(wish_find(&b, 5)->incarnation, 3);
    assert_true(wish_drop(&b, 1));
    assert_false(wish_drop(&b, 1));
    assert_null(wish_find(&b, 1));
    assert_int_equal(b.endpoints[0].number, 3);
    wish_briefing_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endpoint_survives_a_round_trip),
        cmocka_unit_test(endpoint_has_the_documented_form),
        cmocka_unit_test(layout_fills_sizes_and_tiles_alone),
        cmocka_unit_test(header_survives_a_round_trip),
        cmocka_unit_test(endpoint_is_read_strictly),
        cmocka_unit_test(delta_applied_to_its_base_is_the_next_wish),
        cmocka_unit_test(delta_between_equal_wishes_is_none),
        cmocka_unit_test(delta_names_only_what_changed),
        cmocka_unit_test(new_stage_for_all_fits_into_one_message),
        cmocka_unit_test(broken_delta_changes_nothing),
        cmocka_unit_test(endpoints_are_kept_by_rising_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
