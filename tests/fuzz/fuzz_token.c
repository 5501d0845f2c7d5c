/* Signed tokens and the base64 in them. The first byte says what: any text is no token; any payload comes back as itself;
 * a token with a change is refused. */
#include "signaling/signaling.h"

#include "base/err.h"
#include "require.h"

#include <stdlib.h>
#include <string.h>

enum { TOKEN_BYTES = 512 };

static const uint8_t secret[32] = {7}, other[32] = {8};

static void any_text(const char *text)
{
    json_t *payload = NULL;
    require(token_verify(secret, text, 1, &payload) != 0 && !payload);
}

static void any_payload(const char *text, size_t len, bool change)
{
    char token[TOKEN_BYTES];
    json_t *payload = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL), *back = NULL;
    if (!json_is_object(payload) || token_sign(secret, payload, token, sizeof token)) {
        json_decref(payload);
        return;
    }
    json_int_t exp = json_integer_value(json_object_get(payload, "exp"));
    bool fits = json_is_integer(json_object_get(payload, "exp")) && json_is_string(json_object_get(payload, "t"));
    require(strlen(token) < sizeof token && strspn(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                                          "0123456789-_.") == strlen(token));
    require(token_verify(other, token, 0, &back) == ERR_AUTH && !back);
    if (change) {
        size_t at = len * 7 % strlen(token);
        token[at] = token[at] == 'A' ? 'B' : 'A';
        require(token_verify(secret, token, 0, &back) != 0 && !back);
    } else if (!fits) {
        require(token_verify(secret, token, 0, &back) == ERR_MALFORMED && !back);
    } else {
        require(token_verify(secret, token, exp, &back) == ERR_TIMEOUT && !back);
        if (exp > 0) {
            require(token_verify(secret, token, exp - 1, &back) == 0 && json_equal(back, payload));
            json_decref(back);
        }
    }
    json_decref(payload);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    char *text = len ? malloc(len) : NULL;
    if (!text)
        return 0;
    memcpy(text, bytes + 1, len - 1);
    text[len - 1] = '\0';
    if (bytes[0] % 3 == 0)
        any_text(text);
    else
        any_payload(text, len - 1, bytes[0] % 3 == 1);
    free(text);
    return 0;
}
