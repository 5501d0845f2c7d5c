/* Net: the loop of a media process. Sockets, ICE-lite (RFC 8445, 8489), DTLS 1.2 (RFC 6347, 5764), SRTP, GSO sending.
 *
 * One struct net a process, one thread. It owns the sockets it is given, an epoll set, the packet pool, and transports. A
 * transport is one endpoint's ICE + DTLS + SRTP (BUNDLE, rtcp-mux) over whatever path its checks nominate: an address of a
 * UDP socket, or a TCP connection to a listener of the same port (RFC 6544, RFC 4571; streams.c).
 *
 * Order of a turn: epoll → recvmmsg → (STUN | DTLS | unprotect → events.rtp / events.rtcp) → watches → events.turn → flush
 * of all runs in one sendmmsg. Everything handed to net_send_*() in a turn leaves at its end. Times are CLOCK_MONOTONIC µs.
 *
 * Errors: bad datagrams only increment a counter (enum net_drop). Allocation: at net_new(), net_watch(), for each transport,
 * inside OpenSSL during a handshake and inside libsrtp for a new incoming SSRC; never for a packet.
 *
 * Left out: TURN (a relayed client looks like any other), IPv4-mapped sockets, DTLS 1.3, DSCP marks on TCP. */
#pragma once

#include "base/packet.h"
#include "srtp/seal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct net;
struct net_transport;

enum net_state {
    NET_NEW,
    NET_CHECKED,   /* an authenticated connectivity check has named the peer's address */
    NET_CONNECTED, /* DTLS finished, fingerprint verified, SRTP keys installed */
    NET_FAILED,    /* fingerprint mismatch, DTLS alert, no common profile */
    NET_EXPIRED,   /* no authenticated check for 30 s (RFC 7675), since the beginning or any more */
};

enum net_role {
    NET_SERVER, /* ICE-lite, controlled, DTLS passive: giaoban-media */
    NET_CLIENT, /* sends connectivity checks with USE-CANDIDATE to one remote address, DTLS active: simulator, room */
};

enum net_class { NET_SOUND, NET_PICTURE, NET_SCREEN, NET_CONTROL }; /* chooses the DSCP mark */

struct net_events {
    /* An authenticated RTP packet in the clear; header parsed by the receiver. The packet is the callee's to keep with
     * packet_ref(); net drops its own reference afterwards. */
    void (*rtp)(void *ctx, struct net_transport *t, struct packet *p, int64_t now_us);
    /* An authenticated compound RTCP packet in the clear; valid during the call. */
    void (*rtcp)(void *ctx, struct net_transport *t, const uint8_t *bytes, size_t len, int64_t now_us);
    void (*state)(void *ctx, struct net_transport *t, enum net_state state, int64_t now_us);
    /* End of a turn, before the flush. Returns when it wants to run again at the latest (INT64_MAX: no wish). */
    int64_t (*turn)(void *ctx, int64_t now_us);
};

/* What strangers may cost us. 0: the default. A source is an IPv4 address or an IPv6 /64. */
struct net_limits {
    unsigned handshake_steps;  /* DTLS datagrams a turn, one while a whole batch was waiting; transports take turns. 8 */
    unsigned half_open;        /* handshakes begun and not finished; more, and the most crowded source's oldest fails. 512 */
    unsigned half_open_source; /* of one source; its next one gets no answer until one is finished. 256 */
    unsigned handshake_s;      /* seconds from the first valid check to the end of the handshake; then it fails. 15 */
    unsigned stun_source;      /* unauthenticated STUN messages of one source a second; beyond, none but from addresses that
                                  have passed a check is looked at. 1000 */
    unsigned tcp;         /* connections; a new one beyond cuts off one that has passed no check, if there is any. 1024 */
    unsigned tcp_source;  /* of one source; its next one is closed at once. 256 */
    unsigned tcp_check_s; /* seconds from its beginning to a connection's first valid check; then it is closed. 5 */
};

struct net_config {
    const int *sockets; /* bound, non-blocking UDP sockets (server role); owned by net from net_new() on */
    size_t n_sockets;
    const int *listeners; /* listening, non-blocking TCP sockets (server role); owned by net from net_new() on */
    size_t n_listeners;
    size_t packets; /* size of the packet pool */
    struct net_limits limits;
    int dscp[4];             /* by enum net_class, 0 … 63; −1: unmarked */
    bool gso;                /* false: never (tests) */
    enum seal_engine engine; /* SEAL_AUTO: the best here; others for tests */
};

struct net_transport_config {
    enum net_role role;
    void *user; /* net_transport_user() */
    char remote_ufrag[257], remote_pwd[257];
    char remote_fingerprint[96 * 3]; /* "AB:CD:…" of sha-256 */
    struct sockaddr_storage remote;  /* client role: where to send the checks; a socket of its own is made for it */
    bool tcp;                        /* client role: by a connection; when it ends, NET_FAILED */
};
/* NET_FAILED and NET_EXPIRED are final: nothing is sent or received any more, the owner frees the transport. */

int net_new(const struct net_config *config, const struct net_events *events, void *ctx, struct net **ret_net);
void net_set_limits(struct net *n, const struct net_limits *limits); /* any time */
void net_set_dscp(struct net *n, const int dscp[4]);                 /* likewise; from the next datagram on */
void net_free(struct net *n);                                        /* closes transports first; NULL is fine */

/* One turn; waits at most until `deadline_us`. */
int net_run_once(struct net *n, int64_t deadline_us);

/* Another descriptor in the same loop (control link, a feed's eventfd). `events` as for epoll. */
int net_watch(struct net *n, int fd, uint32_t events, void (*ready)(void *ctx, uint32_t events, int64_t now_us), void *ctx);
int net_unwatch(struct net *n, int fd);

/* "AB:CD:…" of our certificate; made at net_new(). */
const char *net_fingerprint(const struct net *n);

/* A client's offer names our credentials before the answer names theirs: in client role the remote fields may be empty here,
 * and nothing is sent before net_transport_connect() brings them. ERR_INVAL: a remote field is missing or no fingerprint. */
int net_transport_new(struct net *n, const struct net_transport_config *config, struct net_transport **ret_t);
int net_transport_connect(struct net_transport *t, const struct net_transport_config *config); /* client role, once */
/* Also sends a DTLS close_notify. `t` is gone afterwards; safe inside a callback for another transport, and for its own. */
void net_transport_free(struct net_transport *t);
void *net_transport_user(const struct net_transport *t);
const char *net_transport_ufrag(const struct net_transport *t); /* ours, made at new */
const char *net_transport_pwd(const struct net_transport *t);
enum net_state net_transport_state(const struct net_transport *t);
/* Client role: a new socket instead of the old one, as after a change of network. The server follows with the next check. */
int net_transport_rebind(struct net_transport *t, const struct sockaddr *from /* NULL: as the system likes */);
/* Client role, for hostile clients: the socket (−1: none), and the keys of a connected transport (ERR_STATE), for bytes that
 * net would never send. */
int net_transport_fd(const struct net_transport *t);
int net_transport_keys(const struct net_transport *t, struct seal_keys *ret_keys);
int64_t net_transport_rtt_us(const struct net_transport *t); /* client role: of the last check; −1 unknown */

/* Protects header + payload (+ `padding` bytes of RTP padding, last byte their count; the caller has set P in the header)
 * into the send area and appends to the transport's run. `header` is complete (fixed, CSRC, extension): `header_len` a
 * multiple of 4, at most 160. (key, SSRC, index) is never used twice with different bytes: the sequence number's rollover
 * is counted here, from a first number below 32768. Returns 0 or ERR_STATE (not connected), ERR_FULL (counted),
 * ERR_RANGE, ERR_REPLAY or ERR_BUSY as seal_rtp(). Numbers may be sent out of order within SEAL_WINDOW. */
int net_send_rtp(struct net_transport *t, enum net_class class, const uint8_t *header, size_t header_len,
                 const uint8_t *payload, size_t payload_len, uint8_t padding);
int net_send_rtcp(struct net_transport *t, const uint8_t *bytes, size_t len);

struct net_stats {
    uint64_t received_packets, received_bytes, sent_packets, sent_bytes;
    uint64_t gso_runs, gso_run_packets; /* runs longer than one and the packets in them */
    uint64_t gso_refused;               /* runs the kernel refused; that transport sends singly from then on */
    uint64_t sendmmsg_calls;
    uint64_t handshakes_begun, handshakes_done, handshakes_failed;
    uint64_t handshakes_late, handshakes_evicted;    /* of the failed: out of time, made room */
    uint64_t half_open_now;                          /* server role */
    int64_t longest_turn_us;                         /* without its wait */
    uint64_t tcp_accepted, tcp_now;                  /* connections, server role */
    uint64_t tcp_received_packets, tcp_sent_packets; /* in the sums above too */
    uint64_t drops[32];                              /* by enum net_drop */
};

enum net_drop {
    NET_DROP_GARBAGE,      /* first byte of no protocol (RFC 7983) */
    NET_DROP_STUN,         /* malformed, unauthenticated or for an unknown ufrag */
    NET_DROP_UNKNOWN_PEER, /* DTLS, RTP or RTCP from an address that passed no check */
    NET_DROP_DTLS,
    NET_DROP_NOT_CONNECTED, /* RTP before keys */
    NET_DROP_AUTH,          /* SRTP authentication failed */
    NET_DROP_REPLAY,
    NET_DROP_SRTCP_CLEAR, /* SRTCP under GCM without the E bit */
    NET_DROP_TRUNCATED,
    NET_DROP_POOL_EMPTY,
    NET_DROP_SEND_FULL,
    NET_DROP_SEND_REFUSED,    /* EMSGSIZE, EPERM, …: the message was skipped */
    NET_DROP_SSRCS,           /* more than SEAL_SSRCS incoming SSRCs on one transport */
    NET_DROP_STUN_RATE,       /* net_limits.stun_source */
    NET_DROP_HALF_OPEN,       /* net_limits.half_open_source */
    NET_DROP_HANDSHAKE_QUEUE, /* more datagrams of a handshake than may wait, of one transport or in all */
    NET_DROP_CHECK_FLOOD,     /* authenticated checks beyond a transport's allowance */
    NET_DROP_ADDRESS_USED,    /* an authenticated check from an address where another transport is alive */
    NET_DROP_TCP_FULL,        /* a connection: no room (net_limits.tcp), or it made room */
    NET_DROP_TCP_SOURCE,      /* a connection: net_limits.tcp_source */
    NET_DROP_TCP_LATE,        /* a connection without a valid check in time */
    NET_DROP_TCP_STRANGER,    /* a connection whose first packet was no valid check */
    NET_DROP_TCP_FRAME,       /* a connection that named a length no packet has */
    NET_DROP_TCP_SILENT,      /* a connection without a valid check for 30 s */
    NET_DROP_TCP_PICTURE,     /* a packet of a picture: the connection takes less than is sent */
    NET_DROP_COUNT,
};

const char *net_drop_str(enum net_drop d); /* metric suffix: "garbage", … */
const struct net_stats *net_stats(const struct net *n);
struct packet_pool *net_packets(struct net *n);
