#include "base/err.h"

const char *err_str(int err)
{
    switch ((enum err)err) {
    case ERR_OK: return "ok";
    case ERR_NOMEM: return "out of memory";
    case ERR_INVAL: return "invalid argument";
    case ERR_RANGE: return "out of range";
    case ERR_TRUNCATED: return "truncated";
    case ERR_MALFORMED: return "malformed";
    case ERR_UNSUPPORTED: return "unsupported";
    case ERR_NOTFOUND: return "not found";
    case ERR_EXISTS: return "exists already";
    case ERR_AUTH: return "authentication failed";
    case ERR_REPLAY: return "replayed";
    case ERR_FULL: return "full";
    case ERR_AGAIN: return "try again";
    case ERR_IO: return "input/output error";
    case ERR_DENIED: return "denied";
    case ERR_STATE: return "wrong state";
    case ERR_BUSY: return "busy";
    case ERR_CLOSED: return "closed";
    case ERR_TIMEOUT: return "timed out";
    case ERR_STALE: return "stale";
    }
    return "unknown error";
}
