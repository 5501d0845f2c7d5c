// giaoband is killed and stopped: nobody hears it, sockets come back, everything is as before; a mute that is not in the log yet holds.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { idleMeter, pause, until } from '../e2e/server.mjs';
import { MOMENTS, SILENCE_MS, World, gapMs, inWorld, measured, nowUs, randomness, round, watching } from './world.mjs';

const UNITS = ['h-muong-lat', 'h-ba-thuoc', 'h-quan-son', 'h-lang-chanh'];
const WINDOW_MS = 3000;
const random = randomness('control');

function assertUntouched(rooms) {
    assert.equal(rooms.reduce((sum, r) => sum + r.lost, 0), 0, 'packets were lost');
    assert.equal(rooms.reduce((sum, r) => sum + r.rejoins, 0), 0, 'somebody joined anew');
    for (const r of rooms) assert.equal(r.resumes, 1, `room ${r.number} came back ${r.resumes} times`);
}

/** Control dies by `how`, which yields the moment; everybody is back, and everything is as before. */
async function dies(world, name, how, more = {}) {
    const b = await world.briefing(UNITS, { record: true });
    const before = await world.stateOf(b);
    const heard = (rooms) => gapMs(world.listeners(b, rooms));
    const baseline = heard(await watching([b.sim], () => pause(WINDOW_MS)));
    const wait = random.between(0, 1000);
    const idle = idleMeter();
    let at;
    const rooms = await watching([b.sim], async () => {
        await pause(wait);
        at = await how();
        await until('the rooms to be back', () => b.sim.status().resumes === UNITS.length, { timeout_ms: 15000 });
        await pause(WINDOW_MS - wait);
    });
    assertUntouched(rooms);
    const back = Math.max(...rooms.map((r) => r.live_us - at)) / 1000;
    measured(name, { gap_ms: round(heard(rooms) - baseline), baseline_ms: round(baseline), lost_ms: 0, back_ms: round(back), idle_percent: idle(), ...more }, { gap_ms: 40, back_ms: 2000 });
    assert.deepEqual(await world.stateOf(b), before);
}

test('kill −9 of control: no gap, sockets back within 2 s, state as before', async () => {
    for (let i = 0; i < MOMENTS; i++)
        await inWorld({}, (world) =>
            dies(world, 'kill of control', () => {
                const at = nowUs();
                world.server.kill('giaoband');
                return at;
            }),
        );
});

test('control stopped for 5 s is killed by then, and nobody hears it', async () => {
    await inWorld({}, (world) =>
        dies(world, 'control stopped', async () => {
            const stop = await world.stopped(world.started('control'));
            assert.ok(stop, 'it was not killed');
            measured('control stopped: until it is killed', { silent_ms: stop.silent_ms }, { silent_ms: SILENCE_MS });
            return stop.at;
        }),
    );
});

test('what is acted on before the log', async (t) => {
    let world, briefing;
    const holders = [];
    t.before(async () => {
        world = await World.start();
        briefing = await world.briefing(UNITS, { record: true, options: ['--ignore-mute'] });
    });
    t.after(async () => {
        for (const holder of holders) holder.kill();
        await world?.stop();
    });

    /** Another program writes to the database and takes its time: no append gets through. */
    function holdTheLog() {
        const sqlite = spawn('sqlite3', [join(world.server.data, 'giaoban.db')], { stdio: ['pipe', 'pipe', 'inherit'] });
        let said = '';
        sqlite.stdout.on('data', (bytes) => (said += bytes));
        const ended = new Promise((resolve) => sqlite.on('exit', resolve));
        sqlite.stdin.write(".bail on\n.timeout 5000\nBEGIN IMMEDIATE;\nSELECT 'held';\n");
        holders.push(sqlite);
        return {
            held: () => until('the log to be held', () => said.includes('held')),
            release: () => {
                sqlite.stdin.end('ROLLBACK;\n');
                return ended;
            },
        };
    }

    /** Its microphone is open and nobody hears it: the room itself sends whatever it is told. */
    async function assertSilenced(what) {
        const rooms = await watching([briefing.sim], () => pause(500));
        for (const r of world.listeners(briefing, rooms)) assert.equal(r.sound, 0, `room ${r.number} hears it ${what}`);
    }

    async function restrictedBeforeTheLog(method, endpoint) {
        const lock = holdTheLog();
        await lock.held();
        const answer = briefing.secretary.ask(method, { endpoint }).catch(() => null);
        await until('the worker to act', async () => (await watching([briefing.sim], () => pause(200))).every((r) => r.sound === 0));
        const recorded = () => world.server.log.split('restriction recovered').length - 1;
        const recovered = recorded();
        world.server.kill('giaoband');
        assert.equal(await answer, null, 'it was in the log before control died');
        await assertSilenced('while control is away');
        await lock.release();
        await until('control to have appended it', () => recorded() > recovered, { timeout_ms: 15000 });
        await assertSilenced('after control is back');
    }

    await t.test('a mute acted on and not yet in the log when control dies stays in force', async () => {
        const speaker = briefing.numbers[UNITS[0]];
        await restrictedBeforeTheLog('mute', speaker);
        const state = await world.stateOf(briefing);
        assert.equal(state.endpoints.find((e) => e.number === speaker).microphone, false);
        measured('mute before the log', { muted: 1 }, {});
    });

    await t.test('a removal acted on and not yet in the log when control dies stays in force', async () => {
        const second = briefing.numbers[UNITS[1]];
        await world.ask(briefing, 'grant', { endpoint: second });
        await until('the second room to be heard', async () => (await watching([briefing.sim], () => pause(300))).some((r) => r.sound > 5));
        await restrictedBeforeTheLog('remove', second);
        const state = await world.stateOf(briefing);
        assert.ok(!state.endpoints.some((e) => e.number === second && e.connected), 'it is still in');
        measured('removal before the log', { removed: 1 }, {});
    });
});
