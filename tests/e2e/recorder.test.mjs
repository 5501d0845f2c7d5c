// What is told when a briefing can't be recorded, and that it is held all the same; how long control's loop ever waits.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { Server, figure, pause, until } from './server.mjs';
import { Peer, api, session } from './wire.mjs';

const run = promisify(execFile);
let server, full, recorded;

before(async () => {
    server = await Server.start();
});

after(async () => {
    await server?.stop();
    await full?.stop();
});

async function chairOf(on, briefing) {
    const cookie = await session(on, await briefing.link('vp-ubnd', 'chair'));
    const peer = await Peer.open(on, cookie);
    const hello = await peer.ask('hello', { briefing: briefing.id, kind: 'desk', resume: null });
    assert.ok(hello.result, JSON.stringify(hello));
    const told = () => peer.notices.filter((n) => n.notice === 'recorder').at(-1)?.data;
    const recording = () => peer.events.filter((e) => e.event === 'recording').at(-1)?.data.on ?? false;
    return { peer, cookie, told, recording };
}

function assertSound(peer) {
    assert.deepEqual(peer.check.complaints, []);
}

test('a recorder that can’t store: switching on is refused, a briefing to be recorded opens unrecorded and says so', async () => {
    const briefing = await server.briefing(['vp-ubnd', 'h-muong-lat'], { record: true });
    const place = join(server.data, 'recordings', briefing.id);
    mkdirSync(join(server.data, 'recordings'), { recursive: true });
    writeFileSync(place, 'in the way');
    const { peer, cookie, told, recording } = await chairOf(server, briefing);
    recorded = { id: briefing.id, cookie };
    await until('the chair to be told before the opening', () => told()?.healthy === false);
    assert.equal(told().code, 'recorder-unhealthy');
    assert.ok((await peer.ask('open')).result, 'the briefing is held all the same');
    assert.equal(recording(), false);
    assert.equal((await peer.ask('record', { on: true })).error?.code, 'recorder-unhealthy');
    rmSync(place);
    await until('the chair to be told that it is well', () => told()?.healthy === true);
    assert.ok((await peer.ask('record', { on: true })).result);
    await until('something to be on disk', () => recording() && told()?.synced_s > 0);
    assert.ok((await peer.ask('record', { on: false })).result);
    await pause(6500); // longer than a recorder may be silent
    assert.ok((await peer.ask('record', { on: true })).result, 'a pause is no ailment');
    assertSound(peer);
    assert.ok((await peer.ask('close')).result);
    await peer.close();
});

test('a full disk: refused, and told', async () => {
    full = await Server.start({ settings: { 'recording.min_free_mb': 1000000000 } });
    const briefing = await full.briefing(['vp-ubnd', 'h-muong-lat'], { record: false });
    const { peer, told } = await chairOf(full, briefing);
    assert.ok((await peer.ask('open')).result);
    assert.equal((await peer.ask('record', { on: true })).error?.code, 'disk-full');
    assert.equal(told(), undefined, 'nobody asked for a recording');
    assertSound(peer);
    await peer.close();
});

test('a hello that is refused leaves no secret behind', async () => {
    const briefing = await server.briefing(['vp-ubnd', 'h-muong-lat']);
    const { peer } = await chairOf(server, briefing);
    const cookie = await session(server, await briefing.link('h-muong-lat'));
    const hello = (room) => room.ask('hello', { briefing: briefing.id, kind: 'room', resume: null });
    const secrets = async () => Number((await run('sqlite3', ['-readonly', join(server.data, 'giaoban.db'), 'SELECT count(*) FROM secrets'])).stdout);
    const room = await Peer.open(server, cookie);
    const { number } = (await hello(room)).result;
    const kept = await secrets();
    assert.ok(kept >= 2, 'chair and room have theirs');
    assert.ok((await peer.ask('remove', { endpoint: number })).result);
    await room.closed;
    const again = await Peer.open(server, cookie);
    assert.equal((await hello(again)).error?.code, 'removed');
    assert.ok((await peer.ask('open')).result); // committed after whatever the hello wrote
    assert.equal(await secrets(), kept);
    await again.close();
    await peer.close();
});

test('a recording’s page keeps the loop no longer than the rest', async () => {
    const pages = [];
    for (let i = 0; i < 20; i++) pages.push(api(server, 'GET', `archive/${recorded.id}`, { cookie: recorded.cookie }));
    for (const page of await Promise.all(pages)) assert.equal(page.status, 200);
    const { giaoban_control_longest_turn_us: longest, giaoban_control_longest_turn_cpu_us: worked, giaoban_control_slow_turns_total: slow } = await server.metrics();
    figure({ case: 'control loop', ok: slow === 0, longest_turn_us: longest, longest_turn_cpu_us: worked, slow_turns: slow });
    assert.ok(worked > 0 && worked <= longest + 1000, `${worked} us of ${longest}`);
    assert.ok(longest > 0 && longest < 250000, `${longest} us`);
});
