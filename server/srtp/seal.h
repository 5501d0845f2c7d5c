/* Seal: SRTP and SRTCP of one transport (RFC 3711, 7714, 5764), the only place that knows which library does the work.
 *
 * Outgoing RTP under AES-GCM is sealed here, by Intel's ipsec-mb or OpenSSL's EVP: header and payload come from different
 * buffers and land encrypted in one contiguous output, with no copy in between. libsrtp2 opens everything that comes in
 * (authentication, replay, rollover) and does all RTCP and both directions of SHA1_80. It is the reference as well: forced
 * as the engine it must give the same bytes (tests/unit/test_srtp.c).
 *
 * Ownership: a seal belongs to its transport. Thread: one a process; libsrtp on NSS is slow and the engine not shared.
 * No allocation on the way out; on the way in libsrtp allocates once for each new SSRC, of which there are at most
 * SEAL_SSRCS. Errors: negative `enum err`.
 *
 * Left out: MKI, key derivation rates, extension encryption (RFC 6904), authentication-only profiles. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct seal;

/* The values are the DTLS-SRTP protection profiles (RFC 5764, 4.1.2; RFC 7714, 14.2). */
enum seal_suite {
    SEAL_SHA1_80 = 0x0001,
    SEAL_GCM_128 = 0x0007,
    SEAL_GCM_256 = 0x0008,
};

/* What seals outgoing RTP under AES-GCM. */
enum seal_engine {
    SEAL_AUTO,     /* ipsec-mb where it is built in, EVP elsewhere */
    SEAL_IPSEC_MB, /* amd64 only */
    SEAL_EVP,
    SEAL_LIBSRTP, /* the reference, for tests and measurements */
};

enum {
    SEAL_KEY_MAX = 32 + 14, /* master key and salt */
    SEAL_TRAILER_MAX =
        148, /* SRTP_MAX_TRAILER_LEN and the SRTCP index: free bytes behind every packet that is sealed or opened */
    SEAL_HEADER_MAX = 160, /* longest RTP header taken */
    SEAL_SSRCS = 96,       /* SSRCs a direction of one transport */
    SEAL_WINDOW = 256,     /* how far behind the newest a packet may be sent; libsrtp's replay window is the same */
};

/* Master key followed by master salt, seal_key_bytes() long each. */
struct seal_keys {
    enum seal_suite suite;
    uint8_t out[SEAL_KEY_MAX], in[SEAL_KEY_MAX];
};

/* Opens libraries for the process's life: NSS, libsrtp with one session of each kind kept (NSS loads and unloads its token
 * at the first and last), the engine. Call before the sandbox closes; more calls do nothing. */
int seal_start(void);

/* The engine SEAL_AUTO stands for here. */
enum seal_engine seal_engine_default(void);
const char *seal_engine_str(enum seal_engine engine);

/* Lengths of a suite's master key and salt (RFC 5764, 4.2: exporter order), 0 for an unknown suite. */
size_t seal_key_bytes(enum seal_suite suite);
size_t seal_salt_bytes(enum seal_suite suite);

/* ERR_UNSUPPORTED: engine not on this machine or unknown suite. Keys are copied; the caller wipes its own. */
int seal_new(const struct seal_keys *keys, enum seal_engine engine, struct seal **ret_seal);
void seal_free(struct seal *s); /* NULL is fine */

/* Seals header + payload + `padding` bytes of RTP padding (zeros, last one their count; P is set in `header` by the caller)
 * into `out`. `header` is fixed part, CSRCs and extension: a multiple of 4, at most SEAL_HEADER_MAX. `cap` is at least
 * header + payload + padding + SEAL_TRAILER_MAX. The rollover counter follows the SSRC's sequence numbers from a first one
 * below 32768 (RFC 3711, 3.3.1: a wrap with loss at the start would lose the receiver).
 *
 * Returns ERR_RANGE for a length, a first number or a number more than SEAL_WINDOW behind; ERR_REPLAY for a number used
 * before, since GCM must never see one (key, SSRC, index) twice; ERR_BUSY for one SSRC too many. */
int seal_rtp(struct seal *s, const uint8_t *header, size_t header_len, const uint8_t *payload, size_t payload_len,
             uint8_t padding, uint8_t *out, size_t cap, size_t *ret_len);

/* The same for a compound RTCP packet. */
int seal_rtcp(struct seal *s, const uint8_t *bytes, size_t len, uint8_t *out, size_t cap, size_t *ret_len);

/* Open in place. ERR_AUTH, ERR_REPLAY, ERR_TRUNCATED, ERR_BUSY (one SSRC too many); for RTCP ERR_DENIED when it comes under
 * GCM without encryption (E bit; libsrtp would write past the buffer). `bytes` has SEAL_TRAILER_MAX bytes of slack. */
int seal_open_rtp(struct seal *s, uint8_t *bytes, size_t len, size_t *ret_len);
int seal_open_rtcp(struct seal *s, uint8_t *bytes, size_t len, size_t *ret_len);
