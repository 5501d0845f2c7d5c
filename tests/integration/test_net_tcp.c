/* Media over TCP connections to the media port (RFC 6544, RFC 4571). */
#include "net/net_priv.h"

#include "net_world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

static uint64_t drops(const struct world *w, enum net_drop why)
{
    return net_stats(w->server.net)->drops[why];
}

/* A connection of somebody, non-blocking from then on. */
static int connection_from(struct world *w, const char *address)
{
    struct sockaddr_in from = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(inet_pton(AF_INET, address, &from.sin_addr), 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof from), 0);
    uint64_t accepted = net_stats(w->server.net)->tcp_accepted, refused = drops(w, NET_DROP_TCP_SOURCE);
    uint64_t full = drops(w, NET_DROP_TCP_FULL);
    assert_int_equal(connect(fd, (struct sockaddr *)&w->server.addr, sizeof from), 0);
    wait_for(w, net_stats(w->server.net)->tcp_accepted > accepted || drops(w, NET_DROP_TCP_SOURCE) > refused ||
                    drops(w, NET_DROP_TCP_FULL) > full);
    return fd;
}

static bool is_closed(struct world *w, int fd)
{
    uint8_t byte;
    for (int i = 0; i < 20; i++) {
        ssize_t got = recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
        if (got == 0 || (got < 0 && errno == ECONNRESET))
            return true;
        turn(w);
    }
    return false;
}

static void calls_go_over_tcp(void **state)
{
    for (int v6 = 0; v6 < 2; v6++) {
        struct world *w = world_new(&(struct options){.tcp = true, .v6 = v6});
        for (int i = 0; i < PEERS; i++)
            start_pair(w, i);
        for (int i = 0; i < PEERS; i++)
            wait_for(w, pair_is_connected(w, i));
        for (uint16_t seq = 0; seq < 40; seq++) {
            send_rtp(&w->at_server[3], seq, 1100 + seq, 0);
            send_rtp(&w->at_client[3], seq, 1100 + seq, 0);
        }
        assert_int_equal(net_send_rtcp(w->at_client[2].t, (const uint8_t *)"\x80\xc9\0\1\0\0\0\1", 8), 0);
        wait_for(w, w->at_client[3].rtp == 40 && w->at_server[3].rtp == 40 && w->at_server[2].rtcp == 1);
        for (uint16_t seq = 0; seq < 40; seq++) {
            assert_received(&w->at_server[3], seq, seq, 1100U + seq);
            assert_received(&w->at_client[3], seq, seq, 1100U + seq);
        }
        const struct net_stats *stats = net_stats(w->server.net);
        assert_int_equal(stats->tcp_now, PEERS);
        assert_int_equal(stats->tcp_received_packets, stats->received_packets); /* nothing went by UDP */
        assert_int_equal(stats->tcp_sent_packets, stats->sent_packets);
        net_transport_free(w->at_server[3].t); /* says goodbye, then closes */
        wait_for(w, w->at_client[3].states[NET_FAILED]);
        assert_int_equal(stats->tcp_now, PEERS - 1);
        world_free(w);
    }
}

static void a_lost_connection_ends_its_path_and_not_the_server(void **state)
{
    struct world *w = world_new(&(struct options){.tcp = true});
    connect_pair(w, 0);
    connect_pair(w, 1);
    struct end *s = &w->at_server[0];
    net_transport_free(w->at_client[0].t); /* with close_notify */
    wait_for(w, s->states[NET_FAILED] && net_stats(w->server.net)->tcp_now == 1);
    assert_null(s->t->path);
    send_rtp(&w->at_server[1], 0, 100, 0);
    wait_for(w, w->at_client[1].rtp == 1);
    world_free(w);
}

/* A second path beside TCP: by UDP, nominated, as browsers do when they find UDP to work after all. */
static void a_nominated_udp_path_takes_over_and_tcp_comes_back(void **state)
{
    struct world *w = world_new(&(struct options){.tcp = true});
    struct sockaddr_storage addr;
    uint8_t in[PACKET_CAPACITY];
    connect_pair(w, 0);
    struct net_transport *t = w->at_server[0].t;
    char username[300];
    int fd = bind_socket(false, &addr);
    snprintf(username, sizeof username, "%s:%s", t->ufrag, t->remote_ufrag);
    assert_non_null(t->path->socket->stream);
    struct check check = {.username = username, .password = t->pwd};
    assert_int_equal(check_from(w, fd, &check), 0);
    assert_non_null(t->path->socket->stream); /* not nominated: only another way */
    check.nominate = true;
    assert_int_equal(check_from(w, fd, &check), 0);
    assert_null(t->path->socket->stream);
    send_rtp(&w->at_server[0], 0, 100, 0);
    turn(w);
    assert_true(recv(fd, in, sizeof in, MSG_DONTWAIT) > 100);
    check_from(w, fd, &check);

    net_path_lost(t->path->socket, &t->path->addr);
    assert_non_null(t->path->socket->stream);
    assert_false(t->gso);
    send_rtp(&w->at_server[0], 1, 200, 0);
    wait_for(w, w->at_client[0].rtp == 1);
    assert_received(&w->at_client[0], 0, 1, 200);
    close(fd);
    world_free(w);
}

static void whoever_proves_nothing_is_cut_off(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        enum net_drop drop;
    } rows[] = {
        {"GET / HTTP/1.1\r\n\r\n", 18, NET_DROP_TCP_FRAME}, /* "GE" is a length of 18,245 */
        {"\x00\x04HTTP", 6, NET_DROP_TCP_STRANGER},
        {"\x00\x14\0\1\0\0\x21\x12\xa4\x42\1\2\3\4\5\6\7\x8\x9\xa\xb\xc", 22, NET_DROP_TCP_STRANGER},
        {"\x00\x0e\x16\xfe\xfd\0\0\0\0\0\0\0\0\0\1\1", 16, NET_DROP_TCP_STRANGER}, /* DTLS */
        {"\x00\x0c\x80\x60\0\0\0\0\0\0\0\0\0\0", 14, NET_DROP_TCP_STRANGER},       /* RTP */
        {"\x07\xff", 2, NET_DROP_TCP_FRAME},
    };
    struct world *w = world_new(&(struct options){.tcp = true});
    connect_pair(w, 0);
    uint64_t sent = net_stats(w->server.net)->sent_packets;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t before = drops(w, rows[i].drop);
        int fd = connection_from(w, "127.0.0.2");
        assert_int_equal(send(fd, rows[i].bytes, rows[i].len, 0), rows[i].len);
        wait_for(w, drops(w, rows[i].drop) == before + 1);
        assert_true(is_closed(w, fd));
        close(fd);
    }
    assert_int_equal(net_stats(w->server.net)->tcp_now, 1);
    assert_int_equal(net_stats(w->server.net)->sent_packets, sent); /* no answer to any of them */
    world_free(w);
}

static void a_connection_has_only_so_long_for_its_first_check(void **state)
{
    struct world *w = world_new(&(struct options){.tcp = true});
    int fd = connection_from(w, "127.0.0.2");
    connect_pair(w, 0);
    assert_int_equal(send(fd, "\x00", 1, 0), 1);
    int64_t now_us = clock_now_us();
    net_transports_tick(w->server.net, now_us + 4900000);
    assert_int_equal(drops(w, NET_DROP_TCP_LATE), 0);
    net_transports_tick(w->server.net, now_us + 5100000);
    assert_int_equal(drops(w, NET_DROP_TCP_LATE), 1);
    assert_true(is_closed(w, fd));
    assert_int_equal(net_stats(w->server.net)->tcp_now, 1); /* who is in a call stays */
    close(fd);
    world_free(w);
}

static void one_source_has_only_so_many_connections(void **state)
{
    struct world *w = world_new(&(struct options){.tcp = true});
    net_set_limits(w->server.net, &(struct net_limits){.tcp_source = 2});
    int first = connection_from(w, "127.0.0.2"), second = connection_from(w, "127.0.0.2"),
        third = connection_from(w, "127.0.0.2"), neighbour = connection_from(w, "127.0.0.3");
    assert_true(is_closed(w, third));
    assert_false(is_closed(w, first) || is_closed(w, second) || is_closed(w, neighbour));
    assert_int_equal(drops(w, NET_DROP_TCP_SOURCE), 1);
    close(first);
    wait_for(w, net_stats(w->server.net)->tcp_now == 2);
    int fourth = connection_from(w, "127.0.0.2");
    assert_false(is_closed(w, fourth));
    close(second);
    close(third);
    close(fourth);
    close(neighbour);
    world_free(w);
}

static void who_has_proved_something_makes_no_room_for_who_has_not(void **state)
{
    struct world *w = world_new(&(struct options){.tcp = true});
    connect_pair(w, 0);
    net_set_limits(w->server.net, &(struct net_limits){.tcp = 3});
    int lone = connection_from(w, "127.0.0.3"), old = connection_from(w, "127.0.0.2"),
        third = connection_from(w, "127.0.0.2");
    assert_true(is_closed(w, lone)); /* of sources with equally many the oldest */
    int fourth = connection_from(w, "127.0.0.4");
    assert_true(is_closed(w, old)); /* the most crowded source's */
    assert_false(is_closed(w, third) || is_closed(w, fourth));
    assert_int_equal(drops(w, NET_DROP_TCP_FULL), 2);
    send_rtp(&w->at_server[0], 0, 100, 0);
    wait_for(w, w->at_client[0].rtp == 1);
    net_set_limits(w->server.net, &(struct net_limits){.tcp = 1});
    close(third);
    close(fourth);
    wait_for(w, net_stats(w->server.net)->tcp_now == 1);
    int last = connection_from(w, "127.0.0.5");
    assert_true(is_closed(w, last));
    close(lone);
    close(old);
    close(last);
    world_free(w);
}

static int send_class(struct end *from, enum net_class class, uint16_t seq, size_t len)
{
    uint8_t h[20];
    size_t header_len = rtp_header(h, seq, class == NET_SOUND ? 5 : 77);
    return net_send_rtp(from->t, class, h, header_len, payload, len, 0);
}

/* Nobody reads: the kernel's buffers fill, then ours. What waited comes when somebody reads again: all the sound, first. */
static void behind_a_slow_reader_sound_overtakes_and_pictures_are_dropped(void **state)
{
    struct world *w = world_new(&(struct options){.tcp = true, .send_buffer_bytes = 8192});
    connect_pair(w, 0);
    const struct net_stats *stats = net_stats(w->server.net);
    uint16_t seq = 0;
    while (!drops(w, NET_DROP_TCP_PICTURE) && seq < 20000) {
        send_class(&w->at_server[0], NET_PICTURE, seq++, 1100);
        net_run_once(w->server.net, 0);
    }
    assert_int_equal(drops(w, NET_DROP_TCP_PICTURE), 1);
    assert_true(w->at_server[0].t->path->socket->stream->pictures.n_bytes > 60000);
    for (uint16_t i = 0; i < 60; i++) {
        assert_int_equal(send_class(&w->at_server[0], NET_SOUND, i, 100), 0);
        net_run_once(w->server.net, 0);
    }
    assert_int_equal(send_class(&w->at_server[0], NET_PICTURE, seq, 1100), ERR_FULL);
    uint64_t sent = stats->sent_packets;
    struct end *c = &w->at_client[0];
    wait_for(w, c->rtp == (unsigned)seq - 1 + 60);
    assert_true(stats->sent_packets > sent);
    assert_int_equal(drops(w, NET_DROP_SEND_FULL), 0);
    world_free(w);
}

static void sound_goes_before_what_waits(void **state)
{
    struct world *w = world_new(&(struct options){.tcp = true});
    connect_pair(w, 0);
    net_socket_want_write(w->at_server[0].t->path->socket, true); /* as if the kernel took nothing at the moment */
    for (uint16_t i = 0; i < 5; i++)
        assert_int_equal(send_class(&w->at_server[0], NET_PICTURE, i, 500), 0);
    assert_int_equal(send_class(&w->at_server[0], NET_SOUND, 7, 100), 0);
    wait_for(w, w->at_client[0].rtp == 6);
    assert_int_equal(w->at_client[0].bytes[0][11], 5); /* its SSRC */
    for (uint16_t i = 0; i < 5; i++)
        assert_int_equal(w->at_client[0].bytes[i + 1][3], i);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_go_over_tcp),
        cmocka_unit_test(a_lost_connection_ends_its_path_and_not_the_server),
        cmocka_unit_test(a_nominated_udp_path_takes_over_and_tcp_comes_back),
        cmocka_unit_test(whoever_proves_nothing_is_cut_off),
        cmocka_unit_test(a_connection_has_only_so_long_for_its_first_check),
        cmocka_unit_test(one_source_has_only_so_many_connections),
        cmocka_unit_test(who_has_proved_something_makes_no_room_for_who_has_not),
        cmocka_unit_test(behind_a_slow_reader_sound_overtakes_and_pictures_are_dropped),
        cmocka_unit_test(sound_goes_before_what_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
