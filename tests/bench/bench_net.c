/* What one packet to one of 200 clients costs the server: seal, run, sendmmsg over loopback. CPU time of the server's
 * process alone, the clients live in another one. Usage: bench_net [transports [turns]] */
#include "net/net.h"

#include "base/bytes.h"
#include "base/clock.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 1000, PAYLOAD = 1080 };

struct credentials {
    char ufrag[64], pwd[64], fingerprint[96];
    struct sockaddr_storage addr;
};

static unsigned connected;
static int count = 200, turns = 200;

static void on_state(void *ctx, struct net_transport *t, enum net_state state, int64_t now_us)
{
    connected += state == NET_CONNECTED;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void must(int err, const char *what)
{
    if (err) {
        fprintf(stderr, "%s: %d\n", what, err);
        exit(1);
    }
}

static void put_message(int fd, const void *m, size_t len)
{
    if (write(fd, m, len) != (ssize_t)len)
        die("write");
}

static void get_message(int fd, void *m, size_t len)
{
    for (size_t got = 0; got < len;) {
        ssize_t n = read(fd, (char *)m + got, len - got);
        if (n <= 0)
            die("read");
        got += (size_t)n;
    }
}

static struct credentials credentials_of(const struct net *n, const struct net_transport *t)
{
    struct credentials c = {0};
    snprintf(c.ufrag, sizeof c.ufrag, "%s", net_transport_ufrag(t));
    snprintf(c.pwd, sizeof c.pwd, "%s", net_transport_pwd(t));
    snprintf(c.fingerprint, sizeof c.fingerprint, "%s", net_fingerprint(n));
    return c;
}

static void fill_remote(struct net_transport_config *config, const struct credentials *c)
{
    strcpy(config->remote_ufrag, c->ufrag);
    strcpy(config->remote_pwd, c->pwd);
    strcpy(config->remote_fingerprint, c->fingerprint);
    config->remote = c->addr;
}

static uint64_t heard;

static void on_rtp(void *ctx, struct net_transport *t, struct packet *p, int64_t now_us)
{
    heard++;
}

/* The server asks how much arrived: what nobody takes is cheaper to send, so the loss belongs to the figure. */
static void on_question(void *ctx, uint32_t events, int64_t now_us)
{
    const int *pipes = ctx;
    char question;
    get_message(pipes[0], &question, 1);
    put_message(pipes[1], &heard, sizeof heard);
}

static void run_clients(int in, int out)
{
    static const struct net_events events = {.state = on_state, .rtp = on_rtp};
    int pipes[2] = {in, out};
    struct net_config config = {.packets = 256, .dscp = {-1, -1, -1, -1}, .gso = true};
    struct net *n;
    must(net_new(&config, &events, NULL, &n), "clients");
    for (int i = 0; i < count; i++) {
        struct net_transport_config c = {.role = NET_CLIENT};
        struct net_transport *t;
        must(net_transport_new(n, &c, &t), "client");
        struct credentials ours = credentials_of(n, t), theirs;
        put_message(out, &ours, sizeof ours);
        get_message(in, &theirs, sizeof theirs);
        fill_remote(&c, &theirs);
        must(net_transport_connect(t, &c), "connect");
    }
    must(net_watch(n, in, EPOLLIN, on_question, pipes), "watch");
    for (;;)
        net_run_once(n, INT64_MAX);
}

static int bind_socket(struct sockaddr_storage *ret_addr)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) || getsockname(fd, (struct sockaddr *)&a, &len))
        die("bind");
    memset(ret_addr, 0, sizeof *ret_addr);
    memcpy(ret_addr, &a, sizeof a);
    return fd;
}

static int64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

struct clients {
    int ask, answer;
};

static uint64_t ask(const struct clients *c)
{
    uint64_t value;
    put_message(c->ask, "?", 1);
    get_message(c->answer, &value, sizeof value);
    return value;
}

static long rss_kb(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%*d %ld", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void measure(struct net *n, const struct clients *c, struct net_transport **ts, uint16_t *seq, int burst,
                    const char *name)
{
    static uint8_t payload[PAYLOAD];
    uint8_t header[20] = {0x90, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0xbe, 0xde, 0, 1};
    struct net_stats before = *net_stats(n);
    int64_t ns = 0;
    uint64_t heard_before = ask(c);
    for (int turn = 0; turn < turns; turn++) {
        int64_t start = cpu_ns();
        for (int i = 0; i < count; i++)
            for (int k = 0; k < burst; k++) {
                put_u16(header + 2, (uint16_t)(*seq + k));
                net_send_rtp(ts[i], NET_PICTURE, header, sizeof header, payload, sizeof payload, 0);
            }
        net_run_once(n, 0);
        ns += cpu_ns() - start;
        *seq = (uint16_t)(*seq + burst);
        net_run_once(n, clock_now_us() + 4000 + 2000 * burst); /* the clients get some air */
    }
    const struct net_stats *after = net_stats(n);
    double packets = (double)(after->sent_packets - before.sent_packets);
    net_run_once(n, clock_now_us() + 200000);
    double lost = 1 - (double)(ask(c) - heard_before) / packets;
    printf("%-13s bursts of %2d to %d: %.2f µs a packet, %.1f packets a run, %.1f calls a turn, %.1f %% lost\n", name, burst,
           count, (double)ns / 1000 / packets,
           packets / (packets - (double)(after->gso_run_packets - before.gso_run_packets) +
                      (double)(after->gso_runs - before.gso_runs)),
           (double)(after->sendmmsg_calls - before.sendmmsg_calls) / turns, lost * 100);
}

static void run_server(bool gso, enum seal_engine engine, const char *name)
{
    static const struct net_events events = {.state = on_state};
    int up[2], down[2];
    if (pipe(up) || pipe(down))
        die("pipe");
    pid_t child = fork();
    if (child < 0)
        die("fork");
    if (!child)
        run_clients(down[0], up[1]);

    struct credentials ours;
    struct net *n;
    struct net_transport *ts[MOST];
    int fd = bind_socket(&ours.addr);
    struct net_config config = {
        .sockets = &fd, .n_sockets = 1, .packets = 256, .dscp = {46, 34, 26, -1}, .gso = gso, .engine = engine};
    must(net_new(&config, &events, NULL, &n), "server");
    connected = 0;
    for (int i = 0; i < count; i++) {
        struct net_transport_config c = {.role = NET_SERVER};
        struct credentials theirs;
        struct sockaddr_storage addr = ours.addr;
        get_message(up[0], &theirs, sizeof theirs);
        fill_remote(&c, &theirs);
        must(net_transport_new(n, &c, &ts[i]), "transport");
        ours = credentials_of(n, ts[i]);
        ours.addr = addr;
        put_message(down[1], &ours, sizeof ours);
    }
    int64_t start_us = clock_now_us(), start_ns = cpu_ns();
    long before_kb = rss_kb();
    while (connected < (unsigned)count && clock_now_us() < start_us + 20000000)
        net_run_once(n, clock_now_us() + 100000);
    if (connected < (unsigned)count)
        die("connecting");
    printf("%-13s connecting %d: %.2f ms of CPU, %.1f KB each\n", name, count, (double)(cpu_ns() - start_ns) / 1e6 / count,
           (double)(rss_kb() - before_kb) / count);
    uint16_t seq = 0;
    struct clients clients = {down[1], up[0]};
    measure(n, &clients, ts, &seq, 1, name);
    measure(n, &clients, ts, &seq, 5, name);
    measure(n, &clients, ts, &seq, 12, name);
    net_free(n);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(up[0]), close(up[1]), close(down[0]), close(down[1]);
}

int main(int argc, char **argv)
{
    if (argc > 1 && (count = atoi(argv[1])) > MOST)
        count = MOST;
    if (argc > 2)
        turns = atoi(argv[2]);
    setvbuf(stdout, NULL, _IOLBF, 0);
    run_server(true, SEAL_AUTO, "runs");
    run_server(false, SEAL_AUTO, "singly");
    run_server(true, SEAL_EVP, "runs, evp");
    run_server(true, SEAL_LIBSRTP, "runs, libsrtp");
    return 0;
}
