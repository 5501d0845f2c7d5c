/* The sockets that outlive whoever serves them: listeners for giaoband, UDP sockets for the workers.
 *
 * Thread: one. Every failure is a sentence on standard error that names the port and what to do; ERR_IO then. */
#pragma once

#include "supervisor/settings.h"

struct media_sockets {
    int fd[LINK_FDS_MAX]; /* UDP sockets, then listeners: each on its UDP socket's address and port */
    size_t n, n_listeners;
};

/* Opens all listeners of `s`, TLS ones first, into `ret_fds` (SETTINGS_LISTENERS_MAX); counts in `ret_tls`, `ret_plain`. An
 * address family that the kernel lacks is skipped as long as one listener of its sort is open. */
int sockets_listen(const struct settings *s, int *ret_fds, size_t *ret_tls, size_t *ret_plain);

/* Opens worker `index`'s sockets: a UDP socket for each media address, buffers as large as the kernel allows, and if wanted
 * a TCP listener for each. `ret_buffer_bytes`: the smallest buffer of a UDP socket. */
int sockets_media(const struct settings *s, unsigned index, struct media_sockets *ret, int *ret_buffer_bytes);

/* Closes them; none are left. */
void sockets_close(struct media_sockets *m);

/* One line when the kernel's buffers are too small for a burst of key frames to everyone; nothing otherwise. */
void sockets_warn_buffers(int buffer_bytes);
