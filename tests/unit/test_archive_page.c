#include "control/archive_page.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[64];

static int make_dir(void **state)
{
    strcpy(dir, "/tmp/giaoban-page-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static const char *const names[] = {"events.jsonl", "tracks.jsonl", "ledger.jsonl", "chapters.json", "manifest.json"};

static int remove_dir(void **state)
{
    char path[128];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    return rmdir(dir);
}

static void put(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void assert_page(const char *expected)
{
    json_t *page = archive_page(dir), *wanted = json_loads(expected, 0, NULL);
    assert_non_null(wanted);
    char *text = json_dumps(page, JSON_SORT_KEYS), *wanted_text = json_dumps(wanted, JSON_SORT_KEYS);
    assert_string_equal(text, wanted_text);
    free(text);
    free(wanted_text);
    json_decref(page);
    json_decref(wanted);
}

static void an_empty_directory_is_an_empty_page(void **state)
{
    assert_page("{\"formats\":[],\"chapters\":[],\"gaps\":[],\"tracks\":[]}");
}

/* Recorded from 10 s to 20 s and from 50 s on; number 2 sits in a district, 3 has no short name. */
static void put_log(void)
{
    put("events.jsonl", "{\"briefing\":{\"id\":\"b1\",\"units\":{}}}\n"
                        "{\"at_us\":9000000,\"event\":\"joined\",\"data\":{\"endpoint\":{\"number\":2,\"unit\":\"u2\","
                        "\"unit_short\":\"Quan Sơn\",\"unit_name\":\"Huyện Quan Sơn\"}}}\n"
                        "{\"at_us\":9000000,\"event\":\"joined\",\"data\":{\"endpoint\":{\"number\":3,\"unit\":\"u3\","
                        "\"unit_short\":\"\",\"unit_name\":\"Sở Y tế\"}}}\n"
                        "{\"at_us\":9500000,\"event\":\"opened\",\"data\":{}}\n"
                        "{\"at_us\":10000000,\"event\":\"recording\",\"data\":{\"on\":true}}\n"
                        "{\"at_us\":20000000,\"event\":\"recording\",\"data\":{\"on\":false}}\n"
                        "{\"at_us\":50000000,\"event\":\"recording\",\"data\":{\"on\":true}}\n"
                        "{\"at_us\":60000000,\"event\":\"closed\",\"data\":{}}\n"
                        "{\"at_us\":61000000,\"event\":\"torn");
}

static void gaps_are_in_the_programme_s_time_and_say_whose_they_are(void **state)
{
    put_log();
    put("ledger.jsonl",
        "{\"track\":8,\"layer\":0,\"from_us\":12000000,\"to_us\":13000000,\"packets\":5,\"reason\":\"lost\"}\n"
        "{\"track\":13,\"layer\":1,\"from_us\":19000000,\"to_us\":51000000,\"packets\":7,\"reason\":\"lost\"}\n"
        "{\"track\":8,\"layer\":0,\"from_us\":30000000,\"to_us\":40000000,\"packets\":9,\"reason\":\"lost\"}\n"
        "{\"track\":0,\"layer\":0,\"from_us\":55000000,\"to_us\":70000000,\"packets\":0,\"reason\":\"feed-broken\"}\n");
    assert_page("{\"formats\":[],\"chapters\":[],\"tracks\":[],\"gaps\":["
                "{\"track\":8,\"unit_name\":\"Quan Sơn\",\"layer\":0,\"from_us\":2000000,\"to_us\":3000000,\"packets\":5,"
                "\"reason\":\"lost\"},"
                "{\"track\":13,\"unit_name\":\"Sở Y tế\",\"layer\":1,\"from_us\":9000000,\"to_us\":11000000,\"packets\":7,"
                "\"reason\":\"lost\"},"
                "{\"track\":0,\"unit_name\":\"\",\"layer\":0,\"from_us\":15000000,\"to_us\":20000000,\"packets\":0,"
                "\"reason\":\"feed-broken\"}]}");
}

static void chapters_tracks_and_formats_are_told(void **state)
{
    put_log();
    put("chapters.json",
        "[{\"start_s\":0.5,\"end_s\":2,\"number\":2,\"unit\":\"u2\",\"title\":\"t\",\"thumb\":\"thumbs/01.jpg\"}]");
    put("tracks.jsonl",
        "{\"file\":\"a\",\"track\":8,\"endpoint\":\"e2\",\"number\":2,\"kind\":\"microphone\",\"codec\":\"opus\"}\n"
        "{\"file\":\"b\",\"track\":8,\"endpoint\":\"e2\",\"number\":2,\"kind\":\"microphone\",\"codec\":\"opus\"}\n");
    put("manifest.json",
        "{\"files\":[{\"name\":\"programme.webm\",\"bytes\":7,\"sha256\":\"ab\"},{\"name\":\"x\",\"bytes\":1}]}");
    assert_page("{\"gaps\":[],\"formats\":[{\"name\":\"webm\",\"bytes\":7,\"sha256\":\"ab\"}],\"chapters\":["
                "{\"start_s\":0.5,\"end_s\":2,\"number\":2,\"unit\":\"u2\",\"unit_name\":\"Quan Sơn\",\"title\":\"t\","
                "\"thumb\":\"thumbs/01.jpg\"}],\"tracks\":["
                "{\"track\":8,\"endpoint\":\"e2\",\"number\":2,\"kind\":\"microphone\",\"codec\":\"opus\"}]}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_empty_directory_is_an_empty_page, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(gaps_are_in_the_programme_s_time_and_say_whose_they_are, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(chapters_tracks_and_formats_are_told, make_dir, remove_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
