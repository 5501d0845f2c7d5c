#include "signaling_world.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static struct world world;
static struct client client;
static struct socket_client sock;

static void limits(struct signaling_config *config)
{
    config->max_message_bytes = 20000;
    config->messages_per_second = 10;
    config->queue_bytes = 200000;
    config->max_sockets_source = 12;
}

static int setup_door(bool tls)
{
    world_start(&world, limits);
    client_open(&client, &world, tls);
    return client_join(&client, "") == 200 ? 0 : -1;
}

static int setup(void **state)
{
    return setup_door(false);
}

static int setup_tls(void **state)
{
    return setup_door(true);
}

static int teardown(void **state)
{
    client_close(&client);
    world_stop(&world);
    return 0;
}

static void open_peer(void)
{
    socket_open(&sock, &client, NULL, NULL, "giaoban.1");
    assert_int_equal(sock.status, 101);
}

/* The next message is the answer to `id` with that error code ("": a result). Returns it. */
static json_t *answer(json_int_t id, const char *code)
{
    json_t *o = socket_json(&sock);
    const char *got = json_string_value(json_object_get(json_object_get(o, "error"), "code"));
    if (!o || json_integer_value(json_object_get(o, "id")) != id || strcmp(got ? got : "", code) != 0) {
        char *text = json_dumps(o, 0);
        fail_msg("expected %lld %s, got %s", (long long)id, code, text ? text : "the end");
    }
    return o;
}

static void hello(void)
{
    socket_send(&sock, "{\"id\":1,\"method\":\"hello\",\"params\":{\"briefing\":\"b1\",\"kind\":\"desk\"}}");
    json_decref(answer(1, ""));
}

static void a_request_reaches_the_owner_and_its_answer_and_notices_come_back(void **state)
{
    open_peer();
    socket_send(&sock, "{\"id\":1,\"method\":\"hello\",\"params\":{\"briefing\":\"b1\",\"kind\":\"desk\"}}");
    json_t *o = answer(1, ""), *result = json_object_get(o, "result");
    assert_string_equal(json_string_value(json_object_get(result, "unit")), "h-quan-hoa");
    assert_string_equal(json_string_value(json_object_get(result, "address")), "127.0.0.1");
    assert_string_equal(json_string_value(json_object_get(json_object_get(result, "params"), "kind")), "desk");
    json_decref(o);
    socket_send(&sock, "{\"id\":2,\"method\":\"layout\",\"params\":{\"stage\":{\"width\":1,\"height\":1},\"screen\":{"
                       "\"width\":0,\"height\":0},\"tiles\":[]}}");
    json_decref(answer(2, ""));
    for (int i = 0; i < 2; i++) {
        o = socket_json(&sock);
        assert_string_equal(json_string_value(json_object_get(o, "notice")), "speaker");
        json_decref(o);
    }
    socket_send(&sock, "{\"id\":3,\"method\":\"mute\",\"params\":{\"endpoint\":2}}");
    json_decref(answer(3, "not-allowed"));
    assert_int_equal(world.requests, 3);
    socket_close(&sock);
    assert_true(world_wait(&world.closed, 1));
}

static void only_a_session_of_our_own_page_opens_a_socket(void **state)
{
    struct client stranger;
    char own[64];
    client_open(&stranger, &world, false);
    static const struct {
        const char *path, *origin, *subprotocol;
        bool known;
        int status;
    } rows[] = {
        {NULL, NULL, "giaoban.1", false, 401},
        {NULL, "http://evil.example", "giaoban.1", true, 403},
        {NULL, "null", "giaoban.1", true, 403},
        {NULL, NULL, NULL, true, 400},
        {NULL, NULL, "http", true, 400},
        {NULL, NULL, "descriptors", true, 400},
        {"/", NULL, "giaoban.1", true, 404},
        {"/api/v1/ws2", NULL, "giaoban.1", true, 404},
        {NULL, NULL, "chat, giaoban.1", true, 101},
        {"/api/v1/ws?s=tab9", NULL, "giaoban.1", true, 401},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        socket_open(&sock, rows[i].known ? &client : &stranger, rows[i].path, rows[i].origin, rows[i].subprotocol);
        if (sock.status != rows[i].status)
            fail_msg("row %zu: %d", i, sock.status);
        socket_close(&sock);
    }
    snprintf(own, sizeof own, "http://127.0.0.1:%d", world.plain_port);
    socket_open(&sock, &client, NULL, own, "giaoban.1");
    assert_int_equal(sock.status, 101);
    socket_close(&sock);
    client_close(&stranger);
}

static void a_slots_socket_has_its_own_session(void **state)
{
    assert_int_equal(client_join(&client, "tab2"), 200);
    struct answer a = client_do(&client, "DELETE", "/api/v1/session", NULL, NULL);
    answer_free(&a);
    socket_open(&sock, &client, NULL, NULL, "giaoban.1");
    assert_int_equal(sock.status, 401);
    socket_close(&sock);
    socket_open(&sock, &client, "/api/v1/ws?s=tab2", NULL, "giaoban.1");
    assert_int_equal(sock.status, 101);
    hello();
    socket_close(&sock);
}

static void hello_comes_first(void **state)
{
    open_peer();
    socket_send(&sock, "{\"id\":1,\"method\":\"raise-hand\",\"params\":{}}");
    json_decref(answer(1, "hello-first"));
    assert_int_equal(world.requests, 0);
    hello();
    socket_send(&sock, "{\"id\":2,\"method\":\"raise-hand\",\"params\":{}}");
    json_decref(answer(2, ""));
    socket_close(&sock);
}

static void a_peer_that_never_said_hello_is_no_matter_of_the_owner(void **state)
{
    open_peer();
    socket_close(&sock);
    open_peer();
    hello();
    socket_close(&sock);
    assert_true(world_wait(&world.closed, 1));
    assert_int_equal(world.closed, 1);
}

static void malformed_messages_get_clear_errors_and_the_socket_lives(void **state)
{
    static const struct {
        const char *text, *code;
        json_int_t id;
    } rows[] = {
        {"", "bad-json", 0},
        {"{", "bad-json", 0},
        {"nothing", "bad-json", 0},
        {"{\"id\":1,\"id\":2,\"method\":\"ping\",\"params\":{}}", "bad-json", 0},
        {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "bad-json", 0},
        {"[]", "bad-params", 0},
        {"{\"id\":1}", "bad-params", 1},
        {"{\"id\":0,\"method\":\"leave\",\"params\":{}}", "bad-params", 0},
        {"{\"id\":-4,\"method\":\"leave\",\"params\":{}}", "bad-params", 0},
        {"{\"id\":\"7\",\"method\":\"leave\",\"params\":{}}", "bad-params", 0},
        {"{\"id\":7,\"method\":\"leave\",\"params\":{},\"admin\":true}", "bad-params", 7},
        {"{\"id\":7,\"method\":\"leave\"}", "bad-params", 7},
        {"{\"id\":8,\"method\":\"format-disk\",\"params\":{}}", "unknown-method", 8},
        {"{\"id\":8,\"method\":\"\",\"params\":{}}", "unknown-method", 8},
        {"{\"id\":9,\"method\":\"grant\",\"params\":{\"endpoint\":\"2\"}}", "bad-params", 9},
        {"{\"id\":9,\"method\":\"grant\",\"params\":{\"endpoint\":512}}", "bad-params", 9},
    };
    open_peer();
    hello();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        socket_send(&sock, rows[i].text);
        json_decref(answer(rows[i].id, rows[i].code));
    }
    socket_send(&sock, "{\"id\":10,\"method\":\"raise-hand\",\"params\":{}}");
    json_decref(answer(10, ""));
    assert_int_equal(world.requests, 2);
    socket_close(&sock);
}

static void an_oversized_message_is_refused_and_a_huge_one_ends_the_socket(void **state)
{
    size_t len = 30000, huge = 200000;
    char *text = malloc(huge), *rest = NULL;
    memset(text, 'x', huge);
    open_peer();
    hello();
    socket_send_frame(&sock, 1, true, text, len);
    json_decref(answer(0, "too-big"));
    for (int i = 0; i < 3; i++) /* in pieces, each within the limit */
        socket_send_frame(&sock, i ? 0 : 1, i == 2, text, 15000);
    json_decref(answer(0, "too-big"));
    socket_send(&sock, "{\"id\":2,\"method\":\"raise-hand\",\"params\":{}}");
    json_decref(answer(2, ""));
    socket_send_frame(&sock, 1, true, text, huge);
    int opcode = socket_receive(&sock, &rest);
    assert_true(opcode == 8 || opcode == -1);
    free(rest);
    free(text);
    socket_close(&sock);
    assert_true(world_wait(&world.closed, 1));
}

static void frames_of_one_message_are_put_together(void **state)
{
    static const char text[] = "{\"id\":2,\"method\":\"raise-hand\",\"params\":{}}";
    char *pong = NULL;
    open_peer();
    hello();
    socket_send_frame(&sock, 1, false, text, 5);
    socket_send_frame(&sock, 9, true, "hi", 2); /* a ping in between is allowed */
    socket_send_frame(&sock, 0, false, text + 5, 10);
    socket_send_frame(&sock, 0, false, "", 0);
    socket_send_frame(&sock, 0, true, text + 15, strlen(text) - 15);
    assert_int_equal(socket_receive(&sock, &pong), 10);
    assert_string_equal(pong, "hi");
    free(pong);
    json_decref(answer(2, ""));
    socket_close(&sock);
}

/* Pieces of a message that never ends, up to `most`; the socket has to end before. */
static void send_without_end(const char *piece, size_t len, unsigned most)
{
    struct pollfd ended = {.events = POLLIN};
    char *rest = NULL;
    open_peer();
    hello();
    ended.fd = socket_fd(&sock);
    unsigned sent = 0;
    for (; sent < most && poll(&ended, 1, 0) == 0; sent++)
        socket_send_frame(&sock, sent ? 0 : 1, false, piece, len);
    assert_true(sent < most);
    int opcode = socket_receive(&sock, &rest);
    assert_true(opcode == 8 || opcode == -1);
    free(rest);
    socket_close(&sock);
    assert_true(world_wait(&world.closed, 1));
}

static void a_message_without_end_ends_the_socket(void **state)
{
    static char piece[4000];
    memset(piece, 'x', sizeof piece);
    send_without_end(piece, sizeof piece, 100000);
}

static void a_message_of_nothing_but_pieces_ends_the_socket(void **state)
{
    send_without_end("", 0, 1000000);
}

static void binary_frames_end_the_socket(void **state)
{
    char *text = NULL;
    open_peer();
    hello();
    socket_send_frame(&sock, 2, true, "\1\2", 2);
    int opcode = socket_receive(&sock, &text);
    assert_true(opcode == 8 || opcode == -1);
    free(text);
    socket_close(&sock);
    assert_true(world_wait(&world.closed, 1));
}

/* 30 go through at once (three seconds' worth), the rest is refused; who goes on is closed. */
static void too_many_messages_are_refused_and_then_end_the_socket(void **state)
{
    open_peer();
    hello();
    char text[100];
    int allowed = 0, refused = 0;
    for (int i = 2; i < 200; i++) {
        snprintf(text, sizeof text, "{\"id\":%d,\"method\":\"raise-hand\",\"params\":{}}", i);
        socket_send(&sock, text);
    }
    for (json_t *o; (o = socket_json(&sock));) {
        const char *code = json_string_value(json_object_get(json_object_get(o, "error"), "code"));
        if (code)
            assert_string_equal(code, "too-fast");
        *(code ? &refused : &allowed) += 1;
        json_decref(o);
    }
    assert_in_range(allowed, 29, 40); /* hello was one of them; a slow machine earns a few more */
    assert_in_range(refused, 50, 60);
    socket_close(&sock);
    assert_true(world_wait(&world.closed, 1));
}

static void offers_have_a_stricter_rate(void **state)
{
    open_peer();
    hello();
    for (int i = 0; i < 12; i++) {
        char text[100];
        snprintf(text, sizeof text, "{\"id\":%d,\"method\":\"offer\",\"params\":{\"sdp\":\"v\",\"incarnation\":%d}}", i + 2,
                 i);
        socket_send(&sock, text);
    }
    for (int i = 0; i < 10; i++)
        json_decref(answer(i + 2, ""));
    json_t *o = socket_json(&sock);
    assert_non_null(json_object_get(o, "error"));
    json_decref(o);
    socket_close(&sock);
}

/* 16 MB are made for a peer that reads nothing: it is cut off at its bound, and the loop serves others meanwhile. */
static void a_slow_reader_is_closed_and_nobody_else(void **state)
{
    struct socket_client other;
    open_peer();
    hello();
    other = sock;
    open_peer();
    hello();
    setsockopt(socket_fd(&sock), SOL_SOCKET, SO_RCVBUF, &(int){4096}, sizeof(int));
    socket_send(&sock, "{\"id\":2,\"method\":\"record\",\"params\":{\"on\":true}}");
    assert_true(world_wait(&world.closed, 1));
    assert_int_equal(world.closed, 1);
    socket_close(&sock);
    sock = other;
    socket_send(&sock, "{\"id\":2,\"method\":\"raise-hand\",\"params\":{}}");
    json_decref(answer(2, ""));
    socket_close(&sock);
}

static void a_closing_socket_gets_what_was_queued_first(void **state)
{
    char *text = NULL;
    open_peer();
    hello();
    socket_send(&sock, "{\"id\":2,\"method\":\"leave\",\"params\":{}}");
    json_decref(answer(2, ""));
    assert_int_equal(socket_receive(&sock, &text), 8);
    assert_memory_equal(text, "\x03\xe8left", 6);
    free(text);
    socket_close(&sock);
    assert_true(world_wait(&world.closed, 1));
}

static void sockets_of_one_source_are_limited(void **state)
{
    struct socket_client many[16];
    int open = 0;
    for (int i = 0; i < 16; i++) {
        socket_open(&many[i], &client, NULL, NULL, "giaoban.1");
        open += many[i].status == 101;
    }
    assert_in_range(open, 10, 11); /* twelve, less the HTTP client's own */
    for (int i = 0; i < 16; i++)
        socket_close(&many[i]);
    for (int i = 0; i < 100; i++) { /* room again as soon as they have gone */
        socket_open(&sock, &client, NULL, NULL, "giaoban.1");
        int status = sock.status;
        socket_close(&sock);
        if (status == 101)
            return;
        poll(NULL, 0, 20);
    }
    fail_msg("no room came back");
}

/* Twenty sockets' round trips beside a loop that has nothing else to do: each wake-up is at once. */
static void a_round_trip_takes_no_time(void **state)
{
    open_peer();
    hello();
    int64_t best = INT64_MAX;
    for (int i = 2; i < 22; i++) {
        char text[100];
        int64_t from = clock_now_us();
        snprintf(text, sizeof text, "{\"id\":%d,\"method\":\"raise-hand\",\"params\":{}}", i);
        socket_send(&sock, text);
        json_decref(answer(i, ""));
        int64_t took = clock_now_us() - from;
        best = took < best ? took : best;
    }
    assert_in_range(best, 1, 5000);
    socket_close(&sock);
}

static void *answer_pings(void *ctx)
{
    struct socket_client *k = ctx;
    int pings = 0;
    for (char *text; !world.closed; free(text)) {
        text = NULL;
        int opcode = socket_receive(k, &text);
        if (opcode == 9) {
            socket_send_frame(k, 10, true, text, strlen(text));
            pings++;
        }
    }
    return (void *)(intptr_t)pings;
}

/* A peer without a sign of life is hung up on; one that answers pings stays. This is real time: 17 s. */
static void a_dead_peer_is_noticed_in_twenty_seconds(void **state)
{
    struct socket_client alive;
    pthread_t thread;
    void *pings = NULL;
    open_peer();
    hello();
    alive = sock;
    open_peer();
    hello();
    int64_t from = clock_now_us();
    pthread_create(&thread, NULL, answer_pings, &alive);
    while (!world.closed && clock_now_us() - from < 25000000)
        poll(NULL, 0, 50);
    int64_t took = clock_now_us() - from;
    bool noticed = world.closed == 1;
    world.closed++;
    pthread_join(thread, &pings);
    socket_close(&sock);
    sock = alive;
    socket_send(&sock, "{\"id\":2,\"method\":\"raise-hand\",\"params\":{}}");
    json_decref(answer(2, ""));
    socket_close(&sock);
    assert_true(noticed);
    assert_in_range(took, 5000000, 20000000);
    assert_in_range((intptr_t)pings, 1, 10);
}

#define plain(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define tls(test) cmocka_unit_test_setup_teardown(test, setup_tls, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        plain(a_request_reaches_the_owner_and_its_answer_and_notices_come_back),
        tls(a_request_reaches_the_owner_and_its_answer_and_notices_come_back),
        plain(only_a_session_of_our_own_page_opens_a_socket),
        tls(a_slots_socket_has_its_own_session),
        plain(hello_comes_first),
        plain(a_peer_that_never_said_hello_is_no_matter_of_the_owner),
        plain(malformed_messages_get_clear_errors_and_the_socket_lives),
        plain(an_oversized_message_is_refused_and_a_huge_one_ends_the_socket),
        tls(an_oversized_message_is_refused_and_a_huge_one_ends_the_socket),
        tls(frames_of_one_message_are_put_together),
        plain(a_message_without_end_ends_the_socket),
        plain(a_message_of_nothing_but_pieces_ends_the_socket),
        plain(binary_frames_end_the_socket),
        plain(too_many_messages_are_refused_and_then_end_the_socket),
        plain(offers_have_a_stricter_rate),
        plain(a_slow_reader_is_closed_and_nobody_else),
        tls(a_slow_reader_is_closed_and_nobody_else),
        tls(a_closing_socket_gets_what_was_queued_first),
        plain(sockets_of_one_source_are_limited),
        tls(a_round_trip_takes_no_time),
        plain(a_dead_peer_is_noticed_in_twenty_seconds),
    };
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    curl_global_cleanup();
    return failed;
}
