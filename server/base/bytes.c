#include "base/bytes.h"

#include <string.h>

void write_bytes(struct writer *w, const void *bytes, size_t len)
{
    uint8_t *p = writer_make_room(w, len);
    if (p && len)
        memcpy(p, bytes, len);
}
