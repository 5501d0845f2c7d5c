#include "signaling/schema.h"

#include "base/err.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static struct schema *schema;

static int setup(void **state)
{
    const char *why = NULL;
    return schema_new(schema_messages, &schema, &why);
}

static int teardown(void **state)
{
    schema_free(schema);
    return 0;
}

/* A row: definition, value, and where it is wrong (NULL: it fits). */
static const struct {
    const char *name, *value, *wrong;
} rows[] = {
    {"params.hello", "{\"briefing\":\"b1\",\"kind\":\"room\"}", NULL},
    {"params.hello", "{\"briefing\":\"b1\",\"kind\":\"room\",\"resume\":null}", NULL},
    {"params.hello", "{\"briefing\":\"b1\",\"kind\":\"sim\",\"resume\":{\"endpoint\":\"e\",\"secret\":\"s\",\"last\":0}}",
     NULL},
    {"params.hello", "{\"briefing\":\"b1\",\"kind\":\"sim\",\"resume\":{\"endpoint\":\"e\",\"secret\":\"s\"}}",
     "resume.last: missing"},
    {"params.hello", "{\"briefing\":\"b1\"}", "kind: missing"},
    {"params.hello", "{\"briefing\":\"b1\",\"kind\":\"tank\"}", "kind: not one of the values"},
    {"params.hello", "{\"briefing\":\"\",\"kind\":\"room\"}", "briefing: does not match the pattern"},
    {"params.hello", "{\"briefing\":\"../x\",\"kind\":\"room\"}", "briefing: does not match the pattern"},
    {"params.hello", "{\"briefing\":\"0123456789012345678901234567890123456789\",\"kind\":\"room\"}",
     "briefing: does not match the pattern"},
    {"params.hello", "{\"briefing\":\"b1\\n\",\"kind\":\"room\"}", "briefing: does not match the pattern"},
    {"params.hello", "{\"briefing\":\"b1\",\"kind\":\"room\",\"admin\":true}", "admin: unknown name"},
    {"params.hello", "{\"briefing\":7,\"kind\":\"room\"}", "briefing: wrong type"},
    {"params.hello", "[]", "wrong type"},
    {"params.hello", "null", "wrong type"},
    {"params.offer", "{\"sdp\":\"v=0\",\"incarnation\":0}", NULL},
    {"params.offer", "{\"sdp\":\"\",\"incarnation\":0}", "sdp: too short"},
    {"params.offer", "{\"sdp\":\"v\",\"incarnation\":-1}", "incarnation: below minimum"},
    {"params.offer", "{\"sdp\":\"v\",\"incarnation\":4294967296}", "incarnation: above maximum"},
    {"params.offer", "{\"sdp\":\"v\",\"incarnation\":1.0}", "incarnation: wrong type"},
    {"params.offer", "{\"sdp\":\"v\",\"incarnation\":\"1\"}", "incarnation: wrong type"},
    {"params.layout",
     "{\"stage\":{\"width\":1280,\"height\":720},\"screen\":{\"width\":0,\"height\":0},\"tiles\":[{\"endpoint\":0,\"width\":"
     "1,\"height\":1}]}",
     NULL},
    {"params.layout",
     "{\"stage\":{\"width\":1280,\"height\":720},\"screen\":{\"width\":0,\"height\":0},\"tiles\":[{\"endpoint\":1,\"width\":"
     "1,\"height\":1},{\"endpoint\":512,\"width\":1,\"height\":1}]}",
     "tiles[1].endpoint: above maximum"},
    {"params.layout", "{\"stage\":{\"width\":9000,\"height\":720},\"screen\":{\"width\":0,\"height\":0},\"tiles\":[]}",
     "stage.width: above maximum"},
    {"params.grant", "{\"endpoint\":1}", NULL},
    {"params.grant", "{\"endpoint\":0}", "endpoint: below minimum"},
    {"params.grant", "{}", "endpoint: missing"},
    {"params.grant", "{\"endpoint\":9223372036854775807}", "endpoint: above maximum"},
    {"params.spotlight", "{\"endpoint\":0}", NULL},
    {"params.revoke", "{}", NULL},
    {"params.revoke", "{\"endpoint\":1}", "endpoint: unknown name"},
    {"params.ping", "{\"client_ms\":1.5}", NULL},
    {"params.ping", "{\"client_ms\":-1.5}", "client_ms: below minimum"},
    {"request", "{\"id\":1,\"method\":\"grant\",\"params\":{\"endpoint\":2}}", NULL},
    {"request", "{\"id\":1,\"method\":\"grant\",\"params\":{\"endpoint\":0}}", "params.endpoint: below minimum"},
    {"event", "{\"event\":\"floor-granted\",\"seq\":2,\"prev\":1,\"at_ms\":3,\"data\":{\"number\":4}}", NULL},
    {"event", "{\"event\":\"floor-granted\",\"seq\":2,\"at_ms\":3,\"data\":{\"number\":4}}", ""},
    {"notice", "{\"notice\":\"removed\"}", NULL},
    {"notice", "{\"notice\":\"speaker\",\"data\":{\"number\":0}}", NULL},
    {"notice", "{\"notice\":\"speaker\"}", ""},
    {"body.session", "{\"login\":\"an\",\"password\":\"x\"}", NULL},
    {"body.session", "{\"login\":\"\",\"password\":\"x\"}", "login: too short"},
    {"body.session-first", "{\"token\":\"t\",\"login\":\"a b\",\"name\":\"An\",\"password\":\"x\"}",
     "login: does not match the pattern"},
    {"body.links", "{\"unit\":\"h\",\"role\":\"administrator\",\"expires_s\":600}", "role: not one of the values"},
    {"error", "{\"code\":\"x\",\"vi\":\"Lỗi\",\"en\":\"Error\"}", NULL},
};

static void values_fit_or_are_refused_with_their_place(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char path[SCHEMA_PATH_MAX] = "";
        json_t *value = json_loads(rows[i].value, JSON_DECODE_ANY, NULL);
        assert_non_null(value);
        int err = schema_check(schema, rows[i].name, value, path);
        json_decref(value);
        bool fits = err == 0 && !rows[i].wrong;
        bool refused = err == ERR_MALFORMED && rows[i].wrong && (!*rows[i].wrong || strcmp(path, rows[i].wrong) == 0);
        if (!fits && !refused)
            fail_msg("%s %s: %d %s", rows[i].name, rows[i].value, err, path);
    }
}

static void lengths_count_letters_not_bytes(void **state)
{
    static const char text[] = "{\"$defs\":{\"a\":{\"type\":\"string\",\"maxLength\":3}}}";
    const char *why;
    struct schema *s;
    assert_int_equal(schema_new(text, &s, &why), 0);
    json_t *three = json_string("đượ"), *four = json_string("được");
    assert_int_equal(schema_check(s, "a", three, NULL), 0);
    assert_int_equal(schema_check(s, "a", four, NULL), ERR_MALFORMED);
    json_decref(three);
    json_decref(four);
    schema_free(s);
}

static void an_unknown_definition_is_not_found(void **state)
{
    json_t *value = json_object();
    assert_int_equal(schema_check(schema, "params.format-disk", value, NULL), ERR_NOTFOUND);
    assert_false(schema_has(schema, "params.format-disk"));
    assert_true(schema_has(schema, "params.hello"));
    json_decref(value);
}

/* What the checker would not check must not be in the file. */
static void a_schema_that_promises_more_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "[]",
        "{}",
        "{\"$defs\":{\"a\":{\"type\":\"string\",\"format\":\"date\"}}}",
        "{\"$defs\":{\"a\":{\"type\":\"text\"}}}",
        "{\"$defs\":{\"a\":{\"$ref\":\"#/$defs/b\"}}}",
        "{\"$defs\":{\"a\":{\"$ref\":\"other.json\"}}}",
        "{\"$defs\":{\"a\":{\"type\":\"object\",\"properties\":{}}}}",
        "{\"$defs\":{\"a\":{\"type\":\"object\",\"properties\":{},\"required\":[\"x\"],\"additionalProperties\":false}}}",
        "{\"$defs\":{\"a\":{\"type\":\"string\",\"pattern\":\"(\"}}}",
        "{\"$defs\":{\"a\":{\"type\":\"array\",\"items\":{\"uniqueItems\":true}}}}",
        "{\"$defs\":{\"a\":{\"anyOf\":[{\"if\":{}}]}}}",
        "{\"$defs\":{\"a\":7}}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct schema *s = NULL;
        const char *why = NULL;
        if (schema_new(texts[i], &s, &why) == 0 || s || !why)
            fail_msg("%s", texts[i]);
    }
}

/* The envelopes name exactly the families: params.X, event.X, notice.X. */
static void envelopes_and_families_agree(void **state)
{
    static const struct {
        const char *family, *envelope;
    } families[] = {
        {"params.", "{\"id\":1,\"method\":\"%s\",\"params\":{}}"},
        {"event.", "{\"event\":\"%s\",\"seq\":1,\"prev\":0,\"at_ms\":0,\"data\":{}}"},
        {"notice.", "{\"notice\":\"%s\",\"data\":{}}"},
    };
    static const char *const envelopes[] = {"request", "event", "notice"};
    json_t *root = json_loads(schema_messages, 0, NULL);
    const char *key;
    json_t *node;
    size_t seen = 0;
    json_object_foreach(json_object_get(root, "$defs"), key, node) {
        for (size_t f = 0; f < 3; f++) {
            size_t n = strlen(families[f].family);
            if (strncmp(key, families[f].family, n) != 0)
                continue;
            char text[200], path[SCHEMA_PATH_MAX] = "", result[64];
            snprintf(text, sizeof text, families[f].envelope, key + n);
            json_t *value = json_loads(text, 0, NULL);
            /* Known: at most its params or data are wrong, never its name. */
            if (schema_check(schema, envelopes[f], value, path) != 0 && strncmp(path, f ? "data" : "params", f ? 4 : 6) != 0)
                fail_msg("%s is not in %s: %s", key, envelopes[f], path);
            json_decref(value);
            snprintf(result, sizeof result, "result.%s", key + n);
            assert_true(f || schema_has(schema, result));
            seen++;
        }
    }
    json_decref(root);
    assert_in_range(seen, 40, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_fit_or_are_refused_with_their_place),
        cmocka_unit_test(lengths_count_letters_not_bytes),
        cmocka_unit_test(an_unknown_definition_is_not_found),
        cmocka_unit_test(a_schema_that_promises_more_is_refused),
        cmocka_unit_test(envelopes_and_families_agree),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
