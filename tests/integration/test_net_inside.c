/* Net from inside: what a loopback peer never does by itself, and time that a test doesn't wait for. */
#include "net/net_priv.h"

#include "net_world.h"

#include "base/openssl.h"
#include <openssl/ssl.h>

#include <poll.h>

/* --- connectivity checks made by hand --- */

/* A server transport and a username and password that fit it. */
static struct check make_place(struct world *w, char *username, size_t cap)
{
    struct net_transport_config config = {
        .role = NET_SERVER, .user = &w->at_server[0], .remote_ufrag = "peer", .remote_pwd = "abcdefghijklmnopqrstuv"};
    strcpy(config.remote_fingerprint, net_fingerprint(w->client.net));
    assert_int_equal(net_transport_new(w->server.net, &config, &w->at_server[0].t), 0);
    snprintf(username, cap, "%s:peer", net_transport_ufrag(w->at_server[0].t));
    return (struct check){.username = username, .password = net_transport_pwd(w->at_server[0].t)};
}

static void only_checks_that_prove_the_password_are_answered(void **state)
{
    struct world *w = world_new(&(struct options){0});
    struct sockaddr_storage addr;
    char username[64], other[64];
    int fd = bind_socket(false, &addr);
    struct check good = make_place(w, username, sizeof username), c = good;
    snprintf(other, sizeof other, "%s:paar", net_transport_ufrag(w->at_server[0].t));

    c.password = "abcdefghijklmnopqrstuv";
    assert_int_equal(check_from(w, fd, &c), -1);
    c = good;
    c.username = other;
    assert_int_equal(check_from(w, fd, &c), -1);
    c.username = "0000abcdefgh:peer";
    assert_int_equal(check_from(w, fd, &c), -1);
    c.username = "ffff:peer";
    assert_int_equal(check_from(w, fd, &c), -1);
    c.username = "peer";
    assert_int_equal(check_from(w, fd, &c), -1);
    c = good;
    c.no_fingerprint = true;
    assert_int_equal(check_from(w, fd, &c), -1);
    assert_int_equal(net_stats(w->server.net)->drops[NET_DROP_STUN], 6);
    assert_int_equal(w->at_server[0].states[NET_CHECKED], 0);

    assert_int_equal(check_from(w, fd, &good), 0);
    assert_int_equal(w->at_server[0].states[NET_CHECKED], 1);
    close(fd);
    world_free(w);
}

static void a_controlled_peer_is_told_to_control(void **state)
{
    struct world *w = world_new(&(struct options){0});
    struct sockaddr_storage addr;
    char username[64];
    int fd = bind_socket(false, &addr);
    struct check c = make_place(w, username, sizeof username);
    c.controlled = true;
    assert_int_equal(check_from(w, fd, &c), 487);
    c.controlled = false;
    c.unknown_attribute = true;
    assert_int_equal(check_from(w, fd, &c), 420);
    assert_int_equal(w->at_server[0].states[NET_CHECKED], 0);
    close(fd);
    world_free(w);
}

static uint16_t port_of(const struct sockaddr_storage *a)
{
    return ((const struct sockaddr_in *)a)->sin_port;
}

static void the_nominated_address_is_sent_to(void **state)
{
    struct world *w = world_new(&(struct options){0});
    struct sockaddr_storage addr[2];
    char username[64];
    int fd[2] = {bind_socket(false, &addr[0]), bind_socket(false, &addr[1])};
    struct check c = make_place(w, username, sizeof username);
    struct net_transport *t = w->at_server[0].t;
    assert_int_equal(check_from(w, fd[0], &c), 0);
    assert_int_equal(t->path->addr.in4.sin_port, port_of(&addr[0]));
    assert_int_equal(check_from(w, fd[1], &c), 0);
    assert_int_equal(t->path->addr.in4.sin_port, port_of(&addr[0]));
    c.nominate = true;
    assert_int_equal(check_from(w, fd[1], &c), 0);
    assert_int_equal(t->path->addr.in4.sin_port, port_of(&addr[1]));

    /* The chosen one has been silent for 9 s: the next check moves the transport without nomination. */
    t->path->checked_us -= 9000000;
    c.nominate = false;
    assert_int_equal(check_from(w, fd[0], &c), 0);
    assert_int_equal(t->path->addr.in4.sin_port, port_of(&addr[0]));
    close(fd[0]);
    close(fd[1]);
    world_free(w);
}

static void many_addresses_of_one_peer_cost_the_oldest(void **state)
{
    struct world *w = world_new(&(struct options){0});
    char username[64];
    struct check c = make_place(w, username, sizeof username);
    struct net_transport *t = w->at_server[0].t;
    int fds[NET_PATHS + 4];
    struct sockaddr_storage addrs[NET_PATHS + 4];
    for (int i = 0; i < NET_PATHS + 4; i++) {
        fds[i] = bind_socket(false, &addrs[i]);
        assert_int_equal(check_from(w, fds[i], &c), 0);
    }
    for (int i = 0; i < NET_PATHS + 4; i++) {
        union net_addr a;
        memcpy(&a, &addrs[i], sizeof a);
        bool known = net_path_find(w->server.net, t->path->socket, &a);
        assert_int_equal(known, i == 0 || i > 4); /* the first is where we send */
        close(fds[i]);
    }
    world_free(w);
}

static void consent_ends_after_30_seconds_without_a_check(void **state)
{
    struct world *w = world_new(&(struct options){0});
    connect_pair(w, 0);
    struct end *s = &w->at_server[0];
    int64_t checked_us = s->t->checked_us;
    w->server.net->timers_at_us = 0;
    net_transports_tick(w->server.net, checked_us + 29999000);
    assert_int_equal(s->states[NET_EXPIRED], 0);
    net_transports_tick(w->server.net, checked_us + 30002000);
    assert_int_equal(s->states[NET_EXPIRED], 1);
    uint8_t h[20];
    assert_int_equal(net_send_rtp(s->t, NET_SOUND, h, rtp_header(h, 0, 1), payload, 10, 0), ERR_STATE);
    net_transports_tick(w->server.net, checked_us + 90000000);
    assert_int_equal(s->states[NET_EXPIRED], 1);
    world_free(w);
}

/* --- the handshake --- */

static int profile_with_offer(const char *offer)
{
    struct world *w = world_new(&(struct options){0});
    assert_int_equal(SSL_CTX_set_tlsext_use_srtp(w->client.net->client_ctx, offer), 0);
    start_pair(w, 0);
    wait_for(w, pair_is_connected(w, 0) || w->at_server[0].states[NET_FAILED]);
    int id = 0;
    if (w->at_server[0].states[NET_CONNECTED]) {
        id = (int)SSL_get_selected_srtp_profile(w->at_server[0].t->ssl)->id;
        send_rtp(&w->at_server[0], 1, 100, 0);
        send_rtp(&w->at_client[0], 1, 100, 0);
        wait_for(w, w->at_server[0].rtp == 1 && w->at_client[0].rtp == 1);
        assert_received(&w->at_server[0], 0, 1, 100);
        assert_received(&w->at_client[0], 0, 1, 100);
    }
    world_free(w);
    return id;
}

static void the_server_chooses_gcm_128_whatever_the_clients_order(void **state)
{
    assert_int_equal(profile_with_offer("SRTP_AES128_CM_SHA1_80:SRTP_AEAD_AES_256_GCM:SRTP_AEAD_AES_128_GCM"), SEAL_GCM_128);
    assert_int_equal(profile_with_offer("SRTP_AES128_CM_SHA1_80:SRTP_AEAD_AES_256_GCM"), SEAL_GCM_256);
    assert_int_equal(profile_with_offer("SRTP_AES128_CM_SHA1_80"), SEAL_SHA1_80);
    assert_int_equal(profile_with_offer("SRTP_AES128_CM_SHA1_32"), 0);
}

/* A relay between client and server that swallows DTLS datagrams by number. */
struct relay {
    int front, back;
    struct sockaddr_storage front_addr, back_addr, client_addr, server_addr;
    unsigned dtls, lost;
    unsigned lose; /* bit k: the k-th datagram of the handshake, both directions counted together */
};

static void pass(struct relay *r, int from, int to, const struct sockaddr_storage *to_addr,
                 struct sockaddr_storage *ret_from)
{
    uint8_t bytes[PACKET_CAPACITY];
    struct sockaddr_storage src;
    socklen_t src_len = sizeof src;
    ssize_t got;
    while ((got = recvfrom(from, bytes, sizeof bytes, MSG_DONTWAIT, (struct sockaddr *)&src, &src_len)) > 0) {
        if (ret_from)
            *ret_from = src;
        bool dtls = bytes[0] >= 20 && bytes[0] <= 63;
        bool lose = dtls && r->dtls < 32 && r->lose >> r->dtls & 1;
        r->dtls += dtls;
        r->lost += lose;
        if (!lose)
            sendto(to, bytes, (size_t)got, 0, (const struct sockaddr *)to_addr, sizeof(struct sockaddr_in));
    }
}

static void run_relay(struct world *w, struct relay *r)
{
    turn(w);
    pass(r, r->front, r->back, &w->server.addr, &r->client_addr);
    turn(w);
    pass(r, r->back, r->front, &r->client_addr, NULL);
}

static void a_handshake_survives_the_loss_of_any_datagram(void **state)
{
    static const unsigned losses[] = {0, 1, 2, 4, 8, 3, 5, 10, 15, 0xf0}; /* the shortest handshake has four */
    for (size_t i = 0; i < sizeof losses / sizeof losses[0]; i++) {
        struct world *w = world_new(&(struct options){0});
        struct relay r = {.lose = losses[i]};
        r.front = bind_socket(false, &r.front_addr);
        r.back = bind_socket(false, &r.back_addr);
        w->by_way_of = &r.front_addr;
        start_pair(w, 0);
        int64_t give_up_us = clock_now_us() + 10000000;
        while (!pair_is_connected(w, 0) && clock_now_us() < give_up_us)
            run_relay(w, &r);
        assert_true(pair_is_connected(w, 0));
        assert_true(r.lost || losses[i] % 16 == 0);
        world_free(w);
        close(r.front);
        close(r.back);
    }
}

static void a_turn_does_only_so_many_steps_of_handshakes(void **state)
{
    struct world *w = world_new(&(struct options){0});
    net_set_limits(w->server.net, &(struct net_limits){.handshake_steps = 1});
    for (int i = 0; i < PEERS; i++)
        start_pair(w, i);
    unsigned most = 0;
    int64_t give_up_us = clock_now_us() + 10000000;
    for (int i = 0; i < PEERS && clock_now_us() < give_up_us;) {
        turn(w);
        if (w->server.net->dtls_count > most)
            most = w->server.net->dtls_count;
        i += pair_is_connected(w, i);
    }
    for (int i = 0; i < PEERS; i++)
        assert_true(pair_is_connected(w, i));
    assert_true(most > 1); /* they did wait */
    world_free(w);
}

/* --- sending --- */

static void a_bad_message_is_skipped_and_the_batch_goes_on(void **state)
{
    struct world *w = world_new(&(struct options){0});
    connect_pair(w, 0);
    struct net *n = w->server.net;
    struct end *s = &w->at_server[0], *c = &w->at_client[0];
    union net_addr nowhere = s->t->path->addr;
    nowhere.in4.sin_port = 0;
    send_rtp(s, 0, 1000, 0);
    for (int i = 0; i < 2; i++) {
        memset(send_room(n, 100), 0, 100);
        send_commit(n, s->t->path->socket, NULL, &nowhere, NET_PICTURE, 100);
        send_rtp(s, (uint16_t)(i + 1), 1000, 0);
    }
    wait_for(w, c->rtp == 3);
    for (unsigned i = 0; i < 3; i++)
        assert_received(c, i, (uint16_t)i, 1000);
    assert_int_equal(net_stats(n)->drops[NET_DROP_SEND_REFUSED], 2);
    world_free(w);
}

static void packets_wait_in_order_for_a_full_socket(void **state)
{
    struct world *w = world_new(&(struct options){0});
    connect_pair(w, 0);
    struct net *n = w->server.net;
    struct end *s = &w->at_server[0], *c = &w->at_client[0];
    struct net_socket *socket = s->t->path->socket;
    net_socket_want_write(socket, true); /* as after EAGAIN */
    uint64_t sent = net_stats(n)->sent_packets;
    for (uint16_t i = 0; i < 6; i++) {
        send_rtp(s, i, 1000U - i / 3, 0);
        if (i % 2)
            send_flush(n);
    }
    assert_int_equal(net_stats(n)->sent_packets, sent);
    wait_for(w, c->rtp == 6);
    for (unsigned i = 0; i < 6; i++)
        assert_received(c, i, (uint16_t)i, 1000 - i / 3);
    assert_int_equal(socket->held.n_runs, 0);
    world_free(w);
}

static void what_waits_for_a_full_socket_is_bounded(void **state)
{
    struct world *w = world_new(&(struct options){0});
    connect_pair(w, 0);
    struct net *n = w->server.net;
    struct end *s = &w->at_server[0];
    net_socket_want_write(s->t->path->socket, true);
    uint8_t h[20];
    unsigned accepted = 0;
    int err = 0;
    while (!err && accepted < 9000) {
        err = net_send_rtp(s->t, NET_PICTURE, h, rtp_header(h, (uint16_t)accepted, 77), payload, 1000, 0);
        send_flush(n);
        accepted += !err;
    }
    assert_int_equal(err, ERR_FULL);
    assert_true(accepted > 3000 && accepted <= NET_HELD_BYTES / 1000);
    assert_int_equal(net_stats(n)->drops[NET_DROP_SEND_FULL], 1);
    world_free(w);
}

static void put(struct net_held *h, uint8_t value, bool fits)
{
    uint8_t bytes[10];
    memset(bytes, value, sizeof bytes);
    assert_int_equal(held_put(h, &(struct net_run){.bytes = bytes, .len = sizeof bytes, .count = value}), fits);
}

static void what_waits_keeps_its_order_while_it_comes_and_goes(void **state)
{
    struct net_held h;
    assert_int_equal(held_new(&h, 35, 4), 0);
    uint8_t in = 0, out = 0;
    for (int round = 0; round < 20; round++) {
        put(&h, in++, true);
        put(&h, in++, true);
        put(&h, in++, true);
        put(&h, 99, false); /* bytes */
        for (unsigned take = 1 + (unsigned)round % 3, i = 0; i < 3; i += take, take = 3 - i) {
            for (unsigned k = 0; k < take; k++, out++) {
                const struct net_run *r = &h.runs[h.first + k];
                assert_int_equal(r->count, out);
                for (uint32_t j = 0; j < r->len; j++)
                    assert_int_equal(r->bytes[j], out);
            }
            held_take(&h, take);
        }
    }
    assert_int_equal(h.n_runs + h.n_bytes + h.first, 0);
    held_free(&h);
}

static void what_waits_moves_up_when_its_end_is_reached(void **state)
{
    struct net_held h;
    assert_int_equal(held_new(&h, 35, 3), 0);
    put(&h, 0, true);
    put(&h, 1, true);
    put(&h, 2, true);
    held_take(&h, 2);
    put(&h, 3, true);
    put(&h, 4, true);
    put(&h, 99, false);
    for (uint8_t i = 0; i < 3; i++) {
        const struct net_run *r = &h.runs[h.first + i];
        assert_int_equal(r->count, i + 2);
        assert_int_equal(r->bytes[0], i + 2);
        assert_int_equal(r->bytes[9], i + 2);
    }
    held_free(&h);
}

static void a_long_burst_becomes_runs_the_kernel_takes(void **state)
{
    struct world *w = world_new(&(struct options){0});
    connect_pair(w, 0);
    struct end *s = &w->at_server[0], *c = &w->at_client[0];
    const struct net_stats *stats = net_stats(w->server.net);
    for (uint16_t i = 0; i < 60; i++)
        send_rtp(s, i, 1100, 0);
    wait_for(w, c->rtp == 60);
    assert_int_equal(stats->gso_runs, 2); /* 57 × 1,136 bytes are just below the limit */
    for (uint16_t i = 60; i < 130; i++)
        send_rtp(s, i, 50, 0);
    wait_for(w, c->rtp == 130);
    assert_int_equal(stats->gso_runs, 4); /* 64 is the most of one run */
    assert_int_equal(stats->gso_run_packets, 130);
    assert_int_equal(stats->gso_refused, 0);
    world_free(w);
}

static void an_empty_pool_drops_and_recovers(void **state)
{
    struct world *w = world_new(&(struct options){0});
    connect_pair(w, 0);
    struct net *n = w->server.net;
    struct packet *taken[257];
    size_t count = 0;
    while (n->n_rx)
        packet_unref(n->rx[--n->n_rx]);
    while ((taken[count] = packet_get(n->pool)))
        count++;
    send_rtp(&w->at_client[0], 0, 100, 0);
    wait_for(w, net_stats(n)->drops[NET_DROP_POOL_EMPTY] == 1);
    while (count)
        packet_unref(taken[--count]);
    send_rtp(&w->at_client[0], 1, 100, 0);
    wait_for(w, w->at_server[0].rtp == 1);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_checks_that_prove_the_password_are_answered),
        cmocka_unit_test(a_controlled_peer_is_told_to_control),
        cmocka_unit_test(the_nominated_address_is_sent_to),
        cmocka_unit_test(many_addresses_of_one_peer_cost_the_oldest),
        cmocka_unit_test(consent_ends_after_30_seconds_without_a_check),
        cmocka_unit_test(the_server_chooses_gcm_128_whatever_the_clients_order),
        cmocka_unit_test(a_handshake_survives_the_loss_of_any_datagram),
        cmocka_unit_test(a_turn_does_only_so_many_steps_of_handshakes),
        cmocka_unit_test(a_bad_message_is_skipped_and_the_batch_goes_on),
        cmocka_unit_test(packets_wait_in_order_for_a_full_socket),
        cmocka_unit_test(what_waits_for_a_full_socket_is_bounded),
        cmocka_unit_test(what_waits_keeps_its_order_while_it_comes_and_goes),
        cmocka_unit_test(what_waits_moves_up_when_its_end_is_reached),
        cmocka_unit_test(a_long_burst_becomes_runs_the_kernel_takes),
        cmocka_unit_test(an_empty_pool_drops_and_recovers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
