// A recorder that dies again and again while it finishes: given up, said, and what is on disk becomes the programme.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { pause, until } from '../e2e/server.mjs';
import { World, figure } from './world.mjs';

const UNITS = ['h-muong-lat', 'h-ba-thuoc', 'h-quan-son'];
let world, b;

before(async () => {
    world = await World.start();
    b = await world.briefing(UNITS, { record: true });
    await pause(4000);
});

after(() => world?.stop());

test('after six deaths the recorder is given up, staff is told, the programme is composed from what is there', async () => {
    const began = Date.now();
    const notices = b.secretary.notices;
    await world.ask(b, 'close');
    let kills = 0;
    await until('the recorder to be given up', () => {
        for (const pid of world.server.pids('giaoban-recorder')) {
            process.kill(pid, 'SIGKILL');
            kills++;
        }
        return /recorder given up/.test(world.server.log);
    }, { timeout_ms: 30000, every_ms: 5 });
    const givenUp = Date.now() - began;
    assert.ok(kills >= 6, `${kills} kills`);
    await until('the secretary to be told', () => notices.some((n) => n.notice === 'recorder' && n.data.code === 'recorder-given-up'));
    await world.composed(b);
    figure({ case: 'recorder given up', ok: true, kills, given_up_ms: givenUp, back_ms: Date.now() - began - givenUp });
});
