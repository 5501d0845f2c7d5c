#include "signaling_world.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct world world;
static struct client plain, secure;

static int setup(void **state)
{
    world_start(&world, NULL);
    client_open(&plain, &world, false);
    client_open(&secure, &world, true);
    return 0;
}

static int teardown(void **state)
{
    client_close(&plain);
    client_close(&secure);
    world_stop(&world);
    return 0;
}

/* Status and code of a request, which is freed. */
static void expect(struct answer a, long status, const char *code)
{
    if (a.status != status || strcmp(answer_code(&a), code) != 0)
        fail_msg("expected %ld %s, got %ld %s", status, code, a.status, a.body ? a.body : "");
    answer_free(&a);
}

static json_t *json_of(const struct answer *a)
{
    json_t *o = json_loads(a->body ? a->body : "", 0, NULL);
    if (!o)
        fail_msg("no JSON: %s", a->body ? a->body : "");
    return o;
}

static void first_account(struct client *c)
{
    char token[512], body[800];
    world_token(&world, "first", 600, "first-1", token);
    snprintf(body, sizeof body, "{\"token\":\"%s\",\"login\":\"quantri\",\"name\":\"Nguyễn Văn An\",\"password\":\"%s\"}",
             token, "sông Mã chảy xiết");
    struct answer a = client_post(c, "/api/v1/session/first", body);
    assert_int_equal(a.status, 200);
    answer_free(&a);
}

static void login(struct client *c, const char *who, const char *password, long status, const char *code)
{
    char body[300];
    snprintf(body, sizeof body, "{\"login\":\"%s\",\"password\":\"%s\"}", who, password);
    expect(client_post(c, "/api/v1/session", body), status, code);
}

/* ---- pages ---- */

static void every_page_is_the_client_with_a_strict_policy(void **state)
{
    static const char *const paths[] = {"/",           "/j/abc.def-ghi", "/first/eyJ0.Xo5a", "/b/b1", "/archive",
                                        "/archive/b1", "/help",          "/anything"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct answer a = client_get(i % 2 ? &secure : &plain, paths[i]);
        assert_int_equal(a.status, 200);
        assert_string_equal(answer_header(&a, "content-type"), "text/html; charset=utf-8");
        assert_non_null(strstr(a.body, "<title>giaoban"));
        assert_string_equal(answer_header(&a, "cache-control"), "no-cache");
        const char *policy = answer_header(&a, "content-security-policy");
        assert_non_null(strstr(policy, "default-src 'self'"));
        assert_non_null(strstr(policy, "connect-src 'self';"));
        assert_non_null(strstr(policy, "frame-ancestors 'none'"));
        assert_null(strstr(policy, "unsafe"));
        assert_string_equal(answer_header(&a, "x-content-type-options"), "nosniff");
        assert_string_equal(answer_header(&a, "referrer-policy"), "no-referrer");
        assert_non_null(strstr(answer_header(&a, "permissions-policy"), "display-capture=(self)"));
        answer_free(&a);
    }
}

static void hashed_files_are_kept_and_come_precompressed(void **state)
{
    static const char *const br[] = {"Accept-Encoding: gzip, br", NULL}, *const gzip[] = {"Accept-Encoding: gzip, br;q=0",
                                                                                          NULL};
    world_file(&world, "web/assets/app-3FZ2Q7AB.js", "the script", 10);
    world_file(&world, "web/assets/app-3FZ2Q7AB.js.br", "BR", 2);
    world_file(&world, "web/assets/app-3FZ2Q7AB.js.gz", "GZIP", 4);
    struct answer a = client_get(&plain, "/assets/app-3FZ2Q7AB.js");
    assert_string_equal(a.body, "the script");
    assert_string_equal(answer_header(&a, "cache-control"), "public, max-age=31536000, immutable");
    assert_string_equal(answer_header(&a, "content-type"), "text/javascript; charset=utf-8");
    assert_null(answer_header(&a, "content-encoding"));
    assert_string_equal(answer_header(&a, "vary"), "Accept-Encoding");
    answer_free(&a);
    a = client_do(&plain, "GET", "/assets/app-3FZ2Q7AB.js", NULL, br);
    assert_string_equal(a.body, "BR");
    assert_string_equal(answer_header(&a, "content-encoding"), "br");
    answer_free(&a);
    a = client_do(&secure, "GET", "/assets/app-3FZ2Q7AB.js", NULL, gzip);
    assert_string_equal(a.body, "GZIP");
    assert_string_equal(answer_header(&a, "content-encoding"), "gzip");
    answer_free(&a);
}

static void an_unchanged_page_is_not_sent_again(void **state)
{
    char line[200];
    struct answer a = client_get(&plain, "/");
    snprintf(line, sizeof line, "If-None-Match: %s", answer_header(&a, "etag"));
    answer_free(&a);
    a = client_do(&plain, "GET", "/", NULL, (const char *const[]){line, NULL});
    assert_int_equal(a.status, 304);
    assert_int_equal(a.len, 0);
    assert_null(answer_header(&a, "content-security-policy")); /* it would replace the stored page's */
    answer_free(&a);
}

static void a_large_file_arrives_whole(void **state)
{
    size_t len = 3 * 1000 * 1000 + 17;
    char *bytes = malloc(len), path[200];
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)(i * 2654435761u >> 24);
    world_file(&world, "web/assets/big-3FZ2Q7AB.wasm", bytes, len);
    snprintf(path, sizeof path, "%s/web/assets/big-3FZ2Q7AB.wasm", world.dir);
    for (int i = 0; i < 2; i++) {
        int fd = open(path, O_RDONLY); /* out of memory, so that it has to come from the disk piece by piece */
        assert_int_equal(fsync(fd), 0);
        assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
        close(fd);
        struct answer a = client_get(i ? &secure : &plain, "/assets/big-3FZ2Q7AB.wasm");
        assert_int_equal(a.status, 200);
        assert_int_equal(a.len, len);
        assert_memory_equal(a.body, bytes, len);
        answer_free(&a);
    }
    free(bytes);
}

static void no_path_leaves_the_web_directory(void **state)
{
    static const char *const paths[] = {
        "/../server.key",
        "/assets/../../server.key",
        "/%2e%2e/server.key",
        "/..%2fserver.key",
        "/assets/%2e%2e/%2e%2e/server.key",
        "//etc/passwd.conf",
        "/.hidden.txt",
        "/link.key",
        "/linked/x.txt",
        "/..\\server.key",
        "/index.html%00.js",
        "/assets/",
        "/server.key",
    };
    char target[200], link[200];
    world_file(&world, "web/.hidden.txt", "hidden", 6);
    world_file(&world, "elsewhere/x.txt", "elsewhere", 9);
    snprintf(target, sizeof target, "%s/server.key", world.dir);
    snprintf(link, sizeof link, "%s/web/link.key", world.dir);
    assert_int_equal(symlink(target, link), 0);
    snprintf(target, sizeof target, "%s/elsewhere", world.dir);
    snprintf(link, sizeof link, "%s/web/linked", world.dir);
    assert_int_equal(symlink(target, link), 0);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct answer a = client_get(&plain, paths[i]);
        bool refused = a.status == 0 || (a.status >= 400 && a.status < 500); /* 0: a NUL byte ends the connection */
        bool page = a.status == 200 && strstr(a.body, "<title>giaoban");
        if (!refused && !page)
            fail_msg("%s: %ld %s", paths[i], a.status, a.body ? a.body : "");
        answer_free(&a);
    }
}

static void the_certificate_is_offered_for_other_computers(void **state)
{
    struct answer a = client_get(&plain, "/help/ca.crt");
    assert_int_equal(a.status, 200);
    assert_string_equal(answer_header(&a, "content-type"), "application/x-x509-ca-cert");
    assert_non_null(strstr(a.body, "BEGIN CERTIFICATE"));
    answer_free(&a);
}

static void health_is_public_and_metrics_are_local(void **state)
{
    struct answer a = client_get(&secure, "/healthz");
    assert_string_equal(a.body, "{\"ok\":true}");
    answer_free(&a);
    a = client_get(&plain, "/metrics");
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.body, "giaoban_test 1\n"));
    assert_non_null(strstr(a.body, "giaoban_signaling_http_requests_total "));
    answer_free(&a);
    expect(client_get(&secure, "/metrics"), 403, "only-here");
}

static void the_plain_door_answers_to_this_machines_names_only(void **state)
{
    expect(client_do(&plain, "GET", "/healthz", NULL, (const char *const[]){"Host: evil.example", NULL}), 421, "only-here");
    expect(client_do(&plain, "GET", "/healthz", NULL, (const char *const[]){"Host: 127.evil.example:80", NULL}), 421,
           "only-here");
    struct answer a = client_do(&plain, "GET", "/healthz", NULL, (const char *const[]){"Host: localhost:8080", NULL});
    assert_int_equal(a.status, 200);
    answer_free(&a);
    a = client_do(&plain, "GET", "/healthz", NULL, (const char *const[]){"Host: [::1]:8080", NULL});
    assert_int_equal(a.status, 200);
    answer_free(&a);
}

static void the_plain_door_is_open_on_ipv6(void **state)
{
    char url[100];
    long status = 0;
    CURL *curl = curl_easy_init();
    snprintf(url, sizeof url, "http://[::1]:%d/healthz", world.six_port);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    assert_int_equal(curl_easy_perform(curl), CURLE_OK);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    assert_int_equal(status, 200);
    curl_easy_cleanup(curl);
}

/* Each holds what libwebsockets parses a header in; there must be one for the next as well. */
static void sockets_with_half_a_request_hold_up_nobody(void **state)
{
    static const char half[] = "GET /healthz HTTP/1.1\r\nHost: local";
    int sockets[300];
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)world.plain_port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (size_t i = 0; i < 300; i++) {
        sockets[i] = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(connect(sockets[i], (struct sockaddr *)&to, sizeof to), 0);
        assert_int_equal(write(sockets[i], half, sizeof half - 1), sizeof half - 1);
    }
    expect(client_get(&plain, "/healthz"), 200, "");
    expect(client_get(&secure, "/healthz"), 200, "");
    for (size_t i = 0; i < 300; i++)
        close(sockets[i]);
}

/* ---- sessions ---- */

static void a_first_link_makes_one_administrator(void **state)
{
    char token[512], body[800];
    world_token(&world, "first", 600, "first-1", token);
    snprintf(body, sizeof body, "{\"token\":\"%s\",\"login\":\"quantri\",\"name\":\"An\",\"password\":\"ngắn quá\"}", token);
    expect(client_post(&secure, "/api/v1/session/first", body), 422, "weak-password");
    first_account(&secure);
    struct answer a = client_get(&secure, "/api/v1/session");
    json_t *o = json_of(&a);
    assert_string_equal(json_string_value(json_object_get(o, "role")), "administrator");
    assert_string_equal(json_string_value(json_object_get(json_object_get(o, "person"), "name")), "Nguyễn Văn An");
    assert_true(json_is_null(json_object_get(o, "unit")));
    json_decref(o);
    answer_free(&a);
    snprintf(body, sizeof body, "{\"token\":\"%s\",\"login\":\"khac\",\"name\":\"An\",\"password\":\"mot mat khau du dai\"}",
             token);
    expect(client_post(&secure, "/api/v1/session/first", body), 410, "used-link");
}

static void a_password_opens_a_session_and_signing_out_ends_it(void **state)
{
    first_account(&secure);
    expect(client_do(&secure, "DELETE", "/api/v1/session", NULL, NULL), 204, "");
    expect(client_get(&secure, "/api/v1/session"), 401, "no-session");
    struct answer a = client_post(&secure, "/api/v1/session", "{\"login\":\"quantri\",\"password\":\"sông Mã chảy xiết\"}");
    assert_int_equal(a.status, 200);
    const char *cookie = answer_header(&a, "set-cookie");
    assert_memory_equal(cookie, "__Host-giaoban=", 15);
    assert_non_null(strstr(cookie, "; HttpOnly"));
    assert_non_null(strstr(cookie, "; SameSite=Strict"));
    assert_non_null(strstr(cookie, "; Secure"));
    assert_non_null(strstr(cookie, "; Path=/"));
    answer_free(&a);
    a = client_get(&secure, "/api/v1/units");
    json_t *o = json_of(&a), *unit = json_array_get(json_object_get(o, "units"), 0);
    assert_string_equal(json_string_value(json_object_get(unit, "id")), "h-quan-hoa");
    json_decref(o);
    answer_free(&a);
}

static void five_wrong_passwords_lock_known_and_unknown_logins_alike(void **state)
{
    static const char *const logins[] = {"quantri", "khong-co-ai"};
    first_account(&secure);
    for (int i = 0; i < 2; i++) {
        for (int n = 0; n < 4; n++)
            login(&plain, logins[i], "sai mật khẩu", 401, "wrong-password");
        login(&plain, logins[i], "sai mật khẩu", 423, "locked");
        login(&plain, logins[i], i ? "sai" : "sông Mã chảy xiết", 423, "locked");
    }
    /* An administrator opens it again. */
    expect(client_post(&secure, "/api/v1/accounts/quantri/unlock", "{}"), 204, "");
    login(&plain, "quantri", "sông Mã chảy xiết", 200, "");
}

static atomic_bool login_done;

static void *slow_login(void *ctx)
{
    login(&secure, "khong-co-ai", "sai", 401, "wrong-password");
    login_done = true;
    return NULL;
}

/* Its hash takes a tenth of a second and more; the loop goes on meanwhile. */
static void a_password_check_stops_nobody(void **state)
{
    pthread_t thread;
    int answers = 0;
    login_done = false;
    pthread_create(&thread, NULL, slow_login, NULL);
    for (; !login_done; answers++)
        expect(client_get(&plain, "/healthz"), 200, "");
    pthread_join(thread, NULL);
    assert_in_range(answers, 5, INT_MAX);
}

static void only_an_administrator_makes_accounts(void **state)
{
    static const char body[] = "{\"login\":\"thuky\",\"name\":\"Lê Thị "
                               "Bình\",\"unit\":\"h-quan-hoa\",\"role\":\"secretary\",\"password\":\"cầu Hàm Rồng 1965\"}";
    expect(client_post(&plain, "/api/v1/accounts", body), 401, "no-session");
    assert_int_equal(client_join(&plain, ""), 200);
    expect(client_post(&plain, "/api/v1/accounts", body), 403, "not-allowed");
    first_account(&secure);
    expect(client_post(&secure, "/api/v1/accounts", body), 201, "");
    expect(client_post(&secure, "/api/v1/accounts", body), 409, "login-taken");
    expect(client_post(
               &secure, "/api/v1/accounts",
               "{\"login\":\"x1\",\"name\":\"X\",\"unit\":\"mars\",\"role\":\"chair\",\"password\":\"cầu Hàm Rồng 1965\"}"),
           422, "unknown-unit");
    expect(client_post(&secure, "/api/v1/accounts",
                       "{\"login\":\"x1\",\"name\":\"X\",\"unit\":null,\"role\":\"chair\",\"password\":\"ngắn\"}"),
           422, "weak-password");
    login(&plain, "thuky", "cầu Hàm Rồng 1965", 200, "");
}

static void a_join_link_is_one_unit_in_one_briefing(void **state)
{
    assert_int_equal(client_join(&plain, ""), 200);
    struct answer a = client_get(&plain, "/api/v1/session");
    assert_string_equal(a.body, "{\"person\":null,\"unit\":\"h-quan-hoa\",\"role\":\"delegate\",\"briefing\":\"b1\"}");
    answer_free(&a);
}

static void a_bad_or_expired_link_is_refused(void **state)
{
    char token[512], body[600];
    world_token(&world, "join", -1, "n", token);
    snprintf(body, sizeof body, "{\"token\":\"%s\"}", token);
    expect(client_post(&plain, "/api/v1/session/link", body), 410, "expired-link");
    world_token(&world, "ctl", 60, "n", token);
    snprintf(body, sizeof body, "{\"token\":\"%s\"}", token);
    expect(client_post(&plain, "/api/v1/session/link", body), 401, "bad-link");
    world_token(&world, "join", 60, "n", token);
    token[3] ^= 1;
    snprintf(body, sizeof body, "{\"token\":\"%s\"}", token);
    expect(client_post(&plain, "/api/v1/session/link", body), 401, "bad-link");
    expect(client_get(&plain, "/api/v1/session"), 401, "no-session");
}

static void sessions_live_side_by_side_in_slots(void **state)
{
    first_account(&secure);
    assert_int_equal(client_join(&secure, "tab2"), 200);
    struct answer a = client_get(&secure, "/api/v1/session?s=tab2");
    assert_non_null(strstr(a.body, "\"delegate\""));
    answer_free(&a);
    a = client_get(&secure, "/api/v1/session");
    assert_non_null(strstr(a.body, "\"administrator\""));
    answer_free(&a);
    expect(client_get(&secure, "/api/v1/session?s=tab3"), 401, "no-session");
    expect(client_do(&secure, "DELETE", "/api/v1/session?s=tab2", NULL, NULL), 204, "");
    a = client_get(&secure, "/api/v1/session");
    assert_int_equal(a.status, 200);
    answer_free(&a);
}

static void a_bearer_token_works_on_the_plain_door_only(void **state)
{
    char token[512], line[600];
    const char *const headers[] = {line, NULL};
    world_token(&world, "ctl", 60, "n", token);
    snprintf(line, sizeof line, "Authorization: Bearer %s", token);
    struct answer a = client_do(&plain, "GET", "/api/v1/briefings", NULL, headers);
    json_t *o = json_of(&a);
    assert_true(json_is_true(json_object_get(o, "loopback_admin")));
    json_decref(o);
    answer_free(&a);
    expect(client_do(&secure, "GET", "/api/v1/briefings", NULL, headers), 401, "no-session");
    world_token(&world, "join", 60, "n", token);
    snprintf(line, sizeof line, "Authorization: Bearer %s", token);
    expect(client_do(&plain, "GET", "/api/v1/briefings", NULL, headers), 401, "no-session");
    world_token(&world, "ctl", -1, "n", token);
    snprintf(line, sizeof line, "Authorization: Bearer %s", token);
    expect(client_do(&plain, "GET", "/api/v1/briefings", NULL, headers), 401, "no-session");
}

/* ---- form of requests ---- */

static void a_foreign_origin_changes_nothing(void **state)
{
    char own[64];
    static const char *const foreign[] = {"Origin: http://evil.example", NULL};
    assert_int_equal(client_join(&plain, ""), 200);
    expect(client_do(&plain, "DELETE", "/api/v1/session", NULL, foreign), 403, "bad-origin");
    expect(client_do(&plain, "POST", "/api/v1/session", "{\"login\":\"a\",\"password\":\"b\"}", foreign), 403, "bad-origin");
    expect(client_get(&plain, "/api/v1/session"), 200, "");
    snprintf(own, sizeof own, "Origin: http://127.0.0.1:%d", world.plain_port);
    expect(client_do(&plain, "DELETE", "/api/v1/session", NULL, (const char *const[]){own, NULL}), 204, "");
}

static void malformed_bodies_get_clear_errors(void **state)
{
    static const struct {
        const char *body;
        long status;
        const char *code;
    } rows[] = {
        {"{", 400, "bad-json"},
        {"{\"login\":\"a\",\"login\":\"b\",\"password\":\"c\"}", 400, "bad-json"},
        {"{\"login\":\"a\\u0000b\",\"password\":\"c\"}", 400, "bad-json"},
        {"\xff\xfe", 400, "bad-json"},
        {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", 400, "bad-json"},
        {"[]", 400, "bad-params"},
        {"{\"login\":\"a\"}", 400, "bad-params"},
        {"{\"login\":1,\"password\":\"c\"}", 400, "bad-params"},
        {"{\"login\":\"a\",\"password\":\"c\",\"role\":\"administrator\"}", 400, "bad-params"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect(client_post(&plain, "/api/v1/session", rows[i].body), rows[i].status, rows[i].code);
    expect(client_do(&plain, "POST", "/api/v1/session", NULL, NULL), 400, "bad-params");
}

static void a_body_that_is_not_declared_as_json_is_refused(void **state)
{
    static const char *const form[] = {"Content-Type: application/x-www-form-urlencoded", NULL};
    struct answer a = client_do(&plain, "POST", "/api/v1/session", "login=a", form);
    expect(a, 415, "bad-json");
}

static void oversized_bodies_are_refused_and_the_connection_lives(void **state)
{
    size_t len = 200 * 1000;
    char *body = malloc(len + 1);
    memset(body, 'x', len);
    body[len] = '\0';
    expect(client_post(&plain, "/api/v1/session", body), 413, "too-big");
    expect(client_get(&plain, "/api/v1/session"), 401, "no-session");
    free(body);
}

static void a_body_of_megabytes_is_not_read(void **state)
{
    size_t len = 3 * 1000 * 1000;
    char *body = malloc(len + 1);
    memset(body, 'x', len);
    body[len] = '\0';
    struct answer a = client_post(&plain, "/api/v1/session", body);
    assert_true(a.status == 413 || a.status == 0); /* the answer may be lost with the connection */
    answer_free(&a);
    free(body);
    expect(client_get(&plain, "/api/v1/session"), 401, "no-session");
}

static void unknown_methods_and_paths_have_codes(void **state)
{
    assert_int_equal(client_join(&plain, ""), 200);
    expect(client_post(&plain, "/", "{}"), 405, "unknown-method");
    expect(client_get(&plain, "/api/v1/session/link"), 405, "unknown-method");
    expect(client_post(&plain, "/api/v1/session/xyz", "{}"), 404, "not-found");
    expect(client_get(&plain, "/missing.js"), 404, "not-found");
}

/* ---- the owner's requests ---- */

static void other_requests_reach_the_owner_with_identity(void **state)
{
    expect(client_get(&plain, "/api/v1/briefings"), 401, "no-session");
    assert_int_equal(world.http_calls, 0);
    assert_int_equal(client_join(&plain, ""), 200);
    struct answer a = client_get(&plain, "/api/v1/briefings?from_ms=1&to_ms=2");
    assert_string_equal(a.body, "{\"verb\":\"GET\",\"path\":\"briefings\",\"query\":\"from_ms=1&to_ms=2\",\"role\":"
                                "\"delegate\",\"loopback_admin\":false}");
    assert_string_equal(answer_header(&a, "cache-control"), "no-store");
    answer_free(&a);
    a = client_post(&plain, "/api/v1/briefings/b1/links",
                    "{\"unit\":\"h-quan-hoa\",\"role\":\"delegate\",\"expires_s\":600}");
    assert_int_equal(a.status, 201);
    assert_non_null(strstr(a.body, "\"expires_s\":600"));
    answer_free(&a);
    expect(client_post(&plain, "/api/v1/briefings/b1/links",
                       "{\"unit\":\"h-quan-hoa\",\"role\":\"administrator\",\"expires_s\":600}"),
           400, "bad-params");
    expect(client_get(&plain, "/api/v1/briefings/refused"), 404, "unknown-briefing");
    assert_int_equal(world.http_calls, 3);
}

static void *answer_later(void *ctx)
{
    world_wait(&world.http_calls, 1);
    assert_int_equal(write(world.pipe[1], "x", 1), 1);
    return NULL;
}

static void the_owner_may_answer_later_and_its_descriptors_are_served(void **state)
{
    pthread_t thread;
    assert_int_equal(client_join(&plain, ""), 200);
    pthread_create(&thread, NULL, answer_later, NULL);
    struct answer a = client_get(&plain, "/api/v1/briefings/late");
    assert_string_equal(a.body, "{\"late\":true}");
    answer_free(&a);
    pthread_join(thread, NULL);
}

static void an_answer_after_the_client_has_gone_is_dropped(void **state)
{
    assert_int_equal(client_join(&plain, ""), 200);
    curl_easy_setopt(plain.curl, CURLOPT_TIMEOUT_MS, 300L);
    struct answer a = client_get(&plain, "/api/v1/briefings/late");
    assert_int_equal(a.status, 0);
    answer_free(&a);
    curl_easy_setopt(plain.curl, CURLOPT_TIMEOUT_MS, 20000L);
    expect(client_get(&plain, "/api/v1/session"), 200, "");
    assert_int_equal(write(world.pipe[1], "x", 1), 1);
    assert_true(world_wait(&world.pipe_read, 1));
    expect(client_get(&plain, "/api/v1/session"), 200, "");
}

/* ---- recordings ---- */

static void expect_part(const char *range, long status, const char *content_range, const char *body)
{
    char line[100];
    snprintf(line, sizeof line, "Range: %s", range);
    struct answer a =
        client_do(&plain, "GET", "/api/v1/archive/b1/files/programme.mp4", NULL, (const char *const[]){line, NULL});
    assert_int_equal(a.status, status);
    const char *got = answer_header(&a, "content-range");
    assert_string_equal(got ? got : "", content_range);
    if (body)
        assert_string_equal(a.body, body);
    answer_free(&a);
}

static void recordings_come_whole_and_in_ranges(void **state)
{
    world_file(&world, "recordings/b1/programme.mp4", "0123456789", 10);
    assert_int_equal(client_join(&plain, ""), 200);
    struct answer a = client_get(&plain, "/api/v1/archive/b1/files/programme.mp4");
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "0123456789");
    assert_string_equal(answer_header(&a, "accept-ranges"), "bytes");
    assert_string_equal(answer_header(&a, "content-type"), "video/mp4");
    assert_null(answer_header(&a, "content-disposition"));
    char same[200], other[] = "If-Range: \"other\"";
    snprintf(same, sizeof same, "If-Range: %s", answer_header(&a, "etag"));
    answer_free(&a);

    expect_part("bytes=2-4", 206, "bytes 2-4/10", "234");
    expect_part("bytes=7-", 206, "bytes 7-9/10", "789");
    expect_part("bytes=-2", 206, "bytes 8-9/10", "89");
    expect_part("bytes=0-1,3-4", 200, "", "0123456789");
    expect_part("bytes=10-", 416, "bytes */10", NULL);

    a = client_do(&plain, "GET", "/api/v1/archive/b1/files/programme.mp4", NULL,
                  (const char *const[]){"Range: bytes=0-0", same, NULL});
    assert_int_equal(a.status, 206);
    answer_free(&a);
    a = client_do(&plain, "GET", "/api/v1/archive/b1/files/programme.mp4", NULL,
                  (const char *const[]){"Range: bytes=0-0", other, NULL});
    assert_int_equal(a.status, 200);
    answer_free(&a);
    a = client_do(&plain, "HEAD", "/api/v1/archive/b1/files/programme.mp4", NULL, NULL);
    assert_int_equal(a.status, 200);
    assert_string_equal(answer_header(&a, "content-length"), "10");
    assert_int_equal(a.len, 0);
    answer_free(&a);
    a = client_get(&plain, "/api/v1/archive/b1/files/programme.mp4?download=1");
    assert_string_equal(answer_header(&a, "content-disposition"), "attachment; filename=\"programme.mp4\"");
    answer_free(&a);
}

static void only_the_named_files_of_allowed_recordings_are_read(void **state)
{
    static const char *const names[] = {
        "track-4-1-0-h.mkv", "events.jsonl",     "../../server.key", "..%2f..%2fserver.key", "thumbs/../manifest.json",
        "thumbs/1.png",      "thumbs/12345.jpg", "programme.mp4/x",  "chapters.vtt"};
    char path[200], target[200], link[200];
    world_file(&world, "recordings/b1/track-4-1-0-h.mkv", "secret", 6);
    world_file(&world, "recordings/b1/events.jsonl", "secret", 6);
    world_file(&world, "recordings/b1/programme.mp4", "0123456789", 10);
    world_file(&world, "recordings/b1/thumbs/01.jpg", "jpeg", 4);
    world_file(&world, "recordings/secret-one/programme.mp4", "secret", 6);
    snprintf(target, sizeof target, "%s/server.key", world.dir);
    snprintf(link, sizeof link, "%s/recordings/b1/chapters.vtt", world.dir);
    assert_int_equal(symlink(target, link), 0);

    expect(client_get(&plain, "/api/v1/archive/b1/files/programme.mp4"), 401, "no-session");
    assert_int_equal(client_join(&plain, ""), 200);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "/api/v1/archive/b1/files/%s", names[i]);
        struct answer a = client_get(&plain, path);
        bool refused = a.status == 404;
        bool owner = a.status == 200 && a.body && strstr(a.body, "\"verb\""); /* the path was cleaned to something else */
        if (!refused && !owner)
            fail_msg("%s: %ld %s", path, a.status, a.body ? a.body : "");
        answer_free(&a);
    }
    expect(client_get(&plain, "/api/v1/archive/secret-one/files/programme.mp4"), 403, "not-allowed");
    expect(client_get(&plain, "/api/v1/archive/b2/files/programme.mp4"), 404, "not-found");
    expect(client_post(&plain, "/api/v1/archive/b1/files/programme.mp4", "{}"), 405, "unknown-method");
    struct answer a = client_get(&plain, "/api/v1/archive/b1/files/thumbs/01.jpg");
    assert_string_equal(a.body, "jpeg");
    assert_string_equal(answer_header(&a, "content-type"), "image/jpeg");
    answer_free(&a);
}

static void give_one_second(struct signaling_config *config)
{
    config->body_seconds = 1;
}

static int setup_hurried(void **state)
{
    world_start(&world, give_one_second);
    client_open(&plain, &world, false);
    client_open(&secure, &world, true);
    return 0;
}

static void a_body_that_drips_ends_its_connection(void **state)
{
    static const char head[] = "POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                               "Content-Length: 60000\r\n\r\n{";
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)world.plain_port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(send(fd, head, sizeof head - 1, 0), sizeof head - 1);
    struct pollfd ended = {.fd = fd, .events = POLLIN};
    unsigned drops = 0;
    while (drops < 1000 && poll(&ended, 1, 10) == 0 && send(fd, " ", 1, MSG_NOSIGNAL) == 1)
        drops++;
    assert_in_range(drops, 20, 999); /* a second's worth, and long before the body's end */
    close(fd);
    struct answer a = client_get(&plain, "/metrics");
    assert_non_null(strstr(a.body, "giaoban_signaling_http_unfinished_total 1\n"));
    answer_free(&a);
}

#define with_world(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_world(every_page_is_the_client_with_a_strict_policy),
        with_world(hashed_files_are_kept_and_come_precompressed),
        with_world(an_unchanged_page_is_not_sent_again),
        with_world(a_large_file_arrives_whole),
        with_world(no_path_leaves_the_web_directory),
        with_world(the_certificate_is_offered_for_other_computers),
        with_world(health_is_public_and_metrics_are_local),
        cmocka_unit_test_setup_teardown(a_body_that_drips_ends_its_connection, setup_hurried, teardown),
        with_world(the_plain_door_answers_to_this_machines_names_only),
        with_world(the_plain_door_is_open_on_ipv6),
        with_world(sockets_with_half_a_request_hold_up_nobody),
        with_world(a_first_link_makes_one_administrator),
        with_world(a_password_opens_a_session_and_signing_out_ends_it),
        with_world(five_wrong_passwords_lock_known_and_unknown_logins_alike),
        with_world(a_password_check_stops_nobody),
        with_world(only_an_administrator_makes_accounts),
        with_world(a_join_link_is_one_unit_in_one_briefing),
        with_world(a_bad_or_expired_link_is_refused),
        with_world(sessions_live_side_by_side_in_slots),
        with_world(a_bearer_token_works_on_the_plain_door_only),
        with_world(a_foreign_origin_changes_nothing),
        with_world(malformed_bodies_get_clear_errors),
        with_world(a_body_that_is_not_declared_as_json_is_refused),
        with_world(oversized_bodies_are_refused_and_the_connection_lives),
        with_world(a_body_of_megabytes_is_not_read),
        with_world(unknown_methods_and_paths_have_codes),
        with_world(other_requests_reach_the_owner_with_identity),
        with_world(the_owner_may_answer_later_and_its_descriptors_are_served),
        with_world(an_answer_after_the_client_has_gone_is_dropped),
        with_world(recordings_come_whole_and_in_ranges),
        with_world(only_the_named_files_of_allowed_recordings_are_read),
    };
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    curl_global_cleanup();
    return failed;
}
