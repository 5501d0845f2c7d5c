// What a recording's directory holds: blocks of its Matroska files at their session times, the ledger, and what a programme sounds like.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decode, strength, RATE } from '../e2e/decode.mjs';

const SOUND_US = 20000;
const OPUS_US = 6500; // look-ahead of Opus: what is decoded lags by it

export function lines(dir, name) {
    const file = join(dir, name);
    if (!existsSync(file)) return [];
    return readFileSync(file, 'utf8').split('\n').filter(Boolean).map((l) => JSON.parse(l));
}

/** EBML's variable-length numbers (RFC 8794, section 4). */
function number(bytes, at, keepMarker) {
    const length = Math.clz32(bytes[at]) - 23;
    let value = keepMarker ? bytes[at] : bytes[at] & (0xff >> length);
    let unknown = !keepMarker && value === 0xff >> length;
    for (let i = 1; i < length; i++) {
        unknown &&= bytes[at + i] === 255;
        value = value * 256 + bytes[at + i];
    }
    return { value: unknown ? Infinity : value, next: at + length };
}

const SEGMENT = 0x18538067;
const CLUSTER = 0x1f43b675;
const INFO = 0x1549a966;
const SCALE = 0x2ad7b1;
const TIME = 0xe7;
const GROUP = 0xa0;
const BLOCK = 0xa1;
const SIMPLE = 0xa3;

/** Times of the blocks of a file in µs from its beginning; it may end anywhere. */
function blockTimes(file) {
    const bytes = readFileSync(file);
    const found = [];
    let scale = 1e6;
    let cluster = 0;
    const unsigned = (from, length) => bytes.subarray(from, from + length).reduce((v, b) => v * 256 + b, 0);
    for (let at = 0; at < bytes.length; ) {
        const id = number(bytes, at, true);
        if (id.next >= bytes.length) break;
        const size = number(bytes, id.next, false);
        if ([SEGMENT, CLUSTER, INFO, GROUP].includes(id.value)) {
            at = size.next;
            continue;
        }
        if (size.next + size.value > bytes.length) break;
        if (id.value === SCALE) scale = unsigned(size.next, size.value);
        if (id.value === TIME) cluster = unsigned(size.next, size.value);
        if (id.value === SIMPLE || id.value === BLOCK) {
            const track = number(bytes, size.next, false);
            found.push(((cluster + bytes.readInt16BE(track.next)) * scale) / 1000);
        }
        at = size.next + size.value;
    }
    return found;
}

/** Sound of an endpoint on disk: {times: session µs of each packet, missing: numbers that no file and no pause accounts for}. A
 * packet is a block, so that a segment's numbers are known from its first one. */
export function sound(dir, endpoint) {
    const segments = lines(dir, 'tracks.jsonl').filter((l) => l.kind === 'microphone' && l.number === endpoint);
    const times = [];
    let missing = 0;
    let last = null;
    for (const s of segments) {
        const blocks = blockTimes(join(dir, s.file));
        if (last?.incarnation === s.incarnation) missing += Math.abs(s.first_ext_seq - last.next);
        times.push(...blocks.map((us) => us + s.base_us));
        last = { incarnation: s.incarnation, next: s.first_ext_seq + blocks.length };
    }
    return { times, missing };
}

/** Milliseconds between the first and the last packet for which there is none. */
export function missingMs(times) {
    return pauses(times).reduce((sum, p) => sum + (p.to - p.from) / 1000, 0);
}

/** Stretches in µs in which none was sent though their numbers go on: the room itself had no processor (client/sim/sender.c). */
export function pauses(times) {
    return times.slice(1).flatMap((t, i) => (t - times[i] > 1.5 * SOUND_US ? [{ from: times[i] + SOUND_US, to: t }] : []));
}

const overlap = (a, b) => Math.max(0, Math.min(a.to, b.to) - Math.max(a.from, b.from));

/** Splits silences (µs) into the longest for each of `holes`, and what is left once the room's own pauses are taken off. */
export function explain(silences, holes, own) {
    const longest = holes.map((h) => [...silences].sort((a, b) => overlap(b, h) - overlap(a, h))[0]);
    const others = silences.filter((s) => !longest.includes(s) && ![...own, ...holes].some((p) => overlap(s, p) > 0.8 * (s.to - s.from) - 10000));
    return { longest, others };
}

/** Session time of a programme's beginning. */
export function beginningUs(dir) {
    return lines(dir, 'events.jsonl').find((e) => e.event === 'recording' && e.data.on).at_us;
}

/** A programme decoded, from session time `fromUs` on: {seconds, silences: [{from, to}] in session µs, jump: the longest step in
 * the numbers of the pictures, other: pictures that show something else than that source}. */
export async function heard(dir, file, source, fromUs) {
    const start = beginningUs(dir);
    const from = (fromUs - start) / 1e6;
    const content = await decode(file);
    const seconds = content.frames.length / content.fps;
    const hz = 400 + 50 * source;
    const step = RATE / 400;
    const silences = [];
    for (let at = Math.round(from * RATE); at + 2 * step <= Math.min((seconds - 0.3) * RATE, content.samples.length); at += step) {
        if (strength(content.samples, at, at + 2 * step, hz) > 300) continue;
        const begins = (at + step) / RATE; // a window half of which is silent is at the border
        if (silences.length && begins - silences.at(-1).to < 0.005) silences.at(-1).to = begins;
        else silences.push({ from: begins, to: begins });
    }
    const inside = content.frames.filter((f) => f.t >= from && f.t < seconds - 0.3);
    const shown = inside.filter((f) => f.source === source);
    const steps = shown.slice(1).map((f, i) => (f.frame - shown[i].frame + 200) % 200);
    const us = (t) => start + t * 1e6 - OPUS_US;
    return {
        seconds,
        silences: silences.filter((s) => s.to - s.from > 0.01).map((s) => ({ from: us(s.from), to: us(s.to) })),
        jump: Math.max(...steps),
        other: inside.length - shown.length,
    };
}
