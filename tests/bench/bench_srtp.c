/* How long sealing one packet takes with each engine, all in one run, rounds interleaved; the best round counts. */
#include "srtp/seal.h"

#include "base/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PACKETS = 20000, ROUNDS = 15, PAYLOAD = 1100, CAP = 2048, PADDING = 10 };

static double cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

struct contest {
    enum seal_suite suite;
    enum seal_engine engine;
    uint8_t padding;
    struct seal *seal;
    uint16_t seq;
    double best_ns;
};

static void run_round(struct contest *c)
{
    static uint8_t payload[PAYLOAD], out[CAP];
    uint8_t header[20] = {0x90, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0xbe, 0xde, 0, 1};
    size_t len;
    double start = cpu_ns();
    for (int i = 0; i < PACKETS; i++) {
        put_u16(header + 2, c->seq++);
        if (seal_rtp(c->seal, header, sizeof header, payload, PAYLOAD - c->padding, c->padding, out, CAP, &len))
            abort();
    }
    double ns = (cpu_ns() - start) / PACKETS;
    if (!c->best_ns || ns < c->best_ns)
        c->best_ns = ns;
}

int main(void)
{
    struct contest contests[] = {
        {SEAL_GCM_128, SEAL_LIBSRTP},
        {SEAL_GCM_128, SEAL_EVP},
        {SEAL_GCM_128, SEAL_EVP, PADDING},
        {SEAL_GCM_128, SEAL_IPSEC_MB},
        {SEAL_GCM_128, SEAL_IPSEC_MB, PADDING},
        {SEAL_GCM_256, SEAL_LIBSRTP},
        {SEAL_GCM_256, SEAL_EVP},
        {SEAL_GCM_256, SEAL_IPSEC_MB},
        {SEAL_SHA1_80, SEAL_LIBSRTP},
    };
    enum { N = sizeof contests / sizeof contests[0] };
    if (seal_start())
        return 1;
    for (int i = 0; i < N; i++) {
        struct seal_keys keys = {.suite = contests[i].suite, .out = {(uint8_t)(i + 1)}};
        if (seal_new(&keys, contests[i].engine, &contests[i].seal))
            contests[i].seal = NULL; /* not on this machine */
    }
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < N; i++)
            if (contests[i].seal)
                run_round(&contests[i]);
    for (int i = 0; i < N; i++) {
        const struct contest *c = &contests[i];
        const char *suite = c->suite == SEAL_GCM_128 ? "gcm-128" : c->suite == SEAL_GCM_256 ? "gcm-256" : "sha1-80";
        if (c->seal)
            printf("%s %-8s padding %2u: %5.0f ns a packet of %d bytes\n", suite, seal_engine_str(c->engine), c->padding,
                   c->best_ns, PAYLOAD);
        seal_free(c->seal);
    }
    return 0;
}
