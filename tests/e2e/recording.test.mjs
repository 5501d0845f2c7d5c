// A briefing is recorded and composed; the programme is decoded, looked at and listened to, and played in both browsers.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { chromium, firefox, newPage } from './browsers.mjs';
import { decode, skews, strength, RATE } from './decode.mjs';
import { Endpoint } from './endpoint.mjs';
import { Server, bin, figure, pause, percentile, until } from './server.mjs';
import { Peer, api, session } from './wire.mjs';

const UNITS = ['h-muong-lat', 'h-ba-thuoc', 'h-quan-son'];
const tone = (source) => 400 + 50 * source;
let server, briefing, archiveLink, sims, secretary, cookie, programme, order = [], openedAt, closedAt;

before(async () => {
    server = await Server.start();
    briefing = await server.briefing(['ubnd-tinh', 'vp-ubnd', ...UNITS], { record: true });
    const links = [];
    for (const unit of UNITS) links.push(await briefing.link(unit));
    sims = await server.rooms(links.slice(0, 2));
    const third = await server.rooms(links.slice(2), '--source', '2');
    await until('three rooms to be in', () => sims.status()?.joined === 2 && third.status()?.joined === 1, { timeout_ms: 40000 });
    archiveLink = server.plain + (await briefing.link('vp-ubnd', 'secretary'));
    cookie = await session(server, archiveLink);
    secretary = await Peer.open(server, cookie);
});

after(async () => {
    const all = await server?.metrics();
    if (all) figure({ case: 'control loop, a recorded briefing', ok: all.giaoban_control_slow_turns_total === 0, longest_turn_us: all.giaoban_control_longest_turn_us, longest_turn_cpu_us: all.giaoban_control_longest_turn_cpu_us, slow_turns: all.giaoban_control_slow_turns_total });
    await server?.stop();
});

async function conduct(method, params = {}) {
    const answer = await secretary.ask(method, params);
    assert.ok(answer.result, `${method}: ${JSON.stringify(answer)}`);
}

test('three floor holders are recorded, the recorder is killed in between, and the programme misses nothing', async () => {
    const hello = await secretary.ask('hello', { briefing: briefing.id, kind: 'desk', resume: null });
    const number = Object.fromEntries(hello.result.state.endpoints.map((e) => [e.unit, e.number]));
    await conduct('open');
    openedAt = Date.now();
    await until('the recorder to run', () => server.pids('giaoban-recorder').length === 1);
    for (const [i, unit] of UNITS.entries()) {
        await conduct('grant', { endpoint: number[unit] });
        order.push({ source: i, from: (Date.now() - openedAt) / 1000 });
        await pause(4000);
        if (i === 1) {
            sims.child.kill('SIGUSR1'); // this source sends no keyframe any more
            server.kill('giaoban-recorder');
            await pause(process.env.FULL === 'yes' ? 300000 : 4000);
        } else await pause(4000);
        order.at(-1).to = (Date.now() - openedAt) / 1000;
    }
    await conduct('close');
    closedAt = Date.now();
    const recording = await until(
        'the programme to be composed',
        async () => {
            const { json } = await api(server, 'GET', `archive/${briefing.id}`, { cookie });
            assert.notEqual(json?.state, 'failed', JSON.stringify(json));
            return json?.state === 'ready' && json;
        },
        { timeout_ms: 120000, every_ms: 250 },
    );
    const dir = join(server.data, 'recordings', briefing.id);
    programme = join(dir, readdirSync(dir).find((n) => n.startsWith('programme.')));
    assert.equal(recording.formats.length, 1);
    assert.equal(recording.formats[0].sha256, createHash('sha256').update(readFileSync(programme)).digest('hex'));
    const wanted = (closedAt - openedAt) / 1000;
    assert.ok(Math.abs(recording.seconds - wanted) < 1, `${recording.seconds} s recorded of ${wanted}`);
    const ours = recording.chapters.filter((c) => UNITS.includes(c.unit));
    assert.deepEqual(ours.map((c) => c.unit), UNITS);
    assert.deepEqual(ours.map((c) => c.unit_name), ['UBND huyện Mường Lát', 'UBND huyện Bá Thước', 'UBND huyện Quan Sơn']);
    for (const { thumb } of ours) assert.equal((await fetch(`${server.plain}/api/v1/archive/${briefing.id}/files/${thumb}`, { headers: { Cookie: cookie } })).status, 200, thumb);
});

test('every floor holder’s picture and sound are in the programme in the right order, whole and in step', async () => {
    const content = await decode(programme);
    const duration = content.frames.length / content.fps;
    assert.ok(Math.abs(duration - (closedAt - openedAt) / 1000) < 1, `${duration} s`);
    for (const { source, from, to } of order) {
        const inside = content.frames.filter((f) => f.t > from + 0.8 && f.t < to - 0.3);
        const right = inside.filter((f) => f.source === source);
        assert.ok(right.length / inside.length > 0.97, `source ${source}: ${right.length} of ${inside.length} frames`);
        // the numbers of the loop go on: none is missing for longer than a moment, the kill of the recorder included
        const steps = right.slice(1).map((f, i) => (f.frame - right[i].frame + 200) % 200);
        const longest = Math.max(...steps);
        const skipped = server.sims.reduce((sum, one) => sum + one.status().skipped_pictures, 0); // a hint for whoever reads the failure
        assert.ok(longest <= 3, `a jump of ${longest} frames at ${right[steps.indexOf(longest)].t} s of ${from.toFixed(1)} … ${to.toFixed(1)}; the rooms themselves skipped ${skipped}`);
        for (let t = from + 0.8; t < to - 0.5; t += 0.2) {
            const [a, b] = [Math.round(t * RATE), Math.round((t + 0.1) * RATE)];
            assert.ok(strength(content.samples, a, b, tone(source)) > 300, `source ${source} is silent at ${t.toFixed(1)} s`);
        }
    }
    const found = skews(content);
    assert.ok(found.length >= 12, `${found.length} flashes with a beep`);
    const spread = found.map(({ d }) => Math.abs(d));
    const skew = Math.round(percentile(spread, 80));
    const ends = [found.slice(0, 4), found.slice(-4)].map((part) => Math.round(percentile(part.map(({ d }) => d), 50)));
    figure({ case: 'lip sync of the programme', ok: skew <= 60, av_skew_ms: skew, at_start_ms: ends[0], at_end_ms: ends[1], bound_ms: 60 });
    assert.ok(skew <= 60, JSON.stringify(found));
});

test('the archive page plays the programme in Chromium and Firefox, with its chapters', async () => {
    for (const launch of [chromium, firefox]) {
        const browser = await launch();
        try {
            const e = await Endpoint.open(browser);
            await e.page.goto(archiveLink);
            await until('the session', () => e.page.evaluate(() => location.pathname.startsWith('/b/')));
            await e.page.goto(`${server.plain}/archive/${briefing.id}`);
            const video = await e.page.waitForSelector('video', { timeout: 15000 });
            await until('the player to be ready', () => video.evaluate((v) => v.readyState >= 2));
            await video.evaluate((v) => {
                v.muted = true;
                v.currentTime = 4;
                return v.play();
            });
            const seen = await until('the first floor holder’s picture', () => e.page.evaluate(() => window.__probe.see(document.querySelector('video'))));
            assert.equal(seen.source, 0);
            await until('it to move', () => video.evaluate((v) => v.currentTime > 5));
            const text = await e.page.evaluate(() => document.body.innerText);
            for (const name of ['Mường Lát', 'Bá Thước', 'Quan Sơn']) assert.ok(text.includes(name), `no chapter of ${name}`);
            assert.deepEqual(e.page.problems, []);
        } finally {
            await browser.close();
        }
    }
});

test('the other format is composed on demand, with the chapters inside', async () => {
    assert.equal((await api(server, 'POST', `archive/${briefing.id}/compose`, { cookie, body: { format: 'webm' } })).status, 202);
    const recording = await until(
        'the WebM programme',
        async () => {
            const { json } = await api(server, 'GET', `archive/${briefing.id}`, { cookie });
            return json.formats.some((f) => f.name === 'webm' || f.name === 'programme.webm') && json;
        },
        { timeout_ms: 90000, every_ms: 250 },
    );
    assert.equal(recording.formats.length, 2, 'the first one is still there');
    const { stdout } = await promisify(execFile)(join(bin, 'giaoban-recorder'), ['--check', join(server.data, 'recordings', briefing.id, 'programme.webm')]);
    const check = JSON.parse(stdout.trim().split('\n').pop());
    assert.ok(check.chapters >= UNITS.length, stdout);
    assert.ok(Math.abs(check.av_skew_ms) <= 60, stdout);
    assert.ok(Math.abs(check.duration_s - (closedAt - openedAt) / 1000) < 1, stdout);
});

test('ranges are served, and nothing outside the recording is', async () => {
    const name = programme.split('/').pop();
    const url = `${server.plain}/api/v1/archive/${briefing.id}/files`;
    const part = await fetch(`${url}/${name}`, { headers: { Cookie: cookie, Range: 'bytes=10-19' } });
    assert.equal(part.status, 206);
    assert.deepEqual(Buffer.from(await part.arrayBuffer()), readFileSync(programme).subarray(10, 20));
    const beyond = await fetch(`${url}/${name}`, { headers: { Cookie: cookie, Range: 'bytes=999999999-' } });
    assert.equal(beyond.status, 416);
    for (const path of ['..%2f..%2fgiaoban.db', 'events.jsonl', 'track-1-1-1-0.mkv', '%2e%2e/secret.key'])
        assert.ok([400, 404].includes((await fetch(`${url}/${path}`, { headers: { Cookie: cookie } })).status), path);
    assert.equal((await fetch(`${url}/${name}`)).status, 401);
});
