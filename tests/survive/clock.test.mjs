// The wall clock of the server is set in mid-recording, by a shim in its processes (the machine's own can't be stepped here).
import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, readFileSync, readdirSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { decode, skews } from '../e2e/decode.mjs';
import { bin, pause, percentile, until } from '../e2e/server.mjs';
import { api } from '../e2e/wire.mjs';
import { World, gapMs, measured, nowUs, round, watching } from './world.mjs';

const UNITS = ['h-muong-lat', 'h-ba-thuoc', 'h-quan-son'];
const HOUR_S = 3600;
const YEAR_S = 365 * 24 * HOUR_S;
let dir, world, b, fd;

function shift(seconds) {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(seconds) * 1000000n);
    writeSync(fd, bytes, 0, 8, 0);
}

/** Programs that this starts have the clock that is set. */
async function onThatMachine(start) {
    process.env.LD_PRELOAD = join(bin, '..', 'tests', 'libshift_clock.so');
    try {
        return await start();
    } finally {
        delete process.env.LD_PRELOAD;
    }
}

before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'giaoban-clock-'));
    const file = join(dir, 'shift');
    writeFileSync(file, Buffer.alloc(8));
    fd = openSync(file, 'r+');
    process.env.SHIFT_CLOCK = file;
    await onThatMachine(async () => {
        world = await World.start();
        b = await world.briefing(UNITS, { record: true });
    });
});

after(async () => {
    await world?.stop();
    if (fd !== undefined) closeSync(fd);
    if (dir) rmSync(dir, { recursive: true });
});

const told = (name) => b.secretary.notices.filter((n) => n.notice === name).at(-1)?.data;
const pong = async () => (await b.secretary.ask('ping', { client_ms: Date.now() })).result.server_ms - Date.now();

test('the clock is set forward, back and forward by a year while recording: no socket ends, nobody hears it, staff is told', async () => {
    const baseline = gapMs(world.listeners(b, await watching([b.sim], () => pause(3000))));
    assert.ok(Math.abs(await pong()) < 1000);
    const during = await watching([b.sim], async () => {
        for (const seconds of [HOUR_S, -2 * HOUR_S, YEAR_S]) {
            const steps = (await world.server.metrics()).giaoban_clock_steps_total;
            shift(seconds);
            const metrics = await until('the step to be seen', async () => {
                const m = await world.server.metrics();
                return m.giaoban_clock_steps_total > steps && m;
            });
            assert.ok(Math.abs(metrics.giaoban_clock_step_seconds - seconds) < 3, `${metrics.giaoban_clock_step_seconds} s`);
            await world.ask(b, 'grant', { endpoint: b.numbers[UNITS[1]] });
            await world.ask(b, 'grant', { endpoint: b.numbers[UNITS[0]] });
            assert.ok(Math.abs(await pong()) < 1000, 'an open briefing has one clock');
            await pause(2000);
        }
    });
    await until('staff to be told', () => told('alarm')?.codes.includes('clock-stepped'));
    assert.equal((await world.server.metrics())['giaoban_alarm{code="clock-stepped"}'], 1);
    assert.equal(b.sim.status().joined, UNITS.length);
    assert.equal(b.sim.status().rejoins, 0);
    assert.equal(told('recorder').healthy, true);
    const heard = during.filter((r) => r.number === b.numbers[UNITS[2]]); // the two others had the floor in turn
    const gap = Math.max(0, gapMs(heard) - baseline);
    const lost = during.reduce((sum, r) => sum + r.lost, 0);
    measured('the clock is set', { gap_ms: round(gap), lost_ms: lost }, { gap_ms: 60, lost_ms: 0 });
});

test('sessions last on: a request, a socket that comes back, and both after a kill of control', async () => {
    const ask = async () => (await api(world.server, 'GET', 'session', { cookie: b.cookie })).status;
    assert.equal(await ask(), 200);
    await world.stateOf(b);
    world.server.kill('giaoband');
    await b.secretary.closed;
    await until('control to be back', () => world.conduct(b).then(() => true), { timeout_ms: 15000 });
    assert.equal(await ask(), 200, 'what was steady is kept for as long as the machine is up');
    assert.ok(Math.abs(await pong()) < 1000);
    assert.ok(Math.abs((await world.server.metrics()).giaoban_clock_step_seconds - YEAR_S) < 5);
    await onThatMachine(() => world.server.ctl('status')); // its tokens are judged by the machine's clock, which is its own too
    shift(0);
    await until('the clock to be right again', async () => (await world.server.metrics()).giaoban_clock_step_seconds === 0);
    assert.equal(await ask(), 200);
});

test('the recording knows nothing of it: whole, in step, and the log’s times run forwards', async () => {
    await pause(1000);
    await world.ask(b, 'close');
    const closedUs = nowUs();
    await until('the programme', async () => (await api(world.server, 'GET', `archive/${b.id}`, { cookie: b.cookie })).json?.state === 'ready', { timeout_ms: 120000, every_ms: 250 });
    const place = join(world.server.data, 'recordings', b.id);
    const content = await decode(join(place, readdirSync(place).find((n) => n.startsWith('programme.'))));
    const events = readFileSync(join(place, 'events.jsonl'), 'utf8').split('\n').filter(Boolean).map((l) => JSON.parse(l)).filter((e) => e.seq);
    for (let i = 1; i < events.length; i++) {
        assert.ok(events[i].at_ms >= events[i - 1].at_ms, `event ${events[i].seq}`);
        const apart = Math.abs(events[i].at_ms - events[i - 1].at_ms - (events[i].at_us - events[i - 1].at_us) / 1000);
        assert.ok(apart < 2100, `event ${events[i].seq}: ${apart} ms between the two clocks`);
    }
    assert.equal(readFileSync(join(place, 'ledger.jsonl'), 'utf8'), '');
    const length = content.frames.length / content.fps;
    assert.ok(Math.abs(length - (closedUs - b.openedUs) / 1e6) < 1.5, `${length} s`);
    const chapters = JSON.parse(readFileSync(join(place, 'chapters.json'), 'utf8'));
    assert.equal(chapters.length, 7);
    for (const c of chapters) assert.ok(c.start_s >= 0 && c.end_s <= length + 0.1 && c.end_s > c.start_s, JSON.stringify(c));
    const found = skews(content).map(({ d }) => Math.abs(d));
    assert.ok(found.length >= 8, `${found.length} flashes with a beep`);
    const skew = Math.round(percentile(found, 80));
    measured('a recording while the clock is set', { av_skew_ms: skew, lost_ms: 0 }, { av_skew_ms: 60 });
});
