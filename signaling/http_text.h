/* The small grammars of HTTP that libwebsockets leaves to us: cookies (RFC 6265), ranges (RFC 9110 section 14), content
 * codings (12.5.3), entity tags (8.8.3), origins (RFC 6454), paths, queries. Pure. Thread: any. Header values are
 * NUL-terminated; NULL: the header is absent. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Value of that cookie into `ret_value`; false when absent or longer than cap − 1. */
bool cookie_find(const char *header, const char *name, char *ret_value, size_t cap);

enum range { RANGE_WHOLE, RANGE_PART, RANGE_UNSATISFIABLE };
/* One byte range of a file of `size` bytes; several ranges, other units and nonsense mean the whole (RFC 9110 14.2). */
enum range range_parse(const char *header, uint64_t size, uint64_t *ret_first, uint64_t *ret_last);

bool encoding_accepted(const char *header, const char *coding); /* "br", "gzip"; q=0 refuses */
bool etag_listed(const char *header, const char *etag);         /* If-None-Match: weak comparison, "*" */

/* Does the value of Origin name this Host under this scheme? A missing Origin is the caller's matter. */
bool origin_is_host(const char *origin, const char *host, bool tls);

/* Value of key in "a=1&b=2" (already decoded); false when absent or too long. */
bool query_find(const char *query, const char *key, char *ret_value, size_t cap);

/* A relative path of [A-Za-z0-9._-] segments, none beginning with a dot: nothing of it can leave its directory. */
bool path_is_plain(const char *path);
/* Does the name carry a hash that changes with the content, as in "app-3F2A9C1B.js" (8 and more letters and digits, with a
 * digit or all capitals)? */
bool name_is_hashed(const char *path);
#define CONTENT_UNKNOWN "application/octet-stream"
const char *content_type(const char *name);

/* Brackets outside strings at most `depth` deep? Asked before a text is parsed, so that parsing recurses no deeper. */
bool json_depth_fits(const char *text, size_t len, unsigned depth);
