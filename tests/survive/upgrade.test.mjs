// The programs are replaced in the middle of a recorded call: each endpoint's picture stands still once and briefly, seats, floor
// and hands stay, the recording has everything; a new program that does not start changes nothing.
import assert from 'node:assert/strict';
import { chmodSync, copyFileSync, cpSync, existsSync, mkdtempSync, readlinkSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const UNITS = ['h-muong-lat', 'h-ba-thuoc', 'h-quan-son', 'h-lang-chanh', 'h-quan-hoa', 'h-nhu-xuan', 'h-thuong-xuan', 'h-ngoc-lac'];
const PROGRAMS = ['giaoband', 'giaoban-media', 'giaoban-recorder', 'giaoban-check'];
const built = process.env.GIAOBAN_BIN ?? join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'build', 'release', 'bin');
const programs = mkdtempSync(join(tmpdir(), 'giaoban-programs-'));
cpSync(built, programs, { recursive: true });
process.env.GIAOBAN_BIN = programs; // before whoever reads it is loaded
const { pause, until } = await import('../e2e/server.mjs');
const { World, gapMs, measured, nowUs, round, watching } = await import('./world.mjs');
const { lines, missingMs, sound } = await import('./tracks.mjs');

let world, b, state, baseline, dir;

before(async () => {
    world = await World.start();
    b = await world.briefing(UNITS, { record: true });
    dir = join(world.server.data, 'recordings', b.id);
    state = await world.stateOf(b);
    baseline = gapMs(world.listeners(b, await watching([b.sim], () => pause(3000))));
});

after(async () => {
    await world?.stop();
    rmSync(programs, { recursive: true, force: true });
});

/** As packages do: the file that runs is replaced, not written into. */
function replace(program, write) {
    const path = join(programs, program);
    unlinkSync(path);
    write(path);
}

function replaceAll() {
    for (const program of PROGRAMS) replace(program, (path) => copyFileSync(join(built, program), path));
}

function replaceByBroken(program) {
    replaceAll();
    replace(program, (path) => {
        writeFileSync(path, '#!/bin/sh\nexit 1\n');
        chmodSync(path, 0o755);
    });
}

function running() {
    return Object.fromEntries(PROGRAMS.map((p) => [p, world.server.pids(p)]));
}

const isNew = (pid) => !readlinkSync(`/proc/${pid}/exe`).endsWith(' (deleted)');

/** `giaobanctl upgrade` in a window: {status, said, rooms, tookMs}. */
async function upgrade() {
    const seen = {};
    seen.rooms = await watching([b.sim], async () => {
        const at = Date.now();
        seen.atUs = nowUs();
        await world.server.ctl('upgrade').then(
            (said) => Object.assign(seen, { status: 0, said }),
            (error) => Object.assign(seen, { status: error.code, said: error.stdout }),
        );
        seen.tookMs = Date.now() - at;
        await until('everybody to be in', () => b.sim.status().joined === UNITS.length, { timeout_ms: 15000 });
        await pause(1500);
    });
    return seen;
}

/** When the last of the sockets was back, from the command on. */
const backMs = ({ rooms, atUs }) => round(Math.max(...rooms.map((r) => r.live_us - atUs)) / 1000);

function assertNobodyMoved(rooms) {
    for (const r of rooms) assert.deepEqual({ lost: r.lost, rejoins: r.rejoins }, { lost: 0, rejoins: 0 }, `room ${r.number}`);
}

test('a new giaoban-media that ends at once: the call does not notice, giaobanctl says so', async () => {
    const before = running();
    replaceByBroken('giaoban-media');
    const { status, said, rooms } = await upgrade();
    assert.equal(status, 1);
    assert.match(said, /giaoban-media does not start: the old workers go on/);
    assertNobodyMoved(rooms);
    for (const r of rooms) assert.equal(r.resumes, 0);
    assert.deepEqual(running(), before);
    assert.deepEqual(await world.stateOf(b), state);
    measured('upgrade to a broken giaoban-media', { gap_ms: round(gapMs(world.listeners(b, rooms)) - baseline), baseline_ms: round(baseline) }, { gap_ms: 40 });
});

test('what dies between the replacement of its file and an upgrade is started as it was', async () => {
    const [former] = world.server.pids('giaoban-recorder');
    process.kill(former, 'SIGKILL');
    const [now] = await until('another recorder', () => { const found = world.server.pids('giaoban-recorder'); return found.length === 1 && found[0] !== former && found; });
    await until('it to be executed', () => readlinkSync(`/proc/${now}/exe`).includes('giaoban-recorder'));
    assert.equal(isNew(now), false);
});

test('a new giaoband that ends at once: the former one is back within 2 s, sound and picture go on', async () => {
    const before = running();
    replaceByBroken('giaoband');
    const seen = await upgrade();
    const { status, said, rooms } = seen;
    assert.equal(status, 1);
    assert.match(said, /giaoband does not start: the old programs go on/);
    assertNobodyMoved(rooms);
    assert.deepEqual(running()['giaoban-media'], before['giaoban-media']);
    assert.equal(isNew(world.server.pids('giaoband')[0]), false);
    assert.deepEqual(await world.stateOf(b), state);
    measured('upgrade to a broken giaoband', { gap_ms: round(gapMs(world.listeners(b, rooms)) - baseline), baseline_ms: round(baseline), back_ms: backMs(seen) }, { gap_ms: 40, back_ms: 2000 });
});

test('a new giaoban-recorder that ends at once: the former one goes on where its disk ended', async () => {
    replaceByBroken('giaoban-recorder');
    const { status, said } = await upgrade();
    assert.equal(status, 1);
    assert.match(said, /giaoban-recorder does not start: the old one goes on/);
    const pids = running();
    for (const pid of [...pids.giaoband, ...pids['giaoban-media']]) assert.ok(isNew(pid));
    await until('a recorder of the former program', () => { const found = world.server.pids('giaoban-recorder'); return found.length === 1 && !isNew(found[0]); });
    assert.deepEqual(await world.stateOf(b), state);
});

test('a new giaoban-check that ends at once: the former one goes on, and the recorders with it', async () => {
    const [recorder] = world.server.pids('giaoban-recorder');
    replaceByBroken('giaoban-check');
    const { status, said } = await upgrade();
    assert.equal(status, 1);
    assert.match(said, /giaoban-check does not start: the old one and the recorders go on/);
    const pids = running();
    for (const pid of [...pids.giaoband, ...pids['giaoban-media']]) assert.ok(isNew(pid));
    assert.deepEqual(pids['giaoban-recorder'], [recorder]);
    await until('a check of the former program', () => { const found = world.server.pids('giaoban-check'); return found.length === 1 && !isNew(found[0]); });
    assert.deepEqual(await world.stateOf(b), state);
});

/** Which bank of ports the workers are on. */
const banks = (rooms) => new Set(rooms.map((r) => Math.floor(world.workerOf(r) / 2)));

for (const bank of [1, 0]) {
    test(`an upgrade of eight rooms in a recorded call, to the ${bank ? 'second' : 'first'} half of the ports`, async () => {
        const before = running();
        replaceAll();
        const seen = await upgrade();
        const { status, said, rooms, tookMs } = seen;
        assert.equal(status, 0, said);
        assert.match(said, /everything that runs is new/);
        const now = running();
        for (const program of PROGRAMS) {
            assert.equal(now[program].length, before[program].length, program);
            for (const pid of now[program]) assert.ok(isNew(pid) && !before[program].includes(pid), `${program} ${pid}`);
        }
        assert.deepEqual(banks(rooms), new Set([bank]));
        for (const r of rooms) assert.deepEqual({ rejoins: r.rejoins, resumes: r.resumes }, { rejoins: 1, resumes: 1 }, `room ${r.number}`);
        assert.deepEqual(await world.stateOf(b), state);
        measured(`upgrade in a call of eight, bank ${bank}`, { gap_ms: round(gapMs(world.listeners(b, rooms)) - baseline), baseline_ms: round(baseline), back_ms: backMs(seen), took_ms: tookMs }, { gap_ms: 2000, back_ms: 2000 });
    });
}

test('giaoband, an old or a new worker dies in the middle of an upgrade: it is done all the same, and everybody is in', async () => {
    for (const [program, afterMs, index] of [['giaoband', 600, 0], ['giaoban-media', 500, 0], ['giaoban-media', 500, 3]]) {
        const before = running();
        const at = Date.now();
        const upgraded = world.server.ctl('upgrade');
        await pause(afterMs); // endpoints move, on a quiet machine; later nothing is upgraded any more, which changes nothing
        const pid = world.server.pids(program)[index] ?? world.server.pids(program).at(-1);
        process.kill(pid, 'SIGKILL');
        assert.match(await upgraded, /everything that runs is new/);
        await until('everybody to be in', () => b.sim.status().joined === UNITS.length && world.server.pids('giaoban-media').length === 2, { timeout_ms: 20000 });
        measured(`upgrade with a kill of ${program} ${index}`, { back_ms: Date.now() - at }, { back_ms: 5000 });
        for (const program of PROGRAMS) for (const now of running()[program]) assert.ok(!before[program].includes(now), `${program} ${now}`);
        assert.deepEqual(await world.stateOf(b), state);
    }
});

test('a stop in mid-recording: what was heard last is on disk', async () => {
    const rooms = world.listeners(b, await watching([b.sim], async () => {
        await pause(1000);
        world.server.child.kill('SIGTERM');
        assert.deepEqual(await world.server.exited, { code: 0, signal: null });
    }));
    const to = b.sim.windows.at(-1).to_us;
    const lastHeardUs = Math.max(...rooms.map((r) => to - r.gap_us));
    const { times } = sound(dir, b.numbers[UNITS[0]]);
    const lost = round(Math.max(0, lastHeardUs - Math.max(...times)) / 1000);
    measured('stop in mid-recording', { lost_ms: lost }, { lost_ms: 40 });
    await world.server.launch();
    await until('everybody to be in again', () => {
        assert.equal(b.sim.status().joined, UNITS.length, `${JSON.stringify(b.sim.status())}\n${b.sim.log.slice(-2000)}\n${world.server.log.slice(-6000)}`);
        return true;
    }, { timeout_ms: 30000 });
});

test('the recording of it all has no hole but the stop, and as much sound as was heard', async () => {
    await world.conduct(b);
    await pause(3000);
    await world.ask(b, 'close');
    await until('the manifest', () => existsSync(join(dir, 'manifest.json')), { timeout_ms: 30000 });
    const holes = lines(dir, 'ledger.jsonl');
    assert.deepEqual(holes.filter((h) => h.reason !== 'interrupted'), []);
    const { times, missing } = sound(dir, b.numbers[UNITS[0]]);
    assert.equal(missing, 0, 'numbers of packets of the speaker’s sound');
    const interrupted = holes.filter((h) => h.track === b.numbers[UNITS[0]] * 4 + 1);
    assert.ok(interrupted.length <= 3, JSON.stringify(interrupted)); // the stop, and workers that were killed
    const away = interrupted.reduce((sum, h) => sum + (h.to_us - h.from_us) / 1000, 0);
    const moved = round(missingMs(times) - away);
    // seven moves of the speaker and two deaths of a worker: it was on the way to another worker, and nobody heard it
    measured('recording over seven upgrades and a stop', { lost_ms: moved, ledger_ms: round(away) }, { lost_ms: 9 * 500 });
});
