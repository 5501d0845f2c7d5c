/* Supervisor: settings, back-off, the table of children, heartbeat. */
#include "supervisor/children.h"
#include "supervisor/settings.h"

#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void settings_are_parsed_line_by_line(void **state)
{
    static const char *const lines[] = {"listen=0.0.0.0 8443", "listen=:: 8443",    "plain=::1 8080",
                                        "media=127.0.0.1",     "media_port=7000",   "announce=1.2.3.4 5.6.7.8",
                                        "workers=2",           "data=/srv/dữ liệu", "log_level=warn",
                                        "colour=red",          "media_trace=1"};
    struct settings *s = calloc(1, sizeof *s);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        assert_int_equal(settings_line(s, lines[i]), 0);
    assert_int_equal(s->n_listen, 2);
    assert_string_equal(s->listen[1].host, "::");
    assert_int_equal(s->listen[1].port, 8443);
    assert_int_equal(s->n_plain, 1);
    assert_string_equal(s->media[0], "127.0.0.1");
    assert_int_equal(s->media_port, 7000);
    assert_string_equal(s->announce, "1.2.3.4 5.6.7.8");
    assert_int_equal(s->workers, 2);
    assert_true(s->media_trace);
    assert_string_equal(s->data, "/srv/dữ liệu");
    assert_int_equal(s->log_level, LOG_LEVEL_WARN);
    free(s);
}

static void bad_settings_are_refused(void **state)
{
    static const char *const lines[] = {"listen",     "listen=0.0.0.0", "listen=0.0.0.0 65536", "listen=a 1x",
                                        "workers=65", "workers=-1",     "media_port=70000",     "log_level=loud"};
    struct settings *s = calloc(1, sizeof *s);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        assert_int_not_equal(settings_line(s, lines[i]), 0);
    for (int i = 0; i < SETTINGS_LISTENERS_MAX; i++)
        assert_int_equal(settings_line(s, i % 2 ? "listen=:: 1" : "plain=::1 1"), 0);
    assert_int_equal(settings_line(s, "listen=:: 1"), ERR_FULL);
    free(s);
}

static void a_successor_waits_longer_after_each_early_death_and_not_after_a_steady_life(void **state)
{
    static const int64_t expected_us[] = {0, 100000, 500000, 2000000, 2000000, 2000000};
    struct children *c = calloc(1, sizeof *c);
    struct child *child = children_add(c, CHILD_WORKER, 1, "");
    for (size_t i = 0; i < sizeof expected_us / sizeof *expected_us; i++) {
        child->pid = 1;
        child->started_us = 1000000;
        child_died(child, 2000000);
        assert_int_equal(child->start_at_us - 2000000, expected_us[i]);
    }
    child->pid = 1;
    child->started_us = 3000000;
    child_died(child, 60000000);
    assert_int_equal(child->start_at_us, 60000000);
    assert_int_equal(child->restarts, 7);
    free(c);
}

static void children_are_found_by_kind_index_and_job(void **state)
{
    struct children *c = calloc(1, sizeof *c);
    children_add(c, CHILD_WORKER, 0, "");
    struct child *one = children_add(c, CHILD_WORKER, 1, ""), *rec = children_add(c, CHILD_RECORDER, 0, "b-1");
    assert_ptr_equal(children_find(c, CHILD_WORKER, 1, ""), one);
    assert_ptr_equal(children_find(c, CHILD_RECORDER, 0, "b-1"), rec);
    assert_null(children_find(c, CHILD_RECORDER, 0, "b-2"));
    assert_null(children_find(c, CHILD_COMPOSER, 0, "b-1"));
    children_remove(rec);
    assert_null(children_find(c, CHILD_RECORDER, 0, "b-1"));
    for (int i = 2; i < CHILDREN_MAX; i++)
        assert_non_null(children_add(c, CHILD_COMPOSER, 0, "x mp4"));
    assert_null(children_add(c, CHILD_COMPOSER, 0, "one more"));
    free(c);
}

static void silence_is_judged_by_kind_and_never_when_we_were_late(void **state)
{
    _Atomic uint64_t beat = 5;
    static const struct {
        enum child_kind kind;
        uint64_t beats;
        int64_t silent_us;
        bool late, dead;
    } rows[] = {
        {CHILD_WORKER, 5, 1000000, false, false},    {CHILD_WORKER, 5, 1000001, false, true},
        {CHILD_WORKER, 5, 5000000, true, false},     {CHILD_CONTROL, 5, 1000001, false, true},
        {CHILD_RECORDER, 5, 1000001, false, false},  {CHILD_RECORDER, 5, 10000001, false, true},
        {CHILD_WORKER, 0, 5000000, false, false},    {CHILD_WORKER, 0, 15000001, false, true},
        {CHILD_COMPOSER, 0, 99000000, false, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        atomic_store(&beat, rows[i].beats);
        struct child child = {
            .used = true, .kind = rows[i].kind, .pid = 1, .beat = &beat, .beat_seen = rows[i].beats, .beat_seen_us = 7};
        assert_int_equal(child_silent(&child, 7 + rows[i].silent_us, rows[i].late), rows[i].dead);
    }
    struct child child = {.used = true, .kind = CHILD_WORKER, .pid = 1, .beat = &beat, .beat_seen = 99, .beat_seen_us = 7};
    assert_false(child_silent(&child, 9000000, false));
    assert_int_equal(child.beat_seen_us, 9000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_are_parsed_line_by_line),
        cmocka_unit_test(bad_settings_are_refused),
        cmocka_unit_test(a_successor_waits_longer_after_each_early_death_and_not_after_a_steady_life),
        cmocka_unit_test(children_are_found_by_kind_index_and_job),
        cmocka_unit_test(silence_is_judged_by_kind_and_never_when_we_were_late),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
