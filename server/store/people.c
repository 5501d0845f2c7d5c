/* Accounts, sessions, one-time tokens, resume secrets: in memory for asking, written behind. */
#include "base/err.h"
#include "store/log.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

static void *copy_of(const void *item, size_t size)
{
    void *copy = malloc(size);
    if (copy)
        memcpy(copy, item, size);
    return copy;
}

/* ---- accounts ---- */

static int compare_account(const void *a, const void *b)
{
    return strcmp(((const struct store_account *)a)->login, ((const struct store_account *)b)->login);
}

static struct store_account *account(struct store *s, const char *login)
{
    struct store_account key = {0};
    if (strnlen(login, sizeof(key.login)) == sizeof(key.login))
        return NULL;
    memcpy(key.login, login, strlen(login) + 1);
    return tree_find(&s->accounts, &key, compare_account);
}

/* `before` NULL: it is new. */
static int write_account(struct store *s, const struct store_account *a, const struct store_account *before, store_done done,
                         void *ctx)
{
    const struct shown shown = {&s->accounts, compare_account, sizeof(*a), before, a};
    return store_write_shown(s, SQL_ACCOUNT_PUT,
                             (struct sql_value[]){V_TEXT(a->login), V_TEXT(a->name), V_TEXT(a->unit),
                                                  V_TEXT(role_name(a->role)), V_TEXT(a->hash), V_INT(a->failures),
                                                  V_INT(a->locked_until_ms)},
                             7, &shown, done, ctx);
}

static int keep_account(struct store *s, const struct store_account *a)
{
    struct store_account *copy = copy_of(a, sizeof(*a));
    return copy ? tree_put(&s->accounts, copy, compare_account) : ERR_NOMEM;
}

static int load_account(void *ctx, sqlite3_stmt *row)
{
    struct store_account a = {.failures = (unsigned)sqlite3_column_int(row, 5),
                              .locked_until_ms = sqlite3_column_int64(row, 6)};
    char role[24];
    sql_text(row, 0, a.login, sizeof(a.login));
    sql_text(row, 1, a.name, sizeof(a.name));
    sql_text(row, 2, a.unit, sizeof(a.unit));
    sql_text(row, 3, role, sizeof(role));
    sql_text(row, 4, a.hash, sizeof(a.hash));
    return role_parse(role, &a.role) ? ERR_MALFORMED : keep_account(ctx, &a);
}

int store_load_accounts(struct store *s)
{
    return sql_each(&s->caller, SQL_ACCOUNTS, NULL, 0, load_account, s);
}

int store_account_add(struct store *s, const struct store_account *a, store_done done, void *ctx)
{
    if (!a->login[0])
        return ERR_INVAL;
    if (account(s, a->login))
        return ERR_EXISTS;
    int err = keep_account(s, a);
    return err ? err : write_account(s, a, NULL, done, ctx);
}

int store_account_find(struct store *s, const char *login, struct store_account *ret_account)
{
    const struct store_account *a = account(s, login);
    if (!a)
        return ERR_NOTFOUND;
    *ret_account = *a;
    return 0;
}

int store_account_set_hash(struct store *s, const char *login, const char *hash, store_done done, void *ctx)
{
    struct store_account *a = account(s, login);
    if (!a)
        return ERR_NOTFOUND;
    if (strlen(hash) >= sizeof(a->hash))
        return ERR_RANGE;
    const struct store_account before = *a;
    memcpy(a->hash, hash, strlen(hash) + 1);
    return write_account(s, a, &before, done, ctx);
}

int store_account_unlock(struct store *s, const char *login, store_done done, void *ctx)
{
    struct store_account *a = account(s, login);
    if (!a)
        return ERR_NOTFOUND;
    const struct store_account before = *a;
    a->failures = 0;
    a->locked_until_ms = 0;
    return write_account(s, a, &before, done, ctx);
}

bool store_account_locked(const struct store_account *a, int64_t now_ms)
{
    return now_ms < a->locked_until_ms;
}

int store_login_failed(struct store *s, const char *login, int64_t now_ms, bool *ret_locked)
{
    struct store_account *a = account(s, login);
    if (!a)
        return ERR_NOTFOUND;
    if (!store_account_locked(a, now_ms) && ++a->failures >= STORE_FAILURES_MAX) {
        a->failures = 0;
        a->locked_until_ms = now_ms + STORE_LOCK_MS;
    }
    *ret_locked = store_account_locked(a, now_ms);
    return write_account(s, a, a, NULL, NULL); /* a failure counts, whatever becomes of the write */
}

int store_login_succeeded(struct store *s, const char *login)
{
    struct store_account *a = account(s, login);
    if (!a)
        return ERR_NOTFOUND;
    if (!a->failures && !a->locked_until_ms)
        return 0;
    return store_account_unlock(s, login, NULL, NULL);
}

static void count_account(const void *node, VISIT visit, void *ctx)
{
    *(size_t *)ctx += visit == postorder || visit == leaf;
}

size_t store_accounts(const struct store *s)
{
    size_t n = 0;
    twalk_r(s->accounts, count_account, &n);
    return n;
}

/* ---- sessions ---- */

static int compare_session(const void *a, const void *b)
{
    return memcmp(((const struct store_session *)a)->hash, ((const struct store_session *)b)->hash, STORE_HASH_BYTES);
}

static int keep_session(struct store *s, const struct store_session *session)
{
    struct store_session *copy = copy_of(session, sizeof(*session));
    return copy ? tree_put(&s->sessions, copy, compare_session) : ERR_NOMEM;
}

static int load_session(void *ctx, sqlite3_stmt *row)
{
    struct store_session x = {.made_ms = sqlite3_column_int64(row, 7), .expires_ms = sqlite3_column_int64(row, 8)};
    char role[24];
    sql_text(row, 1, x.who.login, sizeof(x.who.login));
    sql_text(row, 2, x.who.name, sizeof(x.who.name));
    sql_text(row, 3, x.who.unit, sizeof(x.who.unit));
    sql_text(row, 4, x.who.briefing, sizeof(x.who.briefing));
    sql_text(row, 5, x.who.link, sizeof(x.who.link));
    sql_text(row, 6, role, sizeof(role));
    if (sql_blob(row, 0, x.hash, sizeof(x.hash)) || role_parse(role, &x.who.role))
        return ERR_MALFORMED;
    return keep_session(ctx, &x);
}

int store_session_put(struct store *s, const struct store_session *x, store_done done, void *ctx)
{
    if (x->who.loopback_admin)
        return ERR_INVAL; /* a bearer token is no session */
    struct store_session before, *there = tree_find(&s->sessions, x, compare_session);
    if (there)
        before = *there;
    int err = keep_session(s, x);
    if (err)
        return err;
    const struct shown shown = {&s->sessions, compare_session, sizeof(*x), there ? &before : NULL, x};
    return store_write_shown(s, SQL_SESSION_PUT,
                             (struct sql_value[]){V_BLOB(x->hash, sizeof(x->hash)), V_TEXT(x->who.login),
                                                  V_TEXT(x->who.name), V_TEXT(x->who.unit), V_TEXT(x->who.briefing),
                                                  V_TEXT(x->who.link), V_TEXT(role_name(x->who.role)), V_INT(x->made_ms),
                                                  V_INT(x->expires_ms)},
                             9, &shown, done, ctx);
}

int store_session_find(struct store *s, const uint8_t hash[STORE_HASH_BYTES], int64_t now_ms,
                       struct store_session *ret_session)
{
    struct store_session key = {0};
    memcpy(key.hash, hash, STORE_HASH_BYTES);
    const struct store_session *x = tree_find(&s->sessions, &key, compare_session);
    if (!x || x->expires_ms <= now_ms)
        return ERR_NOTFOUND;
    *ret_session = *x;
    return 0;
}

int store_session_drop(struct store *s, const uint8_t hash[STORE_HASH_BYTES])
{
    struct store_session key = {0};
    memcpy(key.hash, hash, STORE_HASH_BYTES);
    tree_drop(&s->sessions, &key, compare_session);
    return store_write(s, SQL_SESSION_DROP, (struct sql_value[]){V_BLOB(hash, STORE_HASH_BYTES)}, 1, NULL, NULL);
}

/* ---- one-time tokens ---- */

struct token {
    char nonce[64];
    int64_t expires_ms;
};

static int compare_token(const void *a, const void *b)
{
    return strcmp(((const struct token *)a)->nonce, ((const struct token *)b)->nonce);
}

static bool token_key(const char *nonce, struct token *ret_key)
{
    if (!nonce[0] || strnlen(nonce, sizeof(ret_key->nonce)) == sizeof(ret_key->nonce))
        return false;
    *ret_key = (struct token){0};
    memcpy(ret_key->nonce, nonce, strlen(nonce) + 1);
    return true;
}

static int load_token(void *ctx, sqlite3_stmt *row)
{
    struct store *s = ctx;
    struct token t = {.expires_ms = sqlite3_column_int64(row, 1)}, *copy;
    sql_text(row, 0, t.nonce, sizeof(t.nonce));
    copy = copy_of(&t, sizeof(t));
    return copy ? tree_put(&s->tokens, copy, compare_token) : ERR_NOMEM;
}

int store_load_sessions(struct store *s)
{
    int err = sql_each(&s->caller, SQL_SESSIONS, NULL, 0, load_session, s);
    return err ? err : sql_each(&s->caller, SQL_TOKENS, NULL, 0, load_token, s);
}

struct token_job {
    struct job job;
    struct token token;
};

static int token_run(struct sql *q, struct job *j)
{
    const struct token *t = &((struct token_job *)j)->token;
    return sql_run(q, SQL_TOKEN_PUT, (struct sql_value[]){V_TEXT(t->nonce), V_INT(t->expires_ms)}, 2);
}

/* What did not reach the disk was not used: it may be tried again. */
static void token_after(struct store *s, struct job *j, int err)
{
    if (err)
        tree_drop(&s->tokens, &((struct token_job *)j)->token, compare_token);
}

static void token_free(struct job *j)
{
    free(j);
}

int store_token_use(struct store *s, const char *nonce, int64_t expires_ms, store_done done, void *ctx)
{
    static const struct job_ops ops = {.write = token_run, .after = token_after, .free = token_free};
    struct token key;
    if (!token_key(nonce, &key))
        return ERR_INVAL;
    if (tree_find(&s->tokens, &key, compare_token))
        return ERR_EXISTS;
    key.expires_ms = expires_ms;
    struct token *copy = copy_of(&key, sizeof(key));
    struct token_job *j = calloc(1, sizeof(*j));
    if (!copy || !j || tree_put(&s->tokens, copy, compare_token)) {
        if (!j)
            free(copy);
        free(j);
        return ERR_NOMEM;
    }
    j->job.ops = &ops;
    j->token = key;
    store_queue(s, &j->job, done, ctx);
    return 0;
}

bool store_token_used(struct store *s, const char *nonce)
{
    struct token key;
    return token_key(nonce, &key) && tree_find(&s->tokens, &key, compare_token);
}

/* ---- what has run out ---- */

struct expiry {
    int64_t now_ms;
    bool sessions; /* or tokens */
    void *found[256];
    size_t n;
};

static void find_expired(const void *node, VISIT visit, void *ctx)
{
    struct expiry *x = ctx;
    void *item = *(void *const *)node;
    if ((visit != postorder && visit != leaf) || x->n == sizeof(x->found) / sizeof(x->found[0]))
        return;
    int64_t expires_ms = x->sessions ? ((struct store_session *)item)->expires_ms : ((struct token *)item)->expires_ms;
    if (expires_ms <= x->now_ms)
        x->found[x->n++] = item;
}

/* True: something was found. */
static bool expire(void **tree, int64_t now_ms, bool sessions, int (*compare)(const void *, const void *))
{
    struct expiry x;
    bool any = false;
    do {
        x = (struct expiry){.now_ms = now_ms, .sessions = sessions};
        twalk_r(*tree, find_expired, &x);
        for (size_t i = 0; i < x.n; i++)
            tree_drop(tree, x.found[i], compare);
        any = any || x.n;
    } while (x.n == sizeof(x.found) / sizeof(x.found[0]));
    return any;
}

void store_sessions_expire(struct store *s, int64_t now_ms)
{
    /* Called every few seconds: a commit is made only when there is something to forget. */
    if (expire(&s->sessions, now_ms, true, compare_session))
        store_write(s, SQL_SESSIONS_EXPIRE, (struct sql_value[]){V_INT(now_ms)}, 1, NULL, NULL);
}

void store_tokens_expire(struct store *s, int64_t now_ms)
{
    if (expire(&s->tokens, now_ms, false, compare_token))
        store_write(s, SQL_TOKENS_EXPIRE, (struct sql_value[]){V_INT(now_ms)}, 1, NULL, NULL);
}

/* ---- resume secrets ---- */

struct secret {
    char briefing[WISH_ID_MAX], endpoint[WISH_ID_MAX];
    uint8_t hash[STORE_HASH_BYTES];
};

static int compare_secret(const void *a, const void *b)
{
    const struct secret *x = a, *y = b;
    int order = strcmp(x->briefing, y->briefing);
    return order ? order : strcmp(x->endpoint, y->endpoint);
}

static bool secret_key(const char *briefing, const char *endpoint, struct secret *ret_key)
{
    if (strnlen(briefing, WISH_ID_MAX) == WISH_ID_MAX || strnlen(endpoint, WISH_ID_MAX) == WISH_ID_MAX)
        return false;
    *ret_key = (struct secret){0};
    memcpy(ret_key->briefing, briefing, strlen(briefing) + 1);
    memcpy(ret_key->endpoint, endpoint, strlen(endpoint) + 1);
    return true;
}

static int keep_secret(struct store *s, const struct secret *x)
{
    struct secret *copy = copy_of(x, sizeof(*x));
    return copy ? tree_put(&s->secrets, copy, compare_secret) : ERR_NOMEM;
}

static int load_secret(void *ctx, sqlite3_stmt *row)
{
    struct secret x = {0};
    sql_text(row, 0, x.briefing, sizeof(x.briefing));
    sql_text(row, 1, x.endpoint, sizeof(x.endpoint));
    return sql_blob(row, 2, x.hash, sizeof(x.hash)) ? ERR_MALFORMED : keep_secret(ctx, &x);
}

int store_load_secrets(struct store *s)
{
    return sql_each(&s->caller, SQL_SECRETS, NULL, 0, load_secret, s);
}

int store_secret_put(struct store *s, const char *briefing, const char *endpoint, const uint8_t hash[STORE_HASH_BYTES],
                     store_done done, void *ctx)
{
    struct secret x;
    if (!secret_key(briefing, endpoint, &x))
        return ERR_INVAL;
    memcpy(x.hash, hash, STORE_HASH_BYTES);
    struct secret before, *there = tree_find(&s->secrets, &x, compare_secret);
    if (there)
        before = *there;
    int err = keep_secret(s, &x);
    if (err)
        return err;
    const struct shown shown = {&s->secrets, compare_secret, sizeof(x), there ? &before : NULL, &x};
    return store_write_shown(s, SQL_SECRET_PUT,
                             (struct sql_value[]){V_TEXT(briefing), V_TEXT(endpoint), V_BLOB(hash, STORE_HASH_BYTES)}, 3,
                             &shown, done, ctx);
}

int store_secret_get(struct store *s, const char *briefing, const char *endpoint, uint8_t ret_hash[STORE_HASH_BYTES])
{
    struct secret key;
    const struct secret *x = secret_key(briefing, endpoint, &key) ? tree_find(&s->secrets, &key, compare_secret) : NULL;
    if (!x)
        return ERR_NOTFOUND;
    memcpy(ret_hash, x->hash, STORE_HASH_BYTES);
    return 0;
}

struct secret_list {
    const char *briefing;
    struct secret **found;
    size_t n, cap;
};

static void find_secrets(const void *node, VISIT visit, void *ctx)
{
    struct secret_list *l = ctx;
    struct secret *x = *(struct secret *const *)node;
    if ((visit != postorder && visit != leaf) || strcmp(x->briefing, l->briefing) != 0)
        return;
    if (l->n < l->cap)
        l->found[l->n] = x;
    l->n++;
}

void store_secrets_forget(struct store *s, const char *briefing)
{
    struct secret *found[WISH_ENDPOINT_NUMBER_MAX + 1];
    struct secret_list l;
    do { /* more than there are endpoints: a join whose commit failed leaves its secret behind */
        l = (struct secret_list){.briefing = briefing, .found = found, .cap = WISH_ENDPOINT_NUMBER_MAX + 1};
        twalk_r(s->secrets, find_secrets, &l);
        for (size_t i = 0; i < l.n && i < l.cap; i++)
            tree_drop(&s->secrets, found[i], compare_secret);
    } while (l.n > l.cap);
}
