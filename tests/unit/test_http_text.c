#include "signaling/http_text.h"

#include "signaling/bucket.h"
#include "signaling/passwords.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void a_cookie_is_found_by_its_whole_name(void **state)
{
    static const struct {
        const char *header, *name, *value;
    } rows[] = {
        {"giaoban=abc", "giaoban", "abc"},
        {"a=1; giaoban=abc; b=2", "giaoban", "abc"},
        {"xgiaoban=no; giaoban=yes", "giaoban", "yes"},
        {"giaoban-1=one; giaoban=two", "giaoban", "two"},
        {"giaoban=one; giaoban=two", "giaoban", "one"},
        {"giaoban=abc  ;b=2", "giaoban", "abc"},
        {"giaoban=", "giaoban", ""},
        {"giaoban=a=b", "giaoban", "a=b"},
        {"giaobanx=1", "giaoban", NULL},
        {"giaoban", "giaoban", NULL},
        {";;; ", "giaoban", NULL},
        {"", "giaoban", NULL},
        {NULL, "giaoban", NULL},
        {"giaoban=0123456789abcdef", "giaoban", NULL}, /* does not fit */
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char value[16] = "untouched";
        bool found = cookie_find(rows[i].header, rows[i].name, value, sizeof value);
        assert_int_equal(found, rows[i].value != NULL);
        assert_string_equal(value, rows[i].value ? rows[i].value : "untouched");
    }
}

static void ranges_follow_rfc_9110(void **state)
{
    static const struct {
        const char *header;
        uint64_t size;
        enum range range;
        uint64_t first, last;
    } rows[] = {
        {"bytes=0-0", 10, RANGE_PART, 0, 0},
        {"bytes=0-9", 10, RANGE_PART, 0, 9},
        {"bytes=3-", 10, RANGE_PART, 3, 9},
        {"bytes=3-99", 10, RANGE_PART, 3, 9},
        {"bytes=-4", 10, RANGE_PART, 6, 9},
        {"bytes=-40", 10, RANGE_PART, 0, 9},
        {"BYTES=9-", 10, RANGE_PART, 9, 9},
        {"bytes=10-", 10, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=99-100", 10, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=-0", 10, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=0-", 0, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=-5", 0, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=5-3", 10, RANGE_WHOLE, 0, 0},
        {"bytes=0-1,4-5", 10, RANGE_WHOLE, 0, 0},
        {"bytes=", 10, RANGE_WHOLE, 0, 0},
        {"bytes=-", 10, RANGE_WHOLE, 0, 0},
        {"bytes=a-b", 10, RANGE_WHOLE, 0, 0},
        {"bytes=1", 10, RANGE_WHOLE, 0, 0},
        {"bytes=1-2x", 10, RANGE_WHOLE, 0, 0},
        {"bytes=--2", 10, RANGE_WHOLE, 0, 0},
        {"bytes= 1-2", 10, RANGE_WHOLE, 0, 0},
        {"lines=1-2", 10, RANGE_WHOLE, 0, 0},
        {"bytes=18446744073709551616-", 10, RANGE_WHOLE, 0, 0},
        {"bytes=999999999999999999-", 10, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=4294967296-4294967300", 5000000000, RANGE_PART, 4294967296, 4294967300},
        {NULL, 10, RANGE_WHOLE, 0, 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t first = 0, last = 0;
        enum range range = range_parse(rows[i].header, rows[i].size, &first, &last);
        if (range != rows[i].range || first != rows[i].first || last != rows[i].last)
            fail_msg("%s of %llu: %d %llu-%llu", rows[i].header ? rows[i].header : "(none)",
                     (unsigned long long)rows[i].size, range, (unsigned long long)first, (unsigned long long)last);
    }
}

static void codings_are_accepted_by_name_and_weight(void **state)
{
    static const struct {
        const char *header, *coding;
        bool accepted;
    } rows[] = {
        {"gzip, deflate, br", "br", true},
        {"gzip, deflate", "br", false},
        {"br;q=0, gzip", "br", false},
        {"br;q=0.0", "br", false},
        {"br;q=0.5", "br", true},
        {"br ; q=1.0", "br", true},
        {"GZIP", "gzip", true},
        {"xgzip, gzipx", "gzip", false},
        {"", "br", false},
        {NULL, "br", false},
        {"br;q=0.001", "br", true},
        {",,br,", "br", true},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        if (encoding_accepted(rows[i].header, rows[i].coding) != rows[i].accepted)
            fail_msg("%s", rows[i].header);
}

static void entity_tags_compare_weakly(void **state)
{
    assert_true(etag_listed("\"a\"", "\"a\""));
    assert_true(etag_listed("\"b\", W/\"a\" ", "\"a\""));
    assert_true(etag_listed("*", "\"a\""));
    assert_false(etag_listed("\"ab\"", "\"a\""));
    assert_false(etag_listed("", "\"a\""));
    assert_false(etag_listed(NULL, "\"a\""));
}

static void an_origin_must_be_the_host_itself(void **state)
{
    static const struct {
        const char *origin, *host;
        bool tls, same;
    } rows[] = {
        {"https://hop.thanhhoa.gov.vn:8443", "hop.thanhhoa.gov.vn:8443", true, true},
        {"https://HOP.thanhhoa.gov.vn:8443", "hop.thanhhoa.gov.vn:8443", true, true},
        {"https://hop.thanhhoa.gov.vn", "hop.thanhhoa.gov.vn", true, true},
        {"https://hop.thanhhoa.gov.vn", "hop.thanhhoa.gov.vn:443", true, true},
        {"http://127.0.0.1", "127.0.0.1:80", false, true},
        {"http://[::1]:8080", "[::1]:8080", false, true},
        {"http://hop.thanhhoa.gov.vn:8443", "hop.thanhhoa.gov.vn:8443", true, false},
        {"https://hop.thanhhoa.gov.vn:8444", "hop.thanhhoa.gov.vn:8443", true, false},
        {"https://hop.thanhhoa.gov.vn", "hop.thanhhoa.gov.vn:8443", true, false},
        {"https://hop.thanhhoa.gov.vn.evil.example", "hop.thanhhoa.gov.vn", true, false},
        {"https://evil.example", "hop.thanhhoa.gov.vn", true, false},
        {"null", "hop.thanhhoa.gov.vn", true, false},
        {"", "", true, false},
        {"https://", "", true, false},
        {"https://a", NULL, true, false},
        {NULL, "a", true, false},
        {"https://a", ":443", true, false},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        if (origin_is_host(rows[i].origin, rows[i].host, rows[i].tls) != rows[i].same)
            fail_msg("%s at %s", rows[i].origin ? rows[i].origin : "(none)", rows[i].host ? rows[i].host : "(none)");
}

static void a_query_is_read_by_key(void **state)
{
    char value[8];
    assert_true(query_find("a=1&s=ab1&b=2", "s", value, sizeof value));
    assert_string_equal(value, "ab1");
    assert_true(query_find("s=", "s", value, sizeof value));
    assert_string_equal(value, "");
    assert_false(query_find("as=1", "s", value, sizeof value));
    assert_false(query_find("s=12345678", "s", value, sizeof value));
    assert_false(query_find("s", "s", value, sizeof value));
    assert_false(query_find("&&", "s", value, sizeof value));
    assert_false(query_find(NULL, "s", value, sizeof value));
}

static void no_plain_path_leaves_its_directory(void **state)
{
    static const char *const plain[] = {"index.html", "assets/app-3FZ2Q7AB.js", "a/b/c.d_e-f", "a..b"};
    static const char *const other[] = {"",     "/etc/passwd", "../x", "a/../b", "a/..", ".env", "a/.git/x", "a//b", "a/",
                                        "a\\b", "a%2e",        "a b",  "ả.js",   ".",    "..",   "a/./b",    "a\n",  "~x"};
    for (size_t i = 0; i < COUNT(plain); i++)
        assert_true(path_is_plain(plain[i]));
    for (size_t i = 0; i < COUNT(other); i++)
        if (path_is_plain(other[i]))
            fail_msg("%s", other[i]);
    char longest[202];
    memset(longest, 'a', sizeof longest - 1);
    longest[201] = '\0';
    assert_false(path_is_plain(longest));
    longest[200] = '\0';
    assert_true(path_is_plain(longest));
}

static void only_hashed_names_are_immutable(void **state)
{
    static const char *const hashed[] = {"app-3FZ2Q7AB.js", "assets/app-ABCDEFGH.css", "a/pdf.worker-0a1b2c3d4e.mjs"};
    static const char *const other[] = {
        "index.html",  "app.js",          "app-3FZ2.js",    "be-vietnam-pro-vietnamese-400-normal.woff2",
        "3FZ2Q7AB.js", "app-abcdefgh.js", "app-3FZ2Q_AB.js"};
    for (size_t i = 0; i < COUNT(hashed); i++)
        assert_true(name_is_hashed(hashed[i]));
    for (size_t i = 0; i < COUNT(other); i++)
        if (name_is_hashed(other[i]))
            fail_msg("%s", other[i]);
}

static void types_follow_the_end_of_the_name(void **state)
{
    assert_string_equal(content_type("a.html"), "text/html; charset=utf-8");
    assert_string_equal(content_type("x/programme.mp4"), "video/mp4");
    assert_string_equal(content_type("chapters.vtt"), "text/vtt; charset=utf-8");
    assert_string_equal(content_type(".html"), "application/octet-stream");
    assert_string_equal(content_type("html"), "application/octet-stream");
}

static void nesting_is_counted_outside_strings_only(void **state)
{
    static const struct {
        const char *text;
        bool fits;
    } rows[] = {
        {"[[]]", true},          {"[[[]]]", false},  {"{\"a\":[1]}", true}, {"{\"a\":[{}]}", false}, {"\"[[[[\"", true},
        {"[\"\\\"[[[\"]", true}, {"[],[],[]", true}, {"]]]][[", true},      {"[\"\\\\\",[[", false}, {"", true},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        if (json_depth_fits(rows[i].text, strlen(rows[i].text), 2) != rows[i].fits)
            fail_msg("%s", rows[i].text);
}

static void a_bucket_gives_its_burst_then_its_rate(void **state)
{
    struct bucket b;
    bucket_init(&b, 10, 3, 1000000);
    for (int i = 0; i < 3; i++)
        assert_true(bucket_take(&b, 1000000));
    assert_false(bucket_take(&b, 1000000));
    assert_false(bucket_take(&b, 1099000));
    assert_true(bucket_take(&b, 1101000)); /* a tenth of a second: one token */
    assert_false(bucket_take(&b, 1101000));
    for (int i = 0; i < 3; i++)
        assert_true(bucket_take(&b, 99000000)); /* never more than the burst */
    assert_false(bucket_take(&b, 99000000));
    assert_false(bucket_take(&b, 5000000)); /* a clock that goes back gives nothing */
}

static void weak_passwords_are_named(void **state)
{
    assert_true(password_is_weak("", "an"));
    assert_true(password_is_weak("1234567890123", "an"));
    assert_true(password_is_weak("aaaaaaaaaaaaaaaaaaaa", "an"));
    assert_true(password_is_weak("thanhhoa-lethanh-2026", "lethanh"));
    assert_true(password_is_weak("thanhhoa-LeThanh-2026", "lethanh"));
    assert_true(password_is_weak("Thành phố Hóa", "an")); /* 13 letters, more bytes */
    assert_false(password_is_weak("Thành phố Hóa!", "an"));
    assert_false(password_is_weak("12345678901234", "an"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cookie_is_found_by_its_whole_name),     cmocka_unit_test(ranges_follow_rfc_9110),
        cmocka_unit_test(codings_are_accepted_by_name_and_weight), cmocka_unit_test(entity_tags_compare_weakly),
        cmocka_unit_test(an_origin_must_be_the_host_itself),       cmocka_unit_test(a_query_is_read_by_key),
        cmocka_unit_test(no_plain_path_leaves_its_directory),      cmocka_unit_test(only_hashed_names_are_immutable),
        cmocka_unit_test(types_follow_the_end_of_the_name),        cmocka_unit_test(nesting_is_counted_outside_strings_only),
        cmocka_unit_test(a_bucket_gives_its_burst_then_its_rate),  cmocka_unit_test(weak_passwords_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
