/* Bounds-checked reading and writing of network byte order.
 *
 * Every length that comes from the wire goes through `struct reader`. Reading past the end returns 0 and sets `failed`
 * for good, so a parser reads a whole structure and checks once. Nothing is allocated; the bytes belong to the caller and
 * outlive the reader. Thread: any, one object a thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reader {
    const uint8_t *at, *end;
    bool failed;
};

struct writer {
    uint8_t *start, *at, *end;
    bool failed;
};

static inline struct reader reader_make(const void *bytes, size_t len)
{
    return (struct reader){.at = bytes, .end = (const uint8_t *)bytes + len};
}

static inline size_t reader_left(const struct reader *r)
{
    return (size_t)(r->end - r->at);
}

/* `len` bytes in place, or NULL (and `failed`) when fewer are left. */
static inline const uint8_t *reader_take(struct reader *r, size_t len)
{
    if (r->failed || reader_left(r) < len) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *p = r->at;
    r->at += len;
    return p;
}

static inline uint8_t read_u8(struct reader *r)
{
    const uint8_t *p = reader_take(r, 1);
    return p ? p[0] : 0;
}

static inline uint16_t read_u16(struct reader *r)
{
    const uint8_t *p = reader_take(r, 2);
    return p ? (uint16_t)(p[0] << 8 | p[1]) : 0;
}

static inline uint32_t read_u24(struct reader *r)
{
    const uint8_t *p = reader_take(r, 3);
    return p ? (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2] : 0;
}

static inline uint32_t read_u32(struct reader *r)
{
    const uint8_t *p = reader_take(r, 4);
    return p ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3] : 0;
}

static inline uint64_t read_u64(struct reader *r)
{
    uint64_t high = read_u32(r);
    return high << 32 | read_u32(r);
}

static inline struct writer writer_make(void *bytes, size_t cap)
{
    return (struct writer){.start = bytes, .at = bytes, .end = (uint8_t *)bytes + cap};
}

static inline size_t writer_len(const struct writer *w)
{
    return (size_t)(w->at - w->start);
}

/* Room for `len` bytes, or NULL (and `failed`) when it does not fit. */
static inline uint8_t *writer_make_room(struct writer *w, size_t len)
{
    if (w->failed || (size_t)(w->end - w->at) < len) {
        w->failed = true;
        return NULL;
    }
    uint8_t *p = w->at;
    w->at += len;
    return p;
}

static inline void put_u16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void put_u24(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 16);
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)v;
}

static inline void put_u32(uint8_t *p, uint32_t v)
{
    put_u16(p, (uint16_t)(v >> 16));
    put_u16(p + 2, (uint16_t)v);
}

static inline void put_u64(uint8_t *p, uint64_t v)
{
    put_u32(p, (uint32_t)(v >> 32));
    put_u32(p + 4, (uint32_t)v);
}

static inline void write_u8(struct writer *w, uint8_t v)
{
    uint8_t *p = writer_make_room(w, 1);
    if (p)
        p[0] = v;
}

static inline void write_u16(struct writer *w, uint16_t v)
{
    uint8_t *p = writer_make_room(w, 2);
    if (p)
        put_u16(p, v);
}

static inline void write_u24(struct writer *w, uint32_t v)
{
    uint8_t *p = writer_make_room(w, 3);
    if (p)
        put_u24(p, v);
}

static inline void write_u32(struct writer *w, uint32_t v)
{
    uint8_t *p = writer_make_room(w, 4);
    if (p)
        put_u32(p, v);
}

static inline void write_u64(struct writer *w, uint64_t v)
{
    uint8_t *p = writer_make_room(w, 8);
    if (p)
        put_u64(p, v);
}

/* Copies `len` bytes; `bytes` may be NULL when `len` is 0. */
void write_bytes(struct writer *w, const void *bytes, size_t len);
