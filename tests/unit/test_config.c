/* Configuration: one table, and errors that name the key. */
#include "control/config.h"

#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void every_default_is_a_valid_value(void **state)
{
    size_t n;
    const struct config_key *keys = config_keys(&n);
    struct config c;
    config_defaults(&c);
    for (size_t i = 0; i < n; i++) {
        char error[CONFIG_ERROR_BYTES] = "";
        assert_int_equal(config_set(&c, keys[i].name, keys[i].fallback, error), 0);
    }
    assert_int_equal(c.port, 8443);
    assert_int_equal(c.media_port, 7000);
    assert_string_equal(c.data_dir, "data");
    config_free(&c);
}

static void bad_values_are_refused_by_a_sentence_that_names_the_key(void **state)
{
    static const struct {
        const char *key, *value;
        int err;
        const char *names;
    } rows[] = {
        {"colour", "red", ERR_NOTFOUND, "colour"},
        {"port", "0", ERR_RANGE, "port"},
        {"port", "65536", ERR_RANGE, "65535"},
        {"port", "-1", ERR_INVAL, "port"},
        {"port", "80a", ERR_INVAL, "80a"},
        {"port", "", ERR_INVAL, "port"},
        {"media.port", "65001", ERR_RANGE, "media.port"},
        {"placement", "everywhere", ERR_INVAL, "home or spread"},
        {"recording.cameras", "maybe", ERR_INVAL, "recording.cameras"},
        {"addresses", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15", ERR_RANGE, "addresses"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct config c;
        char error[CONFIG_ERROR_BYTES] = "";
        config_defaults(&c);
        assert_int_equal(config_set(&c, rows[i].key, rows[i].value, error), rows[i].err);
        assert_non_null(strstr(error, rows[i].names));
        config_free(&c);
    }
}

static int load(struct config *c, const char *text, char *error)
{
    char path[] = "/tmp/giaoban-config-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    config_defaults(c);
    int err = config_load(c, path, error);
    unlink(path);
    return err;
}

static void a_file_sets_keys_and_sections_and_lists(void **state)
{
    struct config c;
    char error[CONFIG_ERROR_BYTES] = "";
    assert_int_equal(
        load(&c, "port: 9443\nmedia:\n  port: 7100\n  addresses: [10.1.2.3, \"fd00::1\"]\nrecording: {cameras: yes}\n",
             error),
        0);
    assert_int_equal(c.port, 9443);
    assert_int_equal(c.media_port, 7100);
    assert_int_equal(c.media_addresses.n, 2);
    assert_string_equal(c.media_addresses.items[1], "fd00::1");
    assert_true(c.recording_cameras);
    config_free(&c);
}

static void a_file_lists_sites(void **state)
{
    struct config c;
    char error[CONFIG_ERROR_BYTES] = "";
    assert_int_equal(
        load(&c,
             "sites:\n  - name: thuong-xuan\n    addresses: [10.36.5.0/24, \"fd36:5::/48\"]\n    units: tx\n"
             "    down_kbps: 4000\n    up_kbps: 2000\n  - {name: b, units: [c, d], down_kbps: 64, up_kbps: 65535}\n",
             error),
        0);
    assert_string_equal(c.sites, " name=thuong-xuan addresses=10.36.5.0/24,fd36:5::/48 units=tx down_kbps=4000 up_kbps=2000;"
                                 " name=b units=c,d down_kbps=64 up_kbps=65535;");
    config_free(&c);
    assert_int_equal(load(&c, "sites: []\n", error), 0);
    assert_string_equal(c.sites, "");
    config_free(&c);
}

static void a_broken_file_is_refused_with_its_line(void **state)
{
    static const struct {
        const char *text, *names;
    } rows[] = {
        {"port: 1\ncolour: red\n", "line 2: unknown configuration key \"colour\""},
        {"media:\n  prot: 1\n", "\"media.prot\""},
        {"port: [1, 2\n", "line 2"},
        {"- port\n", "key: value"},
        {"media: {port: {a: 1}}\n", "one level"},
        {"addresses: [[a]]\n", "plain values"},
        {"sites:\n  - thuong-xuan\n", "line 2: a site is a mapping"},
        {"sites:\n  - name: {a: 1}\n", "line 2: a site's values"},
        {"sites:\n  - {name: a, units: [\"b;c\"]}\n", "line 2: a site's values"},
        {"port: 1\nsites:\n  - {name: a, units: [b], down_kbps: 10, up_kbps: 1000}\n", "line 2: \"sites\": down_kbps"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct config c;
        char error[CONFIG_ERROR_BYTES] = "";
        assert_int_not_equal(load(&c, rows[i].text, error), 0);
        if (!strstr(error, rows[i].names))
            fail_msg("\"%s\" lacks \"%s\"", error, rows[i].names);
        config_free(&c);
    }
}

static void the_command_line_wins_over_the_file_and_fills_places(void **state)
{
    struct config c;
    char error[CONFIG_ERROR_BYTES] = "";
    char *argv[] = {"giaoband", "--check-config", "--port",          "9000", "--config", CONFIG_FILE, "--data",
                    "/tmp/x",   "--set",          "media.port=7200", NULL};
    static const char *const skip[] = {"--check-config", NULL};
    config_defaults(&c);
    assert_int_equal(config_arguments(&c, 10, argv, skip, error), 0);
    assert_int_equal(c.port, 9000);
    assert_int_equal(c.media_port, 7200);
    assert_string_equal(c.certificate, "/tmp/x/tls/server.crt");
    assert_non_null(strstr(c.units, "config/units.thanhhoa.json"));
    assert_true(c.workers >= 1);
    config_free(&c);

    config_defaults(&c);
    char *odd[] = {"giaoband", "--colour", "red", NULL};
    assert_int_equal(config_arguments(&c, 3, odd, NULL, error), ERR_NOTFOUND);
    assert_non_null(strstr(error, "--colour"));
    config_free(&c);
}

static void a_reload_takes_over_reloadable_keys_alone(void **state)
{
    struct config now, fresh;
    char error[CONFIG_ERROR_BYTES] = "";
    size_t n;
    const struct config_key *keys = config_keys(&n);
    for (size_t i = 0; i < n; i++)
        assert_true(!keys[i].reloadable || keys[i].type == CONFIG_UINT || keys[i].type == CONFIG_CHOICE ||
                    keys[i].type == CONFIG_BOOL);
    config_defaults(&now);
    config_defaults(&fresh);
    assert_int_equal(config_set(&fresh, "log_level", "debug", error), 0);
    assert_int_equal(config_set(&fresh, "recording.cameras", "true", error), 0);
    assert_int_equal(config_set(&fresh, "port", "9999", error), 0);
    config_reload(&now, &fresh);
    assert_int_equal(now.log_level, fresh.log_level);
    assert_true(now.recording_cameras);
    assert_int_equal(now.port, 8443);
    config_free(&now);
    config_free(&fresh);
}

static void the_committed_file_is_the_generated_one(void **state)
{
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    config_print(to);
    fclose(to);
    FILE *file = fopen(CONFIG_FILE, "r");
    assert_non_null(file);
    char *committed = calloc(1, len + 2);
    size_t got = fread(committed, 1, len + 1, file);
    fclose(file);
    assert_int_equal(got, len);
    assert_string_equal(committed, text);
    free(committed);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_default_is_a_valid_value),
        cmocka_unit_test(bad_values_are_refused_by_a_sentence_that_names_the_key),
        cmocka_unit_test(a_file_sets_keys_and_sections_and_lists),
        cmocka_unit_test(a_file_lists_sites),
        cmocka_unit_test(a_broken_file_is_refused_with_its_line),
        cmocka_unit_test(the_command_line_wins_over_the_file_and_fills_places),
        cmocka_unit_test(a_reload_takes_over_reloadable_keys_alone),
        cmocka_unit_test(the_committed_file_is_the_generated_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
