#include "rtp/red.h"

#include "base/bytes.h"
#include "base/err.h"

#include <stdbool.h>
#include <string.h>

enum { OLDER_HEADER = 4, NEWEST_HEADER = 1, FOLLOWED = 0x80 };

static bool fits(const struct red_block *b, uint32_t ts)
{
    return b->len && b->len <= RED_BLOCK_BYTES_MAX && ts - b->ts <= RED_OFFSET_MAX && ts != b->ts;
}

size_t red_write(const struct red_block *blocks, size_t n, uint8_t *out, size_t cap)
{
    const struct red_block *newest = &blocks[n - 1];
    size_t need = NEWEST_HEADER + (size_t)newest->len;
    bool taken[RED_BLOCKS_MAX] = {false};
    if (need > cap)
        return 0;
    for (size_t i = n - 1; i-- > 0;) { /* the youngest first */
        size_t more = OLDER_HEADER + (size_t)blocks[i].len;
        if (!fits(&blocks[i], newest->ts) || need + more > cap)
            break;
        taken[i] = true;
        need += more;
    }
    struct writer w = writer_make(out, cap);
    for (size_t i = 0; i + 1 < n; i++) {
        if (!taken[i])
            continue;
        write_u8(&w, FOLLOWED | blocks[i].pt);
        write_u24(&w, (newest->ts - blocks[i].ts) << 10 | blocks[i].len);
    }
    write_u8(&w, newest->pt);
    for (size_t i = 0; i < n; i++)
        if (i + 1 == n || taken[i])
            write_bytes(&w, blocks[i].bytes, blocks[i].len);
    return w.failed ? 0 : writer_len(&w);
}

int red_parse(const uint8_t *payload, size_t len, uint32_t ts, struct red_block ret[RED_BLOCKS_MAX], size_t *ret_n)
{
    struct red_block blocks[RED_BLOCKS_MAX];
    struct reader r = reader_make(payload, len);
    size_t n = 0, older = 0;
    for (;;) {
        uint8_t first = read_u8(&r);
        if (r.failed)
            return ERR_TRUNCATED;
        if (n == RED_BLOCKS_MAX)
            return ERR_MALFORMED;
        blocks[n] = (struct red_block){.pt = first & 0x7f, .ts = ts};
        if (!(first & FOLLOWED))
            break;
        uint32_t rest = read_u24(&r);
        blocks[n].ts = ts - (rest >> 10);
        blocks[n].len = rest & 0x3ff;
        older += blocks[n++].len;
    }
    size_t left = reader_left(&r);
    if (r.failed || older > left)
        return ERR_TRUNCATED;
    blocks[n].len = (uint16_t)(left - older);
    const uint8_t *at = payload + (len - left);
    for (size_t i = 0; i <= n; i++) {
        blocks[i].bytes = at;
        at += blocks[i].len;
    }
    memcpy(ret, blocks, (n + 1) * sizeof *ret);
    *ret_n = n + 1;
    return 0;
}
