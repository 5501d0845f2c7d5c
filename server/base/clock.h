/* The clocks of the shells. Pure cores take `now_us` as a parameter instead. Thread: any. */
#pragma once

#include <stdint.h>

/* CLOCK_MONOTONIC in µs: the same value in every process of the machine, never stepped. This is the time base of all media
 * and of every `session_us`. */
int64_t clock_now_us(void);

/* Processor time that the calling thread has had, in µs. A system call, unlike the other two. */
int64_t clock_thread_us(void);

/* Wall time in µs since 1970, for people; may be stepped. */
int64_t clock_wall_us(void);

/* Wall time in µs that is not stepped, for what runs out after a while (sessions): monotonic time and the offset that the
 * process has set, see base/steady.h. Without one it is the wall's. */
int64_t clock_steady_us(void);
void clock_steady_set(int64_t offset_us);
