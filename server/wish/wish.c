#include "wish/wish.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

void wish_briefing_free(struct wish_briefing *b)
{
    if (!b)
        return;
    free(b->endpoints);
    b->endpoints = NULL;
    b->n_endpoints = 0;
}

int wish_briefing_copy(struct wish_briefing *ret, const struct wish_briefing *b)
{
    struct wish_endpoint *endpoints = NULL;
    if (b->n_endpoints) {
        endpoints = malloc(b->n_endpoints * sizeof(*endpoints));
        if (!endpoints)
            return ERR_NOMEM;
        memcpy(endpoints, b->endpoints, b->n_endpoints * sizeof(*endpoints));
    }
    *ret = *b;
    ret->endpoints = endpoints;
    return 0;
}

bool wish_size_equal(struct wish_size a, struct wish_size b)
{
    return a.width == b.width && a.height == b.height;
}

bool wish_site_equal(struct wish_site a, struct wish_site b)
{
    return a.number == b.number && a.elsewhere == b.elsewhere && a.down_kbps == b.down_kbps && a.up_kbps == b.up_kbps;
}

bool wish_tiles_equal(const struct wish_endpoint *a, const struct wish_endpoint *b)
{
    if (a->n_tiles != b->n_tiles)
        return false;
    for (unsigned i = 0; i < a->n_tiles; i++) {
        if (a->tiles[i].endpoint != b->tiles[i].endpoint || !wish_size_equal(a->tiles[i].size, b->tiles[i].size))
            return false;
    }
    return true;
}

bool wish_endpoint_equal(const struct wish_endpoint *a, const struct wish_endpoint *b)
{
    return !strcmp(a->id, b->id) && a->number == b->number && a->incarnation == b->incarnation && a->worker == b->worker &&
           a->may_send == b->may_send && a->hears == b->hears && a->stage == b->stage && a->screen == b->screen &&
           wish_size_equal(a->stage_size, b->stage_size) && wish_size_equal(a->screen_size, b->screen_size) &&
           wish_tiles_equal(a, b) && wish_site_equal(a->site, b->site);
}

bool wish_briefing_equal(const struct wish_briefing *a, const struct wish_briefing *b)
{
    if (strcmp(a->id, b->id) != 0 || a->record != b->record || a->record_cameras != b->record_cameras ||
        a->stage != b->stage || a->screen != b->screen || a->floor != b->floor || a->n_endpoints != b->n_endpoints)
        return false;
    for (size_t i = 0; i < a->n_endpoints; i++) {
        const struct wish_endpoint *other = wish_find(b, a->endpoints[i].number);
        if (!other || !wish_endpoint_equal(&a->endpoints[i], other))
            return false;
    }
    return true;
}

/* Numbers rise along the array and begin at 1, so an endpoint is at index number − 1 or a little before. */
struct wish_endpoint *wish_find(const struct wish_briefing *b, uint32_t number)
{
    size_t i = number < b->n_endpoints ? number : b->n_endpoints;
    while (i > 0 && b->endpoints[i - 1].number > number)
        i--;
    if (i > 0 && b->endpoints[i - 1].number == number)
        return &b->endpoints[i - 1];
    for (i = 0; i < b->n_endpoints; i++) { /* not there, or the array was filled by hand */
        if (b->endpoints[i].number == number)
            return &b->endpoints[i];
    }
    return NULL;
}

int wish_put(struct wish_briefing *b, const struct wish_endpoint *e)
{
    struct wish_endpoint *old = wish_find(b, e->number);
    if (old) {
        *old = *e;
        return 0;
    }
    struct wish_endpoint *grown = realloc(b->endpoints, (b->n_endpoints + 1) * sizeof(*grown));
    if (!grown)
        return ERR_NOMEM;
    b->endpoints = grown;
    size_t at = b->n_endpoints;
    while (at > 0 && grown[at - 1].number > e->number)
        at--;
    memmove(&grown[at + 1], &grown[at], (b->n_endpoints - at) * sizeof(*grown));
    grown[at] = *e;
    b->n_endpoints++;
    return 0;
}

bool wish_drop(struct wish_briefing *b, uint32_t number)
{
    struct wish_endpoint *e = wish_find(b, number);
    if (!e)
        return false;
    size_t at = (size_t)(e - b->endpoints);
    memmove(e, e + 1, (b->n_endpoints - at - 1) * sizeof(*e));
    b->n_endpoints--;
    return true;
}

static bool id_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

bool wish_id_valid(const char *id)
{
    size_t len = 0;
    for (; id[len]; len++) {
        if (len == WISH_ID_MAX - 1 || !id_char(id[len]))
            return false;
    }
    return len > 0;
}
