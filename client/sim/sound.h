/* The simulated room's sound: 48 kHz mono, a tone of its own with a speech-like envelope, and a beep with every flash.
 *
 * Tone: 400 + 50 × source Hz at about −20 dBov, its level rising and falling four times a second but never silent.
 * Beep: 5,000 Hz, 40 ms, −8 dBov, at the beginning of every second, on one clock with the picture's flash. Pure. */
#pragma once

#include <stdint.h>

enum { SOUND_RATE = 48000, SOUND_BEEP_HZ = 5000, SOUND_BEEP_SAMPLES = SOUND_RATE / 25 };

static inline unsigned sound_tone_hz(unsigned source)
{
    return 400 + 50 * source;
}

/* `samples` of the endless signal from sample number `at`. Repeats seamlessly after whole seconds. */
void sound_make(unsigned source, uint64_t at, int16_t *out, unsigned samples);

/* RFC 6464 level byte of a block: −dBov 0…127; the voice bit set when louder than −50 dBov. */
uint8_t sound_level(const int16_t *samples, unsigned count);
