// Two hundred join a running briefing in the same moment: those who are in already notice nothing, nobody is turned away.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Server, idleMeter, pause, root, until } from '../e2e/server.mjs';
import { measuredIdle, round } from './world.mjs';

const ROOMS = 8;
const CROWD = 200;
const units = JSON.parse(readFileSync(join(root, 'config', 'units.thanhhoa.json'), 'utf8')).map((u) => u.id);
let server, rooms, crowd, links;

before(async () => {
    server = await Server.start({ settings: { workers: 1, placement: 'home' } });
    const briefing = await server.briefing(units);
    links = [await briefing.link(units[0], 'chair')];
    for (let i = 1; i < ROOMS + CROWD; i++) links.push(await briefing.link(units[1 + (i % (units.length - 1))], i < ROOMS ? 'delegate' : 'observer'));
    await server.ctl('briefing', 'open', briefing.id);
    rooms = await server.rooms(links.slice(0, ROOMS), '--speak', '--latency');
    await until('the rooms to be in', () => rooms.status()?.joined === ROOMS, { timeout_ms: 60000 });
});

after(() => server?.stop());

/** The rooms' figures over the time of `doing`; their status comes once a second. */
async function during(doing) {
    rooms.child.kill('SIGUSR2');
    await pause(1100);
    const start = rooms.status();
    await doing();
    await pause(1100);
    const end = rooms.status();
    return {
        p99_ms: end.latency_us_p99 / 1000,
        gap_ms: end.stage_gap_ms,
        lost: end.lost_packets - start.lost_packets,
        rejoins: end.rejoins - start.rejoins,
        resumes: end.resumes - start.resumes,
        joined: end.joined,
        packets: end.latency_packets,
    };
}

test('200 join at once: all are in within 10 s, those already in keep latency, sound and their seats', async () => {
    const quiet = await during(() => pause(4000));
    const idle = idleMeter();
    const busy = await during(async () => {
        crowd = await server.rooms(links.slice(ROOMS), '--view', '--at-once');
        setPriority(crowd.child.pid, 19); // the rooms' figures are not to be the simulator's own hunger
        await until('all to be in', () => crowd.status()?.all_in_ms, { timeout_ms: 40000 });
    });
    const idle_percent = idle();
    const counted = await server.metrics();
    const late = crowd.status();
    assert.equal(late.joined, CROWD);
    assert.equal(late.rejoins + late.resumes, 0, 'nobody was turned away or came twice');
    assert.deepEqual([busy.lost, busy.rejoins, busy.resumes, busy.joined], [0, 0, 0, ROOMS], 'those already in lost something');
    assert.ok(busy.packets > 1000, 'the rooms were measured');
    assert.ok(counted.giaoban_joins_waited_total >= CROWD / 2, 'they were let in one by one');
    assert.equal(counted.giaoban_joins_waiting, 0);
    measuredIdle(
        '200 joins at once',
        idle_percent,
        {
            all_in_ms: late.all_in_ms,
            p99_ms: busy.p99_ms,
            gap_ms: round(Math.max(0, busy.gap_ms - quiet.gap_ms)),
            quiet_p99_ms: quiet.p99_ms,
            control_turn_ms: counted.giaoban_control_longest_turn_us / 1000,
            worker_turn_ms: counted['giaoban_media_longest_turn_us{worker="0"}'] / 1000,
        },
        { all_in_ms: 10000, p99_ms: 20 },
    );
});

test('their worker dies: all 208 offer at once, wait for a worker’s hand, none is blamed, all are back', async () => {
    const before = await server.metrics();
    const idle = idleMeter();
    const at = Date.now();
    server.kill('giaoban-media');
    await until('nobody to be left', async () => (await server.metrics()).giaoban_endpoints_media < ROOMS, { every_ms: 20 });
    await until('all to be back', async () => (await server.metrics()).giaoban_endpoints_media === ROOMS + CROWD, { timeout_ms: 30000, every_ms: 20 });
    const back_ms = Date.now() - at;
    const m = await server.metrics();
    assert.ok(m.giaoban_offers_waited_total - before.giaoban_offers_waited_total > CROWD / 4, 'most waited for their turn');
    assert.equal(m.giaoban_offers_waiting, 0);
    assert.equal(m.giaoban_offers_refused_total, before.giaoban_offers_refused_total, 'nobody was refused');
    assert.doesNotMatch(server.log, /quarantined/);
    measuredIdle('kill of a worker with 208 endpoints', idle(), { back_ms, worker_turn_ms: m['giaoban_media_longest_turn_us{worker="0"}'] / 1000 }, { back_ms: 2000 });
});
