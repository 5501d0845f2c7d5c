/* Sockets: sessions by join link (libcurl) and websockets (libwebsockets) of many endpoints, on a thread of their own.
 *
 * The media loop calls these functions; nothing blocks. Events come back through sockets_poll(), announced on an eventfd.
 * Thread: all functions from one thread; the helper thread is inside. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sockets;

struct sockets_config {
    const char *server; /* "http://127.0.0.1:8080" or "https://…" */
    const char *ca;     /* PEM file, NULL: the system's */
    bool insecure;
};

enum socket_event_kind {
    SOCKET_OPEN,    /* the websocket is open; `text`: the briefing that the link is for */
    SOCKET_MESSAGE, /* `text` */
    SOCKET_CLOSED,  /* also when it could not be opened; `text`: why */
};

struct socket_event {
    unsigned endpoint;
    enum socket_event_kind kind;
    char *text; /* the receiver's to free; may be NULL */
};

/* ERR_INVAL: the server's URL. ERR_NOMEM, ERR_IO. */
int sockets_new(const struct sockets_config *config, unsigned endpoints, struct sockets **ret_s);
void sockets_free(struct sockets *s); /* NULL is fine */
int sockets_fd(const struct sockets *s);

/* Takes the session by the join token (kept for later connects of the same endpoint) and opens the websocket. */
void sockets_connect(struct sockets *s, unsigned endpoint, const char *token);
void sockets_send(struct sockets *s, unsigned endpoint, char *text /* malloc'd, taken over */);
void sockets_close(struct sockets *s, unsigned endpoint);
bool sockets_poll(struct sockets *s, struct socket_event *ret);
