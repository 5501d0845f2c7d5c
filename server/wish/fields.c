#include "wish/fields.h"

#include "base/err.h"
#include "wish/wish.h"

#include <string.h>

struct fields fields_begin(const json_t *object)
{
    return (struct fields){.object = object, .why = json_is_object(object) ? NULL : "not an object"};
}

const json_t *fields_take(struct fields *f, const char *name)
{
    if (f->why)
        return NULL;
    const json_t *v = json_object_get(f->object, name);
    if (!v)
        f->why = "a field is missing";
    f->taken++;
    return v;
}

bool fields_has(const struct fields *f, const char *name)
{
    return json_object_get(f->object, name) != NULL;
}

int64_t fields_integer(struct fields *f, const char *name, int64_t min, int64_t max)
{
    const json_t *v = fields_take(f, name);
    if (!v)
        return 0;
    json_int_t n = json_integer_value(v);
    if (!json_is_integer(v) || n < min || n > max) {
        f->why = "a number is out of range";
        return 0;
    }
    return n;
}

bool fields_bool(struct fields *f, const char *name)
{
    const json_t *v = fields_take(f, name);
    if (v && !json_is_boolean(v))
        f->why = "a boolean is none";
    return json_is_true(v);
}

void fields_string(struct fields *f, const char *name, char *ret, size_t cap)
{
    const json_t *v = fields_take(f, name);
    if (!v)
        return;
    const char *s = json_string_value(v);
    if (!s || json_string_length(v) != strlen(s) || strlen(s) >= cap) {
        f->why = "a string is none, or too long";
        return;
    }
    memcpy(ret, s, strlen(s) + 1);
}

void fields_id(struct fields *f, const char *name, char *ret)
{
    char id[WISH_ID_MAX] = "";
    fields_string(f, name, id, sizeof(id));
    if (f->why)
        return;
    if (!wish_id_valid(id)) {
        f->why = "an id is not valid";
        return;
    }
    memcpy(ret, id, sizeof(id));
}

void fields_numbers(struct fields *f, const json_t *array, uint16_t *ret, size_t n)
{
    if (f->why)
        return;
    if (!json_is_array(array) || json_array_size(array) != n) {
        f->why = "an array has the wrong length";
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(array, i);
        json_int_t x = json_integer_value(v);
        if (!json_is_integer(v) || x < 0 || x > UINT16_MAX) {
            f->why = "a number is out of range";
            return;
        }
        ret[i] = (uint16_t)x;
    }
}

int fields_end(struct fields *f, const char *const *around, const char **ret_why)
{
    for (; !f->why && around && *around; around++) {
        if (json_object_get(f->object, *around))
            f->taken++;
    }
    if (!f->why && f->taken != json_object_size(f->object))
        f->why = "an unknown field";
    if (!f->why)
        return 0;
    if (ret_why)
        *ret_why = f->why;
    return ERR_MALFORMED;
}
