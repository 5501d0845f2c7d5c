// From what a page saw and what went over the line to the figures of build/link.jsonl, and their bounds.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { idleMeter, pause, root } from '../e2e/server.mjs';
import { RATES, figure } from './line.mjs';
import { keepLineTrace, steadyUs } from './traces.mjs';

export const full = process.env.FULL === 'yes';
/** Joining is told apart: within this time the picture has to be there. */
export const JOIN_MS = 5000;

/** What a line must give (docs/lines.md). Shares; `height` and `fps` are lower bounds, the others upper ones. */
export const BOUNDS = {
    A: { height: 720, fps: 24, frozen: 0, concealed: 0.005 },
    B: { height: 720, fps: 24, frozen: 0, concealed: 0.005, queue_ms_p95: 150, rate_used: 0.8 },
    C: { height: 540, fps: 20, frozen: 0.01, concealed: 0.01, queue_ms_p95: 150, rate_used: 0.8 },
    D: { height: 360, fps: 15, frozen: 0.02, concealed: 0.02, queue_ms_p95: 150, rate_used: 0.8 },
    E: { height: 180, fps: 10, frozen: 0.04, concealed: 0.03, queue_ms_p95: 150, rate_used: 0.8 },
    F: { concealed: 0.05 },
    G: { concealed: 0.02 },
};
const AT_LEAST = ['height', 'fps', 'rate_used'];
/** Three times "no freeze" and three times a small share are still nothing: what a browser on a busy machine shows anyway. */
const SLACK = { frozen: 0.02, concealed: 0.005 };

/** Which bounds a run keeps, and which it breaks threefold. */
export function judge(figures, bounds) {
    const keeps = ([key, bound]) => (AT_LEAST.includes(key) ? figures[key] >= bound : figures[key] <= bound);
    const broken = ([key, bound]) => (AT_LEAST.includes(key) ? figures[key] < bound / 3 : figures[key] > 3 * Math.max(bound, SLACK[key] ?? 0));
    const all = Object.entries(bounds);
    return { short: all.filter((b) => !keeps(b)).map(([key]) => key), broken: all.filter(broken).map(([key]) => key) };
}

/** Time in which the picture stood still, ms, of frames at these times between `from` and `to`: intervals that a viewer takes for a
 * freeze (more than three times the usual one and 150 ms more than it), from its beginning to its end. */
export function frozenMs(times, from, to) {
    const within = [from, ...times.filter((t) => t > from && t < to), to];
    const usual = [];
    let frozen = 0;
    for (let i = 1; i < within.length; i++) {
        const gap = within[i] - within[i - 1];
        const mean = usual.length ? usual.reduce((a, b) => a + b, 0) / usual.length : 33;
        if (gap > Math.max(3 * mean, mean + 150)) frozen += gap;
        else usual.push(gap);
        if (usual.length > 30) usual.shift();
    }
    return frozen;
}

const share = (x) => Math.round(x * 10000) / 10000;
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

/** bit/s of what the sender sends, by name of the layer. */
function sent(from, to) {
    const seconds = (to.at - from.at) / 1000;
    return Object.fromEntries(Object.entries(to.sends).map(([name, s]) => [name, ((s.bytes - (from.sends[name]?.bytes ?? 0)) * 8) / seconds]));
}

/** What could be used: the line, or sound and the largest layer beside it that fits. */
function usable(layers, lineBps) {
    const { sound = 0, ...pictures } = layers;
    const fit = Object.values(pictures).filter((bps) => bps + sound <= lineBps);
    return Math.min(lineBps, sound + Math.max(0, ...fit));
}

function soundOf(from, to) {
    const samples = (to?.samples ?? 0) - (from?.samples ?? 0);
    return samples > 0 ? ((to.concealed ?? 0) - (from?.concealed ?? 0)) / samples : 1;
}

/** Joins `call` behind the line's profile, watches for so long, and yields {figures, trace, viewer samples}. */
export async function watch(call, line, { profile, seconds, seed = 1, rates = null, before = () => line.profile(profile) }) {
    await call.ready();
    line.say(`seed ${seed}`);
    before();
    await pause(200);
    const idle = idleMeter();
    const clicked = Date.now(), since = steadyUs();
    await call.join();
    const joined = Date.now();
    const trace = [];
    const look = async () => {
        const at = Date.now();
        const [viewer, sender] = await Promise.all([call.viewer.evaluate(() => window.__watch.sample()), call.sender?.evaluate(() => window.__watch.sample())]);
        const row = { t: (at - joined) / 1000, viewer, sender, down: line.seconds.at(-1)?.down };
        trace.push(row);
        return row;
    };
    await look();
    const stop = joined + JOIN_MS + seconds * 1000;
    let first = null;
    while (Date.now() < stop) {
        await pause(1000 - ((Date.now() - joined) % 1000));
        rates?.((Date.now() - joined) / 1000);
        const row = await look();
        if (!first && Date.now() >= joined + JOIN_MS) first = row;
    }
    const last = trace.at(-1);
    const frames = (await call.viewer.evaluate(() => window.__watch.frames())).filter(([t]) => t >= joined);
    const sounds = await call.viewer.evaluate(() => window.__watch.gaps());
    await call.leave();
    line.perfect();
    const [from, to] = [first.viewer.at, last.viewer.at];
    const shown = frames.filter(([t]) => t > from && t < to);
    const down = line.use('down', from, to);
    const up = line.use('up', from, to);
    const lineBps = RATES[profile] ?? Infinity;
    const layers = first.sender ? sent(first.sender, last.sender) : null;
    const figures = {
        height: median(shown.map(([, h]) => h)),
        fps: Math.round((shown.length * 10000) / (to - from)) / 10,
        fps_decoded: Math.round(((last.viewer.video?.frames ?? 0) - (first.viewer.video?.frames ?? 0)) * 10000 / (to - from)) / 10,
        frozen: share(frozenMs(shown.map(([t]) => t), from, to) / (to - from)),
        frozen_stats: share((((last.viewer.video?.frozen_s ?? 0) - (first.viewer.video?.frozen_s ?? 0)) * 1000) / (to - from)),
        concealed: share(soundOf(first.viewer.audio, last.viewer.audio)),
        concealed_joining: share(soundOf(null, first.viewer.audio)),
        sound_gap_ms: Math.round(Math.max(0, ...sounds.filter(([t]) => t > from && t < to).map(([, ms]) => ms))),
        rate_used: layers ? share(down.bps / usable(layers, lineBps)) : null,
        rate_of_line: share(down.bps / lineBps),
        queue_ms_p95: down.wait_ms_p95,
        connect_ms: joined - clicked,
        first_frame_ms: frames.length ? Math.round(frames[0][0] - clicked) : null,
        full_ms: Math.round((frames.find(([, h]) => h >= (BOUNDS[profile]?.height ?? 1))?.[0] ?? NaN) - clicked) || null,
        line_lost: share(down.lost),
        line_dropped: share(down.dropped),
        up_queue_ms_p95: up.wait_ms_p95,
        layers_kbps: layers && Object.fromEntries(Object.entries(layers).map(([k, v]) => [k, Math.round(v / 1000)])),
        idle_percent: idle(),
    };
    return { figures, trace, from, to, frames, since };
}

/** One run of one line: a line of build/link.jsonl, and its trace beside it. */
export async function run(call, line, options) {
    const { figures, trace, since } = await watch(call, line, options);
    const { short, broken } = judge(figures, BOUNDS[options.profile]);
    figure({ case: 'profile', profile: options.profile, server: call.name, ok: short.length === 0, short, ...figures });
    keepTrace(`${options.profile}-${call.name}`, trace);
    if (call.name === 'giaoban') await keepLineTrace(`${options.profile}-${call.name}`, call.world.server, line, since);
    return { figures, broken };
}

/** build/link-traces/NAME.txt */
export function keepTrace(name, trace) {
    mkdirSync(join(root, 'build', 'link-traces'), { recursive: true });
    writeFileSync(join(root, 'build', 'link-traces', `${name.replaceAll(/[^\w.]+/g, '-')}.txt`), readable(trace));
}

/** A line a second, to read. */
function readable(trace) {
    const rows = trace.map((row, i) => {
        const before = trace[i - 1];
        if (!before || !row.down || !before.down) return `${row.t.toFixed(1)}`;
        const { video: v, audio: a } = row.viewer;
        const seconds = row.t - before.t;
        const layers = row.sender ? Object.entries(sent(before.sender, row.sender)).map(([k, bps]) => `${k}=${Math.round(bps / 1000)}k${row.sender.sends[k].height ? `/${row.sender.sends[k].height}p/${Math.round((row.sender.sends[k].frames - (before.sender.sends[k]?.frames ?? 0)) / seconds)}fps` : ''}${{ none: '', undefined: '' }[row.sender.sends[k].limited] ?? `/${row.sender.sends[k].limited}`}`) : [];
        return [
            row.t.toFixed(1).padStart(5),
            `down ${Math.round(((row.down.bytes - before.down.bytes) * 8) / 1000 / seconds)}k wait ${row.down.wait_ms_p95} ms dropped ${row.down.dropped - before.down.dropped} lost ${row.down.lost - before.down.lost}`,
            v ? `picture ${v.height}p ${(((v.frames - (before.viewer.video?.frames ?? 0)) || 0) / seconds).toFixed(0)} fps frozen ${(v.frozen_s - (before.viewer.video?.frozen_s ?? 0)).toFixed(2)} s nacks ${v.nacks} plis ${v.plis}` : 'no picture',
            `concealed ${(100 * soundOf(before.viewer.audio, a)).toFixed(1)} %`,
            `sender ${layers.join(' ')}`,
        ].join(' | ');
    });
    return `${rows.join('\n')}\n`;
}

/** A figure of another case; fails at three times a bound (upper bounds). */
export function measured(name, figures, bounds) {
    const short = Object.entries(bounds).filter(([key, bound]) => !(figures[key] <= bound)).map(([key]) => key);
    figure({ case: name, ok: short.length === 0, short, ...figures, ...Object.fromEntries(Object.entries(bounds).map(([key, bound]) => [`bound_${key}`, bound])) });
    for (const [key, bound] of Object.entries(bounds)) assert.ok(figures[key] <= 3 * bound, `${name}: ${key} is ${figures[key]}, its bound ${bound}`);
}
