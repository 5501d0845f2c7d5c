/* Packet buffers: fixed size, from one pool a process, counted references (the only counted objects there are).
 *
 * Thread: one; a pool and its packets never leave the loop thread. No allocation after packet_pool_new(). */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
    PACKET_CAPACITY = 2048, /* a datagram as received, with room for SRTP_MAX_TRAILER_LEN */
};

struct packet_pool;

struct packet {
    struct packet_pool *pool;
    struct packet *next_free;
    uint32_t refs;
    uint16_t len;       /* bytes in `bytes` */
    int64_t arrival_us; /* CLOCK_MONOTONIC at the end of the recvmmsg that brought it */
    uint8_t bytes[PACKET_CAPACITY];
};

/* NULL when memory is short. */
struct packet_pool *packet_pool_new(size_t count);
void packet_pool_free(struct packet_pool *pool); /* every packet must be back; NULL is fine */

/* A packet with one reference, or NULL when the pool is empty (the caller drops and counts). */
struct packet *packet_get(struct packet_pool *pool);
struct packet *packet_ref(struct packet *p);
void packet_unref(struct packet *p); /* NULL is fine */
size_t packet_pool_available(const struct packet_pool *pool);
