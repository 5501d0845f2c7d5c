/* The header values and paths that we parse ourselves. The first byte chooses the grammar. */
#include "signaling/http_text.h"
#include "signaling/signaling.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void fuzz_range(const char *text)
{
    static const uint64_t sizes[] = {0, 1, 10, 4096, UINT64_C(1) << 40};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint64_t first = 0, last = 0;
        if (range_parse(text, sizes[i], &first, &last) == RANGE_PART)
            assert(first <= last && last < sizes[i]);
    }
}

static void fuzz_path(const char *text)
{
    if (!path_is_plain(text))
        return;
    assert(text[0] != '/' && text[0] != '.' && !strstr(text, "/.") && !strstr(text, "//"));
    assert(content_type(text));
    name_is_hashed(text);
}

static void fuzz_token(const char *text)
{
    static const uint8_t secret[32] = {7};
    json_t *payload = NULL;
    assert(token_verify(secret, text, 1, &payload) != 0 && !payload); /* nobody guesses a signature */
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    char value[16], *text = malloc(len + 1);
    if (!text || !len) {
        free(text);
        return 0;
    }
    memcpy(text, bytes + 1, len - 1);
    text[len - 1] = '\0';
    switch (bytes[0] % 8) {
    case 0: fuzz_range(text); break;
    case 1: assert(!cookie_find(text, "giaoban", value, sizeof value) || strlen(value) < sizeof value); break;
    case 2: encoding_accepted(text, "br"); break;
    case 3: etag_listed(text, "\"1-2\""); break;
    case 4: assert(!query_find(text, "s", value, sizeof value) || strlen(value) < sizeof value); break;
    case 5: fuzz_path(text); break;
    case 6: fuzz_token(text); break;
    default:
        origin_is_host(text, "h:443", true);
        json_depth_fits(text, len - 1, 3);
        break;
    }
    free(text);
    return 0;
}
