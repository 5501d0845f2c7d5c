/* Credentials that a TURN server checks by a shared secret. */
#include "control/config.h"
#include "control/turn.h"

#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* The password is what `printf 1700000000:e1 | openssl dgst -sha1 -hmac 0123456789abcdef -binary | base64` says. */
static void the_password_is_the_names_hmac(void **state)
{
    char name[TURN_NAME_BYTES], password[TURN_PASSWORD_BYTES];
    assert_int_equal(turn_credential("0123456789abcdef", "e1", 1700000000, name, password), 0);
    assert_string_equal(name, "1700000000:e1");
    assert_string_equal(password, "DLpZiZsad3MYVKS8t5hLCkFQKgs=");
}

static void a_name_that_is_too_long_is_refused(void **state)
{
    char name[TURN_NAME_BYTES] = "untouched", password[TURN_PASSWORD_BYTES], user[TURN_NAME_BYTES];
    memset(user, 'u', sizeof user - 1);
    user[sizeof user - 1] = '\0';
    assert_int_equal(turn_credential("0123456789abcdef", user, 1, name, password), ERR_FULL);
    assert_string_equal(name, "untouched");
}

static int secret_of(const char *text, char *ret)
{
    char path[] = "/tmp/giaoban-turn-XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    int err = turn_read_secret(path, ret);
    unlink(path);
    return err;
}

static void a_secret_is_a_line_of_16_to_128_characters(void **state)
{
    char secret[TURN_SECRET_MAX + 1] = "untouched", longest[TURN_SECRET_MAX + 2];
    memset(longest, 'x', sizeof longest);
    longest[TURN_SECRET_MAX + 1] = '\0';
    assert_int_equal(turn_read_secret("/nowhere/turn.secret", secret), ERR_IO);
    assert_int_equal(secret_of("", secret), ERR_RANGE);
    assert_int_equal(secret_of("0123456789abcde\n", secret), ERR_RANGE);
    assert_int_equal(secret_of(longest, secret), ERR_RANGE);
    assert_string_equal(secret, "untouched");
    assert_int_equal(secret_of("0123456789abcdef\r\nmore", secret), 0);
    assert_string_equal(secret, "0123456789abcdef");
    assert_int_equal(secret_of(longest + 1, secret), 0);
}

static void clients_are_told_addresses_and_a_name_that_expires(void **state)
{
    struct config c = {.turn_lifetime_s = 600};
    json_t *none = turn_servers(&c, "", "e1", 1000);
    assert_int_equal(json_array_size(none), 0);
    c.turn_urls = (struct config_list){{"turn:192.0.2.1:3478?transport=udp", "turns:192.0.2.1:443?transport=tcp"}, 2};
    json_t *servers = turn_servers(&c, "0123456789abcdef", "e1", 1000);
    assert_int_equal(json_array_size(servers), 1);
    const char *first, *second, *name, *password;
    assert_int_equal(json_unpack(json_array_get(servers, 0), "{s:[s, s], s:s, s:s}", "urls", &first, &second, "username",
                                 &name, "credential", &password),
                     0);
    assert_string_equal(first, "turn:192.0.2.1:3478?transport=udp");
    assert_string_equal(second, "turns:192.0.2.1:443?transport=tcp");
    assert_string_equal(name, "1600:e1");
    assert_int_equal(strlen(password), 28);
    json_decref(none);
    json_decref(servers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_password_is_the_names_hmac),
        cmocka_unit_test(a_name_that_is_too_long_is_refused),
        cmocka_unit_test(a_secret_is_a_line_of_16_to_128_characters),
        cmocka_unit_test(clients_are_told_addresses_and_a_name_that_expires),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
