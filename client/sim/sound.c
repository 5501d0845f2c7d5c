#include "sim/sound.h"

#include <math.h>

void sound_make(unsigned source, uint64_t at, int16_t *out, unsigned samples)
{
    double tone = sound_tone_hz(source);
    for (unsigned i = 0; i < samples; i++) {
        /* tone, envelope and beep all have whole periods a second: the second's phase is enough */
        unsigned n = (unsigned)((at + i) % SOUND_RATE);
        double t = (double)n / SOUND_RATE;
        double envelope = 0.65 + 0.35 * sin(2 * M_PI * 4 * t);
        double value = 0.15 * envelope * sin(2 * M_PI * tone * t);
        if (n < SOUND_BEEP_SAMPLES)
            value += 0.55 * sin(2 * M_PI * SOUND_BEEP_HZ * t);
        out[i] = (int16_t)lrint(value * 32000);
    }
}

uint8_t sound_level(const int16_t *samples, unsigned count)
{
    double sum = 0;
    for (unsigned i = 0; i < count; i++)
        sum += (double)samples[i] * samples[i];
    double rms = sqrt(sum / count) / 32768;
    double level = rms > 0 ? -20 * log10(rms) : 127;
    uint8_t byte = level >= 127 ? 127 : level <= 0 ? 0 : (uint8_t)lrint(level);
    return byte < 50 ? byte | 0x80 : byte;
}
