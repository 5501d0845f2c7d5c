// Recorders and composers are killed and stopped: nobody in the briefing notices, and nothing is missing in what they leave.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { idleMeter, pause, until } from '../e2e/server.mjs';
import { api } from '../e2e/wire.mjs';
import { explain, heard, lines, pauses, sound } from './tracks.mjs';
import { full, gapMs, inWorld, measured, nowUs, randomness, round, watching } from './world.mjs';

const PAIRS = [['h-muong-lat', 'h-ba-thuoc'], ['h-quan-son', 'h-lang-chanh'], ['h-quan-hoa', 'h-ba-thuoc']];
const ROUNDS = full ? 7 : 1; // three moments each
const random = randomness('recording');

/** The programme misses nothing of its first room since its sound and picture were there, but what the room itself left out. */
async function assertWhole(b, source, file) {
    const content = await heard(b.dir, file, source, b.settledUs);
    const { times, missing } = sound(b.dir, b.numbers[b.units[0]]);
    const own = pauses(times);
    assert.equal(missing, 0, 'numbers of packets are missing in the files');
    assert.deepEqual(explain(content.silences, [], own).others, [], `${file} is silent`);
    assert.equal(content.other, 0, `${content.other} pictures of ${file} show something else`);
    const skipped = b.sim.status().skipped_pictures;
    assert.ok(content.jump <= 3 + skipped, `a jump of ${content.jump} pictures in ${file}; the rooms themselves skipped ${skipped}`);
    assert.ok(content.seconds > 10, `${content.seconds} s`);
}

test('recorder and composer: nobody notices, nothing is missing', async () => {
    for (let round_ = 0; round_ < ROUNDS; round_++) await inWorld({ workers: 2, placement: 'home' }, oneRound);
});

async function oneRound(world) {
    const all = [];
    for (const [i, units] of PAIRS.entries()) {
        const b = await world.briefing(units, { record: true, source: 2 * i });
        b.dir = world.dir(b);
        await until('its recorder to have both tracks', () => new Set(lines(b.dir, 'tracks.jsonl').map((l) => l.kind)).size === 2);
        all.push(b);
    }
    const sims = all.map((b) => b.sim);
    await pause(1500); // the first layer of each picture is there
    for (const b of all) {
        b.settledUs = nowUs();
        b.sim.child.kill('SIGUSR1'); // no keyframe any more: a successor has to do with what is there
    }
    const listeners = (rooms) => rooms.filter((r, i) => i % 2 === 1);
    const baseline = gapMs(listeners(await watching(sims, () => pause(3000))));

    const idle = idleMeter();
    const backs = [];
    let killed = 0;
    const rooms = await watching(sims, async () => {
        for (const b of all) {
            await pause(random.between(200, 1500));
            const former = world.started('recorder', { job: b.id });
            const at = nowUs();
            process.kill(former, 'SIGKILL');
            killed++;
            await until('a successor that syncs', () => {
                const synced = JSON.parse(readFileSync(join(b.dir, 'synced.json'), 'utf8'));
                return world.started('recorder', { job: b.id }) !== former && synced.updated_us > at && synced.synced_us > at;
            }, { every_ms: 20 });
            backs.push((nowUs() - at) / 1000);
        }
        const stopped = random.pick(all);
        const pid = world.started('recorder', { job: stopped.id });
        assert.equal(await world.stopped(pid), null, 'a stopped recorder was killed');
        await pause(2000);
        assert.equal(world.started('recorder', { job: stopped.id }), pid);
    });
    for (const r of rooms) assert.deepEqual({ lost: r.lost, rejoins: r.rejoins, resumes: r.resumes }, { lost: 0, rejoins: 0, resumes: 0 }, `room ${r.number}`);
    const recorder = { gap_ms: round(gapMs(listeners(rooms)) - baseline), baseline_ms: round(baseline), synced_again_ms: round(Math.max(...backs)), killed, stopped: 1, idle_percent: idle() };

    await composersDie(world, all);

    for (const [i, b] of all.entries()) {
        assert.deepEqual(lines(b.dir, 'ledger.jsonl'), [], `the ledger of ${b.id}`);
        await assertWhole(b, 2 * i, join(b.dir, 'programme.mp4'));
    }
    await assertWhole(all[0], 0, join(all[0].dir, 'programme.webm'));
    measured('kill and stop of the recorder', { ...recorder, lost_ms: 0, ledger_error_ms: 0 }, { gap_ms: 40 });
}

/** Each composer dies once at a random moment of its work; one more is stopped for five seconds. */
async function composersDie(world, all) {
    const idle = idleMeter();
    for (const b of all) await world.ask(b, 'close');
    for (const left = new Set(all); left.size > 0; ) {
        const b = await until('a composer', () => [...left].find((one) => world.started('composer', { job: one.id })), { timeout_ms: 60000, every_ms: 5 });
        left.delete(b);
        const pid = world.started('composer', { job: b.id });
        await pause(random.between(0, 800));
        let at = nowUs();
        try {
            process.kill(pid, 'SIGKILL');
        } catch {
            at = null; // it was faster: that moment was its end
        }
        if (at) await until('somebody to compose again', () => world.started('composer', { job: b.id }) !== pid || readdirSync(b.dir).includes('programme.mp4'), { timeout_ms: 60000 });
        const again = at && (nowUs() - at) / 1000;
        await world.composed(b);
        measured('kill of the composer', { back_ms: again && round(again), lost_ms: 0, idle_percent: idle() }, {});
    }
    const [first] = all;
    assert.equal((await api(world.server, 'POST', `archive/${first.id}/compose`, { cookie: first.cookie, body: { format: 'webm' } })).status, 202);
    const pid = await until('the composer of WebM', () => world.started('composer', { job: `${first.id} webm` }), { timeout_ms: 60000, every_ms: 5 });
    assert.equal(await world.stopped(pid), null, 'a stopped composer was killed');
    await world.composed(first, 'programme.webm');
    assert.equal(world.started('composer', { job: `${first.id} webm` }), pid);
    measured('the composer stopped', { lost_ms: 0 }, {});
}
