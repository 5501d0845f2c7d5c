/* giaoban-sim: reads join links, runs an endpoint for each, prints a JSON status line a second and a summary at the end. */

#include "sim/endpoint.h"
#include "sim/latency.h"
#include "sim/window.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STATUS_US = 1000000, START_STEP_US = 15000, BENCH_WARM_US = 4000000, LOOK_US = 10000, LEAVE_US = 500000 };

struct sim {
    struct endpoint_options publisher, viewer;
    struct net *net;
    struct sockets *sockets;
    struct latency *latency;
    struct window *window; /* NULL: none asked for */
    char line[64];         /* of standard input, so far */
    struct endpoint **endpoints;
    unsigned n, started;
    int64_t start_us, end_us, next_start_us, next_status_us, start_step_us;
    int64_t all_in_us, next_look_us; /* since the start, when all were in for the first time; 0: not yet */
    bool warm;                       /* --bench: everybody is in and has settled */
};

struct arguments {
    const char *server, *links, *ca;
    const char *cache_dir;
    bool insecure, bench, latency, at_once, windows;
    unsigned source;
    double duration;
};

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    stopped = 1;
}

static volatile sig_atomic_t no_more_keyframes;

static void on_user_signal(int number)
{
    no_more_keyframes = 1;
}

static volatile sig_atomic_t measure_anew;

static void on_second_user_signal(int number)
{
    measure_anew = 1;
}

static const char usage[] =
    "giaoban-sim --server URL --links FILE [options]\n"
    "  --links FILE      a join link or token a line; an endpoint each\n"
    "  --ca FILE         trust this certificate authority;  --insecure: trust anybody\n"
    "  --size WxH        of the camera's highest layer, default 640x360;  --fps N, default 25\n"
    "  --source N        number of the first endpoint's picture and tone, default 0\n"
    "  --no-video        sound only;  --speak: microphones on from the start;  --tiles: two others beside the stage\n"
    "  --no-keyframes    keyframes only at the start; SIGUSR1: none from now on\n"
    "  --frozen          the camera hangs: a still picture, only when asked\n"
    "  --ignore-mute     goes on sending sound whatever the server says\n"
    "  --hostile KIND    after joining properly: noise, keyframes, forged, replay, sources, reports, stun, dtls,\n"
    "                    wander, strangers (hostile.h);  --hostile-rate N: packets a second\n"
    "  --ipv6            take the IPv6 candidate\n"
    "  --tcp             media by TCP to the same port\n"
    "  --windows         lines `begin` and `end` on standard input: what was heard in between\n"
    "  --bench           the first endpoint publishes, the others view; latency in the summary\n"
    "  --latency         from each endpoint to all others here, and the longest gap of the stage's sound, in\n"
    "                    every line; SIGUSR2: both are measured anew\n"
    "  --view            sees and hears only: nothing is sent\n"
    "  --at-once         all join at the same moment, not one every 15 ms\n"
    "  --duration S      stop after S seconds;  --cache DIR: encoded clips\n";

static int parse_arguments(int argc, char **argv, struct arguments *a, struct endpoint_options *o)
{
    enum {
        SERVER = 1,
        LINKS,
        CA,
        INSECURE,
        SIZE,
        FPS,
        SOURCE,
        NO_VIDEO,
        SPEAK,
        NO_KEYFRAMES,
        FROZEN,
        IGNORE_MUTE,
        HOSTILE,
        HOSTILE_RATE,
        TILES,
        IPV6,
        TCP,
        WINDOWS,
        BENCH,
        LATENCY,
        AT_ONCE,
        VIEW,
        DURATION,
        CACHE
    };
    static const struct option options[] = {
        {"server", 1, 0, SERVER},
        {"links", 1, 0, LINKS},
        {"ca", 1, 0, CA},
        {"insecure", 0, 0, INSECURE},
        {"size", 1, 0, SIZE},
        {"fps", 1, 0, FPS},
        {"source", 1, 0, SOURCE},
        {"no-video", 0, 0, NO_VIDEO},
        {"speak", 0, 0, SPEAK},
        {"no-keyframes", 0, 0, NO_KEYFRAMES},
        {"frozen", 0, 0, FROZEN},
        {"ignore-mute", 0, 0, IGNORE_MUTE},
        {"hostile", 1, 0, HOSTILE},
        {"hostile-rate", 1, 0, HOSTILE_RATE},
        {"tiles", 0, 0, TILES},
        {"ipv6", 0, 0, IPV6},
        {"tcp", 0, 0, TCP},
        {"windows", 0, 0, WINDOWS},
        {"bench", 0, 0, BENCH},
        {"latency", 0, 0, LATENCY},
        {"at-once", 0, 0, AT_ONCE},
        {"view", 0, 0, VIEW},
        {"duration", 1, 0, DURATION},
        {"cache", 1, 0, CACHE},
        {0},
    };
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case SERVER: a->server = optarg; break;
        case LINKS: a->links = optarg; break;
        case CA: a->ca = optarg; break;
        case INSECURE: a->insecure = true; break;
        case SIZE:
            if (sscanf(optarg, "%dx%d", &o->width, &o->height) != 2)
                return ERR_INVAL;
            break;
        case FPS: o->fps = atoi(optarg); break;
        case SOURCE: a->source = (unsigned)atoi(optarg); break;
        case NO_VIDEO: o->video = false; break;
        case SPEAK: o->speaks = true; break;
        case NO_KEYFRAMES: o->no_keyframes = true; break;
        case FROZEN: o->frozen = true; break;
        case IGNORE_MUTE: o->ignore_mute = true; break;
        case TILES: o->tiles = true; break;
        case HOSTILE_RATE: o->hostile_rate = (unsigned)atoi(optarg); break;
        case HOSTILE:
            if (!hostile_kind_of(optarg, &o->hostile))
                return ERR_INVAL;
            break;
        case IPV6: o->family = AF_INET6; break;
        case TCP: o->tcp = true; break;
        case WINDOWS: a->windows = true; break;
        case BENCH: a->bench = true; break;
        case VIEW: o->publishes = o->video = false; break;
        case LATENCY: a->latency = true; break;
        case AT_ONCE: a->at_once = true; break;
        case DURATION: a->duration = atof(optarg); break;
        case CACHE: a->cache_dir = optarg; break;
        default: return ERR_INVAL;
        }
    }
    return a->server && a->links ? 0 : ERR_INVAL;
}

static char *default_cache(void)
{
    static char path[512];
    const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (base)
        snprintf(path, sizeof path, "%s", base);
    else
        snprintf(path, sizeof path, "%s/.cache", home ? home : "/tmp");
    mkdir(path, 0700);
    size_t len = strlen(path);
    snprintf(path + len, sizeof path - len, "/giaoban-sim");
    return path;
}

/* Tokens of the links file; the text behind the last slash of each line. */
static int add_endpoints(struct sim *s, const struct arguments *a, int64_t now_us)
{
    FILE *file = fopen(a->links, "r");
    char line[2048];
    if (!file) {
        fprintf(stderr, "%s: %s\n", a->links, strerror(errno));
        return ERR_IO;
    }
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\r\n")] = '\0';
        const char *slash = strrchr(line, '/');
        if (!line[0])
            continue;
        const struct endpoint_options *o = a->bench && s->n ? &s->viewer : &s->publisher;
        struct endpoint **grown = realloc(s->endpoints, (s->n + 1) * sizeof(struct endpoint *));
        if (!grown)
            break;
        s->endpoints = grown;
        s->endpoints[s->n] = endpoint_new(o, s->n, (a->source + s->n) & 0xff, slash ? slash + 1 : line, now_us);
        if (s->endpoints[s->n])
            s->n++;
    }
    fclose(file);
    return s->n ? 0 : ERR_NOTFOUND;
}

/* --- callbacks of the loop --- */

static void on_rtp(void *ctx, struct net_transport *t, struct packet *p, int64_t now_us)
{
    endpoint_packet(net_transport_user(t), p, now_us);
}

static void on_rtcp(void *ctx, struct net_transport *t, const uint8_t *bytes, size_t len, int64_t now_us)
{
    endpoint_rtcp(net_transport_user(t), bytes, len, now_us);
}

static void on_state(void *ctx, struct net_transport *t, enum net_state state, int64_t now_us)
{
    endpoint_transport_state(net_transport_user(t), t, state, now_us);
}

static void on_sockets(void *ctx, uint32_t events, int64_t now_us)
{
    struct sim *s = ctx;
    struct socket_event e;
    while (sockets_poll(s->sockets, &e)) {
        endpoint_socket_event(s->endpoints[e.endpoint], &e, now_us);
        free(e.text);
    }
}

static void take_input(struct sim *s, char c, int64_t now_us)
{
    size_t len = strlen(s->line);
    if (c != '\n') {
        if (len + 1 < sizeof s->line)
            s->line[len] = c;
        return;
    }
    char *text = window_line(s->window, s->line, now_us);
    memset(s->line, 0, sizeof s->line);
    if (text) {
        puts(text);
        fflush(stdout);
    }
    free(text);
}

static void on_input(void *ctx, uint32_t events, int64_t now_us)
{
    struct sim *s = ctx;
    char bytes[256];
    ssize_t n;
    while ((n = read(STDIN_FILENO, bytes, sizeof bytes)) > 0)
        for (ssize_t i = 0; i < n; i++)
            take_input(s, bytes[i], now_us);
    if (n == 0) /* nobody is there any more */
        net_unwatch(s->net, STDIN_FILENO);
}

static int watch_input(struct sim *s)
{
    s->window = window_new(s->endpoints, s->n);
    if (!s->window)
        return ERR_NOMEM;
    fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);
    return net_watch(s->net, STDIN_FILENO, EPOLLIN, on_input, s);
}

static json_t *totals(const struct sim *s, int64_t now_us)
{
    struct endpoint_status sum = {0}, one;
    unsigned joined = 0;
    int64_t gap = 0;
    json_t *list = json_array();
    for (unsigned i = 0; i < s->n; i++) {
        endpoint_status(s->endpoints[i], &one);
        joined += one.joined;
        sum.rejoins += one.rejoins;
        sum.resumes += one.resumes;
        sum.paused += one.paused;
        sum.hostile += one.hostile;
        sum.hostile_back_bytes += one.hostile_back_bytes;
        sum.sent.packets += one.sent.packets;
        sum.sent.keyframe_requests += one.sent.keyframe_requests;
        sum.sent.keyframes += one.sent.keyframes;
        sum.sent.retransmissions += one.sent.retransmissions;
        sum.sent.skipped += one.sent.skipped;
        sum.received.packets += one.received.packets;
        sum.received.lost += one.received.lost;
        sum.received.repaired += one.received.repaired;
        sum.received.plis += one.received.plis;
        if (one.received.longest_stage_gap_us > gap)
            gap = one.received.longest_stage_gap_us;
        if (s->n <= 16)
            json_array_append_new(list, json_pack("{s:b, s:i, s:I, s:b, s:i}", "joined", one.joined, "stage", (int)one.stage,
                                                  "keyframe_requests", (json_int_t)one.sent.keyframe_requests, "floor",
                                                  one.has_floor, "paused", (int)one.paused));
    }
    json_t *o =
        json_pack("{s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:i, s:f, s:f}", "joined", (int)joined,
                  "endpoints", (int)s->n, "sent_packets", (json_int_t)sum.sent.packets, "received_packets",
                  (json_int_t)sum.received.packets, "lost_packets", (json_int_t)sum.received.lost, "repaired_packets",
                  (json_int_t)sum.received.repaired, "keyframe_requests", (json_int_t)sum.sent.keyframe_requests,
                  "keyframes", (json_int_t)sum.sent.keyframes, "retransmissions", (json_int_t)sum.sent.retransmissions,
                  "plis", (json_int_t)sum.received.plis, "rejoins", (int)sum.rejoins, "resumes", (int)sum.resumes,
                  "stage_gap_ms", (double)gap / 1000, "seconds", (double)(now_us - s->start_us) / 1e6);
    if (s->latency) {
        double all = (double)sum.received.packets + (double)sum.received.lost;
        json_object_set_new(o, "latency_us_p50", json_integer(latency_percentile(s->latency, 50)));
        json_object_set_new(o, "latency_us_p99", json_integer(latency_percentile(s->latency, 99)));
        json_object_set_new(o, "latency_packets", json_integer((json_int_t)latency_count(s->latency)));
        json_object_set_new(o, "loss", json_real(all > 0 ? (double)sum.received.lost / all : 0));
    }
    if (s->all_in_us)
        json_object_set_new(o, "all_in_ms", json_integer((json_int_t)(s->all_in_us / 1000)));
    if (s->publisher.hostile) {
        json_object_set_new(o, "hostile_packets", json_integer((json_int_t)sum.hostile));
        json_object_set_new(o, "hostile_back_bytes", json_integer((json_int_t)sum.hostile_back_bytes));
    }
    json_object_set_new(o, "paused_slots", json_integer(sum.paused));
    json_object_set_new(o, "skipped_pictures", json_integer((json_int_t)sum.sent.skipped));
    json_object_set_new(o, "rooms", list);
    return o;
}

static void print_line(const struct sim *s, int64_t now_us, bool last)
{
    json_t *o = totals(s, now_us);
    if (last)
        json_object_set_new(o, "summary", json_true());
    char *text = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(6));
    json_decref(o);
    if (text) {
        puts(text);
        fflush(stdout);
    }
    free(text);
}

static int64_t on_turn(void *ctx, int64_t now_us)
{
    struct sim *s = ctx;
    int64_t next = s->next_status_us;
    while (s->started < s->n && now_us >= s->next_start_us) {
        endpoint_start(s->endpoints[s->started++]);
        s->next_start_us = now_us + s->start_step_us;
    }
    if (s->started < s->n && s->next_start_us < next)
        next = s->next_start_us;
    for (unsigned i = 0; i < s->n; i++) {
        if (no_more_keyframes)
            endpoint_ignore_keyframe_requests(s->endpoints[i]);
        int64_t at = endpoint_run(s->endpoints[i], now_us);
        if (at < next)
            next = at;
    }
    if (now_us >= s->next_status_us) {
        print_line(s, now_us, false);
        s->next_status_us = now_us + STATUS_US;
    }
    return next;
}

static void begin_anew(struct sim *s)
{
    int64_t now_us = clock_now_us();
    measure_anew = 0;
    if (s->latency)
        latency_reset(s->latency);
    for (unsigned i = 0; i < s->n; i++)
        endpoint_reset_gap(s->endpoints[i], now_us);
}

static bool all_in(const struct sim *s)
{
    struct endpoint_status one;
    for (unsigned i = 0; i < s->n; i++) {
        endpoint_status(s->endpoints[i], &one);
        if (!one.joined)
            return false;
    }
    return true;
}

/* Measuring begins when everybody is in and has settled. */
static void watch_joins(struct sim *s, int64_t now_us)
{
    if (measure_anew)
        begin_anew(s);
    if (now_us < s->next_look_us || (s->all_in_us && s->warm))
        return;
    s->next_look_us = now_us + LOOK_US;
    if (!all_in(s))
        return;
    if (!s->all_in_us)
        s->all_in_us = now_us - s->start_us;
    if (s->warm || !s->latency)
        return;
    if (!s->next_start_us || now_us < s->next_start_us + BENCH_WARM_US)
        return;
    s->warm = true;
    latency_reset(s->latency);
}

static bool anybody_live(const struct sim *s)
{
    for (unsigned i = 0; i < s->n; i++)
        if (endpoint_is_live(s->endpoints[i]))
            return true;
    return false;
}

static void leave_all(struct sim *s)
{
    int64_t deadline_us = clock_now_us() + LEAVE_US;
    s->next_status_us = INT64_MAX;
    for (unsigned i = 0; i < s->n; i++)
        endpoint_leave(s->endpoints[i]);
    while (anybody_live(s) && clock_now_us() < deadline_us)
        if (net_run_once(s->net, deadline_us))
            return;
}

static void close_all(struct sim *s)
{
    for (unsigned i = 0; i < s->n; i++)
        endpoint_free(s->endpoints[i]);
    free(s->endpoints);
    net_free(s->net);
    sockets_free(s->sockets);
    latency_free(s->latency);
    window_free(s->window);
}

int main(int argc, char **argv)
{
    struct arguments a = {.cache_dir = default_cache()};
    struct sim s = {
        .publisher = {.family = AF_INET, .width = 640, .height = 360, .fps = 25, .video = true, .publishes = true}};
    static const struct net_events events = {.rtp = on_rtp, .rtcp = on_rtcp, .state = on_state, .turn = on_turn};
    log_setup("sim", LOG_LEVEL_INFO);
    if (parse_arguments(argc, argv, &a, &s.publisher)) {
        fputs(usage, stderr);
        return 2;
    }
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGUSR1, &(struct sigaction){.sa_handler = on_user_signal}, NULL);
    sigaction(SIGUSR2, &(struct sigaction){.sa_handler = on_second_user_signal}, NULL);
    signal(SIGPIPE, SIG_IGN);

    s.publisher.speaks |= a.bench;
    s.publisher.cache_dir = a.cache_dir;
    s.start_us = s.next_start_us = clock_now_us();
    s.next_status_us = s.start_us + STATUS_US;
    s.end_us = a.duration > 0 ? s.start_us + (int64_t)(a.duration * 1e6) : INT64_MAX;
    s.start_step_us = a.at_once ? 0 : START_STEP_US;
    s.latency = a.bench || a.latency ? latency_new() : NULL;
    s.warm = !a.bench;
    if (s.latency) {
        s.publisher.sent = latency_sent;
        s.publisher.tap_ctx = s.latency;
    }
    s.viewer = s.publisher;
    s.viewer.publishes = s.viewer.speaks = false;
    s.viewer.received = s.latency ? latency_received : NULL;
    if (a.latency)
        s.publisher.received = latency_received;

    struct net_config config = {.packets = 4096, .limits.handshake_steps = 64, .dscp = {-1, -1, -1, -1}, .gso = true};
    int err = net_new(&config, &events, &s, &s.net);
    s.publisher.net = s.viewer.net = s.net;
    if (!err)
        err = add_endpoints(&s, &a, s.start_us);
    if (!err)
        err = sockets_new(&(struct sockets_config){.server = a.server, .ca = a.ca, .insecure = a.insecure}, s.n, &s.sockets);
    s.publisher.sockets = s.viewer.sockets = s.sockets;
    if (!err)
        err = net_watch(s.net, sockets_fd(s.sockets), EPOLLIN, on_sockets, &s);
    if (!err && a.windows)
        err = watch_input(&s);
    while (!err && !stopped && clock_now_us() < s.end_us) {
        err = net_run_once(s.net, s.next_status_us);
        watch_joins(&s, clock_now_us());
    }
    if (!err) {
        print_line(&s, clock_now_us(), true);
        leave_all(&s);
    } else
        fprintf(stderr, "giaoban-sim: %s\n", err_str(err));
    close_all(&s);
    return err ? 1 : 0;
}
