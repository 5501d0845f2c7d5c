// Each limit of control: what it refuses has a code and a sentence in both languages, is counted, and harms nobody else.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { Server, pause, until } from './server.mjs';
import { Peer, api, session } from './wire.mjs';

const UNITS = ['ubnd-tinh', 'h-muong-lat', 'h-quan-hoa', 'h-ba-thuoc'];
const JOINS = 5; // a second
let server, briefing;
const open = new Set();

before(async () => {
    server = await Server.start({
        settings: {
            workers: 1,
            placement: 'home',
            'limits.joins_per_second': JOINS,
            'limits.endpoints_briefing': 12,
            'limits.endpoints_unit': 8,
            'limits.sockets_source': 40,
            'limits.logins_source': 2,
            'limits.messages_per_second': 5,
        },
    });
    briefing = await server.briefing(UNITS);
    await server.ctl('briefing', 'open', briefing.id);
});

after(async () => {
    for (const peer of open) peer.socket.terminate();
    await server?.stop();
});

function assertRefusal(error, code) {
    assert.equal(error?.code, code, JSON.stringify(error));
    assert.ok(error.vi.length > 10 && error.en.length > 10, 'a sentence in both languages');
}

async function socket(unit, role) {
    const peer = await Peer.open(server, await session(server, await briefing.link(unit, role)));
    open.add(peer);
    return peer;
}

const greeting = () => ({ briefing: briefing.id, kind: 'desk', resume: null });

async function grown(name, before) {
    return (await server.metrics())[name] - before[name];
}

test('joins beyond the second’s share are answered later, in order, and told their place until then', async () => {
    const before = await server.metrics();
    const peers = await Promise.all(Array.from({ length: 8 }, () => socket('h-muong-lat', 'delegate')));
    await pause(1000); // a full second's share
    const order = [];
    const started = Date.now();
    const answers = await Promise.all(
        peers.map((peer, i) =>
            peer.ask('hello', greeting()).then((a) => {
                order.push(i);
                return a;
            }),
        ),
    );
    const took = Date.now() - started;
    for (const a of answers) assert.ok(a.result, JSON.stringify(a));
    const waited = peers.filter((p) => p.notices.some((n) => n.notice === 'waiting'));
    assert.ok(waited.length >= 6 && waited.length < 8, `${waited.length} waited`);
    assert.deepEqual(order, [...order].sort((a, b) => answers[a].result.number - answers[b].result.number), 'in the order of their numbers');
    assert.deepEqual(order.slice(-waited.length), waited.map((p) => peers.indexOf(p)).sort((a, b) => answers[a].result.number - answers[b].result.number));
    const places = waited.at(-1).notices.filter((n) => n.notice === 'waiting').map((n) => n.data.place);
    assert.deepEqual(places, [...places].sort((a, b) => b - a), 'a place only gets better');
    assert.ok(took >= 1000 * ((waited.length - 1) / JOINS) - 100, `at a steady rate: ${took} ms`);
    assert.equal(await grown('giaoban_joins_waited_total', before), waited.length);
    assert.equal((await server.metrics()).giaoban_joins_waiting, 0);
    for (const p of peers) assert.deepEqual(p.check.complaints, []);
});

test('one who goes away while waiting leaves no place behind', async () => {
    const [first, gone, last] = await Promise.all(Array.from({ length: 3 }, () => socket('h-quan-hoa', 'observer')));
    const answers = [first.ask('hello', greeting()), gone.ask('hello', greeting()).catch(() => null), last.ask('hello', greeting())];
    gone.socket.terminate();
    assert.ok((await answers[0]).result);
    assert.ok((await answers[2]).result);
    assert.equal((await server.metrics()).giaoban_joins_waiting, 0);
});

test('a unit with all its endpoints is refused, others and the chair are not, then the briefing is full', async () => {
    const before = await server.metrics();
    const ninth = await socket('h-muong-lat', 'delegate');
    assertRefusal((await ninth.ask('hello', greeting())).error, 'unit-full');
    const chair = await socket('ubnd-tinh', 'chair');
    assert.ok((await chair.ask('hello', greeting())).result, 'the chair enters');
    let refused = null;
    for (let i = 0; i < 4 && !refused; i++) refused = (await (await socket('h-ba-thuoc', 'observer')).ask('hello', greeting())).error;
    assertRefusal(refused, 'briefing-full');
    assert.equal(await grown('giaoban_joins_refused_full_total', before), 2);
    assert.ok((await chair.ask('mute-all')).result, 'the briefing goes on');
});

test('too many messages a second are refused and counted, the socket stays', async () => {
    const before = await server.metrics();
    const peer = [...open].find((p) => p.socket.readyState === 1);
    await pause(3000);
    const replies = await Promise.all(Array.from({ length: 30 }, () => peer.ask('ping', { client_ms: 1 })));
    const refused = replies.filter((r) => r.error);
    assert.ok(refused.length >= 10 && refused.length < 20, `${refused.length} of 30 refused`);
    for (const r of refused) assertRefusal(r.error, 'too-fast');
    assert.equal(await grown('giaoban_signaling_rate_limited_total', before), refused.length);
    await pause(500);
    assert.ok((await peer.ask('ping', { client_ms: 1 })).result);
});

test('passwords of one address wait two at a time', async () => {
    const before = await server.metrics();
    const answers = await Promise.all(Array.from({ length: 6 }, (_, i) => api(server, 'POST', 'session', { body: { login: `nguoi${i}`, password: 'sai mật khẩu' } })));
    const refused = answers.filter((a) => a.status === 429);
    assert.ok(refused.length >= 1 && refused.length <= 4, `${refused.length} of 6`);
    for (const r of refused) assertRefusal(r.json.error, 'too-fast');
    for (const a of answers.filter((a) => a.status !== 429)) assertRefusal(a.json.error, 'wrong-password');
    assert.equal(await grown('giaoban_signaling_logins_refused_total', before), refused.length);
});

test('connections of one address beyond the limit: some are told why, the rest are closed at once', async () => {
    const before = await server.metrics();
    const from = (localAddress) => {
        const s = connect({ port: server.plainPort, host: '127.0.0.1', localAddress });
        s.text = '';
        s.on('data', (bytes) => (s.text += bytes));
        s.on('error', () => {});
        s.on('close', () => (s.over = true));
        return s;
    };
    const sockets = Array.from({ length: 60 }, () => from('127.0.0.7'));
    await until('the refusals', async () => (await grown('giaoban_signaling_sockets_refused_source_total', before)) === 20);
    await until('forty, and those to be told', () => sockets.filter((s) => !s.over).length === 48);
    for (const s of sockets) s.write('GET /api/v1/session HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');
    await until('answers', () => sockets.filter((s) => s.text.includes('}')).length === 48);
    const told = sockets.filter((s) => s.text.startsWith('HTTP/1.1 503'));
    assert.equal(told.length, 8);
    for (const s of told) assertRefusal(JSON.parse(s.text.slice(s.text.indexOf('{'))).error, 'too-many-connections');
    await until('those that were told to be closed', () => told.every((s) => s.over));

    const other = from('127.0.0.9');
    await until('another address to be taken', async () => other.readyState === 'open' && (await grown('giaoban_signaling_sockets_accepted_total', before)) >= 41);
    for (const s of sockets) s.destroy();
    await until('connections to be taken again', async () => {
        const again = from('127.0.0.7');
        again.write('GET /api/v1/session HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');
        await pause(200);
        again.destroy();
        return again.text.startsWith('HTTP/1.1 401');
    });
    assert.equal(other.over, undefined, 'another address is not concerned');
    other.destroy();
});
