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

int64_t keyframes_next_us(const struct keyframes *k, int64_t rtt_us)
{
    if (!k->wanted)
        return INT64_MAX;
    if (!k->sent)
        return INT64_MIN;
    int64_t wait_us = KEYFRAME_APART_US;
    int64_t again_us = retry_us(rtt_us);
    if (k->asked == k->wanted && again_us > wait_us) /* all of it is on its way: give it its round trips */
        wait_us = again_us;
    return k->sent_us + wait_us;
}

uint8_t keyframes_poll(struct keyframes *k, int64_t now_us, int64_t rtt_us)
{
    if (now_us < keyframes_next_us(k, rtt_us))
        return 0;
    if (!k->wanted)
        return 0;
    k->sent_us = now_us;
    k->sent++;
    k->asked = k->wanted;
    return k->wanted;
}
