/* The worker's side of the wish protocol: any messages from giaoband over a real link, any records from another worker's
 * feed, transports that connect and fail. Nothing crashes or loses a descriptor; whatever is said back is a message; a
 * restriction holds as soon as it is acknowledged; the forwarding core's invariants hold after each turn.
 *
 * Input: operations. '0' … '5' and a line of JSON: a message; 2 and 3 bring so many descriptors of a feed that we read, 4
 * and 5 two or three of one that we write. '!' n: the newest offer of endpoint n connects; '?' n: it fails. '%' and a
 * record: kind, flags, track, incarnation, step of the number, length, body. '+' n: n times 10 ms pass. */
#include "base/clock.h"
#include "base/err.h"
#include "media/media.h"
#include "require.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { RING = 65536, OPERATIONS_MAX = 64, PACKETS = 2048 };

struct input {
    const uint8_t *at, *end;
};

static struct media media;
static int far_end = -1;
static int read_fds[3], write_fds[3]; /* a feed that we read, one that we write: data, tail, wake */
static struct feed_writer *other_worker;
static int64_t skew_us;

static uint8_t byte(struct input *in)
{
    return in->at < in->end ? *in->at++ : 0;
}

static int64_t now(void)
{
    return clock_now_us() + skew_us;
}

static int lowest_free(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(fd);
    return fd;
}

/* ---- what media_main.c does ---- */

static void on_state(void *ctx, struct net_transport *t, enum net_state state, int64_t now_us)
{
    join_state(net_transport_user(t), state, now_us);
}

static int64_t on_turn(void *ctx, int64_t now_us)
{
    struct media *m = ctx;
    now_us = now();
    mirrors_turn(m, now_us);
    sfu_turn(&m->sfu, now_us);
    feeds_tick(m, now_us);
    endpoints_sweep(m, now_us);
    report_turn(m, now_us);
    control_flush(m);
    return now_us;
}

static int send_rtp(void *transport, enum sfu_class class, const uint8_t *header, size_t header_len, const uint8_t *payload,
                    size_t payload_len, uint8_t padding)
{
    return net_send_rtp(transport, (enum net_class) class, header, header_len, payload, payload_len, padding);
}

static int send_rtcp(void *transport, const uint8_t *bytes, size_t len)
{
    return net_send_rtcp(transport, bytes, len);
}

static void start(void)
{
    static const struct net_events events = {.state = on_state, .turn = on_turn};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    media.sockets[0] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    media.n_sockets = 1;
    require(!bind(media.sockets[0], (struct sockaddr *)&a, sizeof a));
    struct net_config config = {.sockets = media.sockets, .n_sockets = 1, .packets = PACKETS, .dscp = {-1, -1, -1, -1}};
    require(!net_new(&config, &events, &media, &media.net));
    media.control = -1;
    media.queue_end = &media.queue;
    media.generation = 1;
    join_find_candidates(&media);
}

/* ---- one input ---- */

static void make_feed(int fds[3], uint64_t id)
{
    require(!feed_create(RING, id, &fds[0], &fds[1]));
    fds[2] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    require(fds[2] >= 0);
}

static void begin(void)
{
    struct sfu_shell shell = {.ctx = &media,
                              .send_rtp = send_rtp,
                              .send_rtcp = send_rtcp,
                              .tap = feeds_tap,
                              .mirror_want = mirrors_want,
                              .mirror_keyframe = mirrors_keyframe};
    int pair[2];
    sfu_init(&media.sfu, &shell, 1);
    media.sfu.pool = net_packets(media.net);
    media.sfu.pool_packets = PACKETS;
    media.epoch = 0;
    skew_us = 0;
    require(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair));
    far_end = pair[1];
    control_replace(&media, pair[0]);
}

static void finish(void)
{
    while (media.briefings)
        briefing_gone(media.briefings, now());
    control_close(&media);
    sfu_finish(&media.sfu);
    net_run_once(media.net, 0); /* what is dead is put away at the end of a turn */
    feed_writer_close(other_worker);
    other_worker = NULL;
    close(far_end);
    for (int i = 0; i < 3; i++) {
        if (read_fds[0])
            close(read_fds[i]);
        if (write_fds[0])
            close(write_fds[i]);
    }
    read_fds[0] = write_fds[0] = 0;
}

static void say(struct input *in, uint8_t kind)
{
    const uint8_t *end = memchr(in->at, '\n', (size_t)(in->end - in->at));
    size_t len = (size_t)((end ? end : in->end) - in->at), n_fds = kind < 2 ? 0 : kind < 4 ? kind : kind - 2u;
    int *fds = kind < 4 ? read_fds : write_fds;
    if (n_fds && !fds[0])
        make_feed(fds, kind < 4 ? 7 : 8);
    if (len)
        link_send_body(far_end, in->at, len, fds, n_fds);
    in->at += len + (end != NULL);
}

static void change_transport(uint32_t number, enum net_state state)
{
    struct endpoint *e = NULL;
    for (struct briefing *b = media.briefings; b && !e; b = b->next)
        for (e = b->endpoints; e && e->number != number;)
            e = e->next;
    if (e)
        join_state(e, state, now());
}

static void write_record(struct input *in)
{
    static uint64_t seq;
    uint8_t body[255];
    struct feed_record r = {.kind = byte(in), .flags = byte(in), .track = byte(in), .incarnation = byte(in)};
    uint8_t step = byte(in);
    seq = step & 0x80 ? (uint64_t)step << 56 : seq + step;
    r.ext_seq = seq;
    r.session_us = step & 0x40 ? INT64_MIN : now() - step * 1000;
    r.len = byte(in);
    if (r.len > in->end - in->at)
        r.len = (uint16_t)(in->end - in->at);
    memcpy(body, in->at, r.len);
    in->at += r.len;
    if (!read_fds[0])
        make_feed(read_fds, 7);
    if (!other_worker && feed_writer_open(read_fds[0], read_fds[1], read_fds[2], 1, &other_worker))
        return;
    feed_write(other_worker, &r, body);
    feed_flush(other_worker, now());
}

/* ---- demands ---- */

static void check_answers(void)
{
    static char body[LINK_BODY_MAX];
    int fds[LINK_FDS_MAX];
    size_t len, n_fds;
    while (link_receive_body(far_end, body, sizeof body, &len, fds, &n_fds) == 0) {
        json_t *o = json_loadb(body, len, 0, NULL);
        require(n_fds == 0 && json_is_string(json_object_get(o, "m")));
        json_decref(o);
    }
}

static void check_restrictions(const struct briefing *b)
{
    for (size_t i = 0; i < b->n_restrictions; i++) {
        const struct restriction *r = &b->restrictions[i];
        for (size_t k = 0; k < b->effective.n_endpoints; k++) {
            const struct wish_endpoint *w = &b->effective.endpoints[k];
            require((r->endpoint && r->endpoint != w->number) || !(w->may_send & (r->remove ? 0xff : r->kinds)));
        }
        for (const struct endpoint *e = b->endpoints; e; e = e->next)
            require(!r->remove || e->doomed || (r->endpoint && r->endpoint != e->number));
    }
}

static void check(void)
{
    for (struct briefing *b = media.briefings; b; b = b->next) {
        check_restrictions(b);
        require(b->router->unsettled || !router_check(b->router));
        for (const struct endpoint *e = b->endpoints; e; e = e->next)
            require(e->doomed || wish_find(&b->wish, e->number));
        for (uint32_t n = 1; n <= WISH_ENDPOINT_NUMBER_MAX; n++)
            for (unsigned kind = WISH_MICROPHONE; kind < SFU_KINDS; kind++) {
                const struct source *s = b->router->sources[n][kind];
                const struct wish_endpoint *w = s ? wish_find(&b->effective, n) : NULL;
                require(!s || s->open == (w && (w->may_send & WISH_BIT(kind))));
            }
    }
}

static void operate(struct input *in)
{
    uint8_t op = byte(in);
    switch (op) {
    case '!': change_transport(byte(in) % 16, NET_CONNECTED); break;
    case '?': change_transport(byte(in) % 16, NET_FAILED); break;
    case '%': write_record(in); break;
    case '+': skew_us += byte(in) * 10000; break;
    default: say(in, op >= '0' && op <= '5' ? (uint8_t)(op - '0') : 0); break;
    }
    require(!net_run_once(media.net, 0));
    check_answers();
    check();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, data + size};
    if (!media.net)
        start();
    int before = lowest_free();
    begin();
    for (int i = 0; in.at < in.end && i < OPERATIONS_MAX; i++)
        operate(&in);
    finish();
    require(lowest_free() == before);
    require(packet_pool_available(media.sfu.pool) == PACKETS);
    return 0;
}
