#include "net_world.h"

#include <stun/usages/ice.h>

#include <arpa/inet.h>

static uint8_t payload_bytes[1400];
const uint8_t *const payload = payload_bytes;

static void on_rtp(void *ctx, struct net_transport *t, struct packet *p, int64_t now_us)
{
    struct end *e = net_transport_user(t);
    if (e->rtp < KEPT) {
        memcpy(e->bytes[e->rtp], p->bytes, p->len);
        e->lens[e->rtp] = p->len;
    }
    e->rtp++;
}

static void on_rtcp(void *ctx, struct net_transport *t, const uint8_t *bytes, size_t len, int64_t now_us)
{
    struct end *e = net_transport_user(t);
    memcpy(e->bytes[KEPT - 1], bytes, len);
    e->lens[KEPT - 1] = len;
    e->rtcp++;
}

static void on_state(void *ctx, struct net_transport *t, enum net_state state, int64_t now_us)
{
    struct end *e = net_transport_user(t);
    e->states[state]++;
    if (e->free_on_state) {
        e->t = NULL;
        net_transport_free(t);
    }
}

static const struct net_events events = {.rtp = on_rtp, .rtcp = on_rtcp, .state = on_state};

int bind_socket(bool v6, struct sockaddr_storage *ret_addr)
{
    union {
        struct sockaddr sa;
        struct sockaddr_in in4;
        struct sockaddr_in6 in6;
        struct sockaddr_storage storage;
    } a = {0};
    socklen_t len = v6 ? sizeof a.in6 : sizeof a.in4;
    if (v6)
        a.in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    else
        a.in4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, &a.sa, len), 0);
    len = sizeof a;
    assert_int_equal(getsockname(fd, &a.sa, &len), 0);
    *ret_addr = a.storage;
    return fd;
}

int listen_beside(const struct sockaddr_storage *addr, bool v6)
{
    int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)addr, v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in)),
                     0);
    assert_int_equal(listen(fd, 64), 0);
    return fd;
}

struct world *world_new(const struct options *o)
{
    struct world *w = calloc(1, sizeof *w);
    for (size_t i = 0; i < sizeof payload_bytes; i++)
        payload_bytes[i] = (uint8_t)(i * 7);
    int fd = bind_socket(o->v6, &w->server.addr);
    if (o->refuse_gso) /* the kernel cuts no runs without checksums: EINVAL, as on a card without offload */
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, &(int){1}, sizeof(int)), 0);
    w->tcp = o->tcp;
    int listener = o->tcp ? listen_beside(&w->server.addr, o->v6) : -1;
    if (o->send_buffer_bytes)
        setsockopt(listener, SOL_SOCKET, SO_SNDBUF, &o->send_buffer_bytes, sizeof o->send_buffer_bytes);
    int dscp = o->dscp ? o->dscp : -1;
    struct net_config config = {.sockets = &fd,
                                .n_sockets = 1,
                                .listeners = &listener,
                                .n_listeners = o->tcp,
                                .packets = 256,
                                .gso = !o->no_gso,
                                .engine = o->engine,
                                .dscp = {dscp, dscp, dscp, dscp}};
    assert_int_equal(net_new(&config, &events, &w->server, &w->server.net), 0);
    config.n_sockets = config.n_listeners = 0;
    config.gso = true;
    config.engine = SEAL_AUTO;
    assert_int_equal(net_new(&config, &events, &w->client, &w->client.net), 0);
    return w;
}

void world_free(struct world *w)
{
    net_free(w->client.net);
    net_free(w->server.net);
    free(w);
}

void turn(struct world *w)
{
    net_run_once(w->server.net, clock_now_us() + 1000);
    net_run_once(w->client.net, clock_now_us() + 1000);
}

void start_pair(struct world *w, int i)
{
    struct end *c = &w->at_client[i], *s = &w->at_server[i];
    struct net_transport_config config = {.role = NET_CLIENT, .user = c};
    assert_int_equal(net_transport_new(w->client.net, &config, &c->t), 0);

    config = (struct net_transport_config){.role = NET_SERVER, .user = s};
    strcpy(config.remote_ufrag, net_transport_ufrag(c->t));
    strcpy(config.remote_pwd, net_transport_pwd(c->t));
    strcpy(config.remote_fingerprint, net_fingerprint(w->client.net));
    if (w->wrong_fingerprint)
        config.remote_fingerprint[0] = config.remote_fingerprint[0] == 'A' ? 'B' : 'A';
    assert_int_equal(net_transport_new(w->server.net, &config, &s->t), 0);

    config = (struct net_transport_config){
        .role = NET_CLIENT, .remote = w->by_way_of ? *w->by_way_of : w->server.addr, .tcp = w->tcp};
    strcpy(config.remote_ufrag, net_transport_ufrag(s->t));
    strcpy(config.remote_pwd, net_transport_pwd(s->t));
    strcpy(config.remote_fingerprint, net_fingerprint(w->server.net));
    assert_int_equal(net_transport_connect(c->t, &config), 0);
    assert_int_equal(net_transport_connect(c->t, &config), ERR_STATE);
}

bool pair_is_connected(const struct world *w, int i)
{
    return w->at_client[i].states[NET_CONNECTED] && w->at_server[i].states[NET_CONNECTED];
}

void connect_pair(struct world *w, int i)
{
    start_pair(w, i);
    wait_for(w, pair_is_connected(w, i));
}

size_t rtp_header(uint8_t *h, uint16_t seq, uint32_t ssrc)
{
    memset(h, 0, 20);
    h[0] = 0x90;
    h[1] = 96;
    put_u16(h + 2, seq);
    put_u32(h + 4, 90000);
    put_u32(h + 8, ssrc);
    put_u32(h + 12, 0xBEDE0001);
    put_u32(h + 16, 0x10300000);
    return 20;
}

void send_rtp(struct end *from, uint16_t seq, size_t len, uint8_t padding)
{
    uint8_t h[20];
    size_t header_len = rtp_header(h, seq, 77);
    if (padding)
        h[0] |= 0x20;
    assert_int_equal(net_send_rtp(from->t, NET_PICTURE, h, header_len, payload, len, padding), 0);
}

void assert_received(const struct end *e, unsigned i, uint16_t seq, size_t len)
{
    uint8_t h[20];
    rtp_header(h, seq, 77);
    assert_int_equal(e->lens[i], sizeof h + len);
    assert_memory_equal(e->bytes[i], h, sizeof h);
    assert_memory_equal(e->bytes[i] + sizeof h, payload, len);
}

static const uint16_t check_attributes[] = {STUN_ATTRIBUTE_USERNAME,
                                            STUN_ATTRIBUTE_MESSAGE_INTEGRITY,
                                            STUN_ATTRIBUTE_ERROR_CODE,
                                            STUN_ATTRIBUTE_UNKNOWN_ATTRIBUTES,
                                            STUN_ATTRIBUTE_XOR_MAPPED_ADDRESS,
                                            STUN_ATTRIBUTE_FINGERPRINT,
                                            0};

int check_from(struct world *w, int fd, const struct check *c)
{
    StunAgent agent;
    StunMessage request, reply;
    uint8_t out[STUN_MAX_MESSAGE_SIZE], in[STUN_MAX_MESSAGE_SIZE];
    stun_agent_init(&agent, check_attributes, STUN_COMPATIBILITY_RFC5389,
                    STUN_AGENT_USAGE_SHORT_TERM_CREDENTIALS | (c->no_fingerprint ? 0 : STUN_AGENT_USAGE_USE_FINGERPRINT));
    assert_true(stun_agent_init_request(&agent, &request, out, sizeof out, STUN_BINDING));
    stun_message_append_string(&request, STUN_ATTRIBUTE_USERNAME, c->username);
    stun_message_append32(&request, STUN_ATTRIBUTE_PRIORITY, 1);
    stun_message_append64(&request, c->controlled ? STUN_ATTRIBUTE_ICE_CONTROLLED : STUN_ATTRIBUTE_ICE_CONTROLLING, 12345);
    if (c->nominate)
        stun_message_append_flag(&request, STUN_ATTRIBUTE_USE_CANDIDATE);
    if (c->unknown_attribute)
        stun_message_append32(&request, 0x7ffe, 0);
    size_t len = stun_agent_finish_message(&agent, &request, (const uint8_t *)c->password, strlen(c->password));
    assert_true(len > 0);

    const struct net_stats *stats = net_stats(w->server.net);
    uint64_t received = stats->received_packets;
    assert_int_equal(sendto(fd, out, len, 0, (struct sockaddr *)&w->server.addr, sizeof(struct sockaddr_in)), len);
    int64_t give_up_us = clock_now_us() + 5000000;
    while (stats->received_packets == received && clock_now_us() < give_up_us)
        net_run_once(w->server.net, clock_now_us() + 1000);
    ssize_t got = recv(fd, in, sizeof in, MSG_DONTWAIT);
    if (got < 0)
        return -1;
    StunValidationStatus status = stun_agent_validate(&agent, &reply, in, (size_t)got, NULL, NULL);
    assert_true(status == STUN_VALIDATION_SUCCESS); /* the answer carries MESSAGE-INTEGRITY and, if asked, FINGERPRINT */
    int code = 0;
    stun_message_find_error(&reply, &code);
    return code;
}
