#include "base/clock.h"

#include <stdatomic.h>
#include <time.h>

static _Atomic int64_t steady_offset_us; /* 0: not set */

static int64_t read_us(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts); /* can't fail: all three ids exist on every Linux */
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t clock_now_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

int64_t clock_thread_us(void)
{
    return read_us(CLOCK_THREAD_CPUTIME_ID);
}

int64_t clock_wall_us(void)
{
    return read_us(CLOCK_REALTIME);
}

int64_t clock_steady_us(void)
{
    int64_t offset_us = atomic_load_explicit(&steady_offset_us, memory_order_relaxed);
    return offset_us ? clock_now_us() + offset_us : clock_wall_us();
}

void clock_steady_set(int64_t offset_us)
{
    atomic_store_explicit(&steady_offset_us, offset_us, memory_order_relaxed);
}
