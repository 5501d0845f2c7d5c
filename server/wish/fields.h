/* Fields: one JSON object read strictly. Each field is taken by name; at the end nothing may be left over. The first
 * complaint stays in `why` and later reads return zero, so a caller reads a whole object and checks once, as with `struct
 * reader`.
 *
 * Nothing is allocated; the object stays the caller's. Pure. Thread: any. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fields {
    const json_t *object;
    size_t taken;
    const char *why; /* static text, NULL: no complaint */
};

struct fields fields_begin(const json_t *object);
/* The field's value (borrowed), or NULL. */
const json_t *fields_take(struct fields *f, const char *name);
bool fields_has(const struct fields *f, const char *name);
int64_t fields_integer(struct fields *f, const char *name, int64_t min, int64_t max);
bool fields_bool(struct fields *f, const char *name);
/* At most cap − 1 bytes, none of them NUL. */
void fields_string(struct fields *f, const char *name, char *ret, size_t cap);
/* A string that is wish_id_valid(); `ret` holds WISH_ID_MAX. */
void fields_id(struct fields *f, const char *name, char *ret);
/* `array` must hold `n` integers of 0 … 65535. */
void fields_numbers(struct fields *f, const json_t *array, uint16_t *ret, size_t n);
/* `around`, NULL-terminated: names that may be there besides. 0, or ERR_MALFORMED with the complaint (`ret_why` may be
 * NULL). */
int fields_end(struct fields *f, const char *const *around, const char **ret_why);
