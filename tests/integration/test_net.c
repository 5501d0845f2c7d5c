/* Net against itself: what a media process and its clients see of each other. */
#include "net_world.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

static void exchange(const struct options *o)
{
    static const uint8_t pli[12] = {0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2};
    struct world *w = world_new(o);
    connect_pair(w, 0);
    struct end *s = &w->at_server[0], *c = &w->at_client[0];
    assert_int_equal(s->states[NET_CHECKED], 1);
    assert_true(net_transport_rtt_us(c->t) >= 0);
    for (uint16_t i = 0; i < 10; i++) {
        send_rtp(s, i, 1000, 0);
        send_rtp(c, i, 100U + i, 0);
    }
    assert_int_equal(net_send_rtcp(s->t, pli, sizeof pli), 0);
    assert_int_equal(net_send_rtcp(c->t, pli, sizeof pli), 0);
    wait_for(w, s->rtp == 10 && c->rtp == 10 && s->rtcp == 1 && c->rtcp == 1);
    for (uint16_t i = 0; i < 10; i++) {
        assert_received(c, i, i, 1000);
        assert_received(s, i, i, 100U + i);
    }
    assert_int_equal(s->lens[KEPT - 1], sizeof pli);
    assert_memory_equal(s->bytes[KEPT - 1], pli, sizeof pli);
    assert_memory_equal(c->bytes[KEPT - 1], pli, sizeof pli);
    for (int d = 0; d < NET_DROP_COUNT; d++)
        assert_int_equal(net_stats(w->server.net)->drops[d], 0);
    world_free(w);
}

static void packets_go_both_ways_over_ipv4(void **state)
{
    exchange(&(struct options){0});
}

static void packets_go_both_ways_over_ipv6(void **state)
{
    exchange(&(struct options){.v6 = true});
}

static void the_reference_engine_reaches_the_same_peer(void **state)
{
    exchange(&(struct options){.engine = SEAL_LIBSRTP});
}

static void marked_packets_arrive(void **state)
{
    exchange(&(struct options){.dscp = 46});
    exchange(&(struct options){.dscp = 46, .v6 = true});
}

/* A run of 12, one of 2 with a shorter end, one alone that is longer. */
static void send_frame(struct world *w)
{
    uint16_t seq = 0;
    for (int i = 0; i < 11; i++)
        send_rtp(&w->at_server[0], seq++, 1000, 0);
    send_rtp(&w->at_server[0], seq++, 990, 10);
    send_rtp(&w->at_server[0], seq++, 500, 0);
    send_rtp(&w->at_server[0], seq++, 1200, 0);
    struct end *c = &w->at_client[0];
    wait_for(w, c->rtp == 14);
    for (unsigned i = 0; i < 14; i++)
        if (i != 11)
            assert_received(c, i, (uint16_t)i, i < 11 ? 1000 : i == 12 ? 500 : 1200);
    assert_int_equal(c->lens[11], 20 + 1000);
    assert_int_equal(c->bytes[11][1019], 10);
    assert_memory_equal(c->bytes[11] + 20, payload, 990);
}

static void equal_packets_leave_as_one_run(void **state)
{
    struct world *w = world_new(&(struct options){0});
    connect_pair(w, 0);
    uint64_t before = net_stats(w->server.net)->sent_packets, calls = net_stats(w->server.net)->sendmmsg_calls;
    send_frame(w);
    const struct net_stats *stats = net_stats(w->server.net);
    assert_int_equal(stats->gso_runs, 1);
    assert_int_equal(stats->gso_run_packets, 13);
    assert_int_equal(stats->sent_packets - before, 14);
    assert_int_equal(stats->sendmmsg_calls - calls, 1);
    world_free(w);
}

static void without_gso_every_packet_leaves_alone(void **state)
{
    struct world *w = world_new(&(struct options){.no_gso = true});
    connect_pair(w, 0);
    send_frame(w);
    assert_int_equal(net_stats(w->server.net)->gso_runs, 0);
    world_free(w);
}

static void a_refused_run_is_sent_singly_and_remembered(void **state)
{
    struct world *w = world_new(&(struct options){.refuse_gso = true});
    connect_pair(w, 0);
    send_frame(w);
    const struct net_stats *stats = net_stats(w->server.net);
    assert_int_equal(stats->gso_refused, 1);
    assert_int_equal(stats->gso_runs, 0);
    assert_int_equal(stats->drops[NET_DROP_SEND_REFUSED], 0);
    for (uint16_t i = 14; i < 20; i++)
        send_rtp(&w->at_server[0], i, 1000, 0);
    wait_for(w, w->at_client[0].rtp == 20);
    assert_int_equal(stats->gso_refused, 1);
    world_free(w);
}

static void several_clients_connect_at_once(void **state)
{
    struct world *w = world_new(&(struct options){0});
    for (int i = 0; i < PEERS; i++)
        start_pair(w, i);
    for (int i = 0; i < PEERS; i++)
        wait_for(w, pair_is_connected(w, i));
    for (int i = 0; i < PEERS; i++)
        send_rtp(&w->at_client[i], (uint16_t)i, 300, 0);
    for (int i = 0; i < PEERS; i++)
        wait_for(w, w->at_server[i].rtp == 1);
    world_free(w);
}

static void a_wrong_fingerprint_fails_before_there_are_keys(void **state)
{
    struct world *w = world_new(&(struct options){0});
    w->wrong_fingerprint = true;
    start_pair(w, 0);
    wait_for(w, w->at_server[0].states[NET_FAILED] && w->at_client[0].states[NET_FAILED]);
    assert_int_equal(w->at_server[0].states[NET_CONNECTED], 0);
    assert_int_equal(w->at_client[0].states[NET_CONNECTED], 0);
    uint8_t h[20];
    assert_int_equal(net_send_rtp(w->at_server[0].t, NET_SOUND, h, rtp_header(h, 0, 1), payload, 10, 0), ERR_STATE);
    assert_int_equal(net_send_rtcp(w->at_server[0].t, payload, 8), ERR_STATE);
    world_free(w);
}

static void fingerprints_that_are_none_are_refused(void **state)
{
    static const char *const bad[] = {"", "AB", "AB:CD", "zz:", "AB:CD:"};
    struct world *w = world_new(&(struct options){0});
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct net_transport_config config = {
            .role = NET_SERVER, .remote_ufrag = "abcd", .remote_pwd = "abcdefghijklmnopqrstuv"};
        struct net_transport *t = NULL;
        strcpy(config.remote_fingerprint, bad[i]);
        assert_int_equal(net_transport_new(w->server.net, &config, &t), ERR_INVAL);
        assert_null(t);
    }
    world_free(w);
}

/* A stranger's socket, and what the server answers to it (nothing). */
static void stranger_sends(struct world *w, int fd, const void *bytes, size_t len, enum net_drop drop)
{
    const struct net_stats *stats = net_stats(w->server.net);
    uint64_t before = stats->drops[drop], sent = stats->sent_packets;
    assert_int_equal(sendto(fd, bytes, len, 0, (struct sockaddr *)&w->server.addr, sizeof(struct sockaddr_in)), len);
    int64_t give_up_us = clock_now_us() + 5000000;
    while (stats->drops[drop] == before && clock_now_us() < give_up_us)
        net_run_once(w->server.net, clock_now_us() + 1000);
    assert_int_equal(stats->drops[drop], before + 1);
    assert_int_equal(stats->sent_packets, sent);
    uint8_t byte;
    assert_true(recv(fd, &byte, 1, MSG_DONTWAIT) < 0);
}

static void strangers_are_counted_and_get_no_answer(void **state)
{
    struct world *w = world_new(&(struct options){0});
    struct sockaddr_storage unused;
    int fd = bind_socket(false, &unused);
    static const uint8_t stun[20] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    static const uint8_t dtls[25] = {22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 1};
    static const uint8_t rtp[40] = {0x80, 96}, rtcp[40] = {0x80, 200};
    static uint8_t huge[PACKET_CAPACITY] = {0x80, 96};
    stranger_sends(w, fd, "", 0, NET_DROP_GARBAGE);
    stranger_sends(w, fd, "HTTP", 4, NET_DROP_GARBAGE);
    stranger_sends(w, fd, "\xff\xff\xff", 3, NET_DROP_GARBAGE);
    stranger_sends(w, fd, "\x10zrtp", 5, NET_DROP_GARBAGE);
    stranger_sends(w, fd, "\x40turn", 5, NET_DROP_GARBAGE);
    stranger_sends(w, fd, stun, sizeof stun, NET_DROP_STUN);
    stranger_sends(w, fd, stun, 7, NET_DROP_STUN);
    stranger_sends(w, fd, dtls, sizeof dtls, NET_DROP_UNKNOWN_PEER);
    stranger_sends(w, fd, rtp, sizeof rtp, NET_DROP_UNKNOWN_PEER);
    stranger_sends(w, fd, rtcp, sizeof rtcp, NET_DROP_UNKNOWN_PEER);
    stranger_sends(w, fd, huge, sizeof huge, NET_DROP_TRUNCATED);
    close(fd);
    world_free(w);
}

static void a_client_that_moves_is_followed(void **state)
{
    struct world *w = world_new(&(struct options){0});
    connect_pair(w, 0);
    struct end *s = &w->at_server[0], *c = &w->at_client[0];
    send_rtp(s, 0, 100, 0);
    wait_for(w, c->rtp == 1);
    uint64_t unknown = net_stats(w->server.net)->drops[NET_DROP_UNKNOWN_PEER];
    assert_int_equal(net_transport_rebind(c->t, NULL), 0);
    /* Before the check from the new address media from there is a stranger's. */
    send_rtp(c, 0, 100, 0);
    wait_for(w, net_stats(w->server.net)->drops[NET_DROP_UNKNOWN_PEER] == unknown + 1);
    uint16_t seq = 1;
    wait_for(w, (send_rtp(s, seq++, 100, 0), c->rtp > 1));
    send_rtp(c, 1, 100, 0);
    wait_for(w, s->rtp == 1);
    assert_int_equal(s->states[NET_CONNECTED], 1);
    assert_int_equal(s->states[NET_FAILED] + s->states[NET_EXPIRED], 0);
    world_free(w);
}

static void a_number_sent_twice_is_refused(void **state)
{
    struct world *w = world_new(&(struct options){0});
    connect_pair(w, 0);
    uint8_t h[20];
    send_rtp(&w->at_server[0], 5, 100, 0);
    assert_int_equal(net_send_rtp(w->at_server[0].t, NET_SOUND, h, rtp_header(h, 5, 77), payload, 10, 0), ERR_REPLAY);
    world_free(w);
}

static void a_transport_freed_in_its_own_callback_ends_quietly(void **state)
{
    struct world *w = world_new(&(struct options){0});
    w->at_server[0].free_on_state = true;
    start_pair(w, 0);
    wait_for(w, w->at_server[0].states[NET_CHECKED]);
    w->at_client[1].free_on_state = true;
    start_pair(w, 1);
    wait_for(w, w->at_client[1].states[NET_CHECKED]);
    connect_pair(w, 2);
    world_free(w);
}

static void the_peer_of_a_freed_transport_is_told(void **state)
{
    struct world *w = world_new(&(struct options){0});
    connect_pair(w, 0);
    send_rtp(&w->at_client[0], 9, 100, 0);
    net_transport_free(w->at_client[0].t);
    wait_for(w, w->at_server[0].states[NET_FAILED]);
    assert_int_equal(w->at_server[0].rtp, 1);
    world_free(w);
}

struct watched {
    struct net *net;
    int fd, calls;
};

static void ready(void *ctx, uint32_t got, int64_t now_us)
{
    uint64_t value;
    struct watched *watched = ctx;
    assert_int_equal(got, EPOLLIN);
    watched->calls++;
    assert_int_equal(read(watched->fd, &value, sizeof value), sizeof value);
    assert_int_equal(net_unwatch(watched->net, watched->fd), 0);
}

static void a_watch_is_called_until_it_is_taken_away(void **state)
{
    struct world *w = world_new(&(struct options){0});
    struct watched ctx = {.net = w->server.net, .fd = eventfd(1, EFD_CLOEXEC)};
    assert_int_equal(net_watch(w->server.net, ctx.fd, EPOLLIN, ready, &ctx), 0);
    assert_int_equal(net_watch(w->server.net, ctx.fd, EPOLLIN, ready, &ctx), ERR_EXISTS);
    wait_for(w, ctx.calls == 1);
    assert_int_equal(write(ctx.fd, &(uint64_t){1}, 8), 8);
    for (int i = 0; i < 3; i++)
        turn(w);
    assert_int_equal(ctx.calls, 1);
    assert_int_equal(net_unwatch(w->server.net, ctx.fd), ERR_NOTFOUND);
    close(ctx.fd);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_go_both_ways_over_ipv4),
        cmocka_unit_test(packets_go_both_ways_over_ipv6),
        cmocka_unit_test(the_reference_engine_reaches_the_same_peer),
        cmocka_unit_test(marked_packets_arrive),
        cmocka_unit_test(equal_packets_leave_as_one_run),
        cmocka_unit_test(without_gso_every_packet_leaves_alone),
        cmocka_unit_test(a_refused_run_is_sent_singly_and_remembered),
        cmocka_unit_test(several_clients_connect_at_once),
        cmocka_unit_test(a_wrong_fingerprint_fails_before_there_are_keys),
        cmocka_unit_test(fingerprints_that_are_none_are_refused),
        cmocka_unit_test(strangers_are_counted_and_get_no_answer),
        cmocka_unit_test(a_client_that_moves_is_followed),
        cmocka_unit_test(a_number_sent_twice_is_refused),
        cmocka_unit_test(a_transport_freed_in_its_own_callback_ends_quietly),
        cmocka_unit_test(the_peer_of_a_freed_transport_is_told),
        cmocka_unit_test(a_watch_is_called_until_it_is_taken_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
