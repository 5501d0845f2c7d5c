/* The text of a websocket request: whatever comes, it is refused with a code that people can read, or fits the schema. */
#include "briefing/refusal.h"
#include "signaling/request.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static struct schema *schema;
    const char *why;
    if (!schema && schema_new(schema_messages, &schema, &why) != 0)
        abort();
    struct request r;
    char where[SCHEMA_PATH_MAX];
    const char *code = request_parse(schema, (const char *)bytes, len, &r, where);
    if (code) {
        assert(strcmp(refusal_find(code)->code, code) == 0); /* not "internal" */
        assert(!r.message && r.id >= 0);
    } else {
        assert(r.id > 0 && schema_check(schema, "request", r.message, where) == 0);
    }
    request_clear(&r);
    return 0;
}
