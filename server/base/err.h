/* Error codes of the whole project.
 *
 * A function that can fail returns 0 or a negative `enum err`; results come back through `ret_` parameters, which stay
 * untouched on failure. Thread: any. */
#pragma once

enum err {
    ERR_OK = 0,
    ERR_NOMEM = -1,       /* no memory, or a pool is empty */
    ERR_INVAL = -2,       /* the caller's argument makes no sense */
    ERR_RANGE = -3,       /* a value outside its range */
    ERR_TRUNCATED = -4,   /* input ends before what it announces */
    ERR_MALFORMED = -5,   /* input breaks its format */
    ERR_UNSUPPORTED = -6, /* well-formed, but not spoken here */
    ERR_NOTFOUND = -7,
    ERR_EXISTS = -8,
    ERR_AUTH = -9,    /* a tag, password, token or integrity check failed */
    ERR_REPLAY = -10, /* seen before */
    ERR_FULL = -11,   /* a bounded buffer has no room */
    ERR_AGAIN = -12,  /* nothing to do yet */
    ERR_IO = -13,     /* the kernel refused; errno tells why */
    ERR_DENIED = -14, /* not this role's right */
    ERR_STATE = -15,  /* not in this state */
    ERR_BUSY = -16,   /* a limit is reached */
    ERR_CLOSED = -17, /* the other side is gone */
    ERR_TIMEOUT = -18,
    ERR_STALE = -19, /* a lower epoch, version or generation */
};

/* A short English text for a log line; never NULL. */
const char *err_str(int err);
