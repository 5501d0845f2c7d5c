/* What strangers may cost: handshakes begun and left, steps a turn, STUN that proves nothing. */
#include "net/net_priv.h"

#include "net_world.h"

#include "base/openssl.h"
#include <arpa/inet.h>
#include <openssl/ssl.h>

enum { KNOCKERS = 8 };

/* Somebody who passes a connectivity check, says ClientHello and no more. */
struct knocker {
    int fd;
    struct end *at_server;
};

static void send_to_server(struct world *w, int fd, const uint8_t *bytes, size_t len)
{
    uint64_t received = net_stats(w->server.net)->received_packets;
    assert_int_equal(sendto(fd, bytes, len, 0, (struct sockaddr *)&w->server.addr, sizeof(struct sockaddr_in)), len);
    wait_for(w, net_stats(w->server.net)->received_packets > received && !w->server.net->dtls_count);
}

static size_t client_hello(uint8_t out[2048])
{
    SSL_CTX *ctx = SSL_CTX_new(DTLS_client_method());
    SSL *ssl = SSL_new(ctx);
    BIO *in = BIO_new(BIO_s_mem()), *sent = BIO_new(BIO_s_mem());
    SSL_CTX_set_tlsext_use_srtp(ctx, "SRTP_AEAD_AES_128_GCM");
    SSL_set_bio(ssl, in, sent);
    SSL_set_connect_state(ssl);
    SSL_do_handshake(ssl);
    int len = BIO_read(sent, out, 2048);
    assert_true(len > 100);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    return (size_t)len;
}

static int socket_at(const char *address)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_int_equal(inet_pton(AF_INET, address, &a.sin_addr), 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static struct knocker checked(struct world *w, int i, const char *address)
{
    struct end *s = &w->at_server[i];
    struct knocker k = {.fd = socket_at(address), .at_server = s};
    char username[64];
    struct net_transport_config config = {
        .role = NET_SERVER, .user = s, .remote_ufrag = "peer", .remote_pwd = "abcdefghijklmnopqrstuv"};
    strcpy(config.remote_fingerprint, net_fingerprint(w->client.net));
    assert_int_equal(net_transport_new(w->server.net, &config, &s->t), 0);
    snprintf(username, sizeof username, "%s:peer", net_transport_ufrag(s->t));
    struct check c = {.username = username, .password = net_transport_pwd(s->t), .nominate = true};
    assert_int_equal(check_from(w, k.fd, &c), 0);
    return k;
}

static struct knocker knock(struct world *w, int i, const char *address)
{
    uint8_t hello[2048];
    struct knocker k = checked(w, i, address);
    send_to_server(w, k.fd, hello, client_hello(hello));
    return k;
}

static bool is_answered(const struct knocker *k)
{
    uint8_t in[2048];
    return recv(k->fd, in, sizeof in, MSG_DONTWAIT) > 0;
}

/* --- handshakes begun and left --- */

static void one_source_begins_only_so_many_handshakes(void **state)
{
    struct world *w = world_new(&(struct options){0});
    struct net *n = w->server.net;
    uint8_t hello[2048];
    net_set_limits(n, &(struct net_limits){.half_open_source = 2});
    struct knocker first = knock(w, 0, "127.0.0.2"), second = knock(w, 1, "127.0.0.2"), third = knock(w, 2, "127.0.0.2");
    assert_true(is_answered(&first) && is_answered(&second));
    assert_false(is_answered(&third));
    assert_int_equal(net_stats(n)->drops[NET_DROP_HALF_OPEN], 1);
    assert_int_equal(net_stats(n)->half_open_now, 2);

    struct knocker neighbour = knock(w, 3, "127.0.0.3");
    assert_true(is_answered(&neighbour)); /* another source is not concerned */

    net_transport_free(first.at_server->t); /* one is over: the third finds room when it asks again */
    send_to_server(w, third.fd, hello, client_hello(hello));
    assert_true(is_answered(&third));
    assert_int_equal(net_stats(n)->half_open_now, 3);
    close(first.fd);
    close(second.fd);
    close(third.fd);
    close(neighbour.fd);
    world_free(w);
}

static void the_most_crowded_sources_oldest_makes_room(void **state)
{
    struct world *w = world_new(&(struct options){0});
    struct net *n = w->server.net;
    net_set_limits(n, &(struct net_limits){.half_open = 3});
    struct knocker lone = knock(w, 0, "127.0.0.4"), old = knock(w, 1, "127.0.0.2"), young = knock(w, 2, "127.0.0.2"),
                   late = knock(w, 3, "127.0.0.3");
    assert_true(is_answered(&late));
    assert_int_equal(lone.at_server->states[NET_FAILED], 0); /* the oldest of all, but alone */
    assert_int_equal(old.at_server->states[NET_FAILED], 1);
    assert_int_equal(young.at_server->states[NET_FAILED], 0);
    assert_int_equal(net_stats(n)->handshakes_evicted, 1);
    assert_int_equal(net_stats(n)->half_open_now, 3);
    close(lone.fd);
    close(old.fd);
    close(young.fd);
    close(late.fd);
    world_free(w);
}

static void an_honest_client_connects_beside_half_open_ones(void **state)
{
    struct world *w = world_new(&(struct options){0});
    struct net *n = w->server.net;
    struct knocker k[KNOCKERS - 1];
    net_set_limits(n, &(struct net_limits){.half_open = 4, .handshake_steps = 1});
    for (int i = 0; i < 4; i++)
        k[i] = knock(w, i, "127.0.0.2");
    connect_pair(w, 7);
    for (int i = 4; i < KNOCKERS - 1; i++)
        k[i] = knock(w, i, "127.0.0.2");
    assert_int_equal(w->at_server[7].states[NET_FAILED], 0);
    assert_int_equal(net_stats(n)->half_open_now, 4); /* the finished one is not among them */
    assert_int_equal(net_stats(n)->handshakes_evicted, 3);
    assert_int_equal(net_stats(n)->handshakes_done, 1);
    for (int i = 0; i < KNOCKERS - 1; i++)
        close(k[i].fd);
    world_free(w);
}

static void a_handshake_that_is_not_finished_in_time_fails(void **state)
{
    struct world *w = world_new(&(struct options){0});
    struct net *n = w->server.net;
    struct knocker begun = knock(w, 0, "127.0.0.2"), silent = checked(w, 1, "127.0.0.2");
    int64_t now_us = clock_now_us();
    connect_pair(w, 2);
    n->timers_at_us = 0;
    net_transports_tick(n, now_us + 14500000);
    assert_int_equal(begun.at_server->states[NET_FAILED], 0);
    n->timers_at_us = 0;
    net_transports_tick(n, now_us + 15500000);
    assert_int_equal(begun.at_server->states[NET_FAILED], 1);
    assert_int_equal(silent.at_server->states[NET_FAILED], 1); /* a check, and nothing after it */
    assert_int_equal(net_stats(n)->handshakes_late, 2);
    assert_int_equal(net_stats(n)->half_open_now, 0);
    assert_int_equal(net_transport_state(w->at_server[2].t), NET_CONNECTED);
    close(begun.fd);
    close(silent.fd);
    world_free(w);
}

static void nothing_but_a_client_hello_begins_a_session(void **state)
{
    static const uint8_t not_hellos[][16] = {
        {22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 2, 0, 0}, /* a handshake message of another type */
        {21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0},    /* an alert */
        {22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},          /* an empty record */
    };
    struct world *w = world_new(&(struct options){0});
    struct knocker k = checked(w, 0, "127.0.0.2");
    for (size_t i = 0; i < sizeof not_hellos / sizeof *not_hellos; i++)
        send_to_server(w, k.fd, not_hellos[i], i == 2 ? 13 : 16);
    assert_int_equal(net_stats(w->server.net)->drops[NET_DROP_DTLS], 3);
    assert_int_equal(net_stats(w->server.net)->handshakes_begun, 0);
    assert_false(is_answered(&k));
    close(k.fd);
    world_free(w);
}

static void a_hello_from_an_unchecked_address_is_dropped_without_a_reply(void **state)
{
    uint8_t hello[2048];
    struct world *w = world_new(&(struct options){0});
    struct knocker k = {.fd = socket_at("127.0.0.9")};
    send_to_server(w, k.fd, hello, client_hello(hello));
    assert_int_equal(net_stats(w->server.net)->drops[NET_DROP_UNKNOWN_PEER], 1);
    assert_int_equal(net_stats(w->server.net)->handshakes_begun, 0);
    assert_false(is_answered(&k));
    close(k.fd);
    world_free(w);
}

/* --- steps a turn --- */

static void those_who_wait_take_turns(void **state)
{
    struct world *w = world_new(&(struct options){0});
    struct net *n = w->server.net;
    struct knocker greedy = checked(w, 0, "127.0.0.2"), modest = checked(w, 1, "127.0.0.3");
    struct packet *junk = packet_get(n->pool);
    junk->len = 20;
    memset(junk->bytes, 20, 20);
    net_set_limits(n, &(struct net_limits){.handshake_steps = 2});
    for (int i = 0; i < NET_DATAGRAMS + 1; i++)
        dtls_enqueue(greedy.at_server->t, junk);
    dtls_enqueue(modest.at_server->t, junk);
    assert_int_equal(net_stats(n)->drops[NET_DROP_HANDSHAKE_QUEUE], 1);
    assert_int_equal(n->dtls_count, NET_DATAGRAMS + 1);
    dtls_steps(n, clock_now_us());
    assert_int_equal(greedy.at_server->t->n_datagrams, NET_DATAGRAMS - 1);
    assert_int_equal(modest.at_server->t->n_datagrams, 0);
    dtls_steps(n, clock_now_us());
    assert_int_equal(greedy.at_server->t->n_datagrams, NET_DATAGRAMS - 3);
    n->crowded = true; /* media may wait in the kernel: it comes first, handshakes don't stop */
    dtls_steps(n, clock_now_us());
    assert_int_equal(greedy.at_server->t->n_datagrams, NET_DATAGRAMS - 4);
    net_transport_free(greedy.at_server->t); /* what waits goes with it */
    assert_int_equal(n->dtls_count, 0);
    assert_null(n->waiting);
    packet_unref(junk);
    close(greedy.fd);
    close(modest.fd);
    world_free(w);
}

/* --- STUN that proves nothing --- */

static void a_source_may_fail_only_so_many_checks_a_second(void **state)
{
    struct world *w = world_new(&(struct options){0});
    struct net *n = w->server.net;
    struct knocker inside = checked(w, 0, "127.0.0.2");
    int stranger = socket_at("127.0.0.2"), elsewhere = socket_at("127.0.0.3");
    char username[64];
    snprintf(username, sizeof username, "%s:peer", net_transport_ufrag(inside.at_server->t));
    struct check good = {.username = username, .password = net_transport_pwd(inside.at_server->t)},
                 bad = {.username = "0000abcdefgh:peer", .password = "abcdefghijklmnopqrstuv"};
    net_set_limits(n, &(struct net_limits){.stun_source = 1});
    for (int i = 0; i < 10; i++)
        assert_int_equal(check_from(w, stranger, &bad), -1);
    const struct net_stats *s = net_stats(n);
    assert_int_equal(s->drops[NET_DROP_STUN] + s->drops[NET_DROP_STUN_RATE], 10);
    assert_in_range(s->drops[NET_DROP_STUN_RATE], 8, 9);  /* one at once, and the next when a moment has passed */
    assert_int_equal(check_from(w, stranger, &good), -1); /* a new place of that source waits … */
    assert_int_equal(check_from(w, inside.fd, &good), 0); /* … one that has passed a check does not … */
    assert_int_equal(check_from(w, elsewhere, &good), 0); /* … nor does another source */
    close(inside.fd);
    close(stranger);
    close(elsewhere);
    world_free(w);
}

static void failed_checks_are_forgiven_as_time_passes(void **state)
{
    struct world *w = world_new(&(struct options){0});
    struct net *n = w->server.net;
    union net_addr a = {.in4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a000001)}};
    int64_t now_us = 1000000000;
    net_set_limits(n, &(struct net_limits){.stun_source = 100});
    for (int i = 0; i < 100; i++) {
        assert_true(stun_may_come(n, &a, now_us));
        stun_charge(n, &a, now_us);
    }
    assert_false(stun_may_come(n, &a, now_us));
    assert_true(stun_may_come(n, &a, now_us + 10000)); /* a hundredth of a second brings one back */
    stun_charge(n, &a, now_us + 10000);
    assert_false(stun_may_come(n, &a, now_us + 10000));
    assert_true(stun_may_come(n, &a, now_us + 1020000));
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_source_begins_only_so_many_handshakes),
        cmocka_unit_test(the_most_crowded_sources_oldest_makes_room),
        cmocka_unit_test(an_honest_client_connects_beside_half_open_ones),
        cmocka_unit_test(a_handshake_that_is_not_finished_in_time_fails),
        cmocka_unit_test(nothing_but_a_client_hello_begins_a_session),
        cmocka_unit_test(a_hello_from_an_unchecked_address_is_dropped_without_a_reply),
        cmocka_unit_test(those_who_wait_take_turns),
        cmocka_unit_test(a_source_may_fail_only_so_many_checks_a_second),
        cmocka_unit_test(failed_checks_are_forgiven_as_time_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
