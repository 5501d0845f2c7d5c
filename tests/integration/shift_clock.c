/* LD_PRELOAD: shifts the wall clock of a process and its children by the µs in the file $SHIFT_CLOCK, at once when they
 * change. The real clock of the machine that tests run on can't be stepped; monotonic clocks are left alone, as a step
 * leaves them. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *shift_us;
static int (*real_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("SHIFT_CLOCK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *page = fd >= 0 ? mmap(NULL, sizeof *shift_us, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (page != MAP_FAILED)
        shift_us = page;
    if (fd >= 0)
        close(fd);
    real_gettime = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
    if (!real_gettime)
        begin(); /* another library's constructor came first */
    int failed = real_gettime(id, ts);
    if (failed || !shift_us || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE))
        return failed;
    int64_t us = ts->tv_sec * INT64_C(1000000) + ts->tv_nsec / 1000 + *shift_us;
    ts->tv_nsec = us % 1000000 * 1000 + ts->tv_nsec % 1000;
    ts->tv_sec = us / 1000000;
    return 0;
}

int gettimeofday(struct timeval *tv, void *zone)
{
    struct timespec ts;
    int failed = clock_gettime(CLOCK_REALTIME, &ts);
    *tv = (struct timeval){.tv_sec = ts.tv_sec, .tv_usec = ts.tv_nsec / 1000};
    return failed;
}

time_t time(time_t *ret)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    if (ret)
        *ret = ts.tv_sec;
    return ts.tv_sec;
}
