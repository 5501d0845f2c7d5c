// Bad input: each a clear error, and nothing is lost.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { Server, bin, root, until } from './server.mjs';
import { Peer, api, bodyComplaint, session } from './wire.mjs';

const UNITS = ['ubnd-tinh', 'vp-ubnd', 'h-muong-lat', 'h-quan-hoa'];
let server, briefing, chairLink;

before(async () => {
    server = await Server.start({ settings: { workers: 1, placement: 'home' } });
    briefing = await server.briefing(UNITS);
    chairLink = await briefing.link('ubnd-tinh', 'chair');
    await server.ctl('briefing', 'open', briefing.id);
});

after(() => server?.stop());

function assertRefusal(error, code) {
    assert.equal(error?.code, code, JSON.stringify(error));
    assert.ok(error.vi.length > 10 && error.en.length > 10, 'a sentence in both languages');
}

async function chair() {
    const peer = await Peer.open(server, await session(server, chairLink));
    const hello = await peer.ask('hello', { briefing: briefing.id, kind: 'desk', resume: null });
    assert.ok(hello.result, JSON.stringify(hello));
    return { peer, hello: hello.result };
}

test('a wrong password is refused, the fifth locks the account, and the right one then says so', async () => {
    const first = await server.ctl('first-link');
    const token = first.split('/').pop();
    const made = await api(server, 'POST', 'session/first', { body: { token, login: 'quantri', name: 'Quản trị', password: 'một câu dài không ai đoán ra' } });
    assert.equal(made.status, 200, made.text);
    assert.match(made.headers.get('set-cookie'), /HttpOnly/i);
    assert.match(made.headers.get('set-cookie'), /SameSite=Strict/i);
    const again = await api(server, 'POST', 'session/first', { body: { token, login: 'khac', name: 'Khác', password: 'một câu dài không ai đoán ra' } });
    assert.equal(again.status, 410);
    assertRefusal(again.json.error, 'used-link');

    for (let i = 0; i < 5; i++) {
        const wrong = await api(server, 'POST', 'session', { body: { login: 'quantri', password: `sai mật khẩu ${i}` } });
        assert.ok([401, 423].includes(wrong.status), wrong.text);
        if (i < 4) assertRefusal(wrong.json.error, 'wrong-password');
    }
    const locked = await api(server, 'POST', 'session', { body: { login: 'quantri', password: 'một câu dài không ai đoán ra' } });
    assert.equal(locked.status, 423);
    assertRefusal(locked.json.error, 'locked');
    const unknown = await api(server, 'POST', 'session', { body: { login: 'khongco', password: 'sai' } });
    assert.equal(unknown.status, 401);
    assertRefusal(unknown.json.error, 'wrong-password');
    assert.equal((await api(server, 'GET', 'session', { cookie: made.cookie })).status, 200, 'the open session goes on');
});

test('an expired link and a forged link are told apart', async () => {
    // signed as the server signs, a second too late
    const text = JSON.stringify({ t: 'join', briefing: briefing.id, unit: 'h-muong-lat', role: 'delegate', exp: Math.floor(Date.now() / 1000) - 1, n: 'x' });
    const payload = Buffer.from(text).toString('base64url');
    const mac = createHmac('sha256', readFileSync(join(server.data, 'secret.key'))).update(text).digest('base64url');
    const expired = await api(server, 'POST', 'session/link', { body: { token: `${payload}.${mac}` } });
    assert.equal(expired.status, 410, expired.text);
    assertRefusal(expired.json.error, 'expired-link');
    const forged = await api(server, 'POST', 'session/link', { body: { token: `${payload}.${mac.slice(0, -3)}AAA` } });
    assert.equal(forged.status, 401);
    assertRefusal(forged.json.error, 'bad-link');
});

test('a unit that is not invited does not enter', async () => {
    const link = await briefing.link('so-y-te').catch((e) => e);
    if (link instanceof Error) {
        assert.match(link.stderr ?? link.message, /foreign-unit|không|not invited/i);
        return;
    }
    const peer = await Peer.open(server, await session(server, link));
    assertRefusal((await peer.ask('hello', { briefing: briefing.id, kind: 'desk', resume: null })).error, 'foreign-unit');
    await peer.close();
});

test('no session, no entry', async () => {
    assert.equal((await api(server, 'GET', 'session')).status, 401);
    await assert.rejects(Peer.open(server, 'giaoban=forged'));
    const cookie = await session(server, chairLink);
    const foreign = await api(server, 'DELETE', 'session', { cookie, origin: 'http://attacker.example' });
    assert.equal(foreign.status, 403, 'another origin may not act with the cookie');
    assert.equal((await api(server, 'GET', 'session', { cookie })).status, 200);
});

test('every page of the HTTP interface keeps to the schema, which knows what it allows', async () => {
    const cookie = await session(server, chairLink);
    for (const path of ['session', 'units', 'briefings', `briefings/${briefing.id}`, 'archive', 'archive/none', 'nowhere'])
        assert.ok((await api(server, 'GET', path, { cookie })).json, path); // api() throws at a breach
    const link = { token: 'a.b', path: '/j/a.b' };
    assert.equal(bodyComplaint('POST', 'briefings/b1/links', 201, link), null);
    assert.match(bodyComplaint('POST', 'briefings/b1/links', 201, { ...link, more: 1 }), /http\.link/);
    assert.match(bodyComplaint('GET', 'units', 404, { units: [] }), /http\.error/);
    assert.match(bodyComplaint('GET', 'weather', 200, {}), /no schema/);
});

test('malformed, oversized, unknown and ill-typed messages are refused and the next good one is answered', async () => {
    const { peer } = await chair();
    peer.raw('{"id":');
    await until('an answer to malformed JSON', () => peer.stray.some((m) => m.error?.code === 'bad-json'));
    assertRefusal((await peer.ask('dance')).error, 'unknown-method');
    assertRefusal((await peer.ask('grant', { endpoint: 'seven' })).error, 'bad-params');
    assertRefusal((await peer.ask('grant', { endpoint: 1, more: true })).error, 'bad-params');
    assertRefusal((await peer.ask('grant', { endpoint: 400 })).error, 'unknown-endpoint');
    const pong = await peer.ask('ping', { client_ms: 12 });
    assert.equal(pong.result.client_ms, 12);
    peer.raw(JSON.stringify({ id: 900, method: 'ping', params: { client_ms: 1, pad: 'x'.repeat(300000) } }));
    const outcome = await Promise.race([peer.closed, until('a refusal', () => peer.stray.find((m) => m.error?.code === 'too-big'))]);
    assert.ok(outcome);
    await peer.close();
    const next = await chair();
    assert.ok(next.hello.state, 'nothing of the briefing is lost');
    await next.peer.close();
});

test('a body too large and one that is no JSON are refused', async () => {
    const big = await api(server, 'POST', 'session', { raw: JSON.stringify({ login: 'a', password: 'x'.repeat(2_000_000) }) }).catch((e) => e);
    assert.ok(big instanceof Error || big.status === 413, String(big.status));
    const broken = await api(server, 'POST', 'session', { raw: '{"login"' });
    assert.equal(broken.status, 400);
    assertRefusal(broken.json.error, 'bad-json');
});

test('an offer without fingerprint, without ICE or that is no SDP at all is refused by its own code', async () => {
    const { peer } = await chair();
    const good = [
        'v=0', 'o=- 1 1 IN IP4 127.0.0.1', 's=-', 't=0 0', 'a=group:BUNDLE 0', 'm=audio 9 UDP/TLS/RTP/SAVPF 111', 'c=IN IP4 0.0.0.0', 'a=mid:0',
        'a=ice-ufrag:abcd', 'a=ice-pwd:abcdefghijklmnopqrstuvwx', `a=fingerprint:sha-256 ${Array(32).fill('AB').join(':')}`, 'a=setup:actpass', 'a=sendonly',
        'a=rtcp-mux', 'a=rtpmap:111 opus/48000/2', '',
    ].join('\r\n');
    const rows = [
        ['no-fingerprint', good.replace(/a=fingerprint[^\r]*\r\n/, '')],
        ['no-ice', good.replace(/a=ice-ufrag[^\r]*\r\n/, '')],
        ['no-ice', good.replace(/a=ice-pwd[^\r]*\r\n/, '')],
        ['bad-sdp', 'hello world'],
    ];
    let incarnation = 1;
    for (const [code, sdp] of rows) assertRefusal((await peer.ask('offer', { sdp, incarnation: incarnation++ })).error, code);
    assert.ok((await peer.ask('offer', { sdp: good, incarnation: incarnation++ })).result, 'a good one is taken afterwards');
    assert.deepEqual(peer.check.complaints, []);
    await peer.close();
});

test('garbage at the media port is a counted drop and gets no reply', async () => {
    const socket = createSocket('udp4');
    let replies = 0;
    socket.on('message', () => replies++);
    const before = await server.metrics();
    const garbage = [Buffer.from([0xff, 1, 2, 3]), Buffer.alloc(1200, 0x55), Buffer.from([0x80, 0x60, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 9]), Buffer.from([22, 254, 253, 0, 0]), Buffer.from([0, 1, 0, 0])];
    for (let i = 0; i < 20; i++) for (const bytes of garbage) socket.send(bytes, server.settings['media.port'], '127.0.0.1');
    const drops = (m) =>
        Object.entries(m)
            .filter(([k]) => k.startsWith('giaoban_media_drop_'))
            .reduce((sum, [, v]) => sum + v, 0);
    await until('100 counted drops', async () => drops(await server.metrics()) - drops(before) >= 100);
    assert.equal(replies, 0);
    socket.close();
});

function start(args) {
    return new Promise((resolve) => {
        execFile(join(bin, 'giaoban'), args, { cwd: root, timeout: 10000 }, (error, stdout, stderr) => resolve({ code: error ? (error.code ?? error.signal) : 0, text: stdout + stderr }));
    });
}

test('a port in use, a missing certificate and an unknown configuration key are named at the start', async () => {
    const data = mkdtempSync(join(tmpdir(), 'giaoban-bad-'));
    const config = ['--config', join(root, 'config', 'giaoban.yaml')];
    const elsewhere = (args) => args.map((a) => (a === server.data ? data : a));
    await promisify(execFile)(join(root, 'config', 'make-certificate'), [join(data, 'tls')]);
    const used = await start(elsewhere(server.arguments()));
    rmSync(join(data, 'tls'), { recursive: true });
    const twice = await start(server.arguments());
    assert.match(twice.text, /in use by another giaoban/, 'names the data directory');
    assert.equal(used.code, 1, used.text);
    assert.match(used.text, new RegExp(String(server.port)), 'names the port');
    const bare = await start([...config, '--data', data, '--port', String(server.port + 1), '--set', `plain_port=${server.plainPort + 1}`]);
    assert.equal(bare.code, 1, bare.text);
    assert.match(bare.text, /server\.crt/, 'names the file');
    writeFileSync(join(data, 'odd.yaml'), 'colour: red\n');
    const odd = await start(['--config', join(data, 'odd.yaml'), '--data', data]);
    assert.equal(odd.code, 1, odd.text);
    assert.match(odd.text, /colour/, 'names the key');
    rmSync(data, { recursive: true });
    assert.ok((await fetch(`${server.plain}/healthz`)).ok, 'the running server is unharmed');
});
