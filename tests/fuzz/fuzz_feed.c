/* A writer and a reader that lie: the input becomes ring, head and tail, and a second thread goes on rewriting the ring
 * while the reader reads. The reader may refuse, never crash or hand out a record beyond its buffer; the writer never leaves
 * its ring. */
#include "base/err.h"
#include "base/feed.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, RING = 16384, RECORDS = 4000 };

static int data_fd, tail_fd;
static uint8_t *data_map, *tail_map;
static const uint8_t *_Atomic input;
static _Atomic size_t input_len;
static _Atomic unsigned rewriting;

static void *rewrite(void *arg)
{
    unsigned seed = 1;
    while (atomic_load(&rewriting)) {
        size_t len = atomic_load(&input_len);
        const uint8_t *bytes = atomic_load(&input);
        for (int i = 0; i < 256 && len; i++) {
            seed = seed * 1664525u + 1013904223u;
            ((volatile uint8_t *)data_map)[PAGE + (seed >> 8) % RING] = bytes[(seed >> 4) % len];
        }
    }
    return NULL;
}

static void read_all(void)
{
    struct feed_reader *r;
    struct feed_record rec;
    uint8_t body[FEED_BODY_MAX];
    if (feed_reader_open(data_fd, tail_fd, -1, &r))
        return;
    for (int i = 0; i < RECORDS && feed_read(r, &rec, body) == 0; i++) {
        if (rec.len > FEED_BODY_MAX || rec.kind < FEED_RTP || rec.kind > FEED_END)
            abort();
        feed_ack(r, feed_position(r));
    }
    feed_reader_close(r);
}

static void write_some(uint64_t generation)
{
    struct feed_writer *w;
    uint8_t body[FEED_BODY_MAX] = {0};
    if (feed_writer_open(data_fd, tail_fd, -1, generation, &w))
        return;
    for (unsigned i = 0; i < 64; i++) {
        struct feed_record rec = {.kind = FEED_RTP, .len = (uint16_t)(i * 37 % 1200)};
        feed_write(w, &rec, body);
        if (feed_backlog(w) > RING)
            abort();
    }
    feed_writer_close(w);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    if (feed_create(RING, 1, &data_fd, &tail_fd))
        abort();
    data_map = mmap(NULL, PAGE + RING, PROT_READ | PROT_WRITE, MAP_SHARED, data_fd, 0);
    tail_map = mmap(NULL, 24, PROT_READ | PROT_WRITE, MAP_SHARED, tail_fd, 0);
    return data_map == MAP_FAILED || tail_map == MAP_FAILED ? -1 : 0;
}

/* Input: 16 bytes of tail (read, ack), 8 of head, one switch, then the ring. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    if (len < 26)
        return 0;
    pthread_t thread;
    memset(data_map + 16, 0, 8); /* generation */
    memcpy(tail_map, bytes, 16);
    memcpy(data_map + 32, bytes + 16, 8);
    memset(data_map + 40, 0, 48);
    size_t n = len - 25 < RING ? len - 25 : RING;
    memcpy(data_map + PAGE, bytes + 25, n);
    bool beside = bytes[24] & 1;
    atomic_store(&input, bytes + 25);
    atomic_store(&input_len, len - 25);
    atomic_store(&rewriting, 1);
    if (beside && pthread_create(&thread, NULL, rewrite, NULL))
        beside = false;
    if (bytes[24] & 2)
        write_some(1 + (bytes[24] >> 2));
    read_all();
    atomic_store(&rewriting, 0);
    if (beside)
        pthread_join(thread, NULL);
    return 0;
}
