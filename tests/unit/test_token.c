#include "signaling/signaling.h"

#include "base/err.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint8_t secret[32] = {1, 2, 3};

static json_t *payload(int64_t exp)
{
    return json_pack("{s:s,s:s,s:I,s:s}", "t", "join", "unit", "h-quan-hoa", "exp", (json_int_t)exp, "n", "x1");
}

static void sign(int64_t exp, char token[512])
{
    json_t *p = payload(exp);
    assert_int_equal(token_sign(secret, p, token, 512), 0);
    json_decref(p);
}

static void a_token_comes_back_as_it_was_signed(void **state)
{
    char token[512];
    json_t *back = NULL, *p = payload(2000);
    sign(2000, token);
    assert_int_equal(strspn(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."), strlen(token));
    assert_int_equal(token_verify(secret, token, 1999, &back), 0);
    assert_true(json_equal(p, back));
    json_decref(back);
    json_decref(p);
}

static void an_expired_token_is_known_as_such(void **state)
{
    char token[512];
    json_t *back = NULL;
    sign(2000, token);
    assert_int_equal(token_verify(secret, token, 2000, &back), ERR_TIMEOUT);
    assert_null(back);
}

/* Each byte of the token matters; none of the changed ones is taken. */
static void no_changed_token_is_taken(void **state)
{
    char token[512];
    sign(2000, token);
    for (size_t i = 0, n = strlen(token); i < n; i++) {
        char was = token[i];
        json_t *back = NULL;
        token[i] = was == 'A' ? 'B' : 'A';
        int err = token_verify(secret, token, 1000, &back);
        if (err != ERR_AUTH && err != ERR_MALFORMED)
            fail_msg("byte %zu: %d", i, err);
        assert_null(back);
        token[i] = was;
    }
}

static void another_secret_is_refused(void **state)
{
    char token[512];
    json_t *back = NULL;
    uint8_t other[32] = {1, 2, 4};
    sign(2000, token);
    assert_int_equal(token_verify(other, token, 1000, &back), ERR_AUTH);
}

static void nonsense_is_malformed(void **state)
{
    static const char *const rows[] = {"",     ".",     "a.b",   "abc",
                                       "....", "YQ.YQ", "!!.??", "e30.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        json_t *back = NULL;
        assert_int_equal(token_verify(secret, rows[i], 0, &back), ERR_MALFORMED);
    }
    char longest[1024];
    memset(longest, 'a', sizeof longest - 1);
    longest[1023] = '\0';
    longest[500] = '.';
    json_t *back = NULL;
    assert_int_equal(token_verify(secret, longest, 0, &back), ERR_MALFORMED);
}

static void a_signed_payload_without_kind_or_end_is_malformed(void **state)
{
    const char *rows[] = {"{\"t\":\"join\"}", "{\"exp\":99}", "{\"t\":1,\"exp\":99}", "{\"t\":\"join\",\"exp\":\"99\"}",
                          "[]"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char token[512];
        json_t *p = json_loads(rows[i], 0, NULL), *back = NULL;
        assert_int_equal(token_sign(secret, p, token, sizeof token), 0);
        assert_int_equal(token_verify(secret, token, 1, &back), ERR_MALFORMED);
        json_decref(p);
    }
}

static void a_payload_that_does_not_fit_is_refused(void **state)
{
    char token[512];
    json_t *p = payload(2000);
    assert_int_equal(token_sign(secret, p, token, 40), ERR_FULL);
    json_decref(p);
}

static void the_secret_is_made_once_and_kept(void **state)
{
    char dir[] = "/tmp/giaoban-token-XXXXXX", path[64];
    uint8_t first[32] = {0}, second[32] = {0}, zero[32] = {0};
    struct stat st;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/secret.key", dir);
    assert_int_equal(secret_load(dir, first), 0);
    assert_memory_not_equal(first, zero, 32);
    assert_int_equal(secret_load(dir, second), 0);
    assert_memory_equal(first, second, 32);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_size, 32);

    chmod(path, 0640); /* others may have read it */
    assert_int_equal(secret_load(dir, second), ERR_MALFORMED);
    chmod(path, 0600);
    assert_int_equal(truncate(path, 31), 0);
    assert_int_equal(secret_load(dir, second), ERR_MALFORMED);
    unlink(path);
    rmdir(dir);
    assert_int_equal(secret_load(dir, second), ERR_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_comes_back_as_it_was_signed),
        cmocka_unit_test(an_expired_token_is_known_as_such),
        cmocka_unit_test(no_changed_token_is_taken),
        cmocka_unit_test(another_secret_is_refused),
        cmocka_unit_test(nonsense_is_malformed),
        cmocka_unit_test(a_signed_payload_without_kind_or_end_is_malformed),
        cmocka_unit_test(a_payload_that_does_not_fit_is_refused),
        cmocka_unit_test(the_secret_is_made_once_and_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
