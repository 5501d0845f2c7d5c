/* Who somebody is: sessions by password, by join link, by the administrator's first link; accounts and units.
 *
 * A session's id is 32 random bytes in a cookie; the store has only its SHA-256. Unknown logins are answered as wrong
 * passwords, in the same time, and are locked as known ones are. */
#include "signaling/http.h"

#include "base/clock.h"
#include "base/log.h"
#include "signaling/http_text.h"
#include "signaling/passwords.h"

#include <sodium.h>

#include <stdio.h>
#include <string.h>

#define COOKIE_VALUE 43 /* base64url of 32 bytes */
#define BASE64 sodium_base64_VARIANT_URLSAFE_NO_PADDING

/* For what runs out after a while. Whoever sets the machine's clock in mid-briefing signs nobody out. */
static int64_t now_ms(void)
{
    return clock_steady_us() / 1000;
}

/* For tokens: giaobanctl signs some, by the machine's clock. */
static int64_t wall_s(void)
{
    return clock_wall_us() / 1000000;
}

static void cookie_name(const char *slot, bool tls, char out[COOKIE_NAME_MAX])
{
    snprintf(out, COOKIE_NAME_MAX, "%sgiaoban%s%s", tls ? "__Host-" : "", *slot ? "-" : "", slot);
}

static bool cookie_hash(const char *header, const char *slot, bool tls, uint8_t ret_hash[STORE_HASH_BYTES])
{
    char name[COOKIE_NAME_MAX], value[COOKIE_VALUE + 1];
    cookie_name(slot, tls, name);
    if (!cookie_find(header, name, value, sizeof value) || strlen(value) != COOKIE_VALUE)
        return false;
    crypto_hash_sha256(ret_hash, (const uint8_t *)value, COOKIE_VALUE);
    return true;
}

bool session_find(struct signaling *s, const char *cookie, const char *slot, bool tls, struct identity *ret_who)
{
    uint8_t hash[STORE_HASH_BYTES];
    struct store_session session;
    if (!cookie_hash(cookie, slot, tls, hash) || store_session_find(s->store, hash, now_ms(), &session) != 0)
        return false;
    *ret_who = session.who;
    return true;
}

/* giaobanctl: a token signed with the data directory's secret, so whoever sends it may read that anyway. */
static bool bearer_identify(struct http_call *call)
{
    static const char scheme[] = "Bearer ";
    json_t *payload;
    if (!call->conn->loopback || call->conn->tls || strncmp(call->authorization, scheme, strlen(scheme)) != 0)
        return false;
    if (token_verify(call->s->secret, call->authorization + strlen(scheme), wall_s(), &payload) != 0)
        return false;
    bool fits = strcmp(json_string_value(json_object_get(payload, "t")), "ctl") == 0;
    json_decref(payload);
    if (fits)
        call->who = (struct identity){.role = ROLE_ADMINISTRATOR, .loopback_admin = true};
    return fits;
}

bool http_identify(struct http_call *call)
{
    if (call->authorization)
        return bearer_identify(call);
    return session_find(call->s, call->cookie, call->slot, call->conn->tls, &call->who);
}

/* ---- answers ---- */

static json_t *text_or_null(const char *text)
{
    return *text ? json_string(text) : json_null();
}

static json_t *session_json(const struct identity *who)
{
    json_t *person = *who->login ? json_pack("{s:s,s:s}", "login", who->login, "name", who->name) : json_null();
    return json_pack("{s:o,s:o,s:s,s:o}", "person", person, "unit", text_or_null(who->unit), "role", role_name(who->role),
                     "briefing", text_or_null(who->briefing));
}

static void session_stored(void *ctx, int err)
{
    struct http_call *call = ctx;
    if (err)
        http_answer_code(call, 503, "internal");
    else
        http_answer_json(call, 200, session_json(&call->who));
}

/* Makes a session for call->who; the answer follows when it is on disk. */
static void session_make(struct http_call *call, bool tls)
{
    uint8_t id[32];
    char value[COOKIE_VALUE + 1], name[COOKIE_NAME_MAX];
    randombytes_buf(id, sizeof id);
    sodium_bin2base64(value, sizeof value, id, sizeof id, BASE64);
    struct store_session session = {.who = call->who, .made_ms = now_ms(), .expires_ms = now_ms() + SESSION_MS};
    crypto_hash_sha256(session.hash, (const uint8_t *)value, COOKIE_VALUE);
    cookie_name(call->slot, tls, name);
    http_add_header(call, "Set-Cookie: %s=%s; Path=/; HttpOnly; SameSite=Strict; Max-Age=%lld%s", name, value,
                    SESSION_MS / 1000, tls ? "; Secure" : "");
    store_sessions_expire(call->s->store, now_ms());
    call->handed = true;
    if (store_session_put(call->s->store, &session, session_stored, call) != 0)
        http_answer_code(call, 503, "internal");
}

/* ---- logins that don't exist are locked like those that do ---- */

static struct ghost *ghost_find(struct signaling *s, const char *login)
{
    uint8_t hash[16];
    crypto_generichash(hash, sizeof hash, (const uint8_t *)login, strlen(login), NULL, 0);
    for (size_t i = 0; i < GHOSTS_MAX; i++)
        if (memcmp(s->ghosts[i].hash, hash, sizeof hash) == 0)
            return &s->ghosts[i];
    struct ghost *g = &s->ghosts[s->next_ghost++ % GHOSTS_MAX]; /* an old one gives way */
    *g = (struct ghost){0};
    memcpy(g->hash, hash, sizeof hash);
    return g;
}

static bool ghost_failed(struct ghost *g)
{
    if (++g->failures < STORE_FAILURES_MAX)
        return false;
    g->failures = 0;
    g->locked_until_ms = now_ms() + STORE_LOCK_MS;
    return true;
}

static bool login_locked(struct signaling *s, const char *login)
{
    struct store_account account;
    if (store_account_find(s->store, login, &account) == 0)
        return store_account_locked(&account, now_ms());
    return ghost_find(s, login)->locked_until_ms > now_ms();
}

/* ---- password ---- */

/* A helper's slot of this address is taken until the answer. False: too many already. */
static bool login_begin(struct http_call *call)
{
    if (call->conn->source->logins >= call->s->config.logins_source) {
        call->s->counts[COUNT_LOGINS_REFUSED]++;
        return false;
    }
    call->conn->source->logins++;
    call->login_counted = true;
    return true;
}

void http_login_end(struct http_call *call)
{
    if (call->login_counted)
        call->conn->source->logins--;
    call->login_counted = false;
}

static void login_failed(struct http_call *call, const char *login)
{
    bool locked = false;
    call->s->counts[COUNT_LOGINS_FAILED]++;
    if (store_login_failed(call->s->store, login, now_ms(), &locked) == ERR_NOTFOUND)
        locked = ghost_failed(ghost_find(call->s, login));
    log_warn("signaling", "login failed login=%.63s address=%s locked=%d", login, call->conn ? call->conn->address : "-",
             locked);
    http_answer_code(call, locked ? 423 : 401, locked ? "locked" : "wrong-password");
}

static void password_checked(void *ctx, bool ok, const char *hash)
{
    struct http_call *call = ctx;
    const char *login = json_string_value(json_object_get(call->kept, "login"));
    struct store_account account;
    http_login_end(call);
    /* The lock is asked again: another attempt may have closed it while this one was being checked. */
    if (ok && login_locked(call->s, login)) {
        http_answer_code(call, 423, "locked");
        return;
    }
    if (!ok || store_account_find(call->s->store, login, &account) != 0) {
        login_failed(call, login);
        return;
    }
    store_login_succeeded(call->s->store, login);
    call->who = (struct identity){.role = account.role};
    snprintf(call->who.login, sizeof call->who.login, "%s", account.login);
    snprintf(call->who.name, sizeof call->who.name, "%s", account.name);
    snprintf(call->who.unit, sizeof call->who.unit, "%s", account.unit);
    if (call->conn)
        session_make(call, call->conn->tls);
    else
        http_answer_code(call, 401, "no-session"); /* nobody is there to take it */
}

static void session_by_password(struct http_call *call, const json_t *body)
{
    const char *login = json_string_value(json_object_get(body, "login"));
    const char *password = json_string_value(json_object_get(body, "password"));
    struct store_account account;
    if (login_locked(call->s, login)) {
        http_answer_code(call, 423, "locked");
        return;
    }
    if (!login_begin(call)) {
        http_answer_code(call, 429, "too-fast");
        return;
    }
    bool known = store_account_find(call->s->store, login, &account) == 0;
    call->kept = json_pack("{s:s}", "login", login);
    call->handed = true;
    if (passwords_verify(call->s->passwords, password, known ? account.hash : NULL, password_checked, call) != 0) {
        http_login_end(call);
        call->s->counts[COUNT_LOGINS_REFUSED]++;
        http_answer_code(call, 503, "busy");
    }
}

/* ---- links ---- */

/* The payload of a token of that kind, or NULL and the answer is given. */
static json_t *token_take(struct http_call *call, const json_t *body, const char *kind)
{
    json_t *payload = NULL;
    int err = token_verify(call->s->secret, json_string_value(json_object_get(body, "token")), wall_s(), &payload);
    if (!err && strcmp(json_string_value(json_object_get(payload, "t")), kind) == 0 &&
        json_is_string(json_object_get(payload, "n")))
        return payload;
    json_decref(payload);
    http_answer_code(call, err == ERR_TIMEOUT ? 410 : 401, err == ERR_TIMEOUT ? "expired-link" : "bad-link");
    return NULL;
}

static void session_by_link(struct http_call *call, const json_t *body)
{
    json_t *payload = token_take(call, body, "join");
    if (!payload)
        return;
    const char *briefing = json_string_value(json_object_get(payload, "briefing"));
    const char *unit = json_string_value(json_object_get(payload, "unit"));
    const char *role = json_string_value(json_object_get(payload, "role"));
    struct identity *who = &call->who;
    *who = (struct identity){0};
    if (!briefing || !unit || !role || role_parse(role, &who->role) != 0 || who->role == ROLE_ADMINISTRATOR ||
        !store_briefing_find(call->s->store, briefing)) {
        http_answer_code(call, 401, "bad-link");
    } else {
        snprintf(who->briefing, sizeof who->briefing, "%s", briefing);
        snprintf(who->unit, sizeof who->unit, "%s", unit);
        snprintf(who->link, sizeof who->link, "%s", json_string_value(json_object_get(payload, "n")));
        session_make(call, call->conn->tls);
    }
    json_decref(payload);
}

/* ---- accounts ---- */

static int account_fill(const json_t *body, const char *hash, enum role role, struct store_account *ret_account)
{
    struct store_account a = {.role = role};
    const char *unit = json_string_value(json_object_get(body, "unit"));
    int n = snprintf(a.login, sizeof a.login, "%s", json_string_value(json_object_get(body, "login")));
    int m = snprintf(a.name, sizeof a.name, "%s", json_string_value(json_object_get(body, "name")));
    int h = snprintf(a.hash, sizeof a.hash, "%s", hash);
    snprintf(a.unit, sizeof a.unit, "%s", unit ? unit : "");
    /* A name of 120 letters may be longer in bytes than its field. */
    if (n >= (int)sizeof a.login || m >= (int)sizeof a.name || h >= (int)sizeof a.hash)
        return ERR_RANGE;
    *ret_account = a;
    return 0;
}

static void first_hashed(void *ctx, bool ok, const char *hash)
{
    struct http_call *call = ctx;
    struct store *store = call->s->store;
    const char *nonce = json_string_value(json_object_get(call->kept, "n"));
    struct store_account account;
    if (!ok || !call->conn) {
        http_answer_code(call, 503, "busy");
        return;
    }
    if (account_fill(call->kept, hash, ROLE_ADMINISTRATOR, &account) != 0) {
        http_answer_code(call, 422, "bad-params");
        return;
    }
    if (store_token_used(store, nonce)) {
        http_answer_code(call, 410, "used-link");
        return;
    }
    if (store_account_add(store, &account, NULL, NULL) != 0) {
        http_answer_code(call, 409, "login-taken");
        return;
    }
    /* Account, token and session are queued in one turn, so they reach the disk together. */
    if (store_token_use(store, nonce, json_integer_value(json_object_get(call->kept, "exp")) * 1000, NULL, NULL) != 0)
        log_error("signaling", "first link could not be marked as used");
    call->who = (struct identity){.role = ROLE_ADMINISTRATOR};
    snprintf(call->who.login, sizeof call->who.login, "%s", account.login);
    snprintf(call->who.name, sizeof call->who.name, "%s", account.name);
    log_info("signaling", "first administrator made login=%s", account.login);
    session_make(call, call->conn->tls);
}

static void session_first(struct http_call *call, const json_t *body)
{
    const char *login = json_string_value(json_object_get(body, "login"));
    const char *password = json_string_value(json_object_get(body, "password"));
    json_t *payload = token_take(call, body, "first");
    if (!payload)
        return;
    if (store_token_used(call->s->store, json_string_value(json_object_get(payload, "n")))) {
        http_answer_code(call, 410, "used-link");
    } else if (password_is_weak(password, login)) {
        http_answer_code(call, 422, "weak-password");
    } else {
        call->kept = json_pack("{s:s,s:O,s:O,s:O}", "login", login, "name", json_object_get(body, "name"), "n",
                               json_object_get(payload, "n"), "exp", json_object_get(payload, "exp"));
        call->handed = true;
        if (passwords_hash(call->s->passwords, password, first_hashed, call) != 0)
            http_answer_code(call, 503, "busy");
    }
    json_decref(payload);
}

static void account_stored(void *ctx, int err)
{
    struct http_call *call = ctx;
    if (err)
        http_answer_code(call, 503, "internal");
    else
        http_answer_json(call, 201, json_object());
}

static void account_hashed(void *ctx, bool ok, const char *hash)
{
    struct http_call *call = ctx;
    struct store_account account;
    enum role role = ROLE_OBSERVER;
    if (role_parse(json_string_value(json_object_get(call->kept, "role")), &role) != 0 ||
        account_fill(call->kept, hash, role, &account) != 0)
        http_answer_code(call, 422, "bad-params");
    else if (!ok)
        http_answer_code(call, 503, "busy");
    else if (store_account_add(call->s->store, &account, account_stored, call) != 0)
        http_answer_code(call, 409, "login-taken");
}

static void account_add(struct http_call *call, const json_t *body)
{
    struct store_account there;
    const char *login = json_string_value(json_object_get(body, "login"));
    const char *unit = json_string_value(json_object_get(body, "unit"));
    const char *password = json_string_value(json_object_get(body, "password"));
    if (unit && !store_unit_find(call->s->store, unit)) {
        http_answer_code(call, 422, "unknown-unit");
    } else if (store_account_find(call->s->store, login, &there) == 0) {
        http_answer_code(call, 409, "login-taken");
    } else if (password_is_weak(password, login)) {
        http_answer_code(call, 422, "weak-password");
    } else {
        call->kept = json_deep_copy(body);
        json_object_del(call->kept, "password");
        call->handed = true;
        if (passwords_hash(call->s->passwords, password, account_hashed, call) != 0)
            http_answer_code(call, 503, "busy");
    }
}

static void account_unlocked(void *ctx, int err)
{
    struct http_call *call = ctx;
    if (err)
        http_answer_code(call, 503, "internal");
    else
        http_answer_empty(call, 204);
}

void http_accounts(struct http_call *call, const char *rest, const json_t *body)
{
    char login[64] = "", end[8] = "";
    if (!call->has_identity)
        http_answer_code(call, 401, "no-session");
    else if (call->who.role != ROLE_ADMINISTRATOR)
        http_answer_code(call, 403, "not-allowed");
    else if (call->method != HTTP_POST)
        http_answer_code(call, 405, "unknown-method");
    else if (!*rest)
        account_add(call, body);
    else if (sscanf(rest, "/%63[^/]/%7[a-z]", login, end) != 2 || strcmp(end, "unlock") != 0)
        http_answer_code(call, 404, "not-found");
    else if (store_account_unlock(call->s->store, login, account_unlocked, call) != 0)
        http_answer_code(call, 404, "unknown-account");
    else
        call->handed = true;
}

/* ---- the rest ---- */

static void session_end(struct http_call *call)
{
    uint8_t hash[STORE_HASH_BYTES];
    char name[COOKIE_NAME_MAX];
    if (cookie_hash(call->cookie, call->slot, call->conn->tls, hash))
        store_session_drop(call->s->store, hash);
    cookie_name(call->slot, call->conn->tls, name);
    http_add_header(call, "Set-Cookie: %s=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0%s", name,
                    call->conn->tls ? "; Secure" : "");
    http_add_header(call, "Cache-Control: no-store");
    http_answer_empty(call, 204);
}

void http_session(struct http_call *call, const char *rest, const json_t *body)
{
    bool post = call->method == HTTP_POST;
    if (strcmp(rest, "/link") == 0 && post)
        session_by_link(call, body);
    else if (strcmp(rest, "/first") == 0 && post)
        session_first(call, body);
    else if (*rest)
        http_answer_code(call, post ? 404 : 405, post ? "not-found" : "unknown-method");
    else if (post)
        session_by_password(call, body);
    else if (call->method == HTTP_DELETE)
        session_end(call);
    else if (!call->has_identity)
        http_answer_code(call, 401, "no-session");
    else
        http_answer_json(call, 200, session_json(&call->who));
}

void http_units(struct http_call *call)
{
    size_t n;
    const struct store_unit *units = store_units(call->s->store, &n);
    if (!call->has_identity) {
        http_answer_code(call, 401, "no-session");
        return;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *unit = json_pack("{s:s,s:s,s:s,s:s,s:i}", "id", units[i].id, "name", units[i].name, "short",
                                 units[i].short_name, "kind", units[i].kind, "order", units[i].order);
        if (units[i].valid_to[0])
            json_object_set_new(unit, "validTo", json_string(units[i].valid_to));
        json_array_append_new(list, unit);
    }
    http_answer_json(call, 200, json_pack("{s:o}", "units", list));
}
