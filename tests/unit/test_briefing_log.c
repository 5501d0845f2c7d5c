/* Events as bytes, and the fold: a replay gives an equal state, and so does a client that sees nothing but messages. */
#include "briefing_rules.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static uint32_t next_random(void *ctx)
{
    uint32_t *state = ctx;
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void random_commands_keep_the_rules_and_replay_alike(void **state)
{
    uint64_t events = 0;
    for (uint32_t seed = 1; seed <= 60; seed++) {
        uint32_t random = seed * 7919;
        struct watched w = watched_new();
        schedule_watched(&w);
        for (int64_t at = 2; at < 400; at++)
            command_from(&w, next_random, &random, at);
        events += briefing_seq(w.live);
        watched_free(&w);
    }
    assert_true(events > 60 * 20); /* else the commands were refused and nothing was tested */
}

static void copy_is_equal_and_apart(void **state)
{
    uint32_t random = 4;
    struct watched w = watched_new();
    schedule_watched(&w);
    for (int64_t at = 2; at < 100; at++)
        command_from(&w, next_random, &random, at);
    struct briefing *copy = briefing_copy(w.live);
    assert_true(briefing_equal(copy, w.live));
    struct wish_briefing a, b;
    assert_int_equal(briefing_wish(copy, &a), 0);
    assert_int_equal(briefing_wish(w.live, &b), 0);
    assert_true(wish_briefing_equal(&a, &b)); /* layouts and placements too */
    wish_briefing_free(&a);
    wish_briefing_free(&b);
    const struct briefing_event e = {.kind = EVENT_MICROPHONES_LOCKED, .seq = briefing_seq(copy) + 1, .on = false};
    assert_int_equal(briefing_apply(copy, &e), 0);
    assert_false(briefing_equal(copy, w.live));
    briefing_free(copy);
    watched_free(&w);
}

static void stored_bytes_are_canonical(void **state)
{
    struct briefing_schedule schedule = {.id = "b1", .title = "Giao ban \"tuần\"", .starts_ms = 9, .record = true};
    const struct {
        struct briefing_event event;
        const char *bytes;
    } rows[] = {
        {{.kind = EVENT_FLOOR_GRANTED, .seq = 7, .at_ms = 5, .at_us = 6, .number = 3},
         "{\"at_ms\":5,\"at_us\":6,\"data\":{\"number\":3},\"event\":\"floor-granted\",\"seq\":7,\"v\":1}"},
        {{.kind = EVENT_SCHEDULED, .seq = 1, .schedule = &schedule},
         "{\"at_ms\":0,\"at_us\":0,\"data\":{\"id\":\"b1\",\"record\":true,\"starts_ms\":9,\"title\":\"Giao ban "
         "\\\"tuần\\\"\",\"units\":[]},\"event\":\"scheduled\",\"seq\":1,\"v\":1}"},
        {{.kind = EVENT_JOINED,
          .seq = 2,
          .number = 1,
          .hears = true,
          .seat =
              {.id = "e1", .unit = {"h-a", "Huyện A", "A"}, .name = "Phòng họp", .key = "link:n", .role = ROLE_DELEGATE}},
         "{\"at_ms\":0,\"at_us\":0,\"data\":{\"endpoint\":{\"hears\":true,\"id\":\"e1\",\"key\":\"link:n\",\"kind\":"
         "\"room\","
         "\"name\":\"Phòng họp\",\"number\":1,\"role\":\"delegate\",\"unit\":\"h-a\",\"unit_name\":\"Huyện A\","
         "\"unit_short\":\"A\"}},\"event\":\"joined\",\"seq\":2,\"v\":1}"},
        {{.kind = EVENT_ALL_MUTED, .seq = 3, .except = {1, 4}, .n_except = 2},
         "{\"at_ms\":0,\"at_us\":0,\"data\":{\"except\":[1,4]},\"event\":\"all-muted\",\"seq\":3,\"v\":1}"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t len;
        char *bytes = briefing_event_encode(&rows[i].event, &len);
        assert_string_equal(bytes, rows[i].bytes);
        assert_int_equal(len, strlen(rows[i].bytes));
        free(bytes);
    }
}

static void clients_do_not_see_keys(void **state)
{
    const struct briefing_event e = {.kind = EVENT_JOINED,
                                     .seq = 2,
                                     .at_ms = 5,
                                     .number = 1,
                                     .hears = true,
                                     .seat = {.id = "e1", .key = "login:secret", .role = ROLE_CHAIR}};
    json_t *message = briefing_event_message(&e, 1);
    char *text = json_dumps(message, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(text,
                        "{\"at_ms\":5,\"data\":{\"endpoint\":{\"camera\":false,\"connected\":true,\"hears\":true,\"id\":"
                        "\"e1\",\"kind\":\"room\",\"microphone\":false,\"name\":\"\",\"number\":1,\"role\":\"chair\","
                        "\"screen\":false,\"unit\":\"\",\"unit_name\":\"\",\"unit_short\":\"\"}},\"event\":\"joined\","
                        "\"prev\":1,\"seq\":2}");
    free(text);
    json_decref(message);
}

#define STORED(event, data) "{\"at_ms\":1,\"at_us\":1,\"data\":" data ",\"event\":\"" event "\",\"seq\":2,\"v\":1}"

static void stored_events_are_read_strictly(void **state)
{
    static const struct {
        const char *bytes;
        int err;
    } rows[] = {
        {STORED("left", "{\"number\":1}"), 0},
        {STORED("left", "{\"number\":0}"), ERR_MALFORMED},
        {STORED("left", "{\"number\":512}"), ERR_MALFORMED},
        {STORED("left", "{\"number\":1,\"x\":1}"), ERR_MALFORMED},
        {STORED("left", "{}"), ERR_MALFORMED},
        {STORED("left", "3"), ERR_MALFORMED},
        {STORED("spotlighted", "{\"number\":0}"), 0},
        {STORED("never", "{}"), ERR_MALFORMED},
        {STORED("all-muted", "{\"except\":[1,2]}"), 0},
        {STORED("all-muted", "{\"except\":[0]}"), ERR_MALFORMED},
        {STORED("all-muted", "{\"except\":{}}"), ERR_MALFORMED},
        {STORED("all-muted", "{\"except\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}"), ERR_MALFORMED},
        {STORED("joined", "{\"endpoint\":{}}"), ERR_MALFORMED},
        {STORED("scheduled", "{\"id\":\"b\",\"title\":\"t\",\"starts_ms\":1,\"record\":true,\"units\":[{\"id\":\"x\"}]}"),
         ERR_MALFORMED},
        {"{\"at_ms\":1,\"at_us\":1,\"data\":{},\"event\":\"opened\",\"seq\":2,\"v\":2}", ERR_UNSUPPORTED},
        {"{\"at_ms\":1,\"at_us\":1,\"data\":{},\"event\":\"opened\",\"seq\":0,\"v\":1}", ERR_MALFORMED},
        {"{\"at_ms\":1,\"at_us\":1,\"data\":{},\"event\":\"opened\",\"seq\":2}", ERR_MALFORMED},
        {"{", ERR_MALFORMED},
        {"", ERR_MALFORMED},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct briefing_event e;
        int err = briefing_event_decode(rows[i].bytes, strlen(rows[i].bytes), &e);
        if (err != rows[i].err)
            fail_msg("row %zu: %s", i, err_str(err));
        if (!err)
            briefing_event_clear(&e);
    }
}

static void events_that_cannot_follow_are_refused(void **state)
{
    struct watched w = watched_new();
    schedule_watched(&w);
    struct briefing_seat seat = {.id = "e1", .role = ROLE_CHAIR};
    const struct briefing_command join = {.kind = COMMAND_JOIN, .seat = &seat};
    assert_null(watched_command(&w, &join)); /* seq 2, number 1 */
    const struct briefing_event rows[] = {
        {.kind = EVENT_OPENED, .seq = 2},                                    /* was before */
        {.kind = EVENT_OPENED, .seq = 4},                                    /* a hole */
        {.kind = EVENT_SCHEDULED, .seq = 3},                                 /* once only */
        {.kind = EVENT_LEFT, .seq = 3, .number = 2},                         /* nobody */
        {.kind = EVENT_JOINED, .seq = 3, .number = 1, .seat = {.id = "e1"}}, /* is there */
        {.kind = EVENT_JOINED, .seq = 3, .number = 3, .seat = {.id = "e3"}}, /* not the next number */
        {.kind = EVENT_JOINED, .seq = 3, .number = 2, .seat = {.id = "e1"}}, /* another's id */
        {.kind = EVENT_FLOOR_REVOKED, .seq = 3, .number = 1},                /* has none */
        {.kind = EVENT_SPOTLIGHTED, .seq = 3, .number = 9},
        {.kind = EVENT_KINDS, .seq = 3},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(briefing_apply(w.live, &rows[i]), ERR_STATE);
        assert_true(briefing_equal(w.live, w.replayed)); /* unchanged */
    }
    watched_free(&w);
}

static void snapshot_and_summary_have_the_protocols_form(void **state)
{
    struct watched w = watched_new();
    schedule_watched(&w);
    json_t *o = briefing_state(w.live, ROLE_CHAIR), *summary = briefing_summary(w.live, ROLE_CHAIR);
    char *text = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(text,
                        "{\"endpoints\":[],\"floor\":0,\"floor_since_ms\":null,\"hands\":[],\"id\":\"b1\",\"locked\":false,"
                        "\"opened_ms\":null,\"recording\":false,\"screen\":0,\"spotlight\":0,\"state\":\"scheduled\","
                        "\"title\":\"Giao ban\"}");
    free(text);
    text = json_dumps(summary, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(text,
                        "{\"endpoints\":0,\"id\":\"b1\",\"recording\":false,\"role\":\"chair\",\"starts_ms\":0,\"state\":"
                        "\"scheduled\",\"title\":\"Giao ban\",\"units\":2}");
    free(text);
    json_decref(o);
    json_decref(summary);
    watched_free(&w);
}

/* ---- the record that the web client's fold is tested with ---- */

static void record_state(struct watched *w)
{
    json_t *state = briefing_state(w->live, ROLE_DELEGATE);
    watched_record(w, state);
    json_decref(state);
}

/* A briefing of random commands, to its end: the snapshot, then events, then what the snapshot is now. */
static void record_briefing(FILE *to, uint32_t seed)
{
    struct watched w = watched_new();
    const struct briefing_command open = {.kind = COMMAND_OPEN, .role = ROLE_CHAIR, .at_ms = 2},
                                  close = {.kind = COMMAND_CLOSE, .role = ROLE_CHAIR, .at_ms = 900};
    schedule_watched(&w);
    w.record = to;
    record_state(&w);
    watched_command(&w, &open);
    for (int64_t at = 3; at < 400 && briefing_phase(w.live) == BRIEFING_OPEN; at++) {
        uint64_t before = briefing_seq(w.live);
        command_from(&w, next_random, &seed, at);
        if (briefing_seq(w.live) / 8 != before / 8)
            record_state(&w);
    }
    watched_command(&w, &close);
    record_state(&w);
    watched_free(&w);
}

/* tests/data/briefings.jsonl is what this core says: client/web/test/record.test.ts folds it. GIAOBAN_RECORD=1 writes it
 * anew. */
static void recorded_briefings_are_what_clients_are_told(void **state)
{
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    for (uint32_t seed = 1; seed <= 8; seed++)
        record_briefing(to, seed * 104729);
    assert_int_equal(fclose(to), 0);
    if (getenv("GIAOBAN_RECORD")) {
        FILE *file = fopen(TEST_DATA "/briefings.jsonl", "w");
        assert_non_null(file);
        fputs(text, file);
        fclose(file);
    }
    FILE *file = fopen(TEST_DATA "/briefings.jsonl", "r");
    assert_non_null(file);
    char *line = NULL, *at = text;
    size_t cap = 0;
    ssize_t n;
    while ((n = getline(&line, &cap, file)) > 0) {
        assert_true(strncmp(at, line, (size_t)n) == 0);
        at += n;
    }
    assert_int_equal(*at, 0);
    free(line);
    fclose(file);
    free(text);
}

static void client_is_not_told_of_the_schedule(void **state)
{
    assert_false(briefing_event_visible(EVENT_SCHEDULED, ROLE_ADMINISTRATOR));
    assert_true(briefing_event_visible(EVENT_HAND_RAISED, ROLE_OBSERVER));
    struct watched w = watched_new();
    schedule_watched(&w);
    assert_int_equal(briefing_last_visible(w.live, ROLE_CHAIR), 0);
    watched_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_commands_keep_the_rules_and_replay_alike),
        cmocka_unit_test(copy_is_equal_and_apart),
        cmocka_unit_test(stored_bytes_are_canonical),
        cmocka_unit_test(clients_do_not_see_keys),
        cmocka_unit_test(stored_events_are_read_strictly),
        cmocka_unit_test(events_that_cannot_follow_are_refused),
        cmocka_unit_test(snapshot_and_summary_have_the_protocols_form),
        cmocka_unit_test(recorded_briefings_are_what_clients_are_told),
        cmocka_unit_test(client_is_not_told_of_the_schedule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
