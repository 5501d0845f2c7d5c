#include "store/reserve.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static uint64_t room_of(int fd)
{
    struct statvfs fs;
    return fstatvfs(fd, &fs) == 0 ? (uint64_t)fs.f_bavail * fs.f_frsize : 0;
}

void reserve_open(struct reserve *r, const char *path, uint64_t want_bytes)
{
    struct stat st;
    *r = (struct reserve){.fd = -1, .want_bytes = path ? want_bytes : 0};
    if (!path || !want_bytes)
        return;
    r->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (r->fd < 0 || fstat(r->fd, &st) < 0)
        return;
    if ((uint64_t)st.st_size > want_bytes && ftruncate(r->fd, (off_t)want_bytes) == 0)
        st.st_size = (off_t)want_bytes;
    /* By its blocks: a copy of the file may have holes. */
    uint64_t blocks_bytes = (uint64_t)st.st_blocks * 512, size_bytes = (uint64_t)st.st_size;
    atomic_store(&r->have_bytes, blocks_bytes < size_bytes ? blocks_bytes : size_bytes);
    reserve_refill(r);
}

void reserve_close(struct reserve *r)
{
    if (r->fd >= 0)
        close(r->fd);
    r->fd = -1;
}

bool reserve_release(struct reserve *r)
{
    uint64_t have_bytes = atomic_load(&r->have_bytes), step_bytes = r->want_bytes / RESERVE_STEPS;
    step_bytes = step_bytes < RESERVE_STEP_MIN ? RESERVE_STEP_MIN : step_bytes;
    uint64_t left_bytes = have_bytes > step_bytes ? have_bytes - step_bytes : 0;
    if (r->fd < 0 || have_bytes == 0 || ftruncate(r->fd, (off_t)left_bytes) < 0)
        return false;
    atomic_store(&r->have_bytes, left_bytes);
    return true;
}

bool reserve_refill(struct reserve *r)
{
    uint64_t have_bytes = atomic_load(&r->have_bytes);
    if (have_bytes >= r->want_bytes)
        return true;
    if (r->fd < 0 || room_of(r->fd) < 2 * (r->want_bytes - have_bytes))
        return false;
    bool whole = posix_fallocate(r->fd, 0, (off_t)r->want_bytes) == 0;
    if (whole)
        atomic_store(&r->have_bytes, r->want_bytes);
    else if (ftruncate(r->fd, (off_t)have_bytes) < 0) /* what it got before it failed is the disk's again */
        atomic_store(&r->have_bytes, 0);
    return whole;
}
