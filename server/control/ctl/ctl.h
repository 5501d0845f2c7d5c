/* giaobanctl: the administrator's command line. It reads DATA/secret.key, signs itself a token for a minute and speaks to
 * giaoband's HTTP API on this machine's plain listener, as a browser would.
 *
 * Thread: one. Commands return an exit status; what went wrong is a sentence on standard error. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct ctl {
    char data[3000], server[256];
    uint8_t secret[32];
    bool has_secret;
};

/* "--name value" pairs and flags of a command; positional arguments are skipped. NULL: not there. */
const char *option(int argc, char **argv, const char *name);
bool flag(int argc, char **argv, const char *name);

/* Reads the secret. 0, or 1 with the sentence said. */
int ctl_open(struct ctl *c);

/* One request to /api/v1/`path`. `body` is taken over, NULL: none. A new reference to the answer's JSON (an empty object
 * without one), or NULL with the sentence said, unless `quiet`. */
json_t *ctl_call(struct ctl *c, const char *verb, const char *path, json_t *body, bool quiet);
/* Any path of the server, as text; malloc'd; NULL: not reached or not 200. */
char *ctl_text(struct ctl *c, const char *path);

/* Commands' building blocks. 0 or 1. */
int ctl_create(struct ctl *c, const char *title, json_t *units /* taken over */, bool record, int64_t starts_ms,
               char ret_id[40]);
int ctl_link(struct ctl *c, const char *briefing, const char *unit, const char *role, long expires_s, char ret_path[560]);
int ctl_first_link(struct ctl *c, char ret_path[560]);

int demo_run(struct ctl *c, int argc, char **argv);
int upgrade_run(struct ctl *c);
int selftest_run(int argc, char **argv);

/* The directory that this program is in. */
void programs_dir(char *ret, size_t cap);
