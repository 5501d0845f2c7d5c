#include "base/feed.h"

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define FEED_MAGIC 0x64656566u /* "feed" */
#define FEED_VERSION 1u
#define FEED_SEALS (F_SEAL_SHRINK | F_SEAL_GROW)
#define HEAD_BYTES 4096u
#define RING_MIN_BYTES 16384u
#define RING_MAX_BYTES (1u << 30)
#define RECORD_BYTES sizeof(struct feed_record)
#define WAKE_INTERVAL_US 1000
#define GAP_BODY_BYTES 8u

/* Page 0 of the data memfd; only the writer writes it. What a successor of a killed writer needs is here: `dropped` counts
 * for good, `gap_at`/`gap_upto` say which record announces the drops up to `gap_upto`, so that a kill between any two
 * stores neither loses a drop nor announces it twice. */
struct feed_head {
    uint32_t magic, version;
    uint64_t feed_id, birth;
    _Atomic uint64_t generation;
    _Atomic uint64_t head;
    _Atomic uint32_t ended;
    uint32_t zero;
    _Atomic uint64_t dropped, announced, gap_at, gap_upto;
};

struct feed_cell {
    _Atomic uint32_t want_layers;
    _Atomic uint8_t keyframe_seq[FEED_LAYERS];
};

/* The tail memfd; only the reader writes it. */
struct feed_tail {
    _Atomic uint64_t read, ack;
    _Atomic uint32_t asleep;
    uint32_t zero;
    struct feed_cell cell[FEED_CELLS];
};

_Static_assert(sizeof(struct feed_record) == 32, "a record's head is 32 bytes on every machine");
_Static_assert(sizeof(struct feed_head) <= HEAD_BYTES, "the head has page 0 for itself");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "a lock would not work between processes");

struct feed_map {
    struct feed_head *head;
    uint8_t *ring;
    struct feed_tail *tail;
    uint64_t ring_bytes;
};

struct feed_writer {
    struct feed_map map;
    uint64_t head, ack; /* our own head; the newest acknowledgement that made sense */
    uint64_t flushed;   /* head at the last flush that owed the reader nothing */
    int64_t last_wake_us, due_us;
    int wake_fd;
};

struct feed_reader {
    struct feed_map map;
    uint64_t position, ack;
    int wake_fd;
    bool broken;
};

static uint64_t record_span(size_t body_bytes)
{
    return (RECORD_BYTES + body_bytes + FEED_ALIGN - 1) & ~(uint64_t)(FEED_ALIGN - 1);
}

/* --- making ------------------------------------------------------------------------------------------------------- */

static int populate(int fd, size_t bytes)
{
    uint8_t *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return ERR_IO;
    if (madvise(p, bytes, MADV_POPULATE_WRITE) < 0) /* before Linux 5.14 */
        for (size_t at = 0; at < bytes; at += 4096)
            ((volatile uint8_t *)p)[at] = 0;
    munmap(p, bytes);
    return 0;
}

static int make_memfd(const char *name, size_t bytes, int *ret_fd)
{
    _cleanup_close_ int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0)
        return ERR_IO;
    int err = populate(fd, bytes);
    if (err)
        return err;
    if (fcntl(fd, F_ADD_SEALS, FEED_SEALS) < 0)
        return ERR_IO;
    *ret_fd = cleanup_take_fd(&fd);
    return 0;
}

static size_t ring_size(size_t wanted_bytes)
{
    size_t bytes = RING_MIN_BYTES;
    while (bytes < wanted_bytes)
        bytes *= 2;
    return bytes;
}

int feed_create(size_t ring_bytes, uint64_t feed_id, int *ret_data_fd, int *ret_tail_fd)
{
    if (ring_bytes == 0 || ring_bytes > RING_MAX_BYTES)
        return ERR_RANGE;
    _cleanup_close_ int data = -1;
    _cleanup_close_ int tail = -1;
    int err = make_memfd("giaoban-feed", HEAD_BYTES + ring_size(ring_bytes), &data);
    if (!err)
        err = make_memfd("giaoban-feed-tail", sizeof(struct feed_tail), &tail);
    if (err)
        return err;
    struct feed_head head = {.magic = FEED_MAGIC, .version = FEED_VERSION, .feed_id = feed_id};
    if (getrandom(&head.birth, sizeof head.birth, 0) != (ssize_t)sizeof head.birth)
        return ERR_IO;
    if (pwrite(data, &head, sizeof head, 0) != (ssize_t)sizeof head)
        return ERR_IO;
    *ret_data_fd = cleanup_take_fd(&data);
    *ret_tail_fd = cleanup_take_fd(&tail);
    return 0;
}

int feed_readonly(int fd, int *ret_fd)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int copy = open(path, O_RDONLY | O_CLOEXEC);
    if (copy < 0)
        return ERR_IO;
    *ret_fd = copy;
    return 0;
}

/* --- mapping ------------------------------------------------------------------------------------------------------ */

static void unmap(struct feed_map *m)
{
    if (m->head)
        munmap(m->head, HEAD_BYTES + m->ring_bytes);
    if (m->tail)
        munmap(m->tail, sizeof *m->tail);
}

static int check_memfd(int fd, uint64_t *ret_bytes)
{
    struct stat st;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || fstat(fd, &st) < 0 || st.st_size < 0)
        return ERR_INVAL;
    if ((seals & FEED_SEALS) != FEED_SEALS) /* an unsealed file could shrink under us: SIGBUS */
        return ERR_DENIED;
    *ret_bytes = (uint64_t)st.st_size;
    return 0;
}

static int map_both(struct feed_map *m, int data_fd, int tail_fd, bool writer)
{
    uint64_t data_bytes, tail_bytes;
    int err = check_memfd(data_fd, &data_bytes);
    if (!err)
        err = check_memfd(tail_fd, &tail_bytes);
    if (err)
        return err;
    if (data_bytes < HEAD_BYTES + RING_MIN_BYTES || data_bytes > HEAD_BYTES + (uint64_t)RING_MAX_BYTES ||
        tail_bytes != sizeof(struct feed_tail))
        return ERR_MALFORMED;
    m->ring_bytes = data_bytes - HEAD_BYTES;
    if (m->ring_bytes & (m->ring_bytes - 1))
        return ERR_MALFORMED;
    void *data = mmap(NULL, data_bytes, PROT_READ | (writer ? PROT_WRITE : 0), MAP_SHARED, data_fd, 0);
    if (data == MAP_FAILED)
        return ERR_IO;
    m->head = data;
    m->ring = (uint8_t *)data + HEAD_BYTES;
    void *tail = mmap(NULL, tail_bytes, PROT_READ | (writer ? 0 : PROT_WRITE), MAP_SHARED, tail_fd, 0);
    if (tail == MAP_FAILED)
        return ERR_IO;
    m->tail = tail;
    return m->head->magic == FEED_MAGIC && m->head->version == FEED_VERSION ? 0 : ERR_MALFORMED;
}

/* --- the ring ----------------------------------------------------------------------------------------------------- */

static void ring_put(const struct feed_map *m, uint64_t position, const void *bytes, size_t len)
{
    size_t at = position & (m->ring_bytes - 1);
    size_t first = m->ring_bytes - at < len ? m->ring_bytes - at : len;
    memcpy(m->ring + at, bytes, first); // cppcheck-suppress ctunullpointer; an empty body, NULL, is not put
    memcpy(m->ring, (const uint8_t *)bytes + first, len - first);
}

static void ring_get(const struct feed_map *m, uint64_t position, void *bytes, size_t len)
{
    size_t at = position & (m->ring_bytes - 1);
    size_t first = m->ring_bytes - at < len ? m->ring_bytes - at : len;
    memcpy(bytes, m->ring + at, first);
    memcpy((uint8_t *)bytes + first, m->ring, len - first);
}

static bool plausible(uint64_t position, uint64_t head, uint64_t ring_bytes)
{
    return position <= head && head - position <= ring_bytes && position % FEED_ALIGN == 0;
}

/* --- writer ------------------------------------------------------------------------------------------------------- */

/* The tail belongs to another process: an acknowledgement beyond what was written, or going back, is not believed. */
static void take_ack(struct feed_writer *w)
{
    uint64_t ack = atomic_load_explicit(&w->map.tail->ack, memory_order_acquire);
    if (plausible(ack, w->head, w->map.ring_bytes) && ack > w->ack)
        w->ack = ack;
}

/* A killed predecessor's drops that its last GAP record announces already. */
static void settle_gap(struct feed_head *h, uint64_t head)
{
    uint64_t upto = atomic_load_explicit(&h->gap_upto, memory_order_relaxed);
    if (upto > atomic_load_explicit(&h->announced, memory_order_relaxed) &&
        head > atomic_load_explicit(&h->gap_at, memory_order_relaxed))
        atomic_store_explicit(&h->announced, upto, memory_order_relaxed);
}

int feed_look(int data_fd, int tail_fd, bool *ret_ended, bool *ret_drained)
{
    struct feed_head head;
    struct feed_tail tail;
    if (pread(data_fd, &head, sizeof head, 0) != sizeof head || pread(tail_fd, &tail, sizeof tail, 0) != sizeof tail)
        return ERR_IO;
    *ret_ended = atomic_load_explicit(&head.ended, memory_order_relaxed) != 0;
    *ret_drained = *ret_ended && atomic_load_explicit(&tail.ack, memory_order_relaxed) >=
                                     atomic_load_explicit(&head.head, memory_order_relaxed);
    return 0;
}

int feed_writer_open(int data_fd, int tail_fd, int wake_fd, uint64_t generation, struct feed_writer **ret_writer)
{
    struct feed_writer *w = calloc(1, sizeof *w);
    if (!w)
        return ERR_NOMEM;
    w->wake_fd = -1;
    w->due_us = INT64_MAX;
    int err = map_both(&w->map, data_fd, tail_fd, true);
    if (err)
        goto fail;
    struct feed_head *h = w->map.head;
    err = ERR_STALE;
    if (generation <= atomic_load_explicit(&h->generation, memory_order_relaxed))
        goto fail;
    err = ERR_STATE;
    if (atomic_load_explicit(&h->ended, memory_order_relaxed))
        goto fail;
    err = ERR_IO;
    if (wake_fd >= 0 && (w->wake_fd = fcntl(wake_fd, F_DUPFD_CLOEXEC, 0)) < 0)
        goto fail;
    w->head = w->flushed = atomic_load_explicit(&h->head, memory_order_relaxed);
    w->ack = w->head > w->map.ring_bytes ? w->head - w->map.ring_bytes : 0; /* nothing is free until the reader says so */
    take_ack(w);
    settle_gap(h, w->head);
    atomic_store_explicit(&h->generation, generation, memory_order_relaxed);
    *ret_writer = w;
    return 0;
fail:
    feed_writer_close(w);
    return err;
}

void feed_writer_close(struct feed_writer *w)
{
    if (!w)
        return;
    unmap(&w->map);
    if (w->wake_fd >= 0)
        close(w->wake_fd);
    free(w);
}

static bool has_room(struct feed_writer *w, uint64_t bytes)
{
    if (w->map.ring_bytes - (w->head - w->ack) >= bytes)
        return true;
    take_ack(w);
    return w->map.ring_bytes - (w->head - w->ack) >= bytes;
}

static void put_gap(struct feed_writer *w, uint64_t position, uint64_t count, int64_t session_us)
{
    struct feed_record gap = {.len = GAP_BODY_BYTES, .kind = FEED_GAP, .session_us = session_us};
    uint8_t body[GAP_BODY_BYTES];
    put_u64(body, count);
    ring_put(&w->map, position, &gap, sizeof gap);
    ring_put(&w->map, position + RECORD_BYTES, body, sizeof body);
}

int feed_write(struct feed_writer *w, const struct feed_record *record, const void *body)
{
    if (record->len > FEED_BODY_MAX)
        return ERR_RANGE;
    struct feed_head *h = w->map.head;
    uint64_t dropped = atomic_load_explicit(&h->dropped, memory_order_relaxed);
    uint64_t unannounced = dropped - atomic_load_explicit(&h->announced, memory_order_relaxed);
    uint64_t gap_span = unannounced ? record_span(GAP_BODY_BYTES) : 0;
    uint64_t span = record_span(record->len);
    if (!has_room(w, gap_span + span)) {
        atomic_store_explicit(&h->dropped, dropped + 1, memory_order_relaxed);
        return ERR_FULL;
    }
    struct feed_record clean = *record;
    clean.zero = 0;
    if (unannounced) {
        put_gap(w, w->head, unannounced, record->session_us);
        atomic_store_explicit(&h->gap_at, w->head, memory_order_relaxed);
        atomic_store_explicit(&h->gap_upto, dropped, memory_order_release);
    }
    ring_put(&w->map, w->head + gap_span, &clean, sizeof clean);
    if (clean.len)
        ring_put(&w->map, w->head + gap_span + RECORD_BYTES, body, clean.len);
    w->head += gap_span + span;
    atomic_store_explicit(&h->head, w->head, memory_order_release); /* only now the bytes count */
    if (unannounced)
        atomic_store_explicit(&h->announced, dropped, memory_order_release); /* after the head, see settle_gap() */
    return 0;
}

void feed_flush(struct feed_writer *w, int64_t now_us)
{
    w->due_us = INT64_MAX;
    if (w->wake_fd < 0 || w->flushed == w->head)
        return;
    /* Pairs with the fence in feed_sleep(): either we see the reader asleep or it sees our head. */
    atomic_thread_fence(memory_order_seq_cst);
    if (!atomic_load_explicit(&w->map.tail->asleep, memory_order_relaxed)) {
        w->flushed = w->head;
        return;
    }
    if (w->last_wake_us && now_us - w->last_wake_us < WAKE_INTERVAL_US) {
        w->due_us = w->last_wake_us + WAKE_INTERVAL_US;
        return;
    }
    uint64_t one = 1;
    ssize_t n = write(w->wake_fd, &one, sizeof one);
    (void)n; /* a full eventfd is readable already */
    w->last_wake_us = now_us;
    w->flushed = w->head;
}

int64_t feed_next_flush_us(const struct feed_writer *w)
{
    return w->due_us;
}

uint32_t feed_wanted_layers(const struct feed_writer *w, unsigned cell)
{
    return cell < FEED_CELLS ? atomic_load_explicit(&w->map.tail->cell[cell].want_layers, memory_order_relaxed) : 0;
}

uint8_t feed_keyframe_seq(const struct feed_writer *w, unsigned cell, unsigned layer)
{
    if (cell >= FEED_CELLS || layer >= FEED_LAYERS)
        return 0;
    return atomic_load_explicit(&w->map.tail->cell[cell].keyframe_seq[layer], memory_order_relaxed);
}

uint64_t feed_dropped(const struct feed_writer *w)
{
    return atomic_load_explicit(&w->map.head->dropped, memory_order_relaxed);
}

uint64_t feed_backlog(const struct feed_writer *w)
{
    take_ack((struct feed_writer *)w); /* a cache of ours, no visible state */
    return w->head - w->ack;
}

void feed_end(struct feed_writer *w)
{
    atomic_store_explicit(&w->map.head->ended, 1, memory_order_release);
    w->flushed = w->head - 1; /* the end is news too */
}

/* --- reader ------------------------------------------------------------------------------------------------------- */

int feed_reader_open(int data_fd, int tail_fd, int wake_fd, struct feed_reader **ret_reader)
{
    struct feed_reader *r = calloc(1, sizeof *r);
    if (!r)
        return ERR_NOMEM;
    r->wake_fd = -1;
    int err = map_both(&r->map, data_fd, tail_fd, false);
    if (err)
        goto fail;
    err = ERR_IO;
    if (wake_fd >= 0 && (r->wake_fd = fcntl(wake_fd, F_DUPFD_CLOEXEC, 0)) < 0)
        goto fail;
    r->position = r->ack = atomic_load_explicit(&r->map.tail->ack, memory_order_relaxed);
    err = ERR_MALFORMED;
    if (!plausible(r->ack, atomic_load_explicit(&r->map.head->head, memory_order_acquire), r->map.ring_bytes))
        goto fail;
    atomic_store_explicit(&r->map.tail->read, r->position, memory_order_relaxed);
    atomic_store_explicit(&r->map.tail->asleep, 0, memory_order_relaxed);
    *ret_reader = r;
    return 0;
fail:
    feed_reader_close(r);
    return err;
}

void feed_reader_close(struct feed_reader *r)
{
    if (!r)
        return;
    unmap(&r->map);
    if (r->wake_fd >= 0)
        close(r->wake_fd);
    free(r);
}

static int broken(struct feed_reader *r)
{
    r->broken = true;
    return ERR_MALFORMED;
}

static bool valid_record(const struct feed_record *c)
{
    return c->len <= FEED_BODY_MAX && c->kind >= FEED_RTP && c->kind <= FEED_END && c->zero == 0 &&
           (c->kind != FEED_GAP || c->len == GAP_BODY_BYTES);
}

int feed_read(struct feed_reader *r, struct feed_record *ret_record, uint8_t *body)
{
    if (r->broken)
        return ERR_MALFORMED;
    /* The end first: what was published before it is then seen below. */
    bool ended = atomic_load_explicit(&r->map.head->ended, memory_order_acquire) != 0;
    uint64_t head = atomic_load_explicit(&r->map.head->head, memory_order_acquire);
    if (!plausible(r->position, head, r->map.ring_bytes) || head % FEED_ALIGN)
        return broken(r);
    if (r->position == head)
        return ended ? ERR_CLOSED : ERR_AGAIN;
    struct feed_record copy;
    if (head - r->position < RECORD_BYTES)
        return broken(r);
    ring_get(&r->map, r->position, &copy, sizeof copy);
    if (!valid_record(&copy) || head - r->position < record_span(copy.len))
        return broken(r);
    ring_get(&r->map, r->position + RECORD_BYTES, body, copy.len);
    r->position += record_span(copy.len);
    atomic_store_explicit(&r->map.tail->read, r->position, memory_order_relaxed);
    *ret_record = copy;
    return 0;
}

uint64_t feed_birth(const struct feed_reader *r)
{
    return r->map.head->birth;
}

bool feed_broken(const struct feed_reader *r)
{
    return r->broken;
}

void feed_writer_state(const struct feed_reader *r, uint64_t *ret_head, bool *ret_drops)
{
    const struct feed_head *h = r->map.head;
    *ret_head = atomic_load_explicit(&h->head, memory_order_acquire);
    *ret_drops =
        atomic_load_explicit(&h->dropped, memory_order_relaxed) > atomic_load_explicit(&h->announced, memory_order_relaxed);
}

uint64_t feed_acknowledged(const struct feed_reader *r)
{
    return r->ack;
}

uint64_t feed_position(const struct feed_reader *r)
{
    return r->position;
}

void feed_ack(struct feed_reader *r, uint64_t position)
{
    if (position <= r->ack || position > r->position)
        return;
    r->ack = position;
    atomic_store_explicit(&r->map.tail->ack, position, memory_order_release);
}

void feed_skip(struct feed_reader *r)
{
    uint64_t head = atomic_load_explicit(&r->map.head->head, memory_order_acquire);
    if (!plausible(r->position, head, r->map.ring_bytes))
        return; /* feed_read() will say so */
    r->position = head;
    atomic_store_explicit(&r->map.tail->read, head, memory_order_relaxed);
    feed_ack(r, head);
}

void feed_want(struct feed_reader *r, unsigned cell, uint32_t layers)
{
    if (cell < FEED_CELLS)
        atomic_store_explicit(&r->map.tail->cell[cell].want_layers, layers, memory_order_relaxed);
}

void feed_request_keyframe(struct feed_reader *r, unsigned cell, unsigned layer)
{
    if (cell < FEED_CELLS && layer < FEED_LAYERS)
        atomic_fetch_add_explicit(&r->map.tail->cell[cell].keyframe_seq[layer], 1, memory_order_relaxed);
}

bool feed_sleep(struct feed_reader *r)
{
    atomic_store_explicit(&r->map.tail->asleep, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst); /* pairs with the one in feed_flush() */
    if (atomic_load_explicit(&r->map.head->head, memory_order_acquire) == r->position &&
        !atomic_load_explicit(&r->map.head->ended, memory_order_acquire))
        return true;
    feed_wake(r);
    return false;
}

void feed_wake(struct feed_reader *r)
{
    atomic_store_explicit(&r->map.tail->asleep, 0, memory_order_relaxed);
    uint64_t count;
    if (r->wake_fd >= 0) {
        ssize_t n = read(r->wake_fd, &count, sizeof count); /* non-blocking: empty is fine */
        (void)n;
    }
}
