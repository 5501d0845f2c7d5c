#include "base/link.h"

#include "base/err.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static int err_of_errno(void)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS)
        return ERR_AGAIN;
    if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN)
        return ERR_CLOSED;
    return ERR_IO;
}

int link_send_body(int fd, const void *body, size_t len, const int *fds, size_t n_fds)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int) * LINK_FDS_MAX)];
        struct cmsghdr align;
    } control;
    struct iovec iov = {.iov_base = (void *)body, .iov_len = len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

    if (n_fds > LINK_FDS_MAX || len == 0 || len > LINK_BODY_MAX)
        return ERR_RANGE;
    if (n_fds) {
        memset(&control, 0, sizeof control);
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
    }
    ssize_t sent;
    do
        sent = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? err_of_errno() : 0;
}

static size_t collect_fds(struct msghdr *msg, int *fds)
{
    size_t n = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
            if (n < LINK_FDS_MAX)
                fds[n++] = fd;
            else
                close(fd);
        }
    }
    return n;
}

static void close_all(const int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        close(fds[i]);
}

int link_receive_body(int fd, void *body, size_t cap, size_t *ret_len, int *fds, size_t *ret_n_fds)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int) * LINK_FDS_MAX)];
        struct cmsghdr align;
    } control;
    struct iovec iov = {.iov_base = body, .iov_len = cap};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control};
    ssize_t got;
    do
        got = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return err_of_errno();
    size_t n = collect_fds(&msg, fds);
    if (got == 0) {
        close_all(fds, n);
        return ERR_CLOSED;
    }
    if (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
        close_all(fds, n);
        return ERR_MALFORMED;
    }
    *ret_len = (size_t)got;
    *ret_n_fds = n;
    return 0;
}

int link_send(int fd, const struct link_message *m, const int *fds, size_t n_fds)
{
    return link_send_body(fd, m, sizeof *m, fds, n_fds);
}

int link_receive(int fd, struct link_message *ret_m, int *fds, size_t *ret_n_fds)
{
    struct link_message m;
    size_t len, n;
    int err = link_receive_body(fd, &m, sizeof m, &len, fds, &n);
    if (err)
        return err;
    if (len != sizeof m || m.text[LINK_TEXT_MAX - 1] != '\0') {
        close_all(fds, n);
        return ERR_MALFORMED;
    }
    *ret_m = m;
    *ret_n_fds = n;
    return 0;
}
