// The lines of a province, one after the other, through giaoban, directly between two browsers and through Janus: same sender,
// same camera, same losses. The short form runs giaoban on A, D and F, and all three on D.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Direct, Giaoban, ThroughJanus, World } from './calls.mjs';
import { Line, figure } from './line.mjs';
import { full, run } from './measure.mjs';

const SECONDS = full ? 30 : 10;
const PROFILES = (process.env.PROFILES ?? (full ? 'ABCDEFG' : 'ADF')).split('');
const SERVERS = process.env.SERVERS?.split(',') ?? ['giaoban', 'direct', 'janus'];
const COMPARED = full || process.env.PROFILES ? PROFILES : ['D'];
const STARTS = { giaoban: Giaoban, direct: Direct, janus: ThroughJanus };
/** On 4G the rate varies: bit/s every five seconds. */
const WANDERS = [5e6, 2.5e6, 4e6, 1.5e6, 5e6, 3e6];

let line, world;
before(async () => {
    line = await Line.start(1);
    world = await World.start();
});
after(async () => {
    await world?.stop();
    await line?.stop();
});

function rates(profile) {
    if (profile !== 'G') return null;
    let step = -1;
    return (t) => {
        const now = Math.floor(t / 5) % WANDERS.length;
        if (now !== step) line.set('down', `rate_bps=${WANDERS[(step = now)]}`);
    };
}

const results = new Map();
for (const profile of PROFILES)
    for (const server of SERVERS) {
        if (server !== 'giaoban' && !COMPARED.includes(profile)) continue;
        test(`line ${profile} through ${server}`, async () => {
            const call = await STARTS[server].start(world);
            try {
                const { figures, broken } = await run(call, line, { profile, seconds: SECONDS, seed: 7, rates: rates(profile) });
                results.set(`${profile} ${server}`, figures);
                if (server === 'giaoban') assert.deepEqual(broken, [], JSON.stringify(figures));
            } finally {
                await call.stop();
            }
        });
    }

test('side by side', () => {
    for (const profile of COMPARED)
        for (const other of ['direct', 'janus']) {
            const [ours, theirs] = [results.get(`${profile} giaoban`), results.get(`${profile} ${other}`)];
            if (!ours || !theirs) continue;
            const better = { concealed: ours.concealed <= theirs.concealed, fps: ours.fps_decoded >= theirs.fps_decoded - 0.5, frozen: ours.frozen <= theirs.frozen };
            const pair = (key) => [ours[key], theirs[key]];
            figure({ case: 'side by side', profile, other, ok: Object.values(better).every(Boolean), short: Object.keys(better).filter((k) => !better[k]), concealed: pair('concealed'), height: pair('height'), fps_decoded: pair('fps_decoded'), fps: pair('fps'), frozen: pair('frozen'), queue_ms_p95: pair('queue_ms_p95') });
        }
});
