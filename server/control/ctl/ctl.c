#include "control/ctl/ctl.h"

#include "base/clock.h"
#include "base/err.h"
#include "signaling/signaling.h"

#include <curl/curl.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { TOKEN_BYTES = 513, ANSWER_BYTES_MAX = 16 << 20 };

const char *option(int argc, char **argv, const char *name)
{
    for (int i = 0; i + 1 < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return argv[i + 1];
    return NULL;
}

bool flag(int argc, char **argv, const char *name)
{
    for (int i = 0; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return true;
    return false;
}

void programs_dir(char *ret, size_t cap)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    path[n > 0 ? n : 0] = '\0';
    snprintf(ret, cap, "%s", dirname(path));
}

int ctl_open(struct ctl *c)
{
    char path[sizeof c->data + 16];
    snprintf(path, sizeof path, "%s/secret.key", c->data);
    if (access(path, R_OK) != 0) {
        fprintf(stderr,
                "giaobanctl: can't read %s: is --data the server's data directory, and has the server been started?\n",
                path);
        return 1;
    }
    int err = secret_load(c->data, c->secret);
    if (err)
        fprintf(stderr, "giaobanctl: %s: %s\n", path, err_str(err));
    c->has_secret = err == 0;
    return err ? 1 : 0;
}

static int sign(struct ctl *c, json_t *payload, char token[TOKEN_BYTES])
{
    int err = payload ? token_sign(c->secret, payload, token, TOKEN_BYTES) : ERR_NOMEM;
    json_decref(payload);
    return err;
}

/* ---- HTTP ---- */

struct answer {
    char *text;
    size_t len;
};

static size_t collect(char *bytes, size_t size, size_t n, void *ctx)
{
    struct answer *a = ctx;
    size_t len = size * n;
    if (a->len + len > ANSWER_BYTES_MAX)
        return 0;
    char *text = realloc(a->text, a->len + len + 1);
    if (!text)
        return 0;
    memcpy(text + a->len, bytes, len);
    a->text = text;
    a->len += len;
    text[a->len] = '\0';
    return len;
}

/* HTTP status, 0 when the server was not reached. */
static long perform(struct ctl *c, const char *verb, const char *path, const char *body, struct answer *ret,
                    char why[CURL_ERROR_SIZE])
{
    char url[1024], authorization[TOKEN_BYTES + 32], token[TOKEN_BYTES];
    struct curl_slist *headers = NULL;
    long status = 0;
    CURL *curl = curl_easy_init();
    if (!curl)
        return 0;
    snprintf(url, sizeof url, "%s%s", c->server, path);
    if (c->has_secret &&
        !sign(c, json_pack("{s:s, s:I}", "t", "ctl", "exp", (json_int_t)clock_wall_us() / 1000000 + 60), token)) {
        snprintf(authorization, sizeof authorization, "Authorization: Bearer %s", token);
        headers = curl_slist_append(headers, authorization);
    }
    headers = curl_slist_append(headers, "Content-Type: application/json");
    headers = curl_slist_append(headers, "Expect:");
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, verb);
    if (body)
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, collect);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, ret);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 15000L);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*"); /* the server is this machine */
    if (curl_easy_perform(curl) == CURLE_OK)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return status;
}

static void complain(const struct ctl *c, long status, const json_t *json, const char *why)
{
    const json_t *error = json_object_get(json, "error");
    const char *vi = json_string_value(json_object_get(error, "vi")), *en = json_string_value(json_object_get(error, "en"));
    const char *code = json_string_value(json_object_get(error, "code"));
    if (status == 0)
        fprintf(stderr, "giaobanctl: no answer from %s: %s\n", c->server, why);
    else if (vi && en)
        fprintf(stderr, "giaobanctl: %s\n%s (%s)\n", vi, en, code ? code : "");
    else
        fprintf(stderr, "giaobanctl: %s answered with status %ld\n", c->server, status);
}

json_t *ctl_call(struct ctl *c, const char *verb, const char *path, json_t *body, bool quiet)
{
    char full[600], why[CURL_ERROR_SIZE] = "";
    struct answer a = {0};
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    snprintf(full, sizeof full, "/api/v1/%s", path);
    /* A POST without a body is an empty object: the API wants JSON. */
    long status = perform(c, verb, full, text ? text : strcmp(verb, "GET") == 0 ? NULL : "{}", &a, why);
    json_t *json = a.text && a.len ? json_loads(a.text, 0, NULL) : json_object();
    free(text);
    free(a.text);
    if (status >= 200 && status < 300 && json)
        return json;
    if (!quiet)
        complain(c, status, json, why);
    json_decref(json);
    return NULL;
}

char *ctl_text(struct ctl *c, const char *path)
{
    char why[CURL_ERROR_SIZE] = "";
    struct answer a = {0};
    if (perform(c, "GET", path, NULL, &a, why) == 200 && a.text)
        return a.text;
    free(a.text);
    return NULL;
}

/* ---- building blocks ---- */

int ctl_create(struct ctl *c, const char *title, json_t *units, bool record, int64_t starts_ms, char ret_id[40])
{
    json_t *body = json_pack("{s:s, s:I, s:o, s:b}", "title", title, "starts_ms", (json_int_t)starts_ms, "units", units,
                             "record", record);
    json_t *made = ctl_call(c, "POST", "briefings", body, false);
    const char *id = json_string_value(json_object_get(made, "id"));
    if (id)
        snprintf(ret_id, 40, "%s", id);
    json_decref(made);
    return id ? 0 : 1;
}

int ctl_link(struct ctl *c, const char *briefing, const char *unit, const char *role, long expires_s, char ret_path[560])
{
    char path[128];
    snprintf(path, sizeof path, "briefings/%.39s/links", briefing);
    json_t *made =
        ctl_call(c, "POST", path,
                 json_pack("{s:s, s:s, s:I}", "unit", unit, "role", role, "expires_s", (json_int_t)expires_s), false);
    const char *link = json_string_value(json_object_get(made, "path"));
    if (link)
        snprintf(ret_path, 560, "%s", link);
    json_decref(made);
    return link ? 0 : 1;
}

int ctl_first_link(struct ctl *c, char ret_path[560])
{
    uint8_t bytes[8];
    char nonce[17], token[TOKEN_BYTES];
    if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
        return 1;
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(nonce + 2 * i, 3, "%02x", bytes[i]);
    if (sign(c, json_pack("{s:s, s:I, s:s}", "t", "first", "exp", (json_int_t)clock_wall_us() / 1000000 + 86400, "n", nonce),
             token))
        return 1;
    snprintf(ret_path, 560, "/first/%s", token);
    return 0;
}
