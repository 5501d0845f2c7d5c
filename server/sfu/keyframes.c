#include "sfu/keyframes.h"

void keyframes_want(struct keyframes *k, unsigned layer)
{
    k->wanted |= (uint8_t)(1u << layer);
}

void keyframes_forget(struct keyframes *k, unsigned layer)
{
    k->wanted &= (uint8_t) ~(1u << layer);
    k->asked &= k->wanted;
}

void keyframes_forget_all(struct keyframes *k)
{
    k->wanted = k->asked = 0;
}

void keyframes_arrived(struct keyframes *k, unsigned layer)
{
    keyframes_forget(k, layer);
}

static int64_t retry_us(int64_t rtt_us)
{
    int64_t us = 2 * rtt_us;
    if (us < KEYFRAME_RETRY_MIN_US)
        us = KEYFRAME_RETRY_MIN_US;
    return us > KEYFRAME_RETRY_MAX_US ? KEYFRAME_RETRY_MAX_US : us;
}

static int64_t due_us(const struct keyframes *k, unsigned layer, int64_t rtt_us)
{
    uint8_t bit = (uint8_t)(1u << layer);
    if (!(k->wanted & bit))
        return INT64_MAX;
    if (!(k->ever & bit))
        return INT64_MIN;
    int64_t wait_us = KEYFRAME_APART_US;
    if ((k->asked & bit) && retry_us(rtt_us) > wait_us) /* it is on its way: give it its round trips */
        wait_us = retry_us(rtt_us);
    return k->sent_us[layer] + wait_us;
}

int64_t keyframes_next_us(const struct keyframes *k, int64_t rtt_us)
{
    int64_t next_us = INT64_MAX;
    for (unsigned i = 0; i < KEYFRAME_LAYERS; i++)
        if (due_us(k, i, rtt_us) < next_us)
            next_us = due_us(k, i, rtt_us);
    return next_us;
}

uint8_t keyframes_poll(struct keyframes *k, int64_t now_us, int64_t rtt_us)
{
    uint8_t layers = 0;
    for (unsigned i = 0; k->wanted && i < KEYFRAME_LAYERS; i++) {
        if (now_us < due_us(k, i, rtt_us) || !(k->wanted & 1u << i))
            continue;
        layers |= (uint8_t)(1u << i);
        k->sent_us[i] = now_us;
        k->sent++;
    }
    k->ever |= layers;
    k->asked |= layers;
    return layers;
}
