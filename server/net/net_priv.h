/* Inside of net: what its files share. net.c is the loop and receiving, transport.c a transport's life, paths.c the peer's
 * addresses, streams.c TCP connections, ice.c connectivity checks, sources.c what a source may cost, dtls.c the handshake,
 * handshakes.c how many at a time, send.c runs and the flush. One thread. */
#pragma once

#include "net/net.h"

#include "base/allowance.h"
#include "net/frame.h"

#include <netinet/in.h>
#include <stun/stunagent.h>
#include <sys/uio.h>

enum {
    NET_BATCH = 64,                                    /* datagrams a recvmmsg, messages a sendmmsg × 4 */
    NET_DATAGRAM = PACKET_CAPACITY - SEAL_TRAILER_MAX, /* longest datagram taken */
    NET_PATHS = 8,                                     /* checked addresses a transport */
    NET_PATH_BUCKETS = 4096,
    NET_TRANSPORTS = 4096,
    NET_RUNS = 1024,          /* a flush */
    NET_RUN_SEGMENTS = 64,    /* UDP_MAX_SEGMENTS of Linux 6.1 */
    NET_RUN_BYTES = 65000,    /* below 65,535 with IP and UDP headers */
    NET_AREA = 1 << 20,       /* send area of a turn; a fuller one is flushed early */
    NET_HELD_BYTES = 4 << 20, /* what waits for EPOLLOUT at a shared socket: 34 ms at 1 Gbit/s, a keyframe for 80 viewers */
    NET_HELD_RUNS = 4096,
    NET_HELD_OWN_BYTES = 256 << 10, /* at a client's own socket */
    NET_HELD_OWN_RUNS = 256,
    NET_DTLS_QUEUE = 1024, /* datagrams of handshakes that wait, in all … */
    NET_DATAGRAMS = 8,     /* … and of one transport: two flights */
    NET_SOURCES = 4096,    /* what sources are told apart by: their hash; two in one place share a limit */
    NET_CHECKS = 8,        /* connectivity checks without an answer yet, client role */
    /* Good checks of one transport: a browser with many addresses checks each pair in its first seconds, 50 ms apart. */
    NET_CHECKS_AT_ONCE = 100,
    NET_CHECK_US = 20000,
    /* What may wait at a TCP connection besides what the kernel has: at 512 kbit/s 0.1 s of redundant sound and RTCP, and
     * one keyframe of a small picture. More would only be late. */
    NET_STREAM_SOUND_BYTES = 16 << 10,
    NET_STREAM_PICTURE_BYTES = 64 << 10,
    NET_STREAM_RUNS = 128,
};

#define NET_CONSENT_US (30 * 1000000LL) /* RFC 7675, 5.1 */

union net_addr {
    struct sockaddr sa;
    struct sockaddr_in in4;
    struct sockaddr_in6 in6;
};

/* What epoll points to. */
struct net_source {
    struct net_socket *socket; /* NULL: a watch */
    struct net_watch *watch;
    struct net_listener *listener;
};

struct net_listener {
    struct net_source source;
    int fd;
    struct net_listener *next;
};

struct net_watch {
    struct net_source source;
    int fd;
    bool dead;
    void (*ready)(void *ctx, uint32_t events, int64_t now_us);
    void *ctx;
    struct net_watch *next;
};

/* One message to the kernel: `count` datagrams of `segment` bytes, the last may be shorter. */
struct net_run {
    struct net_transport *t; /* NULL: a STUN answer, or held over */
    struct net_run *next;    /* of the same socket in this turn */
    const uint8_t *bytes;
    uint32_t len;
    uint16_t segment, count;
    uint8_t class;
    union net_addr to;
};

/* Copies of runs that wait for the socket to become writable: runs[first…n_runs), their bytes in the same order. */
struct net_held {
    uint8_t *bytes;
    struct net_run *runs;
    size_t cap_bytes, cap_runs;
    size_t n_bytes, n_runs, first;
};

struct net_socket {
    struct net_source source;
    struct net *net;
    int fd;
    int family;
    struct net_transport *owner; /* client role: the only transport here */
    bool blocked;                /* waits for EPOLLOUT */
    struct net_run *first_run, *last_run;
    struct net_socket *next_dirty, *next;
    struct net_held held;
    struct net_stream *stream; /* a TCP connection; NULL: UDP */
};

/* The TCP half of a socket. */
struct net_stream {
    struct net_socket *socket;
    struct net_stream *next; /* server role: all, oldest first */
    union net_addr peer;
    struct net_transport *t; /* whose check came first; NULL: none yet */
    int64_t by_us;           /* closed then, unless a valid check comes */
    uint16_t source;         /* its hash */
    bool closed;             /* memory goes at the end of the turn */
    bool deaf;               /* takes nothing any more */
    uint16_t rest_at, rest_len;
    uint8_t rest[FRAME_HEADER + PACKET_CAPACITY]; /* of a packet that the kernel took only in part */
    struct net_held sound, pictures;
    struct frame_reader in;
};

/* An address that passed an authenticated check. */
struct net_path {
    struct net_path *next;   /* of the same bucket */
    struct net_transport *t; /* NULL: free */
    struct net_socket *socket;
    union net_addr addr;
    int64_t checked_us;
};

struct net_check {
    StunTransactionId id;
    int64_t sent_us; /* 0: free */
};

/* Client role only. */
struct net_checker {
    StunAgent agent; /* remembers sent requests, so each transport has its own */
    union net_addr remote;
    struct net_check checks[NET_CHECKS];
    unsigned sent;
    int64_t next_us, interval_us, rtt_us;
    uint64_t tie_breaker;
};

struct net_transport {
    struct net *net;
    void *user;
    enum net_role role;
    enum net_state state;
    unsigned slot;
    bool dead; /* freed by its owner, memory goes at the end of the turn */
    bool gso;
    char ufrag[13], pwd[25];
    char remote_ufrag[257], remote_pwd[257];
    uint8_t remote_fingerprint[32];

    struct net_path paths[NET_PATHS];
    struct net_path *path; /* where we send; NULL before the first check */
    int64_t checked_us;    /* last valid check, or the beginning */
    struct allowance checks;

    struct net_checker *checker;
    struct net_socket *own_socket;
    bool tcp; /* client role */

    struct ssl_st *ssl;
    int64_t dtls_at_us;      /* retransmission; INT64_MAX: none */
    int64_t handshake_by_us; /* INT64_MAX: not checked yet, or done */
    unsigned early_records;  /* of the next epoch, during the handshake */
    struct packet *datagrams[NET_DATAGRAMS];
    uint8_t first_datagram, n_datagrams;
    struct net_transport *next_waiting;
    bool half_open;  /* in the list; `source` is counted */
    uint16_t source; /* its hash */
    struct net_transport *next_half_open;
    struct seal *seal;
    struct net_transport *next_dead;
};

struct net {
    struct net_events events;
    void *ctx;
    struct net_stats stats;
    int epoll;
    struct packet_pool *pool;
    struct net_socket *sockets; /* all, ours and clients' */
    struct net_socket *dead_sockets;
    struct net_watch *watches;

    struct net_transport *slots[NET_TRANSPORTS];
    unsigned n_slots, next_slot; /* slots in use below n_slots */
    struct net_transport *dead_transports;
    struct net_path *buckets[NET_PATH_BUCKETS];
    uint32_t bucket_seed;
    int64_t turn_at_us, timers_at_us;

    StunAgent agent;
    enum seal_engine engine;
    bool gso;
    struct net_limits limits;
    int dscp[4];

    struct ssl_ctx_st *server_ctx, *client_ctx;
    char fingerprint[96];
    struct net_transport *waiting, **waiting_end;     /* those with datagrams; the first one's turn is next */
    unsigned dtls_count;                              /* datagrams */
    struct net_transport *half_open, **half_open_end; /* oldest first */
    uint16_t half_open_by[NET_SOURCES];
    int64_t stun_free_us[NET_SOURCES]; /* sources.c */

    bool crowded; /* a socket gave a whole batch in this turn: sound and pictures may wait behind it */
    struct net_listener *listeners;
    struct net_stream *streams, **streams_end;
    uint16_t streams_by[NET_SOURCES];
    unsigned streams_max;    /* what this process's descriptors allow */
    int64_t accept_again_us; /* 0: accepting */

    struct packet *rx[NET_BATCH];
    unsigned n_rx;
    struct mmsghdr *rx_msgs;
    struct iovec *rx_iovs;
    union net_addr *rx_addrs;

    uint8_t *area;
    size_t area_len;
    struct net_run *runs, *open_run; /* the newest run, if it may grow */
    unsigned n_runs;
    struct net_socket *dirty;
    struct net_tx *tx;
};

static inline void net_drop(struct net *n, enum net_drop why)
{
    n->stats.drops[why]++;
}

/* Something must happen at `at_us`. */
static inline void net_wake_at(struct net *n, int64_t at_us)
{
    if (at_us < n->timers_at_us)
        n->timers_at_us = at_us;
}

static inline socklen_t net_addr_len(const union net_addr *a)
{
    return a->sa.sa_family == AF_INET6 ? sizeof a->in6 : sizeof a->in4;
}

/* net.c */
int net_socket_new(struct net *n, int fd, struct net_transport *owner, struct net_socket **ret_socket); /* takes `fd` */
void net_socket_retire(struct net_socket *s); /* closed at the end of the turn, after the flush */
void net_socket_want_write(struct net_socket *s, bool want);
/* One datagram; `p` stays the caller's. */
void net_input(struct net *n, struct net_socket *s, struct packet *p, const union net_addr *from, int64_t now_us);

/* paths.c */
bool net_addr_equal(const union net_addr *a, const union net_addr *b);
struct net_path *net_path_find(struct net *n, const struct net_socket *s, const union net_addr *addr);
/* A valid check for `t` came from there: remembered, chosen if nominated or if the chosen one has fallen silent. */
void net_path_checked(struct net_transport *t, struct net_socket *s, const union net_addr *addr, bool nominated,
                      int64_t now_us);
void net_paths_clear(struct net_transport *t);
/* The connection `s` to `addr` ends: its transport goes on by the path checked last, if that still has consent. */
void net_path_lost(struct net_socket *s, const union net_addr *addr);
/* Another transport has lately been checked there, so it is not for `t`. */
bool net_path_is_used(const struct net_transport *t, const struct net_socket *s, const union net_addr *addr, int64_t now_us);

/* transport.c */
struct net_transport *net_transport_by_ufrag(struct net *n, const char *ufrag, size_t len);
/* May free `t` by its owner's hand: look at t->dead afterwards. */
void net_transport_set_state(struct net_transport *t, enum net_state state, int64_t now_us);
void net_transports_tick(struct net *n, int64_t now_us);
void net_transports_reap(struct net *n);

/* ice.c */
void ice_init(struct net *n);
int ice_client_new(struct net_transport *t, const union net_addr *remote);
void ice_input(struct net *n, struct net_socket *s, struct packet *p, const union net_addr *from, int64_t now_us);
void ice_client_tick(struct net_transport *t, int64_t now_us);

/* sources.c */
uint32_t net_source_hash(const struct net *n, const union net_addr *a);
bool stun_may_come(const struct net *n, const union net_addr *from, int64_t now_us);
void stun_charge(struct net *n, const union net_addr *from, int64_t now_us); /* it was not authentic */

/* streams.c */
int listener_new(struct net *n, int fd); /* takes `fd`; freed by listeners_free() whatever happens */
void listeners_free(struct net *n);
void listener_accept(struct net *n, const struct net_listener *l);
int stream_connect(struct net_transport *t, const union net_addr *to, struct net_socket **ret_socket); /* client role */
/* A valid check for `t` came over the connection. */
void stream_belongs(struct net_socket *s, struct net_transport *t, int64_t now_us);
void stream_close(struct net_socket *s); /* at the end of the turn, after the flush; any number of times */
void streams_forget(const struct net_transport *t);
void stream_receive(struct net_socket *s);
void stream_writable(struct net_socket *s);
void stream_flush(struct net_socket *s, struct net_run **runs, size_t count);
bool stream_is_full(const struct net_stream *st, enum net_class class, size_t len);
void stream_free(struct net_stream *st);
void streams_tick(struct net *n, int64_t now_us);

/* handshakes.c */
void dtls_enqueue(struct net_transport *t, struct packet *p);
void dtls_steps(struct net *n, int64_t now_us);
void handshake_forget_datagrams(struct net_transport *t);
/* False: no room. May fail another transport. */
bool handshake_begin(struct net_transport *t, int64_t now_us);
void handshake_end(struct net_transport *t); /* done, failed, gone: any number of times */

/* dtls.c */
int dtls_init(struct net *n);
void dtls_exit(struct net *n);
void dtls_connect(struct net_transport *t, int64_t now_us);
void dtls_input(struct net_transport *t, const struct packet *p, int64_t now_us);
void dtls_fail(struct net_transport *t, int64_t now_us);
void dtls_tick(struct net_transport *t, int64_t now_us);
void dtls_close(struct net_transport *t); /* sends close_notify if connected, frees; forgets what is queued */

/* send.c */
int send_init(struct net *n);
void send_exit(struct net *n);
/* Room for `len` bytes in the send area, always there: the area is flushed if it must. */
uint8_t *send_room(struct net *n, size_t len);
/* The datagram of `len` bytes just written at send_room() goes to `to`. With `t` it may join that transport's run. */
void send_commit(struct net *n, struct net_socket *s, struct net_transport *t, const union net_addr *to,
                 enum net_class class, size_t len);
bool send_is_full(const struct net_socket *s, enum net_class class, size_t len);
void send_flush(struct net *n);
void send_held(struct net_socket *s); /* the socket is writable again */
int held_new(struct net_held *h, size_t cap_bytes, size_t cap_runs);
void held_free(struct net_held *h);
bool held_has_room(const struct net_held *h, size_t len);
bool held_put(struct net_held *h, const struct net_run *r); /* false: full */
void held_take(struct net_held *h, size_t count);           /* drops the oldest ones */
