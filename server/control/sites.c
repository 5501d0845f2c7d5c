/* Sites in wishes: what each worker's part of a line is.
 *
 * Endpoints of a site may be on several workers (rooms in different briefings, placement `spread`, an upgrade). They are
 * left where they are: a briefing's place decides what it costs to carry it, and a site's endpoints may be of many
 * briefings. Each worker has the part of the line that its number of them gives; each wish says how many are elsewhere. */
#include "control/control.h"

#include <string.h>

static unsigned site_of(const struct seat *seat)
{
    return seat->worker != WISH_UNPLACED && seat->worker < WORKERS_MAX && seat->connected ? seat->site : 0;
}

void seat_find_site(struct meeting *m, uint32_t number)
{
    struct seat *seat = &m->seats[number];
    const struct briefing_endpoint *e = briefing_endpoint(m->settled, number);
    unsigned site = e && seat->peer ? site_list_find(&m->control->sites, ws_peer_address(seat->peer), e->unit.id) : 0;
    m->dirty |= site != seat->site;
    seat->site = (uint8_t)site;
}

const char *site_name(const struct meeting *m, uint32_t number)
{
    unsigned site = m->seats[number].site;
    return site ? m->control->sites.items[site - 1].name : "";
}

void sites_tick(struct control *c)
{
    static uint16_t fresh[SITES_MAX + 1][WORKERS_MAX];
    if (!c->sites.n)
        return;
    memset(fresh, 0, sizeof fresh);
    for (const struct meeting *m = c->meetings; m; m = m->next)
        for (uint32_t n = 1; n < SEATS_MAX; n++)
            if (site_of(&m->seats[n]))
                fresh[site_of(&m->seats[n])][m->seats[n].worker]++;
    if (!memcmp(fresh, c->site_endpoints, sizeof fresh))
        return;
    memcpy(c->site_endpoints, fresh, sizeof fresh);
    for (struct meeting *m = c->meetings; m; m = m->next)
        m->dirty = true;
}

static unsigned elsewhere(const struct control *c, unsigned site, unsigned worker)
{
    unsigned n = 0;
    for (unsigned w = 0; w < WORKERS_MAX; w++)
        n += w == worker ? 0 : c->site_endpoints[site][w];
    return n < UINT16_MAX ? n : UINT16_MAX;
}

void sites_fill(const struct meeting *m, struct wish_briefing *wish)
{
    const struct control *c = m->control;
    for (size_t i = 0; c->sites.n && i < wish->n_endpoints; i++) {
        struct wish_endpoint *e = &wish->endpoints[i];
        unsigned site = m->seats[e->number].site;
        if (site)
            e->site = (struct wish_site){.number = (uint16_t)site,
                                         .elsewhere = (uint16_t)elsewhere(c, site, e->worker),
                                         .down_kbps = (uint16_t)c->sites.items[site - 1].down_kbps,
                                         .up_kbps = (uint16_t)c->sites.items[site - 1].up_kbps};
    }
}

void sites_print(FILE *to, const struct control *c)
{
    for (unsigned site = 1; site <= c->sites.n; site++) {
        unsigned endpoints = 0;
        json_int_t down_bps = 0, up_bps = 0;
        for (const struct meeting *m = c->meetings; m; m = m->next)
            for (uint32_t n = 1; n < SEATS_MAX; n++)
                if (site_of(&m->seats[n]) == site) {
                    endpoints++;
                    down_bps += m->seats[n].estimate_bps;
                    up_bps += m->seats[n].bps;
                }
        const char *name = c->sites.items[site - 1].name;
        fprintf(to,
                "giaoban_site_endpoints{site=\"%s\"} %u\ngiaoban_site_down_bps{site=\"%s\"} %" JSON_INTEGER_FORMAT
                "\ngiaoban_site_up_bps{site=\"%s\"} %" JSON_INTEGER_FORMAT "\n",
                name, endpoints, name, down_bps, name, up_bps);
    }
}
