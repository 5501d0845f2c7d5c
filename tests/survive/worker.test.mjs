// A worker is killed and stopped: its endpoints are back with seat, floor and hand; endpoints elsewhere hear nothing of it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { idleMeter, pause, until } from '../e2e/server.mjs';
import { MOMENTS, SILENCE_MS, gapMs, inWorld, measured, nowUs, randomness, round, watching } from './world.mjs';

const UNITS = ['h-muong-lat', 'h-ba-thuoc', 'h-quan-son', 'h-lang-chanh'];
const WINDOW_MS = 3000;
const random = randomness('worker');

/** A worker is broken by `how` at a random moment of a window; yields its rooms and when that was. */
async function breaking(sims, how) {
    let at;
    const wait = random.between(0, 1000);
    const idle = idleMeter();
    const rooms = await watching(sims, async () => {
        await pause(wait);
        at = await how();
        await until('everybody to be in again', () => sims.every((sim) => sim.status().joined === sim.status().endpoints), { timeout_ms: 15000 });
        await pause(WINDOW_MS - wait);
    });
    return { rooms, at, idle_percent: idle() };
}

function kill(world, index) {
    const at = nowUs();
    process.kill(world.worker(index), 'SIGKILL');
    return at;
}

/** How long after the break those that joined anew were connected, and heard the stage unless they are it. */
function backMs(rooms, at, speaker) {
    const again = rooms.filter((r) => r.rejoins > 0);
    assert.ok(again.length > 0, 'nobody was on it');
    for (const r of again) assert.ok(r.connected_us > 0 && (r.number === speaker || r.heard_us > 0), JSON.stringify(r));
    return round(Math.max(...again.map((r) => Math.max(r.connected_us, r.number === speaker ? 0 : r.heard_us) - at)) / 1000);
}

function assertUntouched(rooms) {
    for (const r of rooms) assert.deepEqual({ lost: r.lost, rejoins: r.rejoins, resumes: r.resumes }, { lost: 0, rejoins: 0, resumes: 0 }, `room ${r.number}`);
}

/** In a briefing spread over both, the worker of the speaker or the other one is broken. */
async function breakOne(world, name, speakers, how) {
    const b = await world.briefing(UNITS, { record: true });
    const speaker = b.numbers[UNITS[0]];
    const before = await world.stateOf(b);
    const places = await watching([b.sim], () => pause(WINDOW_MS));
    const baseline = gapMs(world.listeners(b, places));
    const home = world.workerOf(places.find((r) => r.number === speaker));
    const index = speakers ? home : 1 - home;
    const { rooms, at, idle_percent } = await breaking([b.sim], () => how(index));
    const elsewhere = rooms.filter((r) => world.workerOf(places.find((p) => p.number === r.number)) !== index);
    assert.equal(elsewhere.length, 2, 'they are not spread');
    for (const r of elsewhere) assert.equal(r.rejoins, 0, `room ${r.number} joined anew`);
    const back_ms = backMs(rooms, at, speaker);
    if (speakers) measured(`${name}, the speaker’s`, { back_ms, idle_percent }, { back_ms: 2000 });
    else {
        assertUntouched(elsewhere);
        measured(`${name}, not the speaker’s`, { gap_ms: round(gapMs(world.listeners(b, elsewhere)) - baseline), baseline_ms: round(baseline), lost_ms: 0, back_ms, idle_percent }, { gap_ms: 40, back_ms: 2000 });
    }
    assert.deepEqual(await world.stateOf(b), before);
}

test('kill −9: a worker’s endpoints are back within 2 s with seat, floor and hand; listeners elsewhere hear a speaker elsewhere without a gap', async () => {
    for (let i = 0; i < MOMENTS; i++) await inWorld({}, (world) => breakOne(world, 'kill of a worker', i % 2 === 1, (index) => kill(world, index)));
});

test('a worker stopped for 5 s is killed by then', async () => {
    await inWorld({}, (world) =>
        breakOne(world, 'a worker stopped', false, async (index) => {
            const stop = await world.stopped(world.worker(index));
            assert.ok(stop, 'it was not killed');
            measured('a worker stopped: until it is killed', { silent_ms: stop.silent_ms }, { silent_ms: SILENCE_MS });
            return stop.at;
        }),
    );
});

test('a briefing wholly on the other worker has no gap', async () => {
    for (let i = 0; i < MOMENTS; i++)
        await inWorld({ placement: 'home' }, async (world) => {
            const a = await world.briefing(UNITS.slice(0, 2));
            const b = await world.briefing(UNITS.slice(2), { source: 2 });
            const all = await watching([a.sim, b.sim], () => pause(WINDOW_MS));
            const index = world.workerOf(all[0]);
            assert.ok(all.slice(0, 2).every((r) => world.workerOf(r) === index) && all.slice(2).every((r) => world.workerOf(r) === 1 - index), JSON.stringify(all));
            const baseline = gapMs(world.listeners(b, all.slice(2)));
            const { rooms, at, idle_percent } = await breaking([a.sim, b.sim], () => kill(world, index));
            assertUntouched(rooms.slice(2));
            measured('kill of a worker, another briefing', { gap_ms: round(gapMs(world.listeners(b, rooms.slice(2))) - baseline), baseline_ms: round(baseline), lost_ms: 0, back_ms: backMs(rooms.slice(0, 2), at, a.numbers[UNITS[0]]), idle_percent }, { gap_ms: 40, back_ms: 2000 });
        });
});
