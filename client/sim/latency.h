/* Latency: from the moment a packet is handed to the net to its arrival at each viewer in the same process, by its media
 * bytes: the server changes headers, never those. Thread: one. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct latency;

struct latency *latency_new(void); /* NULL: no memory */
void latency_free(struct latency *l);
void latency_sent(void *latency, const uint8_t *media, size_t len, int64_t now_us);
void latency_received(void *latency, const uint8_t *media, size_t len, int64_t arrival_us);
/* Microseconds; −1 before the first packet. `percent` 0…100. */
int64_t latency_percentile(const struct latency *l, double percent);
uint64_t latency_count(const struct latency *l);
void latency_reset(struct latency *l);
