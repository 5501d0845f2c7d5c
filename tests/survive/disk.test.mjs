// The disk fills up in mid-briefing: the briefing goes on, whoever can do something about it is told, recording waits and goes
// on by itself, and the log is written from its reserve. And a worker whose feed is not what it should be.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { openSync, readFileSync, readdirSync, readlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { decode } from '../e2e/decode.mjs';
import { pause, until } from '../e2e/server.mjs';
import { Peer, api, session } from '../e2e/wire.mjs';
import { Disk, MB } from './disk.mjs';
import { World, gapMs, measured, nowUs, round, watching } from './world.mjs';

const run = promisify(execFile);
const UNITS = ['h-muong-lat', 'h-ba-thuoc', 'h-quan-son'];
const SPARE_MB = 16;
const SETTINGS = { 'limits.messages_per_second': 10000, 'recording.spare_mb': SPARE_MB, 'recording.min_free_mb': 24, 'store.reserve_mb': 8 };
const open = [];

after(async () => {
    for (const { world, disk } of open) {
        await world.stop();
        disk.remove();
    }
});

async function begin(megabytes, settings = {}) {
    const disk = new Disk(megabytes);
    const world = await disk.within(() => World.start({ ...SETTINGS, ...settings }));
    open.push({ world, disk });
    return { world, disk };
}

const told = (b, name) => b.secretary.notices.filter((n) => n.notice === name).at(-1)?.data;
const lines = (world, b, name) =>
    readFileSync(join(world.server.data, 'recordings', b.id, name), 'utf8')
        .split('\n')
        .filter(Boolean)
        .map((l) => JSON.parse(l));

async function programmeOf(world, b) {
    await world.ask(b, 'close');
    b.closedUs = nowUs();
    await until(
        'the programme',
        async () => {
            const { json } = await api(world.server, 'GET', `archive/${b.id}`, { cookie: b.cookie });
            assert.notEqual(json?.state, 'failed', JSON.stringify(json));
            return json?.state === 'ready';
        },
        { timeout_ms: 120000, every_ms: 250 },
    );
    const dir = join(world.server.data, 'recordings', b.id);
    return decode(join(dir, readdirSync(dir).find((n) => n.startsWith('programme.'))));
}

/** Longest time in ms, after the first second, for which the stage's picture is not another one. */
function longestStillMs(content) {
    const shown = content.frames.filter((f) => f.t > 1 && f.source !== null);
    let longest = 0;
    let since = shown[0].t;
    for (let i = 1; i < shown.length; i++) {
        if (shown[i].frame === shown[i - 1].frame) continue;
        longest = Math.max(longest, shown[i].t - since);
        since = shown[i].t;
    }
    return longest * 1000;
}

test('before the opening the chair is told for how long a small disk lasts', async () => {
    const { world, disk } = await begin(192);
    const briefing = await world.server.briefing(['vp-ubnd', ...UNITS], { record: true });
    const chair = await Peer.open(world.server, await session(world.server, await briefing.link('vp-ubnd', 'chair')));
    assert.ok((await chair.ask('hello', { briefing: briefing.id, kind: 'desk', resume: null })).result);
    const notice = await until('the estimate', () => chair.notices.find((n) => n.notice === 'recorder' && n.data.code === 'disk-short')?.data);
    const expected = ((disk.free() - SPARE_MB * MB) * 8) / 7e6;
    assert.equal(notice.healthy, true);
    assert.ok(Math.abs(notice.left_s - expected) <= 3, `${notice.left_s} s told, ${expected} s expected`);
    assert.ok((await chair.ask('open')).result, 'it is no refusal');
    const recording = await until('the recorder', () => chair.notices.find((n) => n.notice === 'recorder' && n.data.synced_s > 0)?.data);
    assert.deepEqual([recording.healthy, recording.code], [true, 'disk-soon'], 'less than 15 minutes at the rate that is to be expected');
    assert.ok(recording.left_s > 0);
    const metrics = await world.server.metrics();
    assert.equal(metrics.giaoban_recorders_short_of_disk, 1);
    assert.ok(metrics.giaoban_recording_left_seconds > 0 && metrics.giaoban_recording_left_seconds <= expected);
    assert.deepEqual(chair.check.complaints, []);
    await chair.close();
});

test('the disk fills up while recording: nobody hears it, staff is told, recording goes on by itself and nothing is missing', async () => {
    const { world, disk } = await begin(160);
    const b = await world.briefing(UNITS, { record: true });
    await until('something to be on disk', () => told(b, 'recorder')?.synced_s > 2);
    const baseline = gapMs(world.listeners(b, await watching([b.sim], () => pause(4000))));
    let toldMs, backMs;
    const during = await watching([b.sim], async () => {
        let at = nowUs();
        disk.fillUpTo((SPARE_MB - 2) * MB);
        await until('staff to be told', () => told(b, 'recorder')?.code === 'disk-full', { every_ms: 10 });
        toldMs = (nowUs() - at) / 1000;
        assert.equal(told(b, 'recorder').healthy, false);
        assert.equal((await world.server.metrics()).giaoban_recorders_unwell, 1);
        await world.ask(b, 'mute-all');
        await world.ask(b, 'grant', { endpoint: b.numbers[UNITS[0]] });
        await pause(8000);
        assert.ok(disk.free() > (SPARE_MB - 3) * MB, 'the recorder leaves what is not its own');
        at = nowUs();
        disk.makeRoom();
        await until('recording to go on', () => told(b, 'recorder')?.healthy === true, { every_ms: 10 });
        backMs = (nowUs() - at) / 1000;
    });
    const gap = gapMs(world.listeners(b, during));
    await pause(3000);
    const content = await programmeOf(world, b);
    const ledger = lines(world, b, 'ledger.jsonl');
    const still = longestStillMs(content);
    measured(
        'disk full while recording, 8 s',
        { gap_ms: round(Math.max(0, gap - baseline)), lost_ms: ledger.length, told_ms: round(toldMs), back_ms: round(backMs), still_ms: Math.round(still), baseline_ms: round(baseline) },
        { gap_ms: 40, lost_ms: 0, told_ms: 2500, back_ms: 3500, still_ms: 400 },
    );
    assert.deepEqual(ledger, []);
    const length = content.frames.length / content.fps;
    assert.ok(Math.abs(length - (b.closedUs - b.openedUs) / 1e6) < 1.5, `${length} s`);
    assert.deepEqual(b.secretary.check.complaints, []);
});

test('a programme is not begun on a disk that it would fill, and is composed when there is room', async () => {
    const { world, disk } = await begin(160);
    const b = await world.briefing(UNITS, { record: true });
    await until('ten seconds to be on disk', () => told(b, 'recorder')?.synced_s > 10);
    disk.fillUpTo((SPARE_MB + 1.5) * MB); // ten seconds of it take 2.4 MB
    await until('control to see it', async () => (await world.server.metrics()).giaoban_disk_free_bytes < (SPARE_MB + 1.6) * MB);
    await world.ask(b, 'close');
    await until('it to wait', () => world.server.log.includes('its programme waits until'));
    const state = async () => (await api(world.server, 'GET', `archive/${b.id}`, { cookie: b.cookie })).json?.state;
    assert.equal(await state(), 'queued');
    assert.ok(readdirSync(join(world.server.data, 'recordings', b.id)).includes('manifest.json'), 'what is recorded is whole');
    disk.makeRoom();
    await until('the programme', async () => (await state()) === 'ready', { timeout_ms: 60000 });
});

test('longer than the feeds can keep: the ledger says disk-full to the packet, and decoding agrees', async () => {
    const { world, disk } = await begin(160, { 'recording.feed_bytes': MB });
    const b = await world.briefing(UNITS, { record: true });
    await until('something to be on disk', () => told(b, 'recorder')?.synced_s > 2);
    disk.fillUpTo((SPARE_MB - 2) * MB);
    await until('staff to be told', () => told(b, 'recorder')?.code === 'disk-full');
    await until('the feeds to be full', async () => (await world.server.counter('feed_dropped')) > 0, { timeout_ms: 40000 });
    await pause(6000);
    disk.makeRoom();
    await until('recording to go on', () => told(b, 'recorder')?.healthy === true);
    await pause(5000);
    const dropped = await world.server.counter('feed_dropped');
    const content = await programmeOf(world, b);
    const ledger = lines(world, b, 'ledger.jsonl');
    const full = ledger.filter((l) => l.reason === 'disk-full');
    assert.ok(full.length > 0 && ledger.length === full.length, JSON.stringify(ledger));
    if (process.env.GIAOBAN_LOG) console.log([...ledger, ...lines(world, b, 'tracks.jsonl')].map((l) => JSON.stringify(l)).join('\n'), JSON.stringify(b.numbers));
    const missing = full.reduce((sum, l) => sum + l.missing, 0);
    // a picture of which only some packets came is missing as a whole
    for (const l of full) assert.ok(l.packets === l.to_seq - l.from_seq + 1 && l.missing <= l.packets && l.missing > l.packets - 40, JSON.stringify(l));
    assert.ok(missing <= dropped, `${missing} packets in the ledger, ${dropped} records dropped`);
    const stage = b.numbers[UNITS[0]] * 4 + 2;
    const hole = full.filter((l) => l.track === stage).map((l) => (l.to_us - l.from_us) / 1000);
    const lost = Math.max(...hole);
    const still = longestStillMs(content);
    measured('disk full while recording, longer than the feeds keep', { lost_ms: Math.round(lost), ledger_error_ms: Math.round(Math.abs(still - lost)) }, { ledger_error_ms: 500 });
});

test('a log on a full disk uses its reserve: nothing is refused, nothing lost, also over a kill of control', async () => {
    const { world, disk } = await begin(96);
    const b = await world.briefing(UNITS, { record: true });
    const wanted = (await world.server.metrics()).giaoban_log_reserve_wanted_bytes;
    assert.equal(wanted, 8 * MB);
    assert.equal((await world.server.metrics()).giaoban_log_reserve_bytes, wanted);
    const baseline = gapMs(world.listeners(b, await watching([b.sim], () => pause(3000))));
    let refused = 0;
    const hands = async (times) => {
        for (let i = 0; i < times; i++)
            for (const method of ['raise-hand', 'lower-hand']) if ((await b.secretary.ask(method, { endpoint: b.numbers[UNITS[2]] })).error) refused++;
    };
    const during = await watching([b.sim], async () => {
        disk.fillUpTo(0);
        assert.equal(disk.free(), 0);
        await hands(100);
        await until('staff to be told', () => told(b, 'alarm')?.codes.includes('log-reserve'));
        world.server.kill('giaoband');
        await b.secretary.closed;
        await until('control to be back', () => world.conduct(b).then(() => true), { timeout_ms: 15000 });
        assert.equal(b.state.state, 'open');
        await hands(100);
        await world.ask(b, 'grant', { endpoint: b.numbers[UNITS[1]] });
        await world.ask(b, 'grant', { endpoint: b.numbers[UNITS[0]] });
    });
    const left = (await world.server.metrics()).giaoban_log_reserve_bytes;
    assert.ok(left < wanted && left > 0, `${left} of ${wanted} bytes`);
    const gap = gapMs(world.listeners(b, during));
    disk.makeRoom();
    const at = nowUs();
    await until('the reserve to be whole again', async () => (await world.server.metrics()).giaoban_log_reserve_bytes === wanted, { timeout_ms: 30000 });
    const backMs = (nowUs() - at) / 1000;
    await until('staff to be told that it is over', () => told(b, 'alarm')?.codes.length === 0);
    const { stdout } = await run('sqlite3', ['-readonly', join(world.server.data, 'giaoban.db'), `SELECT count(*), max(seq), count(DISTINCT seq) FROM events WHERE briefing='${b.id}'`]);
    const [count, last, distinct] = stdout.trim().split('|').map(Number);
    assert.ok(count >= 402 && count === last && distinct === count, stdout);
    measured('log on a full disk', { gap_ms: round(Math.max(0, gap - baseline)), refused, lost_ms: 0, reserve_used_kb: (wanted - left) / 1024, back_ms: round(backMs), baseline_ms: round(baseline) }, { gap_ms: 40, refused: 0, back_ms: 12000 });
    assert.deepEqual(b.secretary.check.complaints, []);
});

test('without a reserve what can’t be written is refused with a sentence, and what was acted on at once is undone', async () => {
    const { world, disk } = await begin(96, { 'store.reserve_mb': 0 });
    const b = await world.briefing(UNITS);
    disk.fillUpTo(0);
    const error = await until('a refusal', async () => (await b.secretary.ask('raise-hand', { endpoint: b.numbers[UNITS[2]] })).error ?? (await b.secretary.ask('lower-hand', { endpoint: b.numbers[UNITS[2]] })).error, { every_ms: 1, timeout_ms: 60000 });
    assert.equal(error.code, 'disk-full');
    assert.match(error.vi, /đã đầy/);
    assert.match(error.en, /disk is full/);
    await until('staff to be told', () => told(b, 'alarm')?.codes.includes('log-full'));
    assert.ok(readFileSync(`/proc/${world.server.pids('giaoband')[0]}/stat`), 'control lives');
    const holder = b.numbers[UNITS[0]];
    const before = b.secretary.events.length;
    assert.equal((await b.secretary.ask('mute', { endpoint: holder })).error?.code, 'disk-full');
    const late = await Peer.open(world.server, b.cookie).catch((e) => e);
    if (late instanceof Peer) {
        assert.equal((await late.ask('hello', { briefing: b.id, kind: 'room', resume: null })).error?.code, 'disk-full');
        await late.close();
    }
    const heard = world.listeners(b, await watching([b.sim], () => pause(2000)));
    const gap = gapMs(heard);
    assert.equal(b.secretary.events.length, before, 'nothing was told that is not in the log');
    const state = await world.stateOf(b);
    assert.equal(state.floor, holder);
    assert.equal(state.endpoints.find((e) => e.number === holder).microphone, true);
    disk.makeRoom();
    await world.ask(b, 'mute', { endpoint: holder });
    await until('staff to be told that it is over', () => told(b, 'alarm')?.codes.length === 0);
    measured('a mute that could not be written', { gap_ms: round(Math.max(0, gap)) }, { gap_ms: 100 });
    assert.deepEqual(b.secretary.check.complaints, []);
});

/** Writes into a feed what its writer never would: everybody who has the memory open is a way to it. */
function breakFeed(supervisor) {
    const dir = `/proc/${supervisor}/fd`;
    const feeds = readdirSync(dir).filter((fd) => readlinkSync(join(dir, fd)).startsWith('/memfd:giaoban-feed '));
    assert.equal(feeds.length, 1, 'one worker, one recorder');
    const fd = openSync(join(dir, feeds[0]), 'r+'); // closed with the process: what is behind it is gone by then
    const head = Buffer.alloc(8);
    head.writeBigUInt64LE(1n << 40n);
    writeSync(fd, head, 0, 8, 32);
    return () => writeSync(fd, head, 0, 8, 32);
}

test('a feed whose writer breaks the format: that worker is killed, its rooms come back, recording goes on with a new feed', async () => {
    const { world } = await begin(192, { workers: 1, placement: 'home' });
    const b = await world.briefing(UNITS, { record: true });
    await until('something to be on disk', () => told(b, 'recorder')?.synced_s > 2);
    const worker = world.server.pids('giaoban-media')[0];
    const at = nowUs();
    const lie = breakFeed(world.server.child.pid); // the writer puts it right with its next packet, and the reader looks every 20 ms
    await until('the worker to be gone', () => lie() && !world.server.pids('giaoban-media').includes(worker), { every_ms: 1 });
    const killedMs = (nowUs() - at) / 1000;
    await until('the rooms to be back', () => b.sim.status()?.joined === UNITS.length, { timeout_ms: 15000 });
    assert.equal((await world.server.metrics()).giaoban_feeds_broken_total, 1);
    const synced = told(b, 'recorder').synced_s;
    await until('recording to go on', () => told(b, 'recorder')?.synced_s > synced + 4);
    await pause(2000);
    assert.equal(world.server.pids('giaoban-recorder').length, 1);
    const content = await programmeOf(world, b);
    const ledger = lines(world, b, 'ledger.jsonl');
    assert.equal(ledger.filter((l) => l.reason === 'feed-broken').length, 1, JSON.stringify(ledger));
    measured('a feed that is broken', { killed_ms: round(killedMs), still_ms: Math.round(longestStillMs(content)) }, { killed_ms: 500, still_ms: 3000 });
});
