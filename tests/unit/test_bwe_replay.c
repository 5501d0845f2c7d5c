/* Recorded runs of real lines (tests/link/traces, server/sfu/trace.h) through the estimator once more: it decides what it
 * decided then, and stays within its bounds.
 *
 *   test_bwe_replay --rewrite FILE > NEW     the trace with what the estimator decides now, after a change that means to */
#include "bwe/bwe.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum {
    PACKETS_MAX = 1024,
    FIELDS_MAX = 16,
    WAITING = 1,
    PAUSED = 2,
    ASKED = 4,
    PAUSED_PROBE_US = 4 * 1000 * 1000, /* sfu/downlink.h */
    ABOVE_US = 1000 * 1000,
    SETTLED_US = 10 * 1000 * 1000, /* after it joined and after the line changed */
    SHARES_MAX = 20000,
};
static const double above = 1.3, same = 0.001;

struct replay {
    struct bwe bwe;
    FILE *rewritten; /* NULL: it is compared */
    const char *name;
    int64_t base_us;
    uint32_t line_bps; /* 0: not known */
    int64_t begun_us, changed_us, above_us, longest_above_us;
    unsigned ticks, different;
    uint32_t lowest_bps, highest_bps;
    double shares; /* of the line, summed */
    unsigned n_shares;
};

static size_t read_numbers(char *text, int64_t *fields)
{
    size_t n = 0;
    for (char *word = strtok(text, " "); word && n < FIELDS_MAX; word = strtok(NULL, " "))
        fields[n++] = strtoll(word, NULL, 36);
    return n;
}

static void begin(struct replay *r, char *text)
{
    int64_t f[FIELDS_MAX];
    assert_int_equal(read_numbers(text, f), 7);
    struct bwe_config config = {.start_bps = (uint32_t)f[4], .min_bps = (uint32_t)f[5], .max_bps = (uint32_t)f[6]};
    bwe_init(&r->bwe, &config);
    r->begun_us = r->changed_us = r->base_us + f[1];
}

static void feedback(struct replay *r, char *text)
{
    static struct bwe_packet packets[PACKETS_MAX];
    size_t n = 0;
    char *rest = text;
    strtoll(rest, &rest, 36); /* whose */
    int64_t now_us = r->base_us + strtoll(rest, &rest, 36), rtt_us = strtoll(rest, &rest, 36), sent_us = r->base_us;
    for (; *rest == ' ' && n < PACKETS_MAX; n++) {
        struct bwe_packet *p = &packets[n];
        sent_us += strtoll(rest + 1, &rest, 36);
        *p = (struct bwe_packet){.sent_us = sent_us};
        assert_int_equal(*rest, ':');
        p->received = rest[1] != '!';
        p->arrival_us = p->received ? p->sent_us + strtoll(rest + 1, &rest, 36) : 0;
        rest += p->received ? 0 : 2;
        assert_int_equal(*rest, ':');
        p->bytes = (uint16_t)strtoll(rest + 1, &rest, 36);
        p->probe = *rest == ':' ? (uint8_t)strtoll(rest + 1, &rest, 36) : 0;
    }
    bwe_rtt(&r->bwe, rtt_us);
    bwe_feedback(&r->bwe, packets, n, now_us);
}

static void judge(struct replay *r, uint32_t target, int64_t now_us)
{
    r->lowest_bps = target < r->lowest_bps ? target : r->lowest_bps;
    r->highest_bps = target > r->highest_bps ? target : r->highest_bps;
    if (!r->line_bps)
        return;
    if (target <= above * r->line_bps)
        r->above_us = 0;
    else if (!r->above_us)
        r->above_us = now_us;
    if (r->above_us && now_us - r->above_us > r->longest_above_us)
        r->longest_above_us = now_us - r->above_us;
    if (now_us - r->changed_us < SETTLED_US)
        return;
    r->shares += (double)target / r->line_bps;
    r->n_shares++;
}

static void print_number(FILE *to, int64_t n)
{
    char digits[16];
    size_t at = sizeof digits;
    uint64_t rest = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    do
        digits[--at] = "0123456789abcdefghijklmnopqrstuvwxyz"[rest % 36];
    while (rest /= 36);
    fprintf(to, n < 0 ? " -%.*s" : " %.*s", (int)(sizeof digits - at), digits + at);
}

/* The look with what is decided now. */
static void rewrite(struct replay *r, int64_t f[FIELDS_MAX], const struct probe_cluster *cluster)
{
    size_t n = cluster->id ? 14 : 11;
    f[4] = bwe_target_bps(&r->bwe);
    f[5] = bwe_acked_bps(&r->bwe);
    f[6] = r->bwe.delay.queue_us;
    f[7] = (int64_t)(r->bwe.loss * 1000);
    f[11] = cluster->id;
    f[12] = cluster->bps;
    f[13] = cluster->bytes;
    fputc('t', r->rewritten);
    for (size_t i = 0; i < n; i++)
        print_number(r->rewritten, f[i]);
    fputc('\n', r->rewritten);
}

static void tick(struct replay *r, char *text)
{
    int64_t f[FIELDS_MAX];
    size_t n = read_numbers(text, f);
    struct probe_cluster cluster = {.id = 0};
    assert_true(n == 11 || n == 14);
    int64_t now_us = r->base_us + f[1];
    bwe_tick(&r->bwe, f[2] & WAITING, now_us);
    if (f[2] & PAUSED)
        probe_by(&r->bwe.probe, now_us + PAUSED_PROBE_US);
    bwe_want(&r->bwe, (uint32_t)f[3]);
    if (f[2] & ASKED)
        bwe_probe(&r->bwe, now_us, &cluster);
    uint32_t target = bwe_target_bps(&r->bwe);
    bool decides_so = fabs((double)target - (double)f[4]) <= 1 + same * (double)f[4] && cluster.id == (n == 14 ? f[11] : 0);
    if (!decides_so && !r->different && !r->rewritten)
        print_message("%s at %.2f s: target %u, not %u; probe %u, not %u\n", r->name, (double)(now_us - r->begun_us) / 1e6,
                      target, (unsigned)f[4], cluster.id, n == 14 ? (unsigned)f[11] : 0);
    r->ticks++;
    r->different += !decides_so;
    judge(r, target, now_us);
    if (r->rewritten)
        rewrite(r, f, &cluster);
}

/* A test's note of what the line holds. */
static void note_line(struct replay *r, char *text)
{
    int64_t f[FIELDS_MAX];
    assert_int_equal(read_numbers(text, f), 2);
    r->line_bps = (uint32_t)f[1];
    r->changed_us = r->base_us + f[0];
    r->above_us = 0;
}

static void probe_left(struct replay *r, char *text)
{
    int64_t f[FIELDS_MAX];
    assert_int_equal(read_numbers(text, f), 4);
    probe_sent(&r->bwe.probe, (uint8_t)f[2], (uint32_t)f[3], r->base_us + f[1]);
}

static void remb(struct replay *r, char *text)
{
    int64_t f[FIELDS_MAX];
    assert_int_equal(read_numbers(text, f), 3);
    bwe_remb(&r->bwe, (uint64_t)f[2], r->base_us + f[1]);
}

static void record(struct replay *r, char *line)
{
    char *text = line + 2;
    if (r->rewritten && line[0] != 't')
        fprintf(r->rewritten, "%s\n", line);
    switch (line[0]) {
    case 'n': begin(r, text); return;
    case 'f': feedback(r, text); return;
    case 't': tick(r, text); return;
    case 'p': probe_left(r, text); return;
    case 'r': remb(r, text); return;
    case 'l': note_line(r, text); return;
    default: fail_msg("%s: a record of kind '%c'", r->name, line[0]);
    }
}

static void replay(struct replay *r, const char *path)
{
    char *line = NULL;
    size_t cap = 0;
    long long base;
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    r->lowest_bps = UINT32_MAX;
    assert_int_equal(fscanf(file, "giaoban-trace 1 %lld\n", &base), 1);
    r->base_us = base;
    if (r->rewritten)
        fprintf(r->rewritten, "giaoban-trace 1 %lld\n", base);
    for (ssize_t len; (len = getline(&line, &cap, file)) > 2;) {
        line[len - 1] = '\0';
        record(r, line);
    }
    free(line);
    fclose(file);
}

static void what_was_recorded_is_decided_again_and_within_bounds(void **state)
{
    struct dirent *entry;
    unsigned n = 0;
    DIR *dir = opendir(TRACES);
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        char path[1024];
        struct replay r = {.name = entry->d_name};
        if (!strstr(entry->d_name, ".trace"))
            continue;
        snprintf(path, sizeof path, "%s/%s", TRACES, entry->d_name);
        replay(&r, path);
        n++;
        double used = r.n_shares ? r.shares / r.n_shares : 0;
        print_message("%s: %u looks, %u … %u kbit/s, at most %.2f s above %.1f × the line; settled, %.0f %% of it\n", r.name,
                      r.ticks, r.lowest_bps / 1000, r.highest_bps / 1000, (double)r.longest_above_us / 1e6, above,
                      100 * used);
        assert_int_equal(r.different, 0);
        assert_true(r.ticks > 200);
        assert_true(r.lowest_bps >= r.bwe.config.min_bps);
        assert_true(r.longest_above_us <= ABOVE_US);
        assert_true(used > 0.5);
    }
    closedir(dir);
    assert_true(n >= 2);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_recorded_is_decided_again_and_within_bounds),
    };
    if (argc == 3 && strcmp(argv[1], "--rewrite") == 0) {
        struct replay r = {.name = argv[2], .rewritten = stdout};
        replay(&r, argv[2]);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
