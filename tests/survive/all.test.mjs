// Everything dies at once, or the supervisor alone, or it is stopped: how soon everybody is back, and whether the recording and its
// ledger tell the same.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { idleMeter, pause, until } from '../e2e/server.mjs';
import { explain, heard, lines, pauses, sound } from './tracks.mjs';
import { MOMENTS, gapMs, inWorld, measured, nowUs, randomness, round, watching } from './world.mjs';

const UNITS = ['h-muong-lat', 'h-ba-thuoc', 'h-quan-son', 'h-lang-chanh'];
const PACKET_US = 20000;
const random = randomness('all');

/** Breaks the server by `how`, which has it running again; yields the moment and how long it took until everybody was back. */
async function breakAll(world, b, how) {
    const before = await world.stateOf(b);
    const speaker = b.numbers[UNITS[0]];
    let at;
    const idle = idleMeter();
    const rooms = await watching([b.sim], async () => {
        at = await how();
        await until('everybody to hear the stage again', async () => (await world.server.metrics()).giaoban_endpoints_media === UNITS.length, { timeout_ms: 20000 });
        await pause(2500);
    });
    for (const r of rooms) assert.ok(r.live_us > at && r.connected_us > at && (r.number === speaker || r.heard_us > at), `not back: ${JSON.stringify(r)}`);
    const back = Math.max(...rooms.map((r) => Math.max(r.live_us, r.connected_us, r.number === speaker ? 0 : r.heard_us) - at)) / 1000;
    assert.deepEqual(await world.stateOf(b), before);
    return { at, back_ms: round(back), idle_percent: idle() };
}

/** What the programme and the ledger say about each interruption. */
async function compare(b, file, breaks) {
    const speaker = b.numbers[UNITS[0]];
    const dir = b.dir;
    const content = await heard(dir, file, 0, b.settledUs);
    const ledger = lines(dir, 'ledger.jsonl').filter((l) => l.track === speaker * 4 + 1);
    assert.deepEqual(ledger.map((l) => l.reason), breaks.map(() => 'interrupted'), JSON.stringify(ledger));
    const { times, missing } = sound(dir, speaker);
    assert.equal(missing, 0, 'numbers of packets are missing in the files');
    const holes = ledger.map((l) => ({ from: l.from_us + PACKET_US, to: l.to_us }));
    const { longest, others } = explain(content.silences, holes, pauses(times));
    assert.deepEqual(others, [], 'silence that the ledger does not have');
    return breaks.map((at, i) => ({
        lost_ms: round((at - holes[i].from) / 1000),
        ledger_error_ms: round(Math.max(Math.abs(longest[i].from - holes[i].from), Math.abs(longest[i].to - holes[i].to)) / 1000),
        errors_ms: [round((longest[i].from - holes[i].from) / 1000), round((longest[i].to - holes[i].to) / 1000)],
        away_ms: round((longest[i].to - longest[i].from) / 1000),
    }));
}

async function recorded(world) {
    const b = await world.briefing(UNITS, { record: true });
    b.dir = world.dir(b);
    await until('its recorder to have both tracks', () => new Set(lines(b.dir, 'tracks.jsonl').map((l) => l.kind)).size === 2);
    b.settledUs = nowUs();
    return b;
}

test('everything killed at once: back within 5 s, at most 2 s before it lost, and the ledger says what is missing', async () => {
    await inWorld({}, async (world) => {
        const b = await recorded(world);
        const seen = [];
        for (let i = 0; i < MOMENTS; i++) {
            await pause(random.between(1500, 3500));
            seen.push(
                await breakAll(world, b, async () => {
                    const at = await world.killAll();
                    await world.startAgain();
                    return at;
                }),
            );
        }
        await pause(1000);
        const told = await compare(b, await world.programme(b), seen.map((s) => s.at));
        seen.forEach(({ back_ms, idle_percent }, i) => measured('kill of everything', { back_ms, ...told[i], idle_percent }, { back_ms: 5000, lost_ms: 2000, ledger_error_ms: 40 }));
    });
});

test('the supervisor killed: control and workers go with it, the recorder finishes, and a second one starts at once', async () => {
    await inWorld({}, async (world) => {
        const b = await recorded(world);
        await pause(random.between(1500, 3500));
        const doomed = ['giaoband', 'giaoban-media'].flatMap((p) => world.server.pids(p));
        const recorder = world.started('recorder', { job: b.id });
        let tries = 0;
        const seen = await breakAll(world, b, async () => {
            const at = nowUs();
            world.server.child.kill('SIGKILL');
            await world.server.exited;
            tries = await world.startAgain(0);
            return at;
        });
        for (const pid of doomed) assert.ok(!existsSync(`/proc/${pid}`), `${pid} outlived the supervisor`);
        assert.ok(!existsSync(`/proc/${recorder}`), 'the former recorder still runs');
        await pause(1000);
        const [told] = await compare(b, await world.programme(b), [seen.at]);
        measured('kill of the supervisor', { back_ms: seen.back_ms, ...told, tries, idle_percent: seen.idle_percent }, { back_ms: 5000, lost_ms: 2000, ledger_error_ms: 40 });
    });
});

test('the supervisor stopped for 5 s: nobody notices, nobody is blamed afterwards', async () => {
    await inWorld({}, async (world) => {
        const b = await world.briefing(UNITS);
        const baseline = gapMs(world.listeners(b, await watching([b.sim], () => pause(5000))));
        const pids = ['giaoband', 'giaoban-media'].flatMap((p) => world.server.pids(p));
        const idle = idleMeter();
        const rooms = await watching([b.sim], async () => {
            await world.stopped(world.server.child.pid);
            await pause(1500);
        });
        for (const r of rooms) assert.deepEqual({ lost: r.lost, rejoins: r.rejoins, resumes: r.resumes }, { lost: 0, rejoins: 0, resumes: 0 }, `room ${r.number}`);
        assert.deepEqual(['giaoband', 'giaoban-media'].flatMap((p) => world.server.pids(p)), pids);
        measured('the supervisor stopped', { gap_ms: round(gapMs(world.listeners(b, rooms)) - baseline), baseline_ms: round(baseline), lost_ms: 0, idle_percent: idle() }, { gap_ms: 40 });
    });
});
