#include "signaling/request.h"

#include "signaling/http_text.h"

#include <stdio.h>

#define ID_MAX ((int64_t)1 << 53) /* what a browser counts to exactly */

static const char *check(const struct schema *schema, struct request *r, char where[SCHEMA_PATH_MAX])
{
    const json_t *id = json_object_get(r->message, "id");
    char definition[64];
    if (json_is_integer(id) && json_integer_value(id) > 0 && json_integer_value(id) <= ID_MAX)
        r->id = json_integer_value(id);
    r->method = json_string_value(json_object_get(r->message, "method"));
    r->params = json_object_get(r->message, "params");
    if (!r->id || !r->method || !json_is_object(r->params) || json_object_size(r->message) != 3)
        return "bad-params";
    int n = snprintf(definition, sizeof definition, "params.%s", r->method);
    if (n >= (int)sizeof definition || !schema_has(schema, definition))
        return "unknown-method";
    return schema_check(schema, definition, r->params, where) == 0 ? NULL : "bad-params";
}

const char *request_parse(const struct schema *schema, const char *text, size_t len, struct request *ret_request,
                          char ret_where[SCHEMA_PATH_MAX])
{
    *ret_request = (struct request){0};
    ret_where[0] = '\0';
    if (!len || !json_depth_fits(text, len, JSON_DEPTH_MAX))
        return "bad-json";
    struct request r = {.message = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL)};
    if (!r.message)
        return "bad-json";
    const char *code = check(schema, &r, ret_where);
    if (code)
        request_clear(&r); /* but for its id */
    *ret_request = r;
    return code;
}

void request_clear(struct request *r)
{
    json_decref(r->message);
    *r = (struct request){.id = r->id};
}
