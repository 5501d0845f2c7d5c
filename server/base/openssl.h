/* OpenSSL's types without its typedef ERR_STATE, which would hide ours (base/err.h). Include this before any <openssl/…>. */
#pragma once

#define ERR_STATE OPENSSL_ERR_STATE
#include <openssl/err.h>
#include <openssl/types.h>
#undef ERR_STATE
