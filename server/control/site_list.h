/* Sites: rooms behind one line, as configured (key `sites`).
 *
 * As text a site is `name=A down_kbps=N up_kbps=N addresses=CIDR,CIDR units=ID,ID`, several are separated by semicolons; the
 * file has them as a list of mappings with these keys. A room belongs to the first site that has its address, else to the
 * first that names its unit; the address is its signaling socket's as we see it.
 *
 * Thread: any. A list owns its items (site_list_free). */
#pragma once

#include "wish/wish.h"

enum { SITE_RANGES_MAX = 16, SITE_UNITS_MAX = 16, SITES_MAX = 64, SITE_KBPS_MIN = 64, SITE_KBPS_MAX = 65535 };

struct site_range {
    uint8_t bytes[16]; /* IPv4 as ::ffff:a.b.c.d */
    unsigned bits;
};

struct site_entry {
    char name[WISH_ID_MAX];
    unsigned down_kbps, up_kbps;
    struct site_range ranges[SITE_RANGES_MAX];
    size_t n_ranges;
    char units[SITE_UNITS_MAX][WISH_ID_MAX];
    size_t n_units;
};

struct site_list {
    struct site_entry *items;
    size_t n;
};

/* ERR_INVAL with a sentence in `error`, ERR_NOMEM. */
int site_list_parse(const char *text, struct site_list *ret, char *error, size_t error_bytes);
void site_list_free(struct site_list *l);
/* Its place in the list plus one; 0: it belongs to none. */
unsigned site_list_find(const struct site_list *l, const char *address, const char *unit);
