// Ways through a firewall, breaks of the line, and another address in mid-call. Run by tests/link/on-a-line.
import assert from 'node:assert/strict';
import { execFile, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { promisify } from 'node:util';
import { chromium, newPage } from '../e2e/browsers.mjs';
import { Server, idleMeter, pause, root, until } from '../e2e/server.mjs';
import { Line, OFFICE, TOWN, chromiumInOffice, figure } from './line.mjs';

const RELAY = '10.88.1.1'; // a second address of the town: TURN on 443 beside the page on 443
const MODEM = '10.88.2.2', OTHER = '10.88.3.2'; // what the office has later
const LIFETIME_S = 20; // of TURN credentials
const CHAIR = 'ubnd-tinh', ROOM = 'h-ba-thuoc';
const VISITORS = ['h-quan-hoa', 'h-muong-lat', 'h-lang-chanh', 'h-ngoc-lac', 'h-quan-son', 'h-cam-thuy', 'h-thach-thanh']; // one a test: a unit's second endpoint hears nothing
const run = promisify(execFile);
const ip = (ns, ...args) => execFileSync('ip', ['-n', ns, ...args]);
const town = process.env.GIAOBAN_TOWN, office = process.env.GIAOBAN_OFFICE;

const visitors = [...VISITORS];
let open, line, server, briefing, browser, turn, turnData;

/** coturn as config/make-turn sets it up; resolves to what `turn.urls` is to be. */
async function startTurn() {
    turnData = mkdtempSync(join(tmpdir(), 'giaoban-turn-'));
    await run(join(root, 'config', 'make-certificate'), [join(turnData, 'tls')]);
    const { stdout } = await run(join(root, 'config', 'make-turn'), ['--data', turnData, '--address', RELAY, '--tls-port', '443', '--media', TOWN]);
    turn = spawn('turnserver', ['-c', join(turnData, 'turn', 'turnserver.conf')], { stdio: ['ignore', 'pipe', 'pipe'] });
    turn.log = '';
    for (const stream of [turn.stdout, turn.stderr])
        stream.on('data', (bytes) => {
            turn.log += bytes;
            if (process.env.GIAOBAN_LOG) process.stderr.write(bytes);
        });
    turn.ended = new Promise((resolve) => turn.on('exit', resolve));
    return stdout.trim();
}

before(async () => {
    line = await Line.start(5);
    ip(town, 'addr', 'add', `${RELAY}/32`, 'dev', 'line0');
    const urls = await startTurn();
    server = await Server.start({
        port: 443,
        settings: {
            addresses: TOWN, workers: 1, placement: 'home', 'media.addresses': `127.0.0.1,${TOWN}`, 'turn.urls': urls,
            'turn.secret_file': join(turnData, 'turn.secret'), 'turn.lifetime_seconds': LIFETIME_S,
        },
    });
    briefing = await server.briefing([CHAIR, ROOM, ...VISITORS]);
    await server.ctl('briefing', 'open', briefing.id);
    const rooms = await server.rooms([await briefing.link(CHAIR, 'chair'), await briefing.link(ROOM)], '--size', '640x360', '--speak');
    await until('the rooms', () => rooms.status()?.joined === 2);
    browser = await chromium({ executablePath: chromiumInOffice(), pipe: true });
});

after(async () => {
    await browser?.close();
    await server?.stop();
    turn?.kill('SIGTERM');
    await turn?.ended;
    await line?.stop();
    if (turnData) rmSync(turnData, { recursive: true, force: true });
});

/** In the page: when frames of the stage came, by the page's clock, and which of them by another connection than now: those of the
 * present one go on coming out of the browser's buffer. */
function watchStage() {
    window.stageFrames = [];
    window.newFrames = [];
    const video = document.querySelector('figure.stage video');
    const former = window.giaoban.pc();
    const each = () => {
        const pc = window.giaoban.pc();
        window.stageFrames.push(performance.now());
        if (pc !== former && pc?.connectionState === 'connected') window.newFrames.push(performance.now());
        video.requestVideoFrameCallback(each);
    };
    video.requestVideoFrameCallback(each);
}

async function standing() {
    const pc = window.giaoban.pc();
    const stats = await pc.getStats();
    const transport = [...stats.values()].find((s) => s.type === 'transport' && s.selectedCandidatePairId);
    const pair = transport && stats.get(transport.selectedCandidatePairId);
    const local = pair && stats.get(pair.localCandidateId);
    const samples = [...stats.values()].filter((s) => s.type === 'inbound-rtp' && s.kind === 'audio').reduce((n, s) => n + (s.totalSamplesReceived ?? 0), 0);
    return {
        state: pc.connectionState, protocol: local?.protocol, type: local?.candidateType, relay: local?.relayProtocol, samples,
        endpoint: window.giaoban.me().endpoint, number: window.giaoban.me().number, slots: window.giaoban.slots().map((s) => `${s.name.replace(/^sound\d/, 'sound')}:${s.number}`).sort(), // the three sound slots are alike: who is heard counts
        floor: window.giaoban.state().floor, hands: window.giaoban.state().hands.map((h) => h.number),
    };
}

/** `settled` says when the path is the one that stays: a browser may begin on another one that was quicker. */
async function enter(settled = (at) => at.protocol) {
    const page = (open = await newPage(browser));
    await page.goto(`https://${TOWN}${server.port === 443 ? '' : `:${server.port}`}${await briefing.link(visitors.shift())}`);
    await page.waitForSelector('#enter:not([disabled])', { timeout: 60000 });
    await page.click('#enter');
    await until('the stage', () => page.evaluate(() => window.giaoban?.timings['stage-first-frame']), { timeout_ms: 30000 });
    const ms = await page.evaluate(() => window.giaoban.timings['stage-first-frame'] - window.giaoban.timings['join-click']);
    const first = await page.evaluate(standing);
    try {
        await until('the path', async () => settled(await page.evaluate(standing)));
    } catch (error) {
        throw new Error(`${JSON.stringify(first)}: ${error.message}`);
    }
    return { page, ms: Math.round(ms), at: await page.evaluate(standing) };
}

afterEach(async () => {
    line.say('allow all');
    line.say('set both down=0');
    await open?.browserContext().close();
    open = null;
});

async function soundFlows(page) {
    const { samples } = await page.evaluate(standing);
    await until('sound', async () => (await page.evaluate(standing)).samples > samples + 24000);
}

function report(name, ms, bound_ms, idle) {
    const idle_percent = idle();
    figure({ case: name, ms, bound_ms, ok: ms <= bound_ms && idle_percent >= 10, idle_percent });
    assert.ok(ms <= 3 * bound_ms, `${name}: ${ms} ms`);
}

test('an open line: UDP is preferred', async () => {
    const idle = idleMeter();
    const { page, ms, at } = await enter();
    assert.equal(at.protocol, 'udp');
    assert.equal(at.type === 'relay', false);
    await soundFlows(page);
    report('joined by UDP', ms, 3000, idle);
});

test('UDP blocked: joined over TCP within 3 s', async () => {
    line.say('allow tcp');
    const idle = idleMeter();
    const { page, ms } = await enter((at) => at.protocol === 'tcp' && at.type !== 'relay'); // to the media port itself
    await soundFlows(page);
    await until('it to be counted', async () => (await server.metrics())['giaoban_media_tcp_now{worker="0"}'] === 1);
    report('joined by TCP, UDP blocked', ms, 3000, idle);
    await open.close();
    await until('its connection to be closed', async () => (await server.metrics())['giaoban_media_tcp_now{worker="0"}'] === 0);
});

test('only 443 open: joined over TURN/TLS within 5 s', async () => {
    line.say('allow 443');
    const idle = idleMeter();
    const { page, ms, at } = await enter();
    assert.equal(at.type, 'relay');
    assert.equal(at.relay, 'tls');
    await soundFlows(page);
    report('joined by TURN/TLS, only 443 open', ms, 5000, idle);
});

test('a call through TURN outlives its credentials', { skip: process.env.FULL !== 'yes' && 'only --full' }, async () => {
    line.say('allow 443');
    const { page } = await enter();
    await page.evaluate(watchStage);
    const user = () => page.evaluate(() => window.giaoban.pc().getConfiguration().iceServers[0].username);
    const first = await user();
    await pause((LIFETIME_S + 5) * 1000); // coturn itself lets an allocation live on: what counts is that ours is another one by then
    assert.ok(Number((await user()).split(':')[0]) >= Number(first.split(':')[0]) + LIFETIME_S / 2);
    const at = await page.evaluate(standing);
    assert.equal(at.relay, 'tls');
    assert.ok(await page.evaluate(() => window.newFrames.length > 30), 'no connection with new credentials');
    await soundFlows(page);
    const frames = await page.evaluate(() => window.stageFrames);
    const gap = Math.max(...frames.slice(1).map((f, i) => f - frames[i]));
    report('longest gap of the picture when TURN credentials are renewed', Math.round(gap), 1000, () => 100);
});

/** From `cause()` to the first stage frame after it, in ms, by a new connection if `renewed`; the endpoint, its slots, the floor and
 * its hand as before. */
async function comesBack(page, cause, renewed = false) {
    await until('former visitors to be gone', () => page.evaluate(() => window.giaoban.state().endpoints.filter((e) => e.connected).length === 3)); // they have tiles for 15 s
    const before = await page.evaluate(standing);
    await page.evaluate(watchStage);
    await until('frames', () => page.evaluate(() => window.stageFrames.length > 5));
    await cause();
    const from = await page.evaluate(() => performance.now());
    const frame = await until('a frame', () => page.evaluate((t, list) => window[list].find((f) => f > t), from + 20, renewed ? 'newFrames' : 'stageFrames'), { timeout_ms: 60000 });
    await soundFlows(page);
    await until('a connection', async () => (await page.evaluate(standing)).state === 'connected');
    await pause(1500); // whatever is told late would be told by now
    const now = await page.evaluate(standing);
    for (const key of ['endpoint', 'number', 'slots', 'floor', 'hands']) assert.deepEqual(now[key], before[key], key);
    return Math.round(frame - from);
}

async function outage(seconds) {
    line.say('set both down=1');
    await pause(seconds * 1000);
    line.say('set both down=0');
}

test('breaks of 5 s and 30 s: same endpoint, slots, hand and floor', { skip: process.env.FULL !== 'yes' && 'only --full' }, async () => {
    const { page, at } = await enter();
    await page.click('#hand');
    await until('the hand', async () => (await page.evaluate(standing)).hands.includes(at.number));
    let idle = idleMeter();
    report('back after a break of 5 s', await comesBack(page, () => outage(5)), 5000, idle);
    idle = idleMeter();
    report('back after a break of 30 s, hand up', await comesBack(page, () => outage(30)), 5000, idle);
    await server.ctl('briefing', 'grant', briefing.id, String(at.number));
    await until('the floor', async () => (await page.evaluate(standing)).floor === at.number);
    await pause(1000);
    idle = idleMeter();
    report('back after a break of 30 s, with the floor', await comesBack(page, () => outage(30)), 5000, idle);
});

const has = (address) => ip(office, 'addr', 'add', `${address}/24`, 'dev', 'line0');
const hasNoMore = (address, prefix = 24) => ip(office, 'addr', 'del', `${address}/${prefix}`, 'dev', 'line0');

test('fibre goes, the modem beside it is there: media back within 2 s', async () => {
    const { page } = await enter();
    has(MODEM);
    await pause(4000);
    const idle = idleMeter();
    report('back by the modem', await comesBack(page, async () => hasNoMore(OFFICE, 30), true), 2000, idle);
});

test('another address in place of the one it had: media back within 2 s', async () => {
    const { page } = await enter();
    await pause(2000);
    const idle = idleMeter();
    const change = async () => {
        has(OTHER);
        hasNoMore(MODEM);
    };
    report('back at another address', await comesBack(page, change, true), 2000, idle);
});
