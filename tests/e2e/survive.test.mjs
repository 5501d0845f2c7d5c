// Each plane is killed in mid-briefing; the others go on.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { chromium, firefox } from './browsers.mjs';
import { Endpoint } from './endpoint.mjs';
import { Server, figure, pause, until } from './server.mjs';
import { Peer, session } from './wire.mjs';

const UNITS = ['h-muong-lat', 'h-ba-thuoc', 'h-quan-son', 'h-lang-chanh'];
let server, briefing, sims, browsers = {}, chair, room, conductor, numbers;

before(async () => {
    server = await Server.start();
    briefing = await server.briefing(['ubnd-tinh', 'vp-ubnd', 'h-quan-hoa', ...UNITS], { record: true });
    const links = [];
    for (const unit of UNITS) links.push(await briefing.link(unit));
    await server.ctl('briefing', 'open', briefing.id);
    sims = await server.rooms(links);
    await until('four rooms to be in', () => sims.status()?.joined === 4, { timeout_ms: 40000 });
    browsers.chromium = await chromium();
    browsers.firefox = await firefox();
    chair = await Endpoint.open(browsers.chromium, { source: 100, width: 640, height: 360 });
    room = await Endpoint.open(browsers.firefox, { source: 110, width: 640, height: 360 });
    await chair.join(server.plain + (await briefing.link('ubnd-tinh', 'chair')));
    await room.join(server.plain + (await briefing.link('h-quan-hoa')));
    await connectConductor();
    await conduct('grant', { endpoint: numbers['h-muong-lat'] });
    await Promise.all([chair.seesMoving('stage', 0), room.seesMoving('stage', 0)]);
});

after(async () => {
    await conductor?.close();
    for (const browser of Object.values(browsers)) await browser.close().catch(() => {});
    await server?.stop();
});

async function connectConductor() {
    conductor = await Peer.open(server, await session(server, await briefing.link('vp-ubnd', 'secretary')));
    const hello = await conductor.ask('hello', { briefing: briefing.id, kind: 'desk', resume: null });
    assert.ok(hello.result, JSON.stringify(hello));
    numbers = Object.fromEntries(hello.result.state.endpoints.map((e) => [e.unit, e.number]));
    return hello.result.state;
}

async function conduct(method, params = {}) {
    const answer = await conductor.ask(method, params);
    assert.ok(answer.result, `${method}: ${JSON.stringify(answer)}`);
}

async function longestGaps(doing) {
    await Promise.all([chair.watchGaps('stage-sound'), room.watchGaps('stage-sound')]);
    await doing();
    return Promise.all([chair.stopGaps(), room.stopGaps()]);
}

test('kill -9 of giaoband: no gap on any client, signaling back within 2 s, state as before', async () => {
    const before = await chair.state();
    const baseline = await longestGaps(() => pause(4000));
    const lostBefore = (await chair.soundStats('stage-sound')).lost;
    const simsBefore = sims.status();
    let back;
    const gaps = await longestGaps(async () => {
        const at = Date.now();
        server.kill('giaoband');
        await conductor.closed;
        await until('the chair’s socket to be back', async () => {
            const link = await chair.page.evaluate(() => window.giaoban.link());
            return link === 'live' && (await fetch(`${server.plain}/healthz`)).ok;
        }, { every_ms: 20 });
        back = Date.now() - at;
        await pause(3000);
    });
    const lost = (await chair.soundStats('stage-sound')).lost - lostBefore;
    const gap = Math.max(gaps[0] - baseline[0], gaps[1] - baseline[1]);
    figure({ case: 'kill of giaoband', ok: gap <= 40 && back <= 2000 && lost === 0, gap_ms: gap, baseline_ms: Math.max(...baseline), back_ms: back, lost_packets: lost, bound_gap_ms: 40, bound_back_ms: 2000 });
    assert.equal(lost, 0, 'sound was lost');
    assert.equal(sims.status().lost_packets, simsBefore.lost_packets, 'a simulated room lost packets');
    assert.equal(sims.status().rejoins, simsBefore.rejoins, 'nobody joined anew');
    assert.ok(gap <= 120, `a gap ${gap} ms beyond the baseline`);
    assert.ok(back <= 6000, `back after ${back} ms`);
    const state = await connectConductor();
    assert.equal(state.floor, before.floor);
    assert.equal(state.recording, true);
    assert.deepEqual(new Set(state.endpoints.filter((e) => e.connected && e.role !== 'secretary').map((e) => e.unit)), new Set(before.endpoints.filter((e) => e.connected && e.role !== 'secretary').map((e) => e.unit)));
    await conduct('grant', { endpoint: numbers['h-ba-thuoc'] });
    await Promise.all([chair.seesMoving('stage', 1), room.seesMoving('stage', 1)]);
});

/** Notes when which frame of the stage is painted. */
function watchStage(e) {
    return e.page.evaluate(() => {
        const video = document.querySelector('video[data-slot="stage"]');
        window.__frames = [];
        const look = () => {
            const seen = window.__probe.see(video);
            if (seen) window.__frames.push({ at: performance.timeOrigin + performance.now(), frame: seen.frame, source: seen.source });
            video.requestVideoFrameCallback(look);
        };
        video.requestVideoFrameCallback(look);
    });
}

/** Longest time between two frames of the stage since half a second before `at`. */
async function longestStill(e, at) {
    const frames = await e.page.evaluate(() => window.__frames);
    const tail = frames.filter((f) => f.at > at - 500);
    return tail.slice(1).reduce((max, f, i) => Math.max(max, f.at - tail[i].at), 0);
}

test('kill -9 of a worker: its endpoints see the stage again within 2 s, same seat and floor', async () => {
    for (const index of [0, 1]) {
        const before = await chair.state();
        await Promise.all([watchStage(chair), watchStage(room)]);
        await pause(1000);
        const at = Date.now();
        server.kill('giaoban-media', 'SIGKILL', index);
        await pause(2500);
        await Promise.all([chair.seesMoving('stage', 1), room.seesMoving('stage', 1)]);
        const still = Math.round(Math.max(await longestStill(chair, at), await longestStill(room, at)));
        figure({ case: `kill of worker ${index}`, ok: still <= 2000, back_ms: still, bound_ms: 2000 });
        assert.ok(still <= 6000, `the stage stood still for ${still} ms`);
        const after = await chair.state();
        assert.equal(after.floor, before.floor);
        await until('two workers', () => server.pids('giaoban-media').length === 2);
        await until('everybody to be connected', () => sims.status()?.joined === 4);
    }
});

test('an upgrade: every process is another one, the stage stands still for less than 2 s in both browsers', async () => {
    const running = () => ['giaoband', 'giaoban-media', 'giaoban-recorder'].flatMap((p) => server.pids(p));
    const former = running();
    const before = await chair.state();
    await Promise.all([watchStage(chair), watchStage(room)]);
    await pause(1000);
    const at = Date.now();
    const said = await server.ctl('upgrade');
    const took = Date.now() - at;
    await pause(2000);
    await Promise.all([chair.seesMoving('stage', 1), room.seesMoving('stage', 1)]);
    const still = Math.round(Math.max(await longestStill(chair, at), await longestStill(room, at)));
    figure({ case: 'upgrade', ok: still <= 2000, back_ms: still, bound_ms: 2000, took_ms: took });
    assert.match(said, /everything that runs is new/);
    assert.ok(still <= 6000, `the stage stood still for ${still} ms`);
    assert.equal(running().length, former.length);
    assert.deepEqual(running().filter((pid) => former.includes(pid)), []);
    const after = await chair.state();
    assert.equal(after.floor, before.floor);
    assert.equal(after.recording, true);
    assert.equal(sims.status().joined, 4);
});

test('an orderly stop ends every process and leaves no child behind', async () => {
    const pids = ['giaoband', 'giaoban-media', 'giaoban-recorder'].flatMap((p) => server.pids(p));
    assert.ok(pids.length >= 4);
    const how = await server.stop();
    assert.deepEqual(how, { code: 0, signal: null });
    for (const pid of pids) assert.throws(() => process.kill(pid, 0), `${pid} still runs`);
});
