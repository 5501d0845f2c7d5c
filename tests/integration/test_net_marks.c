/* Differentiated services: what we send carries the mark of its class, as the kernel of the receiver sees it. */
#include "net_world.h"

#include <netinet/ip.h>

enum { SEQS = 64, OTHER = SEQS /* handshakes, connectivity checks, reports */ };

/* Between client and server: sees what the server sends before it hands it on. */
struct relay {
    struct world *w;
    int front, back; /* towards the client, the server */
    struct sockaddr_storage front_addr, back_addr, client;
    socklen_t client_len;
    int tos[SEQS + 1]; /* by sequence number, −1: not seen */
};

static int tos_of(struct msghdr *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS)
            return *CMSG_DATA(c);
        if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS)
            return *(int *)(void *)CMSG_DATA(c);
    }
    return -1;
}

static void from_server(struct relay *r)
{
    uint8_t bytes[2048], control[64];
    struct iovec iov = {bytes, sizeof bytes};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t len;
    while ((len = recvmsg(r->back, &m, MSG_DONTWAIT)) > 0) {
        bool rtp = len >= 12 && bytes[0] >> 6 == 2 && (bytes[1] < 192 || bytes[1] > 223);
        unsigned seq = (unsigned)(bytes[2] << 8 | bytes[3]);
        r->tos[rtp && seq < SEQS ? seq : OTHER] = tos_of(&m);
        sendto(r->front, bytes, (size_t)len, 0, (struct sockaddr *)&r->client, r->client_len);
        m.msg_controllen = sizeof control;
    }
}

static void from_client(struct relay *r)
{
    uint8_t bytes[2048];
    ssize_t len;
    socklen_t size = sizeof r->client;
    while ((len = recvfrom(r->front, bytes, sizeof bytes, MSG_DONTWAIT, (struct sockaddr *)&r->client, &size)) > 0) {
        r->client_len = size;
        sendto(r->back, bytes, (size_t)len, 0, (struct sockaddr *)&r->w->server.addr, size);
        size = sizeof r->client;
    }
}

static bool seen(struct relay *r, unsigned n)
{
    unsigned have = 0;
    for (unsigned i = 0; i < SEQS; i++)
        have += r->tos[i] >= 0;
    return have >= n;
}

#define run_until(r, condition)                                                                                             \
    do {                                                                                                                    \
        int64_t give_up_us = clock_now_us() + 10000000;                                                                     \
        while (!(condition) && clock_now_us() < give_up_us) {                                                               \
            turn((r)->w);                                                                                                   \
            from_client(r);                                                                                                 \
            from_server(r);                                                                                                 \
        }                                                                                                                   \
        assert_true(condition);                                                                                             \
    } while (0)

static void relay_begin(struct relay *r, bool v6)
{
    *r = (struct relay){.w = world_new(&(struct options){.v6 = v6})};
    r->front = bind_socket(v6, &r->front_addr);
    r->back = bind_socket(v6, &r->back_addr);
    int level = v6 ? IPPROTO_IPV6 : IPPROTO_IP, name = v6 ? IPV6_RECVTCLASS : IP_RECVTOS;
    assert_int_equal(setsockopt(r->back, level, name, &(int){1}, sizeof(int)), 0);
    for (unsigned i = 0; i <= SEQS; i++)
        r->tos[i] = -1;
    r->w->by_way_of = &r->front_addr;
    start_pair(r->w, 0);
    run_until(r, pair_is_connected(r->w, 0));
}

static void relay_end(struct relay *r)
{
    world_free(r->w);
    close(r->front);
    close(r->back);
}

static void send_class(struct relay *r, enum net_class class, uint16_t first, uint16_t n)
{
    for (uint16_t seq = first; seq < first + n; seq++) {
        uint8_t h[20];
        size_t len = rtp_header(h, seq, 77);
        assert_int_equal(net_send_rtp(r->w->at_server[0].t, class, h, len, payload, 1000, 0), 0);
    }
}

/* Four of each: they leave as runs that the kernel cuts, whose every packet is marked. */
static void send_all(struct relay *r, uint16_t first)
{
    send_class(r, NET_SOUND, first, 4);
    send_class(r, NET_PICTURE, first + 4, 4);
    send_class(r, NET_SCREEN, first + 8, 4);
    run_until(r, seen(r, first + 12u));
}

static void assert_marks(const struct relay *r, unsigned first, int sound, int picture, int screen)
{
    for (unsigned i = 0; i < 12; i++)
        assert_int_equal(r->tos[first + i] >> 2, i < 4 ? sound : i < 8 ? picture : screen);
}

static void each_class_has_its_mark(bool v6)
{
    struct relay r;
    relay_begin(&r, v6);
    assert_int_equal(r.tos[OTHER], 0);
    net_set_dscp(r.w->server.net, (int[]){46, 34, 26, 40});
    send_all(&r, 0);
    assert_marks(&r, 0, 46, 34, 26);
    uint8_t bye[] = {0x81, 203, 0, 1, 0, 0, 0, 77};
    assert_int_equal(net_send_rtcp(r.w->at_server[0].t, bye, sizeof bye), 0);
    run_until(&r, r.tos[OTHER] > 0);
    assert_int_equal(r.tos[OTHER] >> 2, 40);
    net_set_dscp(r.w->server.net, (int[]){10, -1, 63, -1}); /* a changed configuration: from the next packet on */
    send_all(&r, 12);
    assert_marks(&r, 12, 10, 0, 63);
    relay_end(&r);
}

static void each_class_has_its_mark_over_ipv4(void **state)
{
    each_class_has_its_mark(false);
}

static void each_class_has_its_mark_over_ipv6(void **state)
{
    each_class_has_its_mark(true);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_class_has_its_mark_over_ipv4),
        cmocka_unit_test(each_class_has_its_mark_over_ipv6),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
