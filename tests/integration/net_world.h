/* A server net and a client net in one process, over 127.0.0.1 or ::1, driven turn by turn until a condition holds. */
#pragma once

#include "net/net.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { KEPT = 64, PEERS = 8 };

/* What one end of a pair saw. */
struct end {
    struct net_transport *t;
    int states[NET_EXPIRED + 1];
    unsigned rtp, rtcp;
    size_t lens[KEPT]; /* of the RTP packets in order; the last place is the newest RTCP's */
    uint8_t bytes[KEPT][PACKET_CAPACITY];
    bool free_on_state;
};

struct side {
    struct net *net;
    struct sockaddr_storage addr; /* server role */
};

struct world {
    struct side server, client;
    struct end at_server[PEERS], at_client[PEERS];
    bool wrong_fingerprint, tcp;
    struct sockaddr_storage *by_way_of; /* clients send there instead of to the server */
};

struct options {
    bool v6, no_gso, refuse_gso, tcp;
    int send_buffer_bytes; /* of TCP connections, 0: as it is */
    enum seal_engine engine;
    int dscp;
};

struct world *world_new(const struct options *o);
void world_free(struct world *w);
void turn(struct world *w);
/* A listener where a UDP socket is. */
int listen_beside(const struct sockaddr_storage *addr, bool v6);
int bind_socket(bool v6, struct sockaddr_storage *ret_addr);

#define wait_for(w, condition)                                                                                              \
    do {                                                                                                                    \
        int64_t give_up_us = clock_now_us() + 10000000;                                                                     \
        while (!(condition) && clock_now_us() < give_up_us)                                                                 \
            turn(w);                                                                                                        \
        assert_true(condition);                                                                                             \
    } while (0)

/* Client `i` and its place at the server, connecting but not yet connected. */
void start_pair(struct world *w, int i);
bool pair_is_connected(const struct world *w, int i);
void connect_pair(struct world *w, int i);

/* Fixed header with one word of extension: 20 bytes. */
size_t rtp_header(uint8_t *h, uint16_t seq, uint32_t ssrc);
extern const uint8_t *const payload; /* 1,400 bytes to send */
void send_rtp(struct end *from, uint16_t seq, size_t len, uint8_t padding);
void assert_received(const struct end *e, unsigned i, uint16_t seq, size_t len);

/* A connectivity check made by hand. */
struct check {
    const char *username, *password;
    bool controlled, nominate, unknown_attribute, no_fingerprint;
};

/* Sends a check from `fd` and returns the error code of the answer: 0 success, −1 none. */
int check_from(struct world *w, int fd, const struct check *c);
