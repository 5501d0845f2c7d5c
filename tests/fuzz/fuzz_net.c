/* Datagrams at the media port. The first byte says who sends: 0 a stranger, 1 a peer that is connected, 2 a peer that has
 * passed a check and speaks DTLS, 3 a peer whose check is signed right but holds whatever attributes it likes. */
#include "net/net_priv.h"

#include "base/clock.h"
#include "require.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct net *server, *client;
static struct net_transport *connected;
static union net_addr stranger, newcomer;

static struct net_transport *make_place(const char *ufrag, const char *pwd)
{
    struct net_transport_config config = {.role = NET_SERVER};
    struct net_transport *t;
    strcpy(config.remote_ufrag, ufrag);
    strcpy(config.remote_pwd, pwd);
    strcpy(config.remote_fingerprint, net_fingerprint(client));
    require(!net_transport_new(server, &config, &t));
    return t;
}

static void connect_client(const union net_addr *to)
{
    struct net_transport_config config = {.role = NET_CLIENT};
    struct net_transport *t;
    require(!net_transport_new(client, &config, &t));
    connected = make_place(net_transport_ufrag(t), net_transport_pwd(t));
    memcpy(&config.remote, to, sizeof *to);
    strcpy(config.remote_ufrag, net_transport_ufrag(connected));
    strcpy(config.remote_pwd, net_transport_pwd(connected));
    strcpy(config.remote_fingerprint, net_fingerprint(server));
    require(!net_transport_connect(t, &config));
    while (connected->state != NET_CONNECTED || t->state != NET_CONNECTED) {
        require(!net_run_once(server, clock_now_us() + 1000));
        require(!net_run_once(client, clock_now_us() + 1000));
    }
}

static void start(void)
{
    static const struct net_events none = {0};
    union net_addr a = {.in4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    require(!bind(fd, &a.sa, sizeof a.in4) && !getsockname(fd, &a.sa, &len));
    struct net_config config = {.sockets = &fd, .n_sockets = 1, .packets = 128, .dscp = {-1, -1, -1, -1}};
    require(!net_new(&config, &none, NULL, &server));
    config.n_sockets = 0;
    require(!net_new(&config, &none, NULL, &client));
    connect_client(&a);
    stranger = newcomer = a;
    stranger.in4.sin_port = htons(1);
    newcomer.in4.sin_port = htons(2);
}

static void give(const union net_addr *from, const uint8_t *bytes, size_t len)
{
    struct packet *p = packet_get(server->pool);
    require(p);
    memcpy(p->bytes, bytes, len);
    p->len = (uint16_t)len;
    net_input(server, server->sockets, p, from, clock_now_us());
    packet_unref(p);
}

static void give_signed_check(const struct net_transport *t, const uint8_t *attributes, size_t len)
{
    StunAgent agent;
    StunMessage m;
    uint8_t out[STUN_MAX_MESSAGE_SIZE];
    char username[64];
    snprintf(username, sizeof username, "%s:%s", t->ufrag, t->remote_ufrag);
    stun_agent_init(&agent, (const uint16_t[]){0}, STUN_COMPATIBILITY_RFC5389,
                    STUN_AGENT_USAGE_SHORT_TERM_CREDENTIALS | STUN_AGENT_USAGE_USE_FINGERPRINT);
    stun_agent_init_request(&agent, &m, out, sizeof out, STUN_BINDING);
    while (len >= 4) {
        size_t value = attributes[2] % 64U;
        if (value > len - 4)
            value = len - 4;
        stun_message_append_bytes(&m, (StunAttribute)(attributes[0] << 8 | attributes[1]), attributes + 4, value);
        attributes += 4 + value;
        len -= 4 + value;
    }
    stun_message_append_string(&m, STUN_ATTRIBUTE_USERNAME, username);
    size_t size = stun_agent_finish_message(&agent, &m, (const uint8_t *)t->pwd, strlen(t->pwd));
    if (size)
        give(&newcomer, out, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (!server)
        start();
    if (!len || len > NET_DATAGRAM)
        return 0;
    struct net_transport *t = make_place("peer", "abcdefghijklmnopqrstuv");
    switch (data[0] % 4) {
    case 0: give(&stranger, data + 1, len - 1); break;
    case 1: give(&connected->path->addr, data + 1, len - 1); break;
    case 2:
        net_path_checked(t, server->sockets, &newcomer, true, clock_now_us());
        give(&newcomer, data + 1, len - 1);
        break;
    default: give_signed_check(t, data + 1, len - 1); break;
    }
    while (server->dtls_count)
        dtls_steps(server, clock_now_us());
    require(connected->state == NET_CONNECTED); /* nobody without the keys ends a call */
    net_transport_free(t);
    send_flush(server);
    net_transports_reap(server);
    return 0;
}
