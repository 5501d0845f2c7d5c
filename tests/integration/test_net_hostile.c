/* What one client can do to the transports of others, and to its own. */
#include "net/net_priv.h"

#include "net_world.h"

#include <stdio.h>

enum { RECORD = 13 };

/* A connectivity check for `t` from `fd`; the server takes a turn. True: it was answered. */
static bool check(struct world *w, int fd, struct net_transport *t)
{
    static const uint16_t attributes[] = {STUN_ATTRIBUTE_USERNAME, STUN_ATTRIBUTE_MESSAGE_INTEGRITY,
                                          STUN_ATTRIBUTE_FINGERPRINT, 0};
    StunAgent agent;
    StunMessage request;
    uint8_t bytes[STUN_MAX_MESSAGE_SIZE];
    char username[64];
    const struct net_stats *stats = net_stats(w->server.net);
    snprintf(username, sizeof username, "%s:peer", net_transport_ufrag(t));
    stun_agent_init(&agent, attributes, STUN_COMPATIBILITY_RFC5389,
                    STUN_AGENT_USAGE_SHORT_TERM_CREDENTIALS | STUN_AGENT_USAGE_USE_FINGERPRINT);
    assert_true(stun_agent_init_request(&agent, &request, bytes, sizeof bytes, STUN_BINDING));
    stun_message_append_string(&request, STUN_ATTRIBUTE_USERNAME, username);
    stun_message_append32(&request, STUN_ATTRIBUTE_PRIORITY, 1);
    stun_message_append64(&request, STUN_ATTRIBUTE_ICE_CONTROLLING, 12345);
    const char *password = net_transport_pwd(t);
    size_t len = stun_agent_finish_message(&agent, &request, (const uint8_t *)password, strlen(password));
    uint64_t received = stats->received_packets, sent = stats->sent_packets;
    assert_int_equal(sendto(fd, bytes, len, 0, (struct sockaddr *)&w->server.addr, sizeof(struct sockaddr_in)), len);
    int64_t give_up_us = clock_now_us() + 5000000;
    while (stats->received_packets == received && clock_now_us() < give_up_us)
        net_run_once(w->server.net, clock_now_us() + 1000);
    return stats->sent_packets > sent;
}

static struct net_transport *make_place(struct world *w, int i)
{
    struct net_transport_config config = {
        .role = NET_SERVER, .user = &w->at_server[i], .remote_ufrag = "peer", .remote_pwd = "abcdefghijklmnopqrstuv"};
    snprintf(config.remote_fingerprint, sizeof config.remote_fingerprint, "%s", net_fingerprint(w->client.net));
    assert_int_equal(net_transport_new(w->server.net, &config, &w->at_server[i].t), 0);
    return w->at_server[i].t;
}

static void datagram(struct world *w, int fd, const void *bytes, size_t len)
{
    assert_int_equal(sendto(fd, bytes, len, 0, (struct sockaddr *)&w->server.addr, sizeof(struct sockaddr_in)), len);
}

static size_t put_record(uint8_t *at, uint8_t type, uint16_t epoch, uint16_t len)
{
    memset(at, 0x5a, RECORD + len);
    at[0] = type;
    at[1] = 254;
    at[2] = 253;
    put_u16(at + 3, epoch);
    put_u16(at + 11, len);
    return RECORD + len;
}

static uint64_t drops(const struct world *w, enum net_drop why)
{
    return net_stats(w->server.net)->drops[why];
}

static int fd_of(const struct world *w, int i)
{
    return w->at_client[i].t->own_socket->fd;
}

static void a_password_of_ones_own_takes_nobodys_address(void **state)
{
    struct world *w = world_new(&(struct options){0});
    connect_pair(w, 0);
    struct net_transport *victim = w->at_server[0].t, *wicked = make_place(w, 1);
    assert_false(check(w, fd_of(w, 0), wicked));
    assert_int_equal(drops(w, NET_DROP_ADDRESS_USED), 1);
    assert_int_equal(w->at_server[1].states[NET_CHECKED], 0);
    send_rtp(&w->at_server[0], 1, 100, 0);
    send_rtp(&w->at_client[0], 1, 100, 0);
    wait_for(w, w->at_server[0].rtp == 1 && w->at_client[0].rtp == 1);

    victim->path->checked_us -= 9000000; /* silent: a NAT may have given its address to somebody else */
    assert_true(check(w, fd_of(w, 0), wicked));
    assert_int_equal(w->at_server[1].states[NET_CHECKED], 1);
    world_free(w);
}

static void good_checks_are_answered_only_so_often(void **state)
{
    struct world *w = world_new(&(struct options){0});
    struct sockaddr_storage unused;
    int fd = bind_socket(false, &unused);
    struct net_transport *t = make_place(w, 0);
    int64_t began_us = clock_now_us();
    unsigned answered = 0;
    for (unsigned i = 0; i < 400; i++)
        answered += check(w, fd, t);
    unsigned most = NET_CHECKS_AT_ONCE + (unsigned)((clock_now_us() - began_us) / NET_CHECK_US) + 1;
    assert_in_range(answered, NET_CHECKS_AT_ONCE, most);
    assert_int_equal(drops(w, NET_DROP_CHECK_FLOOD), 400 - answered);
    close(fd);
    world_free(w);
}

static void a_flood_of_dtls_leaves_others_room_to_join(void **state)
{
    struct world *w = world_new(&(struct options){0});
    uint8_t bytes[64];
    size_t len = put_record(bytes, 23, 1, 40);
    connect_pair(w, 0);
    start_pair(w, 1);
    int64_t until_us = clock_now_us() + 10000000;
    while (!pair_is_connected(w, 1) && clock_now_us() < until_us) {
        for (unsigned i = 0; i < 200; i++)
            datagram(w, fd_of(w, 0), bytes, len);
        turn(w);
    }
    assert_true(pair_is_connected(w, 1));
    assert_true(drops(w, NET_DROP_HANDSHAKE_QUEUE) > 100);
    send_rtp(&w->at_client[0], 1, 100, 0);
    wait_for(w, w->at_server[0].rtp == 1);
    world_free(w);
}

static void a_live_session_takes_no_harm_from_what_is_not_its_own(void **state)
{
    static const uint8_t types[] = {20, 21, 22, 23, 24, 63};
    static const uint16_t epochs[] = {0, 1, 2, 65535};
    struct world *w = world_new(&(struct options){0});
    connect_pair(w, 0);
    const struct net_stats *stats = net_stats(w->server.net);
    uint64_t received = stats->received_packets;
    unsigned sent = 0;
    for (size_t i = 0; i < sizeof types; i++)
        for (size_t k = 0; k < sizeof epochs / sizeof epochs[0]; k++) {
            uint8_t bytes[64];
            datagram(w, fd_of(w, 0), bytes, put_record(bytes, types[i], epochs[k], types[i] == 21 ? 2 : 40));
            sent++;
        }
    wait_for(w, stats->received_packets >= received + sent);
    wait_for(w, w->server.net->dtls_count == 0);
    assert_int_equal(net_transport_state(w->at_server[0].t), NET_CONNECTED);
    send_rtp(&w->at_server[0], 1, 100, 0);
    send_rtp(&w->at_client[0], 1, 100, 0);
    wait_for(w, w->at_server[0].rtp == 1 && w->at_client[0].rtp == 1);
    world_free(w);
}

static void records_that_are_none_never_reach_the_handshake(void **state)
{
    static const struct {
        uint8_t at, value;
    } breaks[] = {{0, 19 + 45}, {1, 3}, {11, 1}, {12, 200}};
    struct world *w = world_new(&(struct options){0});
    connect_pair(w, 0);
    for (size_t i = 0; i < sizeof breaks / sizeof breaks[0]; i++) {
        uint8_t bytes[128];
        size_t len = put_record(bytes, 22, 0, 30);
        len += put_record(bytes + len, 22, 0, 30);
        bytes[RECORD + 30 + breaks[i].at] = breaks[i].value; /* of the second */
        datagram(w, fd_of(w, 0), bytes, len);
    }
    wait_for(w, drops(w, NET_DROP_DTLS) == sizeof breaks / sizeof breaks[0]);
    world_free(w);
}

static void what_waits_for_the_next_epoch_is_little(void **state)
{
    struct world *w = world_new(&(struct options){0});
    struct sockaddr_storage unused;
    int fd = bind_socket(false, &unused);
    uint8_t hello[64];
    size_t len = put_record(hello, 22, 0, 40);
    static const uint8_t head[] = {1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 28}; /* the first 28 of 256 bytes */
    memcpy(hello + RECORD, head, sizeof head);
    assert_true(check(w, fd, make_place(w, 0)));
    datagram(w, fd, hello, len);
    for (unsigned i = 0; i < 20; i++) {
        uint8_t bytes[64];
        datagram(w, fd, bytes, put_record(bytes, 22, 1, 40));
        turn(w);
    }
    wait_for(w, drops(w, NET_DROP_DTLS) == 20 - 8);
    assert_int_equal(net_transport_state(w->at_server[0].t), NET_CHECKED);
    close(fd);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_password_of_ones_own_takes_nobodys_address),
        cmocka_unit_test(good_checks_are_answered_only_so_often),
        cmocka_unit_test(a_flood_of_dtls_leaves_others_room_to_join),
        cmocka_unit_test(a_live_session_takes_no_harm_from_what_is_not_its_own),
        cmocka_unit_test(records_that_are_none_never_reach_the_handshake),
        cmocka_unit_test(what_waits_for_the_next_epoch_is_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
