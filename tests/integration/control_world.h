/* giaoband as a child of the test, which plays the supervisor and the workers; people come by websocket. Test code: failures
 * abort with a sentence. */
#pragma once

#include "signaling_world.h"

#include "base/link.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { ACTED_WORKERS = 2 };

struct acted_worker {
    int fd; /* the wish link's worker end, −1: none */
    uint32_t generation;
};

struct acted {
    struct world doors; /* where giaoband listens, for the clients' functions */
    int tls_listener, plain_listener;
    pid_t pid;
    int link;
    struct acted_worker workers[ACTED_WORKERS];
    char briefing[40];
};

/* A data directory, listeners, nothing runs. */
void acted_make(struct acted *a);
void acted_remove(struct acted *a);
/* `settings`: further "key=value", NULL at the end; may be NULL. Returns when it serves. Both workers are linked; none has
 * said hello. */
void acted_start(struct acted *a, const char *const *settings);
void acted_kill(struct acted *a);
/* A briefing with three units, opened; its id is in a->briefing. */
void acted_open_briefing(struct acted *a);
/* giaobanctl: its status; output in `out`. */
int acted_ctl(const struct acted *a, char *out, size_t cap, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Worker `w` dies, as the supervisor tells it, and a new one is linked, with the next generation. */
void acted_worker_dies(struct acted *a, unsigned w);
/* `endpoints`, `restrictions`: arrays, taken over; NULL: empty. */
void acted_hello(struct acted *a, unsigned w, json_t *endpoints, json_t *restrictions);
void acted_say(struct acted *a, unsigned w, json_t *message /* taken over */);
/* The next message named `name` that giaoband sends to the worker, others are skipped: caller's reference. NULL: not within
 * `ms`. */
json_t *acted_expect(struct acted *a, unsigned w, const char *name, int ms);
/* The next message of any name. */
json_t *acted_next(struct acted *a, unsigned w, int ms);
/* The next message of that kind to the supervisor. False: not within `ms`. */
bool acted_told(struct acted *a, uint32_t kind, int ms, struct link_message *ret);
void acted_supervise(struct acted *a, const struct link_message *m);

struct person {
    struct client http;
    struct socket_client ws;
    json_t *heard; /* events and notices that came while something else was waited for */
    char endpoint[48], secret[48];
    uint32_t number, incarnation;
    int64_t next_id;
};

/* A session by a join link, the websocket, hello; the microphone stays off. */
void person_join(struct person *p, struct acted *a, const char *unit, const char *role);
/* The same endpoint on a new websocket. */
void person_resume(struct person *p, struct acted *a);
void person_gone(struct person *p); /* its socket ends */
void person_free(struct person *p);
/* Asks and waits for the reply; `params` is taken over. Caller's reference. */
json_t *person_ask(struct person *p, const char *method, json_t *params);
int64_t person_send(struct person *p, const char *method, json_t *params); /* without waiting; its id */
json_t *person_reply(struct person *p, int64_t id);
/* Waits for an event ("event") or a notice ("notice") of that name: its data, caller's reference; NULL: not within 20 s. */
json_t *person_hears(struct person *p, const char *sort, const char *name);
/* Has one been heard so far, without waiting? */
bool person_has_heard(struct person *p, const char *sort, const char *name);
