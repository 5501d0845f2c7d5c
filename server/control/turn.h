/* Turn: what clients are told of the TURN servers (RFC 8656) that carry their media where a firewall lets nothing else out.
 *
 * Credentials live for a while: the user's name is "expiry:endpoint", seconds since 1970, and the password is
 * base64(HMAC-SHA-1(secret, name)), which a TURN server that knows the same secret (coturn: use-auth-secret) checks by
 * itself.
 *
 * Thread: one. */
#pragma once

#include <jansson.h>
#include <stdint.h>

enum { TURN_NAME_BYTES = 96, TURN_PASSWORD_BYTES = 29, TURN_SECRET_MIN = 16, TURN_SECRET_MAX = 128 };

struct config;

/* `ret_name` and `ret_password` hold TURN_NAME_BYTES and TURN_PASSWORD_BYTES. ERR_FULL: the user's name is too long. */
int turn_credential(const char *secret, const char *user, int64_t expires_s, char *ret_name, char *ret_password);

/* The secret's file: its first line, `ret_secret` holds TURN_SECRET_MAX + 1. ERR_IO with errno, ERR_RANGE: shorter than
 * TURN_SECRET_MIN or longer than TURN_SECRET_MAX. */
int turn_read_secret(const char *path, char *ret_secret);

/* [{"urls":[…],"username","credential"}] for RTCPeerConnection, empty without turn.urls. NULL: no memory. */
json_t *turn_servers(const struct config *c, const char *secret, const char *user, int64_t now_s);
