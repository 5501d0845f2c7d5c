/* giaoban-media: one single-threaded media worker. Started by giaoban with its link as descriptor 3. */
#include "media/media.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "box/box.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { PACKETS_DEFAULT = 16384 }; /* one second of some forty pictures in three layers: 34 MB */

static void rtp(void *ctx, struct net_transport *t, struct packet *p, int64_t now_us)
{
    struct endpoint *e = net_transport_user(t);
    if (e->connected)
        peer_input_rtp(e->peer, p, now_us);
}

static void rtcp(void *ctx, struct net_transport *t, const uint8_t *bytes, size_t len, int64_t now_us)
{
    struct endpoint *e = net_transport_user(t);
    if (e->connected)
        peer_input_rtcp(e->peer, bytes, len, now_us);
}

static void state(void *ctx, struct net_transport *t, enum net_state s, int64_t now_us)
{
    join_state(net_transport_user(t), s, now_us);
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

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t turn(void *ctx, int64_t now_us)
{
    struct media *m = ctx;
    bool more = mirrors_turn(m, now_us);
    int64_t next_us = sfu_turn(&m->sfu, now_us);
    next_us = earlier(next_us, feeds_tick(m, now_us));
    endpoints_sweep(m, now_us);
    report_turn(m, now_us);
    control_flush(m);
    if (m->trace && now_us >= m->trace_us) {
        trace_flush(m->trace);
        m->trace_us = now_us + TRACE_US;
    }
    if (m->heartbeat && now_us >= m->heartbeat_us) {
        atomic_fetch_add_explicit(m->heartbeat, 1, memory_order_relaxed);
        m->heartbeat_us = now_us + HEARTBEAT_US;
    }
    if (more || m->doomed)
        return now_us;
    return earlier(next_us, now_us + HEARTBEAT_US);
}

static int make_net(struct media *m, size_t packets)
{
    static const struct net_events events = {.rtp = rtp, .rtcp = rtcp, .state = state, .turn = turn};
    struct net_config config = {
        .sockets = m->sockets,
        .n_sockets = m->n_sockets,
        .listeners = m->sockets + m->n_sockets,
        .n_listeners = m->n_listeners,
        .packets = packets,
        .dscp = {-1, -1, -1, -1}, /* until control's hello */
        .gso = true,
    };
    return net_new(&config, &events, m, &m->net);
}

static int start(struct media *m, size_t packets)
{
    struct sfu_shell shell = {
        .ctx = m,
        .send_rtp = send_rtp,
        .send_rtcp = send_rtcp,
        .tap = feeds_tap,
        .mirror_want = mirrors_want,
        .mirror_keyframe = mirrors_keyframe,
    };
    uint64_t seed;
    m->control = -1;
    m->queue_end = &m->queue;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
        return ERR_IO;
    sfu_init(&m->sfu, &shell, seed);
    int err = parent_start(m);
    if (!err)
        err = make_net(m, packets);
    if (err)
        return err;
    m->sfu.pool = net_packets(m->net);
    m->sfu.pool_packets = packets;
    join_find_candidates(m);
    parent_watch(m);
    control_watch(m);
    log_info("media", "worker=%u generation=%u sockets=%zu listeners=%zu", m->index, m->generation, m->n_sockets,
             m->n_listeners);
    return 0;
}

static void finish(struct media *m)
{
    m->stop = true;
    while (m->briefings)
        briefing_gone(m->briefings, clock_now_us());
    control_close(m);
    sfu_finish(&m->sfu);
    net_free(m->net);
    trace_flush(m->trace);
    free(m->trace);
}

static const char *option(int argc, char **argv, const char *name)
{
    for (int i = 1; i + 1 < argc; i++)
        if (!strcmp(argv[i], name))
            return argv[i + 1];
    return NULL;
}

static bool has_flag(int argc, char **argv, const char *name)
{
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], name))
            return true;
    return false;
}

int main(int argc, char **argv)
{
    const char *packets = option(argc, argv, "--packets");
    if (!has_flag(argc, argv, "--link")) {
        fprintf(stderr,
                "giaoban-media is started by giaoban: giaoban-media --link [--packets N] [--sandbox enforce|log|off]\n");
        return 2;
    }
    box_close_inherited(LINK_FD);
    log_setup("giaoban-media", LOG_LEVEL_INFO);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN); /* Ctrl-C reaches the whole group; the supervisor stops us */
    struct media *m = calloc(1, sizeof *m);
    json_object_seed(0); /* reads /dev/urandom */
    if (!m)
        return 1;
    int err = start(m, packets ? (size_t)strtoul(packets, NULL, 10) : PACKETS_DEFAULT);
    if (err)
        log_error("media", "cannot start: %s", err_str(err));
    else
        err = box_enter(BOX_MEDIA, box_mode(argc, argv), NULL,
                        0); /* what libraries need once is made; see docs/threat-model.md */
    while (!err && !m->stop)
        net_run_once(m->net, clock_now_us() + HEARTBEAT_US);
    if (m->net)
        finish(m);
    free(m);
    return err ? 1 : 0;
}
