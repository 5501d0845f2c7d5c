// A worker is killed and stopped: its endpoints are back with seat, floor and hand; endpoints elsewhere hear nothing of it.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { pause, until } from '../e2e/server.mjs';
import { MOMENTS, World, gapMs, measured, nowUs, randomness, round, watching } from './world.mjs';

const UNITS = ['h-muong-lat', 'h-ba-thuoc', 'h-quan-son', 'h-lang-chanh'];
const WINDOW_MS = 3000;
const random = randomness('worker');

/** Breaks worker `index` by `how` in a window; yields its rooms and when that was. */
async function breaking(world, sims, how) {
    let at;
    const wait = random.between(0, 900);
    const rooms = await watching(sims, async () => {
        await pause(wait);
        at = await how();
        await until('everybody to be in again', () => sims.every((sim) => sim.status().joined === sim.status().endpoints), { timeout_ms: 15000 });
        await pause(WINDOW_MS - wait);
    });
    return { rooms, at };
}

/** When those that joined anew were connected, and heard the stage unless they are it, after the break. */
function backMs(rooms, at, speaker) {
    const again = rooms.filter((r) => r.rejoins > 0);
    assert.ok(again.length > 0, 'nobody was on it');
    for (const r of again) assert.ok(r.connected_us > at && (r.number === speaker || r.heard_us > at), JSON.stringify(r));
    return Math.max(...again.map((r) => Math.max(r.connected_us, r.number === speaker ? 0 : r.heard_us) - at)) / 1000;
}

function assertUntouched(rooms) {
    for (const r of rooms) assert.deepEqual({ lost: r.lost, rejoins: r.rejoins, resumes: r.resumes }, { lost: 0, rejoins: 0, resumes: 0 }, `room ${r.number}`);
}

test('a briefing spread over both workers', async (t) => {
    const world = await World.start();
    after(() => world.stop());
    const b = await world.briefing(UNITS, { record: true });
    const speaker = b.numbers[UNITS[0]];
    const before = await world.stateOf(b);

    /** Worker 0 or 1, which everybody is on after a kill of the other: endpoints are spread again by a second join of half of them. */
    const spread = async () => {
        const rooms = await watching([b.sim], () => pause(100));
        if (new Set(rooms.map((r) => world.workerOf(r))).size === 2) return rooms;
        await until('both workers', () => world.server.pids('giaoban-media').length === 2);
        process.kill(world.worker(world.workerOf(rooms[0])), 'SIGKILL');
        await until('the rooms to be in again', async () => {
            const now = await watching([b.sim], () => pause(200));
            return new Set(now.map((r) => world.workerOf(r))).size === 2 && world.listeners(b, now).every((r) => r.sound > 5);
        });
        return watching([b.sim], () => pause(100));
    };

    await t.test('kill −9: its endpoints are back within 2 s, listeners elsewhere hear a speaker elsewhere without a gap', async () => {
        const baseline = gapMs(world.listeners(b, await watching([b.sim], () => pause(WINDOW_MS))));
        for (let i = 0; i < MOMENTS; i++) {
            const places = await spread();
            const home = world.workerOf(places.find((r) => r.number === speaker));
            const index = i % 2 === 0 ? 1 - home : home;
            const { rooms, at } = await breaking(world, [b.sim], () => {
                const now = nowUs();
                process.kill(world.worker(index), 'SIGKILL');
                return now;
            });
            const elsewhere = rooms.filter((r) => world.workerOf(places.find((p) => p.number === r.number)) !== index);
            assertUntouched(elsewhere);
            const back = round(backMs(rooms, at, speaker));
            if (index === home) measured('kill of a worker, the speaker’s', { back_ms: back }, { back_ms: 2000 });
            else measured('kill of a worker, not the speaker’s', { gap_ms: round(gapMs(world.listeners(b, elsewhere)) - baseline), baseline_ms: round(baseline), back_ms: back }, { gap_ms: 40, back_ms: 2000 });
            assert.deepEqual(await world.stateOf(b), before);
        }
    });

    await t.test('stopped for 5 s: killed by then, its endpoints come back', async () => {
        const baseline = gapMs(world.listeners(b, await watching([b.sim], () => pause(WINDOW_MS))));
        const places = await spread();
        const index = 1 - world.workerOf(places.find((r) => r.number === speaker));
        let stop;
        const { rooms, at } = await breaking(world, [b.sim], async () => {
            stop = await world.stopped(world.worker(index));
            return stop.at;
        });
        assert.ok(stop.killed, 'it was not killed');
        const elsewhere = rooms.filter((r) => world.workerOf(places.find((p) => p.number === r.number)) !== index);
        assertUntouched(elsewhere);
        // a heartbeat may be missed for a second, then it is a kill
        measured('a worker stopped', { gap_ms: round(gapMs(world.listeners(b, elsewhere)) - baseline), baseline_ms: round(baseline), back_ms: round(backMs(rooms, at, speaker) - 1000) }, { gap_ms: 40, back_ms: 2000 });
        assert.deepEqual(await world.stateOf(b), before);
    });
});

test('a briefing wholly on the other worker has no gap', async () => {
    const world = await World.start({ placement: 'home' });
    after(() => world.stop());
    const a = await world.briefing(UNITS.slice(0, 2));
    for (let i = 0; i < MOMENTS; i++) {
        const b = await world.briefing(UNITS.slice(2), { source: 2 });
        const all = await watching([a.sim, b.sim], () => pause(WINDOW_MS));
        const [ofA, ofB] = [all.slice(0, 2), all.slice(2)];
        const index = world.workerOf(ofA[0]);
        assert.ok(ofA.every((r) => world.workerOf(r) === index) && ofB.every((r) => world.workerOf(r) === 1 - index), JSON.stringify(all));
        const baseline = gapMs(world.listeners(b, ofB));
        const { rooms, at } = await breaking(world, [a.sim, b.sim], () => {
            const now = nowUs();
            process.kill(world.worker(index), 'SIGKILL');
            return now;
        });
        assertUntouched(rooms.slice(2));
        measured('kill of a worker, another briefing', { gap_ms: round(gapMs(world.listeners(b, rooms.slice(2))) - baseline), baseline_ms: round(baseline), lost_ms: 0, back_ms: round(backMs(rooms.slice(0, 2), at, a.numbers[UNITS[0]])) }, { gap_ms: 40, back_ms: 2000 });
        b.sim.child.kill('SIGTERM');
        await b.sim.ended;
        await world.ask(b, 'close');
    }
});
