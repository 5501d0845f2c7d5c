#include "signaling/http_text.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

bool cookie_find(const char *header, const char *name, char *ret_value, size_t cap)
{
    size_t name_len = strlen(name);
    for (const char *at = header; at && *at;) {
        at += strspn(at, " \t;");
        size_t len = strcspn(at, ";");
        if (len > name_len && at[name_len] == '=' && memcmp(at, name, name_len) == 0) {
            const char *value = at + name_len + 1;
            size_t n = len - name_len - 1;
            while (n && (value[n - 1] == ' ' || value[n - 1] == '\t'))
                n--;
            if (n >= cap)
                return false;
            memcpy(ret_value, value, n);
            ret_value[n] = '\0';
            return true;
        }
        at += len;
    }
    return false;
}

/* Digits into `ret`; at most 18 of them, so nothing overflows. Returns their end, or NULL. */
static const char *digits(const char *at, uint64_t *ret)
{
    uint64_t v = 0;
    size_t n = 0;
    for (; isdigit((unsigned char)*at); at++, n++) {
        if (n == 18)
            return NULL;
        v = v * 10 + (uint64_t)(*at - '0');
    }
    if (!n)
        return NULL;
    *ret = v;
    return at;
}

enum range range_parse(const char *header, uint64_t size, uint64_t *ret_first, uint64_t *ret_last)
{
    if (!header || strncasecmp(header, "bytes=", 6) != 0)
        return RANGE_WHOLE;
    const char *at = header + 6;
    uint64_t first, last = UINT64_MAX;
    if (*at == '-') { /* the last N bytes */
        at = digits(at + 1, &last);
        if (!at || *at)
            return RANGE_WHOLE;
        if (last == 0 || size == 0)
            return RANGE_UNSATISFIABLE;
        *ret_first = last < size ? size - last : 0;
        *ret_last = size - 1;
        return RANGE_PART;
    }
    at = digits(at, &first);
    if (!at || *at != '-')
        return RANGE_WHOLE;
    if (at[1])
        at = digits(at + 1, &last);
    else
        at++;
    if (!at || *at || last < first)
        return RANGE_WHOLE;
    if (first >= size)
        return RANGE_UNSATISFIABLE;
    *ret_first = first;
    *ret_last = last < size ? last : size - 1;
    return RANGE_PART;
}

/* "q=0", "q=0.0", "q=0.00", "q=0.000" among the parameters of one element. */
static bool weight_is_zero(const char *at, size_t len)
{
    for (size_t i = 0; i + 2 < len; i++) {
        if ((at[i] != 'q' && at[i] != 'Q') || at[i + 1] != '=')
            continue;
        for (size_t j = i + 2; j < len; j++)
            if (at[j] >= '1' && at[j] <= '9')
                return false;
        return true;
    }
    return false;
}

bool encoding_accepted(const char *header, const char *coding)
{
    size_t coding_len = strlen(coding);
    for (const char *at = header; at && *at;) {
        at += strspn(at, " \t,");
        size_t len = strcspn(at, ",");
        size_t name = strcspn(at, " \t,;");
        if (name == coding_len && strncasecmp(at, coding, name) == 0)
            return !weight_is_zero(at + name, len - name);
        at += len;
    }
    return false;
}

bool etag_listed(const char *header, const char *etag)
{
    size_t etag_len = strlen(etag);
    for (const char *at = header; at && *at;) {
        at += strspn(at, " \t,");
        if (*at == '*')
            return true;
        if (strncmp(at, "W/", 2) == 0)
            at += 2;
        size_t len = strcspn(at, ",");
        size_t n = len;
        while (n && (at[n - 1] == ' ' || at[n - 1] == '\t'))
            n--;
        if (n == etag_len && memcmp(at, etag, n) == 0)
            return true;
        at += len;
    }
    return false;
}

bool origin_is_host(const char *origin, const char *host, bool tls)
{
    const char *scheme = tls ? "https://" : "http://", *port = tls ? ":443" : ":80";
    size_t n = strlen(scheme);
    if (!origin || !host || !*host || strncasecmp(origin, scheme, n) != 0)
        return false;
    origin += n;
    if (strcasecmp(origin, host) == 0)
        return true;
    /* One of them may name the default port. */
    size_t host_len = strlen(host), port_len = strlen(port);
    return host_len > port_len && strcasecmp(host + host_len - port_len, port) == 0 &&
           strlen(origin) == host_len - port_len && strncasecmp(origin, host, host_len - port_len) == 0;
}

bool query_find(const char *query, const char *key, char *ret_value, size_t cap)
{
    size_t key_len = strlen(key);
    for (const char *at = query; at && *at;) {
        size_t len = strcspn(at, "&");
        if (len > key_len && at[key_len] == '=' && memcmp(at, key, key_len) == 0) {
            size_t n = len - key_len - 1;
            if (n >= cap)
                return false;
            memcpy(ret_value, at + key_len + 1, n);
            ret_value[n] = '\0';
            return true;
        }
        at += len;
        at += *at == '&';
    }
    return false;
}

bool path_is_plain(const char *path)
{
    if (!*path || strlen(path) > 200)
        return false;
    for (const char *at = path; *at; at++) {
        if (at == path || at[-1] == '/') {
            if (*at == '.' || *at == '/')
                return false;
        }
        if (!isalnum((unsigned char)*at) && !strchr("._-/", *at))
            return false;
    }
    return path[strlen(path) - 1] != '/';
}

bool name_is_hashed(const char *path)
{
    const char *name = strrchr(path, '/');
    name = name ? name + 1 : path;
    const char *dash = strrchr(name, '-');
    const char *dot = strchr(dash ? dash : name, '.');
    if (!dash || !dot || dot - dash < 9)
        return false;
    bool digit = false, lower = false;
    for (const char *at = dash + 1; at < dot; at++) {
        if (!isalnum((unsigned char)*at))
            return false;
        digit |= isdigit((unsigned char)*at) != 0;
        lower |= islower((unsigned char)*at) != 0;
    }
    return digit || !lower;
}

const char *content_type(const char *name)
{
    static const struct {
        const char *end, *type;
    } known[] = {
        {".html", "text/html; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"},
        {".mjs", "text/javascript; charset=utf-8"},
        {".css", "text/css; charset=utf-8"},
        {".json", "application/json"},
        {".map", "application/json"},
        {".svg", "image/svg+xml"},
        {".png", "image/png"},
        {".jpg", "image/jpeg"},
        {".ico", "image/x-icon"},
        {".webp", "image/webp"},
        {".woff2", "font/woff2"},
        {".woff", "font/woff"},
        {".txt", "text/plain; charset=utf-8"},
        {".wasm", "application/wasm"},
        {".webmanifest", "application/manifest+json"},
        {".mp4", "video/mp4"},
        {".webm", "video/webm"},
        {".vtt", "text/vtt; charset=utf-8"},
        {".wav", "audio/wav"},
        {".mp3", "audio/mpeg"},
        {".ogg", "audio/ogg"},
    };
    size_t len = strlen(name);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        size_t n = strlen(known[i].end);
        if (len > n && strcmp(name + len - n, known[i].end) == 0)
            return known[i].type;
    }
    return CONTENT_UNKNOWN;
}

bool json_depth_fits(const char *text, size_t len, unsigned depth)
{
    unsigned open = 0;
    bool string = false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                string = false;
        } else if (c == '"') {
            string = true;
        } else if (c == '[' || c == '{') {
            if (++open > depth)
                return false;
        } else if ((c == ']' || c == '}') && open) {
            open--;
        }
    }
    return true;
}
