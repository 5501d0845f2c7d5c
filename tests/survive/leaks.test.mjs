// Rooms join and leave, again and again, in a briefing that is recorded: no process grows. Built with a sanitizer (GIAOBAN_BIN) the
// question is another one: nothing that was allocated is lost at an orderly end, composer included.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Server, pause, root, until } from '../e2e/server.mjs';
import { figure } from './world.mjs';

const sanitized = process.env.GIAOBAN_SANITIZED === 'yes';
const ROOMS = sanitized ? 20 : 50; // a simulator with a sanitizer has time for no more
const ROUNDS = 200 / ROOMS;
const GROWTH = 1.05;
// Before them: giaoband keeps the last thousand events of a briefing and SQLite its pages, the worker touches its pool for the
// first time. More than 511 endpoints a briefing never has, and each join is one.
const WARM_UP = 6;
const units = JSON.parse(readFileSync(join(root, 'config', 'units.thanhhoa.json'), 'utf8')).map((u) => u.id);
const programs = ['giaoband', 'giaoban-media', 'giaoban-recorder'];

/** Without shared memory: feeds come and go with recorders and mirrors. */
function residentKb(pid) {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const kb = (name) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)[1]);
    return kb('VmRSS') - kb('RssShmem');
}

/** Every room comes in, sends for a moment, and leaves. */
async function round(server, links, ...how) {
    const sim = await server.rooms(links, '--at-once', ...how);
    await until(`${links.length} rooms to be in`, () => sim.status()?.joined >= links.length, { timeout_ms: sanitized ? 60000 : 30000 });
    sim.child.kill('SIGTERM');
    await sim.ended;
    await until('the rooms to have left', async () => / endpoints=0 /.test(await server.ctl('status')), { timeout_ms: 30000 });
    server.sims = server.sims.filter((s) => s !== sim);
}

async function settled(pid) {
    let kb = residentKb(pid);
    await until('a process to be at rest', async () => {
        const former = kb;
        await pause(200);
        return (kb = residentKb(pid)) <= former;
    });
    return kb;
}

test('two hundred joins and leaves cost no memory', async () => {
    const server = await Server.start({ settings: { workers: 1, placement: 'home', 'limits.sockets_source': 1000, 'limits.joins_per_second': 1000 } });
    try {
        const briefing = await server.briefing(units, { record: true });
        const links = [await briefing.link(units[0], 'chair')];
        while (links.length < ROOMS) links.push(await briefing.link(units[links.length % units.length], 'delegate'));
        await server.ctl('briefing', 'open', briefing.id);
        await until('the recorder', () => server.pids('giaoban-recorder').length === 1);
        const pids = Object.fromEntries(programs.map((name) => [name, server.pids(name)[0]]));
        const read = async () => {
            const kb = {};
            for (const name of programs) kb[name] = await settled(pids[name]);
            return kb;
        };
        const pictures = ['--size', '320x192', '--fps', '5', '--cache', join(server.data, 'cache')];
        for (let i = 0; i < (sanitized ? 0 : WARM_UP); i++) await round(server, links, ...pictures);
        const before = await read();
        for (let i = 0; i < ROUNDS; i++) await round(server, links, ...pictures);
        const after = await read();
        for (const name of programs) {
            assert.equal(server.pids(name)[0], pids[name], `${name} has lived through it`);
            if (sanitized) continue;
            const ok = after[name] <= before[name] * GROWTH;
            figure({ case: `200 joins and leaves: ${name}`, ok, rss_kb_before: before[name], rss_kb_after: after[name], bound: GROWTH });
            assert.ok(after[name] <= before[name] * (1 + 3 * (GROWTH - 1)), `${name} has grown from ${before[name]} to ${after[name]} KB`);
        }
        await server.ctl('briefing', 'close', briefing.id);
        const dir = join(server.data, 'recordings', briefing.id);
        await until('the composed programme', () => existsSync(join(dir, 'programme.mp4')), { timeout_ms: 120000 });
    } finally {
        const how = await server.stop();
        assert.deepEqual(how, { code: 0, signal: null });
    }
});
