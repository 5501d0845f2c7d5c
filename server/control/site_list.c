#include "control/site_list.h"

#include "base/err.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAPPED_BITS = 96, WORD_BYTES = 512 };

struct reading {
    char *error;
    size_t error_bytes;
};

static int refuse(const struct reading *r, const char *what, const char *value)
{
    snprintf(r->error, r->error_bytes, "\"sites\": %s, not \"%.80s\"", what, value);
    return ERR_INVAL;
}

/* Returns the bits of the address' family, 0: none. */
static unsigned read_address(const char *text, uint8_t ret[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (inet_pton(AF_INET6, text, ret) == 1)
        return 128;
    memcpy(ret, mapped, sizeof mapped);
    return inet_pton(AF_INET, text, ret + sizeof mapped) == 1 ? 32 : 0;
}

static int read_range(const struct reading *r, const char *text, struct site_range *ret)
{
    static const char what[] = "an address range is like 10.36.5.0/24 or 2001:db8:5::/48";
    char address[INET6_ADDRSTRLEN + 8];
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : strlen(text);
    if (len >= sizeof address)
        return refuse(r, what, text);
    memcpy(address, text, len);
    address[len] = '\0';
    unsigned all = read_address(address, ret->bytes);
    char *end = "";
    unsigned long bits = slash ? strtoul(slash + 1, &end, 10) : all;
    if (!all || *end || (slash && (slash[1] < '0' || slash[1] > '9')) || bits > all)
        return refuse(r, what, text);
    ret->bits = (unsigned)bits + (all == 32 ? MAPPED_BITS : 0);
    return 0;
}

static int read_kbps(const struct reading *r, const char *text, unsigned *ret)
{
    char *end;
    unsigned long v = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || v < SITE_KBPS_MIN || v > SITE_KBPS_MAX)
        return refuse(r, "down_kbps and up_kbps are from 64 to 65535 kbit/s", text);
    *ret = (unsigned)v;
    return 0;
}

static int add_range(const struct reading *r, struct site_entry *e, const char *text)
{
    return e->n_ranges == SITE_RANGES_MAX ? refuse(r, "a site has at most 16 address ranges", text)
                                          : read_range(r, text, &e->ranges[e->n_ranges++]);
}

static int add_unit(const struct reading *r, struct site_entry *e, const char *text)
{
    if (e->n_units == SITE_UNITS_MAX || !wish_id_valid(text))
        return refuse(r, "a site has at most 16 units, named by their ids", text);
    snprintf(e->units[e->n_units++], WISH_ID_MAX, "%s", text);
    return 0;
}

static int add_each(const struct reading *r, struct site_entry *e, char *value,
                    int (*add)(const struct reading *, struct site_entry *, const char *))
{
    int err = 0;
    for (char *rest = value, *one; !err && (one = strsep(&rest, ",")) != NULL;)
        if (*one)
            err = add(r, e, one);
    return err;
}

static int read_field(const struct reading *r, struct site_entry *e, char *field)
{
    char *value = strchr(field, '=');
    if (!value)
        return refuse(r, "a site consists of fields like down_kbps=4000", field);
    *value++ = '\0';
    if (!strcmp(field, "name")) {
        if (!wish_id_valid(value))
            return refuse(r, "a name is of letters, digits, '-' and '_'", value);
        snprintf(e->name, sizeof e->name, "%s", value);
        return 0;
    }
    if (!strcmp(field, "down_kbps"))
        return read_kbps(r, value, &e->down_kbps);
    if (!strcmp(field, "up_kbps"))
        return read_kbps(r, value, &e->up_kbps);
    if (!strcmp(field, "addresses"))
        return add_each(r, e, value, add_range);
    if (!strcmp(field, "units"))
        return add_each(r, e, value, add_unit);
    return refuse(r, "a site has name, addresses, units, down_kbps and up_kbps", field);
}

static int read_site(const struct reading *r, struct site_list *l, char *text)
{
    struct site_entry e = {.name = ""};
    int err = 0;
    for (char *rest = text, *field; !err && (field = strsep(&rest, " \t\n")) != NULL;)
        if (*field)
            err = read_field(r, &e, field);
    if (err)
        return err;
    if (!e.name[0] || !e.down_kbps || !e.up_kbps || (!e.n_ranges && !e.n_units))
        return refuse(r, "a site needs name, down_kbps, up_kbps, and addresses or units", e.name);
    for (size_t i = 0; i < l->n; i++)
        if (!strcmp(l->items[i].name, e.name))
            return refuse(r, "each site has a name of its own", e.name);
    if (l->n == SITES_MAX)
        return refuse(r, "there are at most 64 sites", e.name);
    l->items[l->n++] = e;
    return 0;
}

int site_list_parse(const char *text, struct site_list *ret, char *error, size_t error_bytes)
{
    struct reading r = {error, error_bytes};
    struct site_list l = {.items = calloc(SITES_MAX, sizeof(struct site_entry))};
    char *copy = strdup(text);
    int err = l.items && copy ? 0 : ERR_NOMEM;
    if (err)
        snprintf(error, error_bytes, "\"sites\": %s", err_str(err));
    for (char *rest = copy, *one; !err && (one = strsep(&rest, ";")) != NULL;)
        if (one[strspn(one, " \t\n")])
            err = read_site(&r, &l, one);
    free(copy);
    if (err)
        site_list_free(&l);
    else
        *ret = l;
    return err;
}

void site_list_free(struct site_list *l)
{
    free(l->items);
    *l = (struct site_list){0};
}

static bool within(const struct site_range *range, const uint8_t address[16])
{
    unsigned whole = range->bits / 8, rest = range->bits % 8;
    uint8_t mask = (uint8_t)(0xff00 >> rest);
    return !memcmp(range->bytes, address, whole) && (!rest || !((range->bytes[whole] ^ address[whole]) & mask));
}

static bool has_address(const struct site_entry *e, const uint8_t address[16])
{
    for (size_t i = 0; i < e->n_ranges; i++)
        if (within(&e->ranges[i], address))
            return true;
    return false;
}

static bool has_unit(const struct site_entry *e, const char *unit)
{
    for (size_t i = 0; i < e->n_units; i++)
        if (!strcmp(e->units[i], unit))
            return true;
    return false;
}

unsigned site_list_find(const struct site_list *l, const char *address, const char *unit)
{
    uint8_t bytes[16];
    bool known = read_address(address, bytes) != 0;
    for (size_t i = 0; known && i < l->n; i++)
        if (has_address(&l->items[i], bytes))
            return (unsigned)i + 1;
    for (size_t i = 0; i < l->n; i++)
        if (has_unit(&l->items[i], unit))
            return (unsigned)i + 1;
    return 0;
}
