/* What the files of hostile share. */
#pragma once

#include "sim/hostile.h"

#include <stddef.h>

uint32_t hostile_draw(struct hostile *h, uint32_t below);
void hostile_fill(struct hostile *h, uint8_t *bytes, size_t len);

/* hostile_media.c: `count` packets. */
void hostile_send_replay(struct hostile *h, struct net_transport *t, const struct answer *a, unsigned count);
void hostile_send_sources(struct hostile *h, struct net_transport *t, const struct answer *a, unsigned count);
void hostile_send_flood(struct hostile *h, struct net_transport *t, unsigned count);
void hostile_send_reports(struct hostile *h, struct net_transport *t, const struct answer *a, unsigned count,
                          int64_t now_us);

/* hostile_wire.c */
void hostile_send_forged(struct hostile *h, struct net_transport *t, const struct answer *a, unsigned count);
void hostile_send_records(struct hostile *h, struct net_transport *t, const struct answer *a, unsigned count);
void hostile_send_checks(struct hostile *h, struct net_transport *t, const struct answer *a, unsigned count);
void hostile_send_strangers(struct hostile *h, const struct answer *a, unsigned count);
void hostile_wander(struct hostile *h, struct net_transport *t, const struct answer *a, int64_t now_us);
void hostile_raw_send(struct hostile *h, int fd, const struct answer *a, const uint8_t *bytes, size_t len);
void hostile_close_strangers(struct hostile *h);
