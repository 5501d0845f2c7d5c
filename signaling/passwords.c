#include "signaling/passwords.h"

#include "base/err.h"
#include "signaling/signaling.h"

#include <sodium.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PASSWORD_MIN 14
/* About 0.2 s on one core of a small server; one helper at a time bounds memory to 64 MB. */
#define OPS 8
#define MEMORY_BYTES ((size_t)64 * 1024 * 1024)

struct job {
    struct job *next;
    char *password;
    char hash[PASSWORD_HASH_MAX];
    bool verify, ok;
    passwords_done done;
    void *ctx;
};

struct passwords {
    struct signaling *s;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* under lock */
    bool ending;
    struct job *queue, *finished;
    unsigned queued;
    char nobody[PASSWORD_HASH_MAX]; /* helper's: a hash of random bytes, for logins that don't exist */
};

static void job_free(struct job *j)
{
    sodium_memzero(j->password, strlen(j->password));
    free(j->password);
    free(j);
}

static void job_run(struct passwords *p, struct job *j)
{
    size_t len = strlen(j->password);
    if (!j->verify) {
        j->ok = crypto_pwhash_str_alg(j->hash, j->password, len, OPS, MEMORY_BYTES, crypto_pwhash_ALG_ARGON2ID13) == 0;
        return;
    }
    if (!j->hash[0] && !p->nobody[0]) {
        char random[33];
        randombytes_buf(random, sizeof random);
        if (crypto_pwhash_str_alg(p->nobody, random, sizeof random, OPS, MEMORY_BYTES, crypto_pwhash_ALG_ARGON2ID13) != 0)
            p->nobody[0] = '\0';
    }
    bool fits = crypto_pwhash_str_verify(j->hash[0] ? j->hash : p->nobody, j->password, len) == 0;
    j->ok = fits && j->hash[0];
}

static void *helper(void *ctx)
{
    struct passwords *p = ctx;
    pthread_mutex_lock(&p->lock);
    while (!p->ending) {
        struct job *j = p->queue;
        if (!j) {
            pthread_cond_wait(&p->wake, &p->lock);
            continue;
        }
        p->queue = j->next;
        pthread_mutex_unlock(&p->lock);
        job_run(p, j);
        pthread_mutex_lock(&p->lock);
        j->next = p->finished;
        p->finished = j;
        signaling_wake(p->s);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

int passwords_new(struct signaling *s, struct passwords **ret_p)
{
    struct passwords *p = calloc(1, sizeof *p);
    if (!p)
        return ERR_NOMEM;
    p->s = s;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    if (pthread_create(&p->thread, NULL, helper, p) != 0) {
        passwords_free(p);
        return ERR_IO;
    }
    p->started = true;
    *ret_p = p;
    return 0;
}

static void jobs_free(struct job *list)
{
    while (list) {
        struct job *j = list;
        list = j->next;
        job_free(j);
    }
}

void passwords_free(struct passwords *p)
{
    if (!p)
        return;
    if (p->started) {
        pthread_mutex_lock(&p->lock);
        p->ending = true;
        pthread_cond_signal(&p->wake);
        pthread_mutex_unlock(&p->lock);
        pthread_join(p->thread, NULL);
    }
    jobs_free(p->queue);
    jobs_free(p->finished);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->wake);
    free(p);
}

static int job_add(struct passwords *p, bool verify, const char *password, const char *hash, passwords_done done, void *ctx)
{
    struct job *j = calloc(1, sizeof *j);
    char *copy = j ? strdup(password) : NULL;
    if (!copy) {
        free(j);
        return ERR_NOMEM;
    }
    *j = (struct job){.password = copy, .verify = verify, .done = done, .ctx = ctx};
    if (hash && strlen(hash) < sizeof j->hash)
        memcpy(j->hash, hash, strlen(hash) + 1);
    int err = ERR_BUSY;
    pthread_mutex_lock(&p->lock);
    if (p->queued < PASSWORDS_QUEUE_MAX) {
        struct job **at = &p->queue;
        while (*at)
            at = &(*at)->next;
        *at = j;
        p->queued++;
        err = 0;
        pthread_cond_signal(&p->wake);
    }
    pthread_mutex_unlock(&p->lock);
    if (err)
        job_free(j);
    return err;
}

int passwords_verify(struct passwords *p, const char *password, const char *hash, passwords_done done, void *ctx)
{
    return job_add(p, true, password, hash, done, ctx);
}

int passwords_hash(struct passwords *p, const char *password, passwords_done done, void *ctx)
{
    return job_add(p, false, password, NULL, done, ctx);
}

void passwords_deliver(struct passwords *p)
{
    for (;;) {
        pthread_mutex_lock(&p->lock);
        struct job *j = p->finished;
        if (j) {
            p->finished = j->next;
            p->queued--;
        }
        pthread_mutex_unlock(&p->lock);
        if (!j)
            return;
        j->done(j->ctx, j->ok, j->verify ? "" : j->hash);
        job_free(j);
    }
}

bool password_is_weak(const char *password, const char *login)
{
    size_t n = 0;
    bool varied = false;
    for (const char *at = password; *at; at++) {
        n += ((unsigned char)*at & 0xc0) != 0x80;
        varied |= *at != password[0];
    }
    return n < PASSWORD_MIN || !varied || (strlen(login) >= 4 && strcasestr(password, login));
}
