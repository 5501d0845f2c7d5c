/* Schema: checks JSON against protocol/messages.schema.json, which is built into the program.
 *
 * A strict subset of JSON Schema 2020-12: type, properties, required, additionalProperties (false only), items, maxItems,
 * enum and const (strings), minimum, maximum, minLength, maxLength (code points), pattern (POSIX extended), anyOf, oneOf
 * (first match), $ref to #/$defs/NAME; title and description are skipped. Any other keyword makes schema_new() fail, so the
 * file never promises what is not checked. Pure but for regcomp. Thread: any, after schema_new(). */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct schema;

/* The built-in text, NUL-terminated. */
extern const char schema_messages[];

/* ERR_MALFORMED: not JSON, or an unknown keyword; `ret_why` is static text. */
int schema_new(const char *text, struct schema **ret_schema, const char **ret_why);
void schema_free(struct schema *s);

/* Is there a definition of that name, e.g. "params.hello"? */
bool schema_has(const struct schema *s, const char *name);
/* `value` against $defs/NAME. ERR_NOTFOUND: no such definition; ERR_MALFORMED: `ret_path` (may be NULL) says where, as in
 * "tiles[3].width: above maximum". */
#define SCHEMA_PATH_MAX 160
int schema_check(const struct schema *s, const char *name, const json_t *value, char ret_path[SCHEMA_PATH_MAX]);
