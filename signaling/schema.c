#include "signaling/schema.h"

#include "base/err.h"

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pattern {
    const json_t *node;
    regex_t regex;
};

struct schema {
    json_t *root;
    const json_t *defs;
    struct pattern *patterns;
    size_t n_patterns;
};

/* Where in the value we are; the text is made only when something is wrong. */
struct place {
    const struct place *up;
    const char *key; /* NULL: `index` */
    size_t index;
};

/* The alternative that went deepest explains best what is wrong. */
struct failure {
    char path[SCHEMA_PATH_MAX];
    unsigned depth;
};

static int load_node(struct schema *s, const json_t *node, const char **ret_why);

static const char *const keywords[] = {
    "title",     "description", "type",    "properties", "required", "additionalProperties",
    "items",     "maxItems",    "enum",    "const",      "minimum",  "maximum",
    "minLength", "maxLength",   "pattern", "anyOf",      "oneOf",    "$ref"};

static bool keyword_known(const char *key)
{
    for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++)
        if (strcmp(keywords[i], key) == 0)
            return true;
    return false;
}

static const char *const types[] = {"object", "array", "string", "integer", "number", "boolean", "null"};

static bool type_known(const char *type)
{
    for (size_t i = 0; type && i < sizeof types / sizeof types[0]; i++)
        if (strcmp(types[i], type) == 0)
            return true;
    return false;
}

static const json_t *resolve(const struct schema *s, const char *ref)
{
    static const char prefix[] = "#/$defs/";
    if (!ref || strncmp(ref, prefix, sizeof prefix - 1) != 0)
        return NULL;
    return json_object_get(s->defs, ref + sizeof prefix - 1);
}

static int load_pattern(struct schema *s, const json_t *node, const char *text)
{
    struct pattern *grown = realloc(s->patterns, (s->n_patterns + 1) * sizeof *grown);
    if (!grown)
        return ERR_NOMEM;
    s->patterns = grown;
    struct pattern *p = &s->patterns[s->n_patterns];
    p->node = node;
    if (regcomp(&p->regex, text, REG_EXTENDED | REG_NOSUB) != 0)
        return ERR_MALFORMED;
    s->n_patterns++;
    return 0;
}

static int load_array(struct schema *s, const json_t *list, const char **ret_why)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)list, i, one) {
        int err = load_node(s, one, ret_why);
        if (err)
            return err;
    }
    return 0;
}

static int load_properties(struct schema *s, const json_t *node, const char **ret_why)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)json_object_get(node, "properties"), key, value) {
        int err = load_node(s, value, ret_why);
        if (err)
            return err;
    }
    size_t i;
    json_t *name;
    json_array_foreach(json_object_get(node, "required"), i, name) {
        if (!json_object_get(json_object_get(node, "properties"), json_string_value(name))) {
            *ret_why = "schema: a required name is no property";
            return ERR_MALFORMED;
        }
    }
    return 0;
}

/* Refuses what check_node() would not check. */
static int load_node(struct schema *s, const json_t *node, const char **ret_why)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)node, key, value) {
        if (!keyword_known(key)) {
            *ret_why = "schema: unknown keyword";
            return ERR_MALFORMED;
        }
    }
    const json_t *type = json_object_get(node, "type"), *ref = json_object_get(node, "$ref");
    const json_t *pattern = json_object_get(node, "pattern"), *items = json_object_get(node, "items");
    if (!json_is_object(node) || (type && !type_known(json_string_value(type))) ||
        (ref && !resolve(s, json_string_value(ref))) ||
        (json_object_get(node, "properties") && !json_is_false(json_object_get(node, "additionalProperties")))) {
        *ret_why = "schema: bad node, type or $ref, or additionalProperties is not false";
        return ERR_MALFORMED;
    }
    if (pattern && load_pattern(s, node, json_string_value(pattern)) != 0) {
        *ret_why = "schema: bad pattern";
        return ERR_MALFORMED;
    }
    int err = items ? load_node(s, items, ret_why) : 0;
    if (!err)
        err = load_properties(s, node, ret_why);
    if (!err)
        err = load_array(s, json_object_get(node, "anyOf"), ret_why);
    if (!err)
        err = load_array(s, json_object_get(node, "oneOf"), ret_why);
    return err;
}

int schema_new(const char *text, struct schema **ret_schema, const char **ret_why)
{
    struct schema *s = calloc(1, sizeof *s);
    if (!s) {
        *ret_why = "no memory";
        return ERR_NOMEM;
    }
    int err = ERR_MALFORMED;
    s->root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    s->defs = json_object_get(s->root, "$defs");
    if (!json_is_object(s->defs)) {
        *ret_why = "schema: not JSON with $defs";
        goto fail;
    }
    const char *key;
    json_t *node;
    json_object_foreach((json_t *)s->defs, key, node) {
        err = load_node(s, node, ret_why);
        if (err)
            goto fail;
    }
    *ret_schema = s;
    return 0;
fail:
    schema_free(s);
    return err;
}

void schema_free(struct schema *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_patterns; i++)
        regfree(&s->patterns[i].regex);
    free(s->patterns);
    json_decref(s->root);
    free(s);
}

bool schema_has(const struct schema *s, const char *name)
{
    return json_object_get(s->defs, name) != NULL;
}

static unsigned place_depth(const struct place *p)
{
    unsigned n = 0;
    for (; p; p = p->up)
        n++;
    return n;
}

static size_t place_text(const struct place *p, char *out, size_t cap)
{
    if (!p)
        return 0;
    size_t at = place_text(p->up, out, cap);
    if (at >= cap)
        return at;
    int n = p->key ? snprintf(out + at, cap - at, "%s%s", at ? "." : "", p->key)
                   : snprintf(out + at, cap - at, "[%zu]", p->index);
    return at + (n > 0 ? (size_t)n : 0);
}

static int fail_at(const struct place *p, struct failure *f, const char *why)
{
    unsigned depth = place_depth(p) + 1;
    if (depth <= f->depth)
        return ERR_MALFORMED;
    f->depth = depth;
    char path[SCHEMA_PATH_MAX - 48] = "";
    place_text(p, path, sizeof path);
    snprintf(f->path, sizeof f->path, "%s%s%.40s", path, path[0] ? ": " : "", why);
    return ERR_MALFORMED;
}

static size_t code_points(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static bool type_fits(const char *type, const json_t *value)
{
    switch (type[0]) {
    case 'o': return json_is_object(value);
    case 'a': return json_is_array(value);
    case 's': return json_is_string(value);
    case 'i': return json_is_integer(value);
    case 'b': return json_is_boolean(value);
    default: return type[2] == 'm' ? json_is_number(value) : json_is_null(value);
    }
}

static const regex_t *pattern_of(const struct schema *s, const json_t *node)
{
    for (size_t i = 0; i < s->n_patterns; i++)
        if (s->patterns[i].node == node)
            return &s->patterns[i].regex;
    return NULL;
}

static int check_string(const struct schema *s, const json_t *node, const json_t *value, const struct place *p,
                        struct failure *f)
{
    const char *text = json_string_value(value);
    const json_t *least = json_object_get(node, "minLength"), *most = json_object_get(node, "maxLength");
    size_t n = least || most ? code_points(text) : 0;
    if (least && n < (size_t)json_integer_value(least))
        return fail_at(p, f, "too short");
    if (most && n > (size_t)json_integer_value(most))
        return fail_at(p, f, "too long");
    const regex_t *regex = pattern_of(s, node);
    if (regex && regexec(regex, text, 0, NULL, 0) != 0)
        return fail_at(p, f, "does not match the pattern");
    return 0;
}

static int check_choice(const json_t *node, const json_t *value, const struct place *p, struct failure *f)
{
    const json_t *fixed = json_object_get(node, "const"), *list = json_object_get(node, "enum");
    if (fixed && !json_equal(fixed, value))
        return fail_at(p, f, "not the expected value");
    if (!list)
        return 0;
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)list, i, one) {
        if (json_equal(one, value))
            return 0;
    }
    return fail_at(p, f, "not one of the values");
}

static int check_number(const json_t *node, const json_t *value, const struct place *p, struct failure *f)
{
    const json_t *least = json_object_get(node, "minimum"), *most = json_object_get(node, "maximum");
    /* All bounds are below 2^53, so a double holds them exactly; an integer beyond is compared as an integer. */
    if (json_is_integer(value)) {
        if (least && json_integer_value(value) < json_integer_value(least))
            return fail_at(p, f, "below minimum");
        if (most && json_integer_value(value) > json_integer_value(most))
            return fail_at(p, f, "above maximum");
        return 0;
    }
    if (least && json_number_value(value) < json_number_value(least))
        return fail_at(p, f, "below minimum");
    if (most && json_number_value(value) > json_number_value(most))
        return fail_at(p, f, "above maximum");
    return 0;
}

static int check_node(const struct schema *s, const json_t *node, const json_t *value, const struct place *p,
                      struct failure *f);

static int check_object(const struct schema *s, const json_t *node, const json_t *value, const struct place *p,
                        struct failure *f)
{
    const json_t *properties = json_object_get(node, "properties");
    size_t i;
    json_t *name, *one;
    const char *key;
    json_array_foreach(json_object_get(node, "required"), i, name) {
        struct place inside = {p, json_string_value(name), 0};
        if (!json_object_get(value, json_string_value(name)))
            return fail_at(&inside, f, "missing");
    }
    json_object_foreach((json_t *)value, key, one) {
        struct place inside = {p, key, 0};
        const json_t *rule = json_object_get(properties, key);
        if (!rule)
            return properties ? fail_at(&inside, f, "unknown name") : 0;
        int err = check_node(s, rule, one, &inside, f);
        if (err)
            return err;
    }
    return 0;
}

static int check_array(const struct schema *s, const json_t *node, const json_t *value, const struct place *p,
                       struct failure *f)
{
    const json_t *most = json_object_get(node, "maxItems"), *rule = json_object_get(node, "items");
    if (most && json_array_size(value) > (size_t)json_integer_value(most))
        return fail_at(p, f, "too many items");
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)value, i, one) {
        struct place inside = {p, NULL, i};
        int err = rule ? check_node(s, rule, one, &inside, f) : 0;
        if (err)
            return err;
    }
    return 0;
}

static int check_alternatives(const struct schema *s, const json_t *list, const json_t *value, const struct place *p,
                              struct failure *f)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)list, i, one) {
        if (check_node(s, one, value, p, f) == 0)
            return 0;
    }
    return ERR_MALFORMED;
}

static int check_node(const struct schema *s, const json_t *node, const json_t *value, const struct place *p,
                      struct failure *f)
{
    const json_t *ref = json_object_get(node, "$ref"), *type = json_object_get(node, "type");
    if (ref)
        return check_node(s, resolve(s, json_string_value(ref)), value, p, f);
    const json_t *list = json_object_get(node, "anyOf");
    if (!list)
        list = json_object_get(node, "oneOf");
    if (list)
        return check_alternatives(s, list, value, p, f);
    if (type && !type_fits(json_string_value(type), value))
        return fail_at(p, f, "wrong type");
    int err = check_choice(node, value, p, f);
    if (err)
        return err;
    switch (json_typeof(value)) {
    case JSON_STRING: return check_string(s, node, value, p, f);
    case JSON_INTEGER:
    case JSON_REAL: return check_number(node, value, p, f);
    case JSON_OBJECT: return check_object(s, node, value, p, f);
    case JSON_ARRAY: return check_array(s, node, value, p, f);
    default: return 0;
    }
}

int schema_check(const struct schema *s, const char *name, const json_t *value, char ret_path[SCHEMA_PATH_MAX])
{
    const json_t *node = json_object_get(s->defs, name);
    if (!node)
        return ERR_NOTFOUND;
    struct failure f = {.path = "not a value"};
    int err = value ? check_node(s, node, value, NULL, &f) : ERR_MALFORMED;
    if (err && ret_path)
        memcpy(ret_path, f.path, SCHEMA_PATH_MAX);
    return err;
}
