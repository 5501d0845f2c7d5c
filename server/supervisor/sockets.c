#include "supervisor/sockets.h"

#include "base/err.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* 4 MiB hold 0.4 s of 80 Mbit/s; Debian's own limit (208 KiB) holds one burst to a hundred viewers. */
#define BUFFER_WANTED_BYTES (4 * 1024 * 1024)
#define BUFFER_ENOUGH_BYTES (1024 * 1024)
#define BACKLOG 1024
#define PORT_TRIES 16

static int resolve(const char *host, uint16_t port, int type, struct sockaddr_storage *ret_addr, socklen_t *ret_len)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE, .ai_socktype = type}, *found;
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    if (getaddrinfo(host, service, &hints, &found) != 0) {
        log_error("sockets", "\"%s\" is not an IP address", host);
        return ERR_INVAL;
    }
    memcpy(ret_addr, found->ai_addr, found->ai_addrlen);
    *ret_len = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

/* A bound socket, or −1 with errno. */
static int bind_socket(const struct sockaddr_storage *addr, socklen_t len, int type)
{
    int one = 1;
    int fd = socket(addr->ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (addr->ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    if (type == SOCK_STREAM)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (const struct sockaddr *)addr, len) == 0 && (type != SOCK_STREAM || listen(fd, BACKLOG) == 0))
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static void explain(const char *what, const char *host, unsigned port, const char *key)
{
    if (errno == EADDRINUSE)
        log_error("sockets", "%s port %u is in use (address %s): stop the other program or choose another port with %s",
                  what, port, host, key);
    else if (errno == EACCES)
        log_error("sockets", "%s port %u on %s: this user may not open it; choose one above 1023 with %s", what, port, host,
                  key);
    else
        log_error("sockets", "%s port %u on %s: %s", what, port, host, strerror(errno));
}

static bool family_missing(void)
{
    return errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL;
}

static int listen_all(const struct address *list, size_t n, const char *what, const char *key, int *ret_fds, size_t *ret_n)
{
    size_t opened = 0;
    for (size_t i = 0; i < n; i++) {
        struct sockaddr_storage addr;
        socklen_t len;
        int err = resolve(list[i].host, list[i].port, SOCK_STREAM, &addr, &len);
        if (err)
            return err;
        int fd = bind_socket(&addr, len, SOCK_STREAM);
        if (fd >= 0) {
            ret_fds[opened++] = fd;
            continue;
        }
        explain(what, list[i].host, list[i].port, key);
        if (!family_missing())
            return ERR_IO;
    }
    *ret_n = opened;
    return opened || n == 0 ? 0 : ERR_IO;
}

int sockets_listen(const struct settings *s, int *ret_fds, size_t *ret_tls, size_t *ret_plain)
{
    size_t tls, plain;
    int err = listen_all(s->listen, s->n_listen, "HTTPS", "--port", ret_fds, &tls);
    if (err)
        return err;
    err = listen_all(s->plain, s->n_plain, "plain HTTP", "--plain-port", ret_fds + tls, &plain);
    if (err)
        return err;
    *ret_tls = tls;
    *ret_plain = plain;
    return 0;
}

static int enlarge(int fd, int option, int force_option)
{
    int bytes = BUFFER_WANTED_BYTES;
    socklen_t len = sizeof bytes;
    if (setsockopt(fd, SOL_SOCKET, force_option, &bytes, sizeof bytes) < 0)
        setsockopt(fd, SOL_SOCKET, option, &bytes, sizeof bytes);
    if (getsockopt(fd, SOL_SOCKET, option, &bytes, &len) < 0)
        return 0;
    return bytes / 2; /* the kernel counts its own overhead in and reports the double */
}

/* A connection inherits all this; its worker may set no option. A stream that is slow must not hide seconds of media in the
 * kernel: 16 KB not sent yet are 0.25 s at 512 kbit/s, and what waits behind them waits where sound can overtake. */
static void make_prompt(int fd)
{
    const struct {
        int level, option, value;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},          {IPPROTO_TCP, TCP_NOTSENT_LOWAT, 16 * 1024},
        {IPPROTO_TCP, TCP_USER_TIMEOUT, 30000}, /* ms: as long as consent lasts (RFC 7675) */
        {SOL_SOCKET, SO_SNDBUF, 64 * 1024},     {SOL_SOCKET, SO_RCVBUF, 64 * 1024},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
    };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        setsockopt(fd, options[i].level, options[i].option, &options[i].value, sizeof options[i].value);
}

/* Listens where the UDP socket `udp` is, or −1 with errno. */
static int listen_beside(int udp)
{
    struct sockaddr_storage addr = {0};
    socklen_t len = sizeof addr;
    if (getsockname(udp, (struct sockaddr *)&addr, &len))
        return -1;
    int fd = bind_socket(&addr, len, SOCK_STREAM);
    if (fd >= 0)
        make_prompt(fd);
    return fd;
}

/* A UDP socket and, if wanted, its listener (−1: none). −1 with errno. */
static int bind_media(const struct sockaddr_storage *addr, socklen_t len, bool fixed, bool tcp, int *ret_listener)
{
    int fd = -1;
    *ret_listener = -1;
    for (int i = 0; i < (fixed ? 1 : PORT_TRIES); i++) {
        fd = bind_socket(addr, len, SOCK_DGRAM);
        if (fd < 0 || !tcp || (*ret_listener = listen_beside(fd)) >= 0)
            return fd;
        int saved = errno;
        close(fd); /* the number that the kernel chose is another program's TCP port */
        errno = saved;
    }
    return -1;
}

int sockets_media(const struct settings *s, unsigned index, struct media_sockets *ret, int *ret_buffer_bytes)
{
    uint16_t port = s->media_port ? (uint16_t)(s->media_port + index) : 0;
    struct media_sockets made = {0};
    int smallest = BUFFER_WANTED_BYTES, listeners[SETTINGS_MEDIA_MAX];
    for (size_t i = 0; i < s->n_media; i++) {
        struct sockaddr_storage addr;
        socklen_t len;
        int err = resolve(s->media[i], port, SOCK_DGRAM, &addr, &len);
        if (err)
            return err;
        int listener, fd = bind_media(&addr, len, port, s->media_tcp, &listener);
        if (fd < 0) {
            explain("media", s->media[i], port, "--set media.port=N, or do without TCP by --set media.tcp=no");
            if (!family_missing())
                goto fail;
            continue;
        }
        int out = enlarge(fd, SO_SNDBUF, SO_SNDBUFFORCE), in = enlarge(fd, SO_RCVBUF, SO_RCVBUFFORCE);
        smallest = out < smallest ? out : smallest;
        smallest = in < smallest ? in : smallest;
        made.fd[made.n++] = fd;
        if (listener >= 0)
            listeners[made.n_listeners++] = listener;
    }
    if (made.n == 0) {
        log_error("sockets", "no media address can be used: set media.addresses");
        goto fail;
    }
    memcpy(made.fd + made.n, listeners, made.n_listeners * sizeof listeners[0]);
    *ret = made;
    *ret_buffer_bytes = smallest;
    return 0;
fail:
    memcpy(made.fd + made.n, listeners, made.n_listeners * sizeof listeners[0]);
    sockets_close(&made);
    return ERR_IO;
}

void sockets_close(struct media_sockets *m)
{
    for (size_t i = 0; i < m->n + m->n_listeners; i++)
        close(m->fd[i]);
    m->n = m->n_listeners = 0;
}

void sockets_warn_buffers(int buffer_bytes)
{
    if (buffer_bytes < BUFFER_ENOUGH_BYTES)
        log_warn("sockets",
                 "kernel buffers are too small for full briefings (%d bytes): sysctl -w net.core.wmem_max=%d "
                 "net.core.rmem_max=%d",
                 buffer_bytes, BUFFER_WANTED_BYTES, BUFFER_WANTED_BYTES);
}
