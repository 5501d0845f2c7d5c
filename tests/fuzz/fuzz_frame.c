/* Packets in a stream: what is read out does not depend on how the stream was cut, and writing it again gives the stream.
 * The first byte says the size of the pieces. */
#include "net/frame.h"

#include "base/err.h"
#include "require.h"

#include <string.h>

struct taken {
    uint8_t bytes[1 << 16];
    size_t len;
    int err;
};

static void take_all(struct frame_reader *r, struct taken *t)
{
    const uint8_t *packet;
    size_t len;
    while (!(t->err = frame_next(r, 1500, &packet, &len))) {
        require(len > 0 && len <= 1500 && t->len + FRAME_HEADER + len <= sizeof t->bytes);
        t->bytes[t->len++] = (uint8_t)(len >> 8);
        t->bytes[t->len++] = (uint8_t)len;
        memcpy(t->bytes + t->len, packet, len);
        t->len += len;
    }
}

static void read_in_pieces(const uint8_t *data, size_t len, size_t piece, struct taken *t)
{
    struct frame_reader r = {0};
    t->len = 0;
    t->err = ERR_AGAIN;
    while (len && t->err == ERR_AGAIN) {
        size_t room, now = len < piece ? len : piece;
        uint8_t *at = frame_room(&r, &room);
        require(room > 0);
        if (now > room)
            now = room;
        memcpy(at, data, now);
        frame_filled(&r, now);
        data += now;
        len -= now;
        take_all(&r, t);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct taken whole, cut;
    if (len < 2 || len > sizeof whole.bytes)
        return 0;
    read_in_pieces(data + 1, len - 1, FRAME_BUFFER, &whole);
    read_in_pieces(data + 1, len - 1, data[0] + 1U, &cut);
    require(whole.err == cut.err && whole.len == cut.len && !memcmp(whole.bytes, cut.bytes, cut.len));
    return 0;
}
