/* Passwords: argon2id on one helper thread with a bounded queue, so that the loop never waits for it.
 *
 * The helper sees a password and a hash string, nothing else. Completions are called on the loop's thread. Passwords are
 * wiped after use. */
#pragma once

#include <stdbool.h>

struct signaling;
struct passwords;

#define PASSWORDS_QUEUE_MAX 32
#define PASSWORD_HASH_MAX 128 /* crypto_pwhash_STRBYTES */

/* verify: `ok` says whether it fits. hash: `hash` is the new string, `ok` false when memory is short. */
typedef void (*passwords_done)(void *ctx, bool ok, const char *hash);

int passwords_new(struct signaling *s, struct passwords **ret_p);
void passwords_free(struct passwords *p); /* completions that have not been delivered are dropped */

/* ERR_BUSY: the queue is full. `hash` NULL: verified against a hash that nothing fits, in the same time. */
int passwords_verify(struct passwords *p, const char *password, const char *hash, passwords_done done, void *ctx);
int passwords_hash(struct passwords *p, const char *password, passwords_done done, void *ctx);
/* Calls what is done. */
void passwords_deliver(struct passwords *p);

/* Without a second factor: fewer than 14 characters, one character repeated, or the login inside. Pure. */
bool password_is_weak(const char *password, const char *login);
