/* A websocket request's text into its parts, checked against the schema: {"id","method","params"} and nothing else. Pure.
 * Thread: any. */
#pragma once

#include "signaling/schema.h"

#include <stdint.h>

#define JSON_DEPTH_MAX 16

struct request {
    int64_t id; /* 0: none is readable; set on refusal too, so that the answer finds its request */
    const char *method;
    const json_t *params;
    json_t *message; /* owns the two above */
};

/* NULL, and `ret_request` is the caller's to clear; else the refusal's code, with the place in the params in `ret_where` if
 * it is known ("" otherwise). */
const char *request_parse(const struct schema *schema, const char *text, size_t len, struct request *ret_request,
                          char ret_where[SCHEMA_PATH_MAX]);
void request_clear(struct request *r);
