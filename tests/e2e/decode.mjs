// Decodes a programme with GStreamer's command line and reads its content: codes in the picture, tones in the sound.
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const WIDTH = 320;
const HEIGHT = 180;
export const RATE = 48000;

/** {frames: [{t, source, frame, flash} | {t, source: null}], fps, samples: Int16Array} of a whole file. */
export async function decode(file) {
    const dir = mkdtempSync(join(tmpdir(), 'giaoban-decode-'));
    try {
        const video = join(dir, 'video');
        const audio = join(dir, 'audio');
        const fps = 25;
        await run('gst-launch-1.0', ['-q', 'filesrc', `location=${file}`, '!', 'decodebin', 'name=d',
            'd.', '!', 'queue', '!', 'videoconvert', '!', 'videorate', '!', 'videoscale', 'add-borders=false', '!', `video/x-raw,format=GRAY8,width=${WIDTH},height=${HEIGHT},framerate=${fps}/1`, '!', 'filesink', `location=${video}`,
            'd.', '!', 'queue', '!', 'audioconvert', '!', 'audioresample', '!', `audio/x-raw,format=S16LE,rate=${RATE},channels=1`, '!', 'filesink', `location=${audio}`], { timeout: 120000 });
        const pixels = readFileSync(video);
        const bytes = readFileSync(audio);
        const frames = [];
        for (let i = 0; (i + 1) * WIDTH * HEIGHT <= pixels.length; i++)
            frames.push({ t: i / fps, ...readCode(pixels.subarray(i * WIDTH * HEIGHT, (i + 1) * WIDTH * HEIGHT)) });
        return { frames, fps, samples: new Int16Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + (bytes.length & ~1))) };
    } finally {
        rmSync(dir, { recursive: true });
    }
}

function mean(pixels, x0, x1, y0, y1) {
    let sum = 0;
    let n = 0;
    for (let y = Math.ceil((y0 * HEIGHT) / 12 + 3); y < (y1 * HEIGHT) / 12 - 3; y++)
        for (let x = Math.ceil((x0 * WIDTH) / 16 + 3); x < (x1 * WIDTH) / 16 - 3; x++) {
            sum += pixels[y * WIDTH + x];
            n++;
        }
    return sum / n;
}

/** The code of client/sim/picture.h in a 320 × 180 luma plane. */
function readCode(pixels) {
    const rows = [0, 1].map((row) => [...Array(16).keys()].reduce((bits, i) => (bits << 1) | (mean(pixels, i, i + 1, row, row + 1) > 125), 0));
    const source = (rows[0] >> 6) & 0xff;
    const frame = rows[1];
    const check = (source * 7 + ((frame >> 8) & 255) * 13 + (frame & 255) * 29 + 5) & 63;
    if (rows[0] >> 14 !== 2 || (rows[0] & 63) !== check) return { source: null };
    return { source, frame, flash: mean(pixels, 11, 15, 4, 8) > 125 };
}

/** Amplitude of one frequency in samples[from, to) (Goertzel). */
export function strength(samples, from, to, hz) {
    const w = (2 * Math.PI * hz) / RATE;
    const k = 2 * Math.cos(w);
    let a = 0;
    let b = 0;
    for (let i = from; i < to; i++) {
        const c = samples[i] + k * a - b;
        b = a;
        a = c;
    }
    return (2 * Math.sqrt(a * a + b * b - k * a * b)) / (to - from);
}

/** Seconds at which beeps (5 kHz) begin, to about 2 ms. */
export function beeps(samples) {
    const step = 96;
    const found = [];
    let on = false;
    for (let i = 0; i + 240 < samples.length; i += step) {
        const loud = strength(samples, i, i + 240, 5000) > 2500;
        if (loud && !on) found.push((i + 120) / RATE);
        on = loud;
    }
    return found;
}

/** Seconds at which flashes begin. */
export function flashes(frames) {
    return frames.filter((f, i) => f.flash && i > 0 && frames[i - 1].source === f.source && !frames[i - 1].flash).map((f) => f.t);
}

/** beep − flash in ms for each flash that has a beep within 400 ms. */
export function skews({ frames, samples }) {
    const sounds = beeps(samples);
    return flashes(frames)
        .map((t) => ({ t, d: sounds.map((s) => 1000 * (s - t)).sort((a, b) => Math.abs(a) - Math.abs(b))[0] }))
        .filter(({ d }) => d !== undefined && Math.abs(d) < 400);
}
