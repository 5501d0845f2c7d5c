/* What the wall clock was ahead of the monotonic one, as long as this boot lasts. */
#include "base/err.h"
#include "store/internal.h"

#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <unistd.h>

/* A number for this boot; 0: unknown. */
static int64_t boot_number(void)
{
    char id[64];
    uint8_t hash[crypto_generichash_BYTES_MIN];
    int64_t number;
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, id, sizeof(id)) : -1;
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return 0;
    crypto_generichash(hash, sizeof(hash), (const uint8_t *)id, (size_t)n, NULL, 0);
    memcpy(&number, hash, sizeof(number));
    return number;
}

static int take(void *ctx, sqlite3_stmt *row)
{
    *(int64_t *)ctx = sqlite3_column_int64(row, 0);
    return 0;
}

static int64_t meta(struct store *s, const char *key)
{
    int64_t value = 0;
    return sql_each(&s->caller, SQL_META_GET, (struct sql_value[]){V_TEXT(key)}, 1, take, &value) ? 0 : value;
}

bool store_clock(struct store *s, int64_t *ret_offset_us, int64_t *ret_saved_us)
{
    int64_t boot = boot_number(), offset_us = meta(s, "clock_offset_us");
    if (!boot || meta(s, "clock_boot") != boot || !offset_us)
        return false;
    *ret_offset_us = offset_us;
    *ret_saved_us = meta(s, "clock_saved_us");
    return true;
}

void store_clock_put(struct store *s, int64_t offset_us, int64_t now_us)
{
    const struct {
        const char *key;
        int64_t value;
    } rows[] = {{"clock_boot", boot_number()}, {"clock_offset_us", offset_us}, {"clock_saved_us", now_us}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        store_write(s, SQL_META_PUT, (struct sql_value[]){V_TEXT(rows[i].key), V_INT(rows[i].value)}, 2, NULL, NULL);
}
