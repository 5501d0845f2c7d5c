/* Redundant sound: any payload is read within its bounds and in order; what is read can be written again; what we write out
 * of the same bytes reads back as it was, oldest first. */
#include "rtp/red.h"

#include "base/bytes.h"
#include "require.h"

#include <string.h>

enum { OUT = 4500 };

static void check_read(const uint8_t *data, size_t size, const struct red_block *blocks, size_t n, uint32_t ts)
{
    const uint8_t *at = blocks[0].bytes;
    require(n >= 1 && n <= RED_BLOCKS_MAX);
    for (size_t i = 0; i < n; i++) {
        require(blocks[i].bytes == at && at >= data && at + blocks[i].len <= data + size);
        require(ts - blocks[i].ts <= RED_OFFSET_MAX && (i + 1 == n || blocks[i].len <= RED_BLOCK_BYTES_MAX));
        require(blocks[i].pt < 128);
        at += blocks[i].len;
    }
    require(at == data + size && blocks[n - 1].ts == ts);
}

/* What our writer leaves out: empty blocks, and one of the newest's own time. */
static size_t writable(const struct red_block *blocks, size_t n)
{
    size_t i = n - 1;
    while (i > 0 && blocks[i - 1].len && blocks[i - 1].ts != blocks[n - 1].ts)
        i--;
    return i;
}

static void check_written(const struct red_block *blocks, size_t n, uint32_t ts)
{
    uint8_t out[OUT];
    struct red_block back[RED_BLOCKS_MAX];
    size_t first = writable(blocks, n), got, len = red_write(blocks, n, out, sizeof out);
    require(len && red_parse(out, len, ts, back, &got) == 0 && got == n - first);
    for (size_t i = 0; i < got; i++) {
        const struct red_block *b = &blocks[first + i];
        require(back[i].pt == b->pt && back[i].ts == b->ts && back[i].len == b->len);
        require(!memcmp(back[i].bytes, b->bytes, b->len));
    }
}

/* Blocks cut out of the input, with times that may be too old for the format; into whatever room there is. */
static void write_any(const uint8_t *data, size_t size)
{
    uint8_t out[OUT];
    struct red_block blocks[RED_BLOCKS_MAX], back[RED_BLOCKS_MAX];
    struct reader r = reader_make(data, size);
    size_t n = 1 + read_u8(&r) % RED_BLOCKS_MAX, cap = read_u16(&r) % OUT, got;
    for (size_t i = 0; i < n; i++) {
        uint32_t ts = read_u32(&r);
        uint16_t len = read_u16(&r) % 1200;
        uint8_t pt = read_u8(&r) & 0x7f;
        if (r.failed || len > reader_left(&r))
            return;
        blocks[i] = (struct red_block){reader_take(&r, len), len, ts, pt};
    }
    size_t len = red_write(blocks, n, out, cap);
    require(len <= cap && (len || blocks[n - 1].len + 1u > cap));
    if (!len)
        return;
    require(red_parse(out, len, blocks[n - 1].ts, back, &got) == 0 && got <= n);
    require(back[got - 1].len == blocks[n - 1].len && back[got - 1].pt == blocks[n - 1].pt);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct red_block blocks[RED_BLOCKS_MAX];
    uint32_t ts = size ? data[0] * 0x01010101u : 0;
    size_t n;
    if (size < OUT / 2 && red_parse(data, size, ts, blocks, &n) == 0) {
        check_read(data, size, blocks, n, ts);
        check_written(blocks, n, ts);
    }
    write_any(data, size);
    return 0;
}
