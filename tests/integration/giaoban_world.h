/* The real programs over a temporary data directory, for the tests of this folder. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

struct world {
    char data[64];
    int port, plain_port;
    unsigned workers;
    bool spread;
    int log_fd; /* standard error; 0: appended to DATA/log */
    pid_t server;
    const char *const *more; /* further arguments, NULL at the end; NULL: none */
    const char *config;      /* NULL: the committed one */
};

void pause_ms(long ms);
int free_port(void);
/* The output of a shell command; its status. */
int shell(char *out, size_t cap, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* giaobanctl with these arguments. */
int ctl(const struct world *w, char *out, size_t cap, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* A data directory with a certificate, free ports; nothing runs yet. */
void world_make(struct world *w);
void world_start(struct world *w); /* and waits until it serves */
void world_stop(struct world *w);  /* in order: exit status 0 */
void world_remove(struct world *w);
bool world_healthy(const struct world *w);
/* The first child of that name (15 bytes) of our server; 0: none. */
pid_t world_child(const struct world *w, const char *name);
