#include "net/frame.h"

#include "base/err.h"

#include <assert.h>
#include <string.h>

uint8_t *frame_room(struct frame_reader *r, size_t *ret_room)
{
    static_assert(FRAME_BUFFER > FRAME_HEADER + FRAME_MAX, "an unfinished frame leaves room for more");
    memmove(r->bytes, r->bytes + r->at, (size_t)(r->len - r->at));
    r->len -= r->at;
    r->at = 0;
    *ret_room = FRAME_BUFFER - r->len;
    return r->bytes + r->len;
}

void frame_filled(struct frame_reader *r, size_t len)
{
    assert(len <= (size_t)FRAME_BUFFER - r->len); /* the caller was told how much room there is */
    r->len = (uint16_t)(r->len + len);
}

int frame_next(struct frame_reader *r, size_t most, const uint8_t **ret_packet, size_t *ret_len)
{
    size_t longest = most < FRAME_MAX ? most : FRAME_MAX;
    while (r->len - r->at >= FRAME_HEADER) {
        size_t len = (size_t)(r->bytes[r->at] << 8 | r->bytes[r->at + 1]), left = (size_t)(r->len - r->at);
        if (len > longest)
            return ERR_MALFORMED;
        if (left < FRAME_HEADER + len)
            return ERR_AGAIN;
        const uint8_t *packet = r->bytes + r->at + FRAME_HEADER;
        r->at = (uint16_t)(r->at + FRAME_HEADER + len);
        if (!len)
            continue;
        *ret_packet = packet;
        *ret_len = len;
        return 0;
    }
    return ERR_AGAIN;
}
