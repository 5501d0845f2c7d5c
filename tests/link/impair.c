/* impair: joins two network namespaces by a line of a given quality (access.h), for tests with real programs at both ends.
 *
 *   impair --left NAMESPACE --right NAMESPACE [--seed N]
 *
 * makes a TUN device `line0` in each, prints "ready", and carries what comes out of one into the other: left to right is
 * "down", right to left is "up". TUN devices have no checksum offload, like many a tunnel. Commands on standard input, one a
 * line, effective at once:
 *
 *   profile A…G                      both directions of a line of the province
 *   set down|up|both KEY=VALUE…      rate_bps queue_us delay_us jitter_us loss_ppm burst_ppm burst_us duplicate_ppm
 *                                    reorder_ppm reorder_us down (0, 1)
 *   allow all|tcp|443                what passes besides ICMP: everything, no UDP, only TCP from or to port 443
 *   lose TYPE PPM                    RTP of that payload type is lost by this chance, both ways (retransmissions, say)
 *   seed N                           chances begin anew and the queues are empty: two runs can meet the same losses
 *
 * Once a second a line of JSON: bytes, packets, lost, dropped and the 95th percentile of the wait in each direction, and
 * `waits`, how many packets waited 0 … 10 ms, 10 … 20 ms and so on in that second. Ends with standard input, so that it
 * never outlives its test. */
#include "access.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { PACKET_MAX = 2048, WAITING_MAX = 8192, WAITS_MAX = 20000, WAIT_BIN_US = 10000, WAIT_BINS = 64, SECOND_US = 1000000 };

struct waiting {
    int64_t at_us;
    uint64_t number; /* of equal times the earlier one first */
    uint16_t len;
    uint8_t bytes[PACKET_MAX];
};

/* One direction. */
struct way {
    const char *name;
    struct access access;
    int from, to;
    struct waiting *heap[WAITING_MAX]; /* by at_us, number */
    size_t n;
    uint64_t bytes, packets, filtered;
    uint32_t waits_us[WAITS_MAX];
    size_t n_waits;
};

enum allowed { ALLOW_ALL, ALLOW_TCP, ALLOW_443 };

static enum allowed allowed;
static uint64_t next_number;
static struct {
    unsigned type, ppm;
    uint32_t random;
} lose;

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * SECOND_US + t.tv_nsec / 1000;
}

static void die(const char *what)
{
    fprintf(stderr, "impair: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- devices ---- */

static int open_tun(const char *namespace)
{
    char path[256];
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    snprintf(path, sizeof path, "/var/run/netns/%s", namespace);
    int ns = open(path, O_RDONLY | O_CLOEXEC);
    if (ns < 0 || setns(ns, CLONE_NEWNET) < 0)
        die(path);
    close(ns);
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    strcpy(request.ifr_name, "line0");
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0)
        die("/dev/net/tun");
    return fd;
}

/* ---- what waits ---- */

static bool before(const struct waiting *a, const struct waiting *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->number < b->number;
}

static void push(struct way *w, struct waiting *item)
{
    size_t i = w->n++;
    for (; i && before(item, w->heap[(i - 1) / 2]); i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = item;
}

static struct waiting *pop(struct way *w)
{
    struct waiting *first = w->heap[0], *last = w->heap[--w->n];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < w->n; i = child) {
        if (child + 1 < w->n && before(w->heap[child + 1], w->heap[child]))
            child++;
        if (!before(w->heap[child], last))
            break;
        w->heap[i] = w->heap[child];
    }
    w->heap[i] = last;
    return first;
}

static void wait_until(struct way *w, int64_t at_us, const uint8_t *bytes, size_t len)
{
    if (w->n == WAITING_MAX)
        return;
    struct waiting *item = malloc(sizeof *item);
    if (!item)
        return;
    item->at_us = at_us;
    item->number = next_number++;
    item->len = (uint16_t)len;
    memcpy(item->bytes, bytes, len);
    push(w, item);
}

/* ---- the line ---- */

static uint16_t port_at(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static bool passes(const uint8_t *p, size_t len)
{
    if (allowed == ALLOW_ALL || len < 40)
        return true;
    bool six = p[0] >> 4 == 6;
    uint8_t protocol = six ? p[6] : p[9];
    const uint8_t *ports = p + (six ? 40 : (p[0] & 15) * 4);
    if (protocol == IPPROTO_UDP)
        return false;
    if (protocol != IPPROTO_TCP || allowed == ALLOW_TCP || ports + 4 > p + len)
        return true;
    return port_at(ports) == 443 || port_at(ports + 2) == 443;
}

/* The UDP payload, NULL: none. */
static const uint8_t *udp_payload(const uint8_t *p, size_t len)
{
    bool six = p[0] >> 4 == 6;
    size_t header = six ? 40 : (size_t)(p[0] & 15) * 4;
    return len > header + 10 && (six ? p[6] : p[9]) == IPPROTO_UDP ? p + header + 8 : NULL;
}

static bool is_to_be_lost(const uint8_t *p, size_t len)
{
    const uint8_t *rtp = lose.ppm && len > 28 ? udp_payload(p, len) : NULL;
    if (!rtp || rtp[0] >> 6 != 2 || (rtp[1] & 0x7f) != lose.type)
        return false;
    lose.random = lose.random * 1664525u + 1013904223u;
    return (lose.random >> 8) % 1000000 < lose.ppm;
}

static void take_in(struct way *w, int64_t now)
{
    uint8_t bytes[PACKET_MAX];
    ssize_t len;
    while ((len = read(w->from, bytes, sizeof bytes)) > 0) {
        int64_t at[2];
        if (!passes(bytes, (size_t)len) || is_to_be_lost(bytes, (size_t)len)) {
            w->filtered++;
            continue;
        }
        int64_t waits = access_waiting_us(&w->access, now);
        unsigned copies = access_offer(&w->access, (size_t)len, now, at);
        if (copies && w->n_waits < WAITS_MAX)
            w->waits_us[w->n_waits++] = (uint32_t)waits;
        for (unsigned i = 0; i < copies; i++)
            wait_until(w, at[i], bytes, (size_t)len);
    }
}

static void give_out(struct way *w, int64_t now)
{
    while (w->n && w->heap[0]->at_us <= now) {
        struct waiting *item = pop(w);
        if (write(w->to, item->bytes, item->len) == item->len) {
            w->bytes += item->len;
            w->packets++;
        }
        free(item);
    }
}

/* ---- commands ---- */

static uint32_t *field(struct access_config *c, const char *key)
{
    struct {
        const char *key;
        uint32_t *at;
    } fields[] = {
        {"rate_bps", &c->rate_bps},     {"queue_us", &c->queue_us},           {"delay_us", &c->delay_us},
        {"jitter_us", &c->jitter_us},   {"loss_ppm", &c->loss_ppm},           {"burst_ppm", &c->burst_ppm},
        {"burst_us", &c->burst_us},     {"duplicate_ppm", &c->duplicate_ppm}, {"reorder_ppm", &c->reorder_ppm},
        {"reorder_us", &c->reorder_us},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (strcmp(fields[i].key, key) == 0)
            return fields[i].at;
    return NULL;
}

static bool change(struct way *w, char *text)
{
    struct access_config c = w->access.config;
    for (char *word = strtok(text, " \n"); word; word = strtok(NULL, " \n")) {
        char *equals = strchr(word, '=');
        if (!equals)
            return false;
        *equals = '\0';
        unsigned long value = strtoul(equals + 1, NULL, 10);
        uint32_t *at = field(&c, word);
        if (at)
            *at = (uint32_t)value;
        else if (strcmp(word, "down") == 0)
            c.down = value != 0;
        else
            return false;
    }
    access_change(&w->access, &c);
    return true;
}

static bool set(struct way ways[2], const char *which, const char *text)
{
    bool known = false;
    for (int i = 0; i < 2; i++) {
        char copy[512];
        if (strcmp(which, "both") != 0 && strcmp(which, ways[i].name) != 0)
            continue;
        snprintf(copy, sizeof copy, "%s", text);
        if (!change(&ways[i], copy))
            return false;
        known = true;
    }
    return known;
}

static void begin_anew(struct way ways[2], uint64_t seed)
{
    for (unsigned i = 0; i < 2; i++) {
        struct access *a = &ways[i].access;
        const struct access_config config = a->config;
        const struct access_stats stats = a->stats;
        access_init(a, &config, seed * 2 + i);
        a->stats = stats;
    }
    lose.random = (uint32_t)seed;
}

static bool obey(struct way ways[2], char *line)
{
    char word[16] = "", which[16] = "";
    int at = 0;
    struct access_config c;
    if (sscanf(line, "%15s %15s %n", word, which, &at) < 2)
        return false;
    if (strcmp(word, "set") == 0)
        return set(ways, which, line + at);
    if (strcmp(word, "allow") == 0) {
        allowed = strcmp(which, "tcp") == 0 ? ALLOW_TCP : strcmp(which, "443") == 0 ? ALLOW_443 : ALLOW_ALL;
        return true;
    }
    if (strcmp(word, "seed") == 0) {
        begin_anew(ways, strtoull(which, NULL, 10));
        return true;
    }
    if (strcmp(word, "lose") == 0)
        return sscanf(line, "%*s %u %u", &lose.type, &lose.ppm) == 2;
    for (int i = 0; i < 2; i++) {
        if (strcmp(word, "profile") != 0 || !access_profile(which[0], i == 1, &c))
            return false;
        access_change(&ways[i].access, &c);
    }
    return true;
}

static bool take_commands(struct way ways[2])
{
    static char text[4096];
    static size_t len;
    ssize_t n = read(STDIN_FILENO, text + len, sizeof text - 1 - len);
    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    len += (size_t)n;
    text[len] = '\0';
    for (char *end; (end = strchr(text, '\n')) != NULL;) {
        *end = '\0';
        if (*text && !obey(ways, text)) {
            fprintf(stderr, "impair: not understood: %s\n", text);
            return false;
        }
        len -= (size_t)(end + 1 - text);
        memmove(text, end + 1, len + 1);
    }
    return true;
}

/* ---- figures ---- */

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void report_waits(const struct way *w)
{
    unsigned bins[WAIT_BINS] = {0}, n = 0;
    for (size_t i = 0; i < w->n_waits; i++) {
        unsigned bin = w->waits_us[i] / WAIT_BIN_US < WAIT_BINS ? w->waits_us[i] / WAIT_BIN_US : WAIT_BINS - 1;
        bins[bin]++;
        n = bin >= n ? bin + 1 : n;
    }
    printf(",\"waits\":[");
    for (unsigned i = 0; i < n; i++)
        printf("%s%u", i ? "," : "", bins[i]);
    printf("]}");
}

static void report(struct way ways[2])
{
    printf("{");
    for (int i = 0; i < 2; i++) {
        struct way *w = &ways[i];
        qsort(w->waits_us, w->n_waits, sizeof *w->waits_us, compare);
        printf("%s\"%s\":{\"bytes\":%llu,\"packets\":%llu,\"lost\":%llu,\"dropped\":%llu,\"filtered\":%llu,\"wait_ms_p95\":%"
               ".1f",
               i ? "," : "", w->name, (unsigned long long)w->bytes, (unsigned long long)w->packets,
               (unsigned long long)w->access.stats.lost, (unsigned long long)w->access.stats.dropped,
               (unsigned long long)w->filtered, w->n_waits ? w->waits_us[w->n_waits * 95 / 100] / 1000.0 : 0);
        report_waits(w);
        w->n_waits = 0;
    }
    printf("}\n");
    fflush(stdout);
}

static int64_t next_us(const struct way ways[2], int64_t report_us)
{
    int64_t at = report_us;
    for (int i = 0; i < 2; i++)
        if (ways[i].n && ways[i].heap[0]->at_us < at)
            at = ways[i].heap[0]->at_us;
    return at;
}

static void run(struct way ways[2])
{
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    int64_t report_us = now_us() + SECOND_US;
    for (;;) {
        int64_t at = next_us(ways, report_us);
        struct itimerspec t = {.it_value = {.tv_sec = at / SECOND_US, .tv_nsec = at % SECOND_US * 1000}};
        timerfd_settime(timer, TFD_TIMER_ABSTIME, &t, NULL);
        struct pollfd fds[] = {{.fd = ways[0].from, .events = POLLIN},
                               {.fd = ways[1].from, .events = POLLIN},
                               {.fd = timer, .events = POLLIN},
                               {.fd = STDIN_FILENO, .events = POLLIN}};
        if (poll(fds, 4, -1) < 0 && errno != EINTR)
            die("poll");
        int64_t now = now_us();
        for (int i = 0; i < 2; i++) {
            take_in(&ways[i], now);
            give_out(&ways[i], now);
        }
        if (fds[3].revents && !take_commands(ways))
            return;
        if (now >= report_us) {
            report_us += SECOND_US;
            report(ways);
        }
    }
}

static const char *option(int argc, char **argv, const char *name)
{
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return argv[i + 1];
    return NULL;
}

int main(int argc, char **argv)
{
    static struct way ways[2] = {{.name = "down"}, {.name = "up"}};
    static const struct access_config perfect = {0};
    const char *left = option(argc, argv, "--left"), *right = option(argc, argv, "--right");
    const char *seed = option(argc, argv, "--seed");
    if (!left || !right) {
        fprintf(stderr, "impair --left NAMESPACE --right NAMESPACE [--seed N]\n");
        return 2;
    }
    int a = open_tun(left), b = open_tun(right);
    for (unsigned i = 0; i < 2; i++) {
        ways[i].access.config = perfect;
        ways[i].from = i ? b : a;
        ways[i].to = i ? a : b;
    }
    begin_anew(ways, seed ? strtoull(seed, NULL, 10) : 1);
    fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);
    printf("ready\n");
    fflush(stdout);
    run(ways);
    return 0;
}
