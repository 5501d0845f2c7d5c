// Wicked clients of the control plane: what they send over HTTP and websockets. Each runs until `untilMs` (Date.now()) and is
// repeatable by the seed of `random`. All of them have a session of their own, as anybody with a join link does.
import { randomBytes } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import WebSocket from '../e2e/node_modules/ws/wrapper.mjs';
import { pause, root } from '../e2e/server.mjs';

const schema = JSON.parse(readFileSync(join(root, 'signaling', 'protocol', 'messages.schema.json'), 'utf8'));
const methods = Object.keys(schema.$defs).filter((name) => name.startsWith('params.')).map((name) => name.slice(7));
const offersDir = join(root, 'tests', 'data', 'offers');
/** Shortest first: what is made of a long one is often refused for its length alone. */
export const offers = readdirSync(offersDir).map((name) => readFileSync(join(offersDir, name), 'utf8').replace(/\r?\n/g, '\r\n')).filter((text) => text.startsWith('v=0')).sort((a, b) => a.length - b.length);

const whole = (random, below) => Math.floor(random.between(0, below));

/* ---- sockets ---- */

/** Always the same endpoint, which takes itself over: a unit has so many in a briefing's life, and each is kept in mind. */
const helloOf = (who) => JSON.stringify({ id: 1, method: 'hello', params: { briefing: who.briefing, kind: 'desk', resume: who.resume ?? null } });

/** A websocket by the library, past hello; null when the server refuses. */
export async function member(who) {
    const { server, cookie } = who;
    const socket = new WebSocket(`${server.plain.replace('http', 'ws')}/api/v1/ws`, 'giaoban.1', { headers: { Cookie: cookie, Origin: server.plain } });
    const m = { socket, replies: 0, open: true };
    socket.on('error', () => {});
    socket.on('message', (text) => {
        const { id, result } = m.replies++ ? {} : JSON.parse(text);
        if (id === 1 && result) who.resume ??= { endpoint: result.endpoint, secret: result.secret, last: result.last };
    });
    m.closed = new Promise((resolve) => socket.on('close', resolve)).then(() => (m.open = false));
    await Promise.race([new Promise((resolve) => socket.on('open', resolve)), m.closed]);
    if (m.open) socket.send(helloOf(who));
    for (let i = 0; i < 200 && m.open && !m.replies; i++) await pause(2);
    return m.open ? m : null;
}

/** A bare connection; `closed` is set when the server has ended it. */
function bare(server) {
    const socket = connect(server.plainPort, '127.0.0.1');
    const b = { socket, closed: false, bytes: 0 };
    socket.on('error', () => {});
    socket.on('close', () => (b.closed = true));
    socket.on('data', (data) => (b.bytes += data.length));
    return b;
}

const upgrade = (server, cookie) =>
    `GET /api/v1/ws HTTP/1.1\r\nHost: 127.0.0.1:${server.plainPort}\r\nOrigin: ${server.plain}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
    `Sec-WebSocket-Key: ${Buffer.alloc(16, 7).toString('base64')}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: giaoban.1\r\nCookie: ${cookie}\r\n\r\n`;

/** One frame (RFC 6455, 5.2); `says`: another length than it has. */
function frame(opcode, payload = Buffer.alloc(0), { fin = true, mask = true, rsv = 0, says } = {}) {
    const len = says ?? BigInt(payload.length);
    const wide = len > 65535n ? 8 : len > 125n ? 2 : 0;
    const head = Buffer.alloc(2 + wide);
    head[0] = (fin ? 0x80 : 0) | (rsv << 4) | opcode;
    head[1] = (mask ? 0x80 : 0) | (wide === 8 ? 127 : wide === 2 ? 126 : Number(len));
    if (wide === 8) head.writeBigUInt64BE(len, 2);
    if (wide === 2) head.writeUInt16BE(Number(len), 2);
    return Buffer.concat(mask ? [head, Buffer.alloc(4), payload] : [head, payload]); /* a mask of zeros changes nothing */
}

/* ---- JSON ---- */

const nonsense = [null, true, -1, 1e300, '', 'x'.repeat(3000), [], [[[]]], {}, { a: { b: [1, 'c', null] } }, '\u0000', '../../etc/passwd', '\ud800'];

function anything(random, depth = 0) {
    if (depth < 3 && whole(random, 3) === 0) return Object.fromEntries([...Array(whole(random, 4))].map((_, i) => [random.pick(['endpoint', 'sdp', 'id', 'width', 'tiles', `k${i}`]), anything(random, depth + 1)]));
    return random.pick(nonsense);
}

const texts = [
    (r, id) => '['.repeat(1000 + whole(r, 60000)),
    (r, id) => `${'{"a":'.repeat(2000)}1${'}'.repeat(2000)}`,
    (r, id) => `{"id":1e400,"method":"hello","params":{}}`,
    (r, id) => `{"id":${'9'.repeat(1 + whole(r, 5000))},"method":"hello","params":{}}`,
    (r, id) => `{"id":${id},"id":${id},"method":"layout","method":"leave","params":{}}`,
    (r, id) => `{"id":${id},"method":"${'m'.repeat(whole(r, 9000))}","params":{}}`,
    (r, id) => `{"id":${id},"method":"${r.pick(['constructor', '__proto__', 'params.hello', 'hello\\u0000'])}","params":{}}`,
    (r, id) => JSON.stringify({ id: anything(r), method: anything(r), params: anything(r) }),
    (r, id) => JSON.stringify({ id: 7, method: 'media', params: { microphone: false, camera: false, screen: false } }),
    (r, id) => JSON.stringify({ id, method: r.pick(methods.filter((m) => m !== 'leave')), params: anything(r) }),
    (r, id) => JSON.stringify({ id, method: r.pick(methods.filter((m) => m !== 'leave')), params: anything(r), more: 1 }),
    (r, id) => Buffer.concat([Buffer.from('{"id":1,"method":"'), Buffer.from([0xc3, 0x28, 0xed, 0xa0, 0x80, 0xff]), Buffer.from('","params":{}}')]),
    (r, id) => ' '.repeat(whole(r, 120000)),
    (r, id) => `{"id":${id},"method":"layout","params":{"stage":{"width":${'1'.repeat(400)},"height":-1}}}`,
    (r, id) => `"${'\\ud800'.repeat(5000)}"`,
    (r, id) => 'x'.repeat(140000),
    (r, id) => '',
];

export async function json(who) {
    const { random, untilMs } = who;
    let sent = 0;
    for (let round = 0; Date.now() < untilMs; round++) {
        const m = await member(who);
        const hurried = round % 4 === 3; /* nothing wrong but too much of it */
        for (let id = 2; m?.open && Date.now() < untilMs; id++) {
            m.socket.send(hurried ? texts[8](random, id) : random.pick(texts)(random, id), { binary: false });
            sent++;
            if (!hurried || id % 50 === 0) await pause(5);
        }
        m?.socket.terminate();
        if (!m) await pause(50);
    }
    return { sent };
}

/* ---- SDP ---- */

export const absurd = [
    () => '',
    () => 'hello world',
    () => 'v=0\r\n'.repeat(10000),
    () => `v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n${'m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n'.repeat(1500)}`,
    (o) => o.replace(/a=fingerprint:.*\r\n/g, ''),
    (o) => o.replace(/a=fingerprint:sha-256 .*/g, 'a=fingerprint:sha-256 00:11'),
    (o) => o.replace(/a=fingerprint:.*/g, 'a=fingerprint:md5 00'),
    (o) => o.replace(/a=ice-ufrag:.*/g, `a=ice-ufrag:${'u'.repeat(1000)}`),
    (o) => o.replace(/a=ice-pwd:.*/g, 'a=ice-pwd:short'),
    (o) => o.replace(/a=setup:.*/g, 'a=setup:passive'),
    (o) => o.replace(/a=mid:.*/g, 'a=mid:0'),
    (o) => o.replace(/a=mid:(\d+)/g, (_, n) => `a=mid:${'m'.repeat(300)}${n}`),
    (o) => o.replace(/a=extmap:\d+/g, 'a=extmap:15'),
    (o) => o.replace(/a=extmap:\d+/g, 'a=extmap:4294967297'),
    (o) => o.replace(/a=rid:.*\r\n/g, (line) => line.repeat(50)),
    (o) => o.replace(/a=simulcast:send .*/g, `a=simulcast:send ${'l;'.repeat(2000)}h`),
    (o) => o.replace(/a=ssrc:\d+/g, 'a=ssrc:99999999999999999999'),
    (o) => o.replace(/a=rtpmap:(\d+) .*/g, 'a=rtpmap:$1 VP8/-1'),
    (o) => o.replace(/a=fmtp:\d+ apt=\d+/g, 'a=fmtp:97 apt=97'),
    (o) => o.replace(/a=group:BUNDLE.*/g, `a=group:BUNDLE ${'0 '.repeat(4000)}`),
    (o) => o.replace(/\r\n/g, '\n'),
    (o) => o.replace(/=/g, ''),
    (o) => o + o,
    (o) => o.slice(0, o.length / 2),
    (o) => o.replace(/m=video \d+/g, 'm=video 0'),
    (o) => o.replace(/m=(audio|video) (\d+)/g, 'm=$1 999999'),
    (o) => o.replace(/a=sendonly|a=recvonly/g, (d) => (d === 'a=sendonly' ? 'a=recvonly' : 'a=sendonly')),
    (o) => o.replace(/c=IN IP4 .*/g, 'c=IN IP4 %s%n%x'),
];

/** A real offer in which some lines are doubled, left out, cut, exchanged, or have a byte changed. */
function mutated(random) {
    const lines = random.pick(offers).split('\r\n');
    for (let n = 1 + whole(random, 12); n > 0; n--) {
        const at = whole(random, lines.length), line = lines[at] ?? '';
        const spot = whole(random, line.length);
        const how = whole(random, 6);
        if (how === 0) lines.splice(at, 0, ...Array(1 + whole(random, 30)).fill(line));
        else if (how === 1) lines.splice(at, 1);
        else if (how === 2) lines[at] = line.slice(0, spot);
        else if (how === 3) [lines[at], lines[0]] = [lines[0], line];
        else if (how === 4) lines[at] = line.slice(0, spot) + String.fromCharCode(1 + whole(random, 255)) + line.slice(spot + 1);
        else lines[at] = line.replace(/\d+/, () => random.pick(['0', '-1', '65536', '4294967296', '18446744073709551616']));
    }
    return lines.join('\r\n');
}

export async function sdp(who) {
    const { random, untilMs } = who;
    let sent = 0, next = 0;
    while (Date.now() < untilMs) {
        const m = await member(who);
        for (let id = 2; m?.open && id < 12 && Date.now() < untilMs; id++) {
            const text = next < absurd.length ? absurd[next++](offers[0]) : mutated(random);
            m.socket.send(JSON.stringify({ id, method: 'offer', params: { sdp: text, incarnation: id } }));
            sent++;
            const before = m.replies;
            for (let i = 0; i < 40 && m.open && m.replies === before; i++) await pause(5);
        }
        m?.socket.terminate();
    }
    return { sent };
}

/* ---- websocket frames ---- */

const violations = [
    () => [frame(1, Buffer.from('{}'), { mask: false })],
    () => [frame(2, randomBytes(2000))],
    () => [frame(3), frame(11)],
    () => [frame(1, Buffer.from('{}'), { rsv: 7 })],
    () => [frame(9, Buffer.alloc(125), { fin: false })],
    () => [frame(9, Buffer.alloc(60000))],
    () => [frame(0, Buffer.from('and so on'))],
    () => [frame(1, Buffer.from('x'), { says: 1n << 62n })],
    () => [frame(1, Buffer.from('x'), { says: (1n << 64n) - 1n })],
    () => [frame(8, Buffer.from([0]))],
    () => [frame(8, Buffer.from([0xff, 0xff, 0x41]))],
    () => Array(3000).fill(frame(9, Buffer.alloc(100))),
    () => Array(3000).fill(frame(10, Buffer.alloc(100))),
    () => [frame(1, Buffer.from('{'), { fin: false }), ...Array(6000).fill(frame(0, Buffer.alloc(0), { fin: false }))],
    () => [frame(1, Buffer.from('{'), { fin: false }), ...Array(40).fill(frame(0, Buffer.alloc(60000, 120), { fin: false }))],
    () => [frame(1, Buffer.from('{'), { fin: false }), frame(1, Buffer.from('{'), { fin: false })],
    () => [Buffer.alloc(5000, 0xff)],
    () => [Buffer.from('GET / HTTP/1.1\r\n\r\n')],
];

export async function websocket(who) {
    const { server, cookie, random, untilMs } = who;
    (await member(who))?.socket.terminate();
    let sent = 0;
    for (let next = 0; Date.now() < untilMs; next++) {
        const b = bare(server);
        b.socket.write(upgrade(server, cookie));
        for (let i = 0; i < 100 && b.bytes === 0 && !b.closed; i++) await pause(2);
        b.socket.write(frame(1, Buffer.from(helloOf(who))));
        const frames = next < violations.length ? violations[next]() : random.pick(violations)();
        for (const bytes of frames) {
            if (b.closed) break;
            b.socket.write(bytes);
            sent++;
        }
        for (let i = 0; i < 20 && !b.closed; i++) await pause(5);
        b.socket.destroy();
    }
    return { sent };
}

/* ---- slow ones ---- */

/** Members that take nothing and go on asking, bodies a byte at a time, downloads that are never taken. */
export async function slow(who) {
    const { server, cookie, untilMs } = who;
    const asset = readdirSync(join(root, 'client/web/dist/assets')).map((name) => `/assets/${name}`);
    const all = [];
    const open = (text, { reads = false, drip } = {}) => {
        const b = bare(server);
        if (!reads) b.socket.pause();
        b.socket.write(text);
        all.push({ ...b, b, drip });
    };
    const request = frame(1, Buffer.from(JSON.stringify({ id: 2, method: 'media', params: { microphone: false, camera: false, screen: false } })));
    for (let i = 0; i < 20; i++) {
        if (i % 5 === 0) open(Buffer.concat([Buffer.from(upgrade(server, cookie)), frame(1, Buffer.from(JSON.stringify({ id: 1, method: 'hello', params: { briefing: who.briefing, kind: 'desk', resume: null } })))]), { drip: request });
        open(`POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nOrigin: ${server.plain}\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n{`, { drip: Buffer.from(' ') });
        open(`GET ${asset[i % asset.length]} HTTP/1.1\r\nHost: localhost\r\n\r\n`.repeat(20));
        open('GET /api/v1/units HTTP/1.1\r\nHost: localh', { drip: Buffer.from('o') });
    }
    let sent = all.length;
    while (Date.now() < untilMs) {
        for (const one of all) {
            if (!one.drip || one.b.closed) continue;
            one.b.socket.write(one.drip);
            sent++;
        }
        await pause(1000);
    }
    for (const one of all) one.b.socket.destroy();
    return { sent };
}

/* ---- HTTP ---- */

const requests = [
    () => `${'A'.repeat(20000)}\r\n\r\n`,
    () => `GET /${'a'.repeat(9000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`,
    () => `GET / HTTP/9.9\r\nHost: localhost\r\n\r\n`,
    () => `GET /api/v1/../../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n`,
    () => `GET /%2e%2e/%2e%2e/secret.key HTTP/1.1\r\nHost: localhost\r\n\r\n`,
    () => `GET /assets/%00 HTTP/1.1\r\nHost: localhost\r\n\r\n`,
    () => `GET / HTTP/1.1\r\nHost: localhost\r\n${'X-Y: z\r\n'.repeat(3000)}\r\n`,
    () => `GET / HTTP/1.1\r\nHost: localhost\r\nCookie: ${'c'.repeat(7000)}\r\n\r\n`,
    () => `GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n`,
    () => `POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n{}`,
    () => `POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n{}`,
    () => `POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n`,
    () => `POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 9\r\n\r\n{}GET / HTTP/1.1\r\n\r\n`,
    () => `POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 400000\r\n\r\n${'['.repeat(400000)}`,
    () => `TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\nPUT / HTTP/1.1\r\n\r\n`,
    () => `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`,
    () => Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03]),
    (random) => Buffer.from([...Array(300)].map(() => whole(random, 256))),
    () => 'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(200),
];

export async function http({ server, random, untilMs }) {
    let sent = 0;
    for (let next = 0; Date.now() < untilMs; next++) {
        const b = bare(server);
        b.socket.write(next < requests.length ? requests[next](random) : random.pick(requests)(random));
        sent++;
        for (let i = 0; i < 4 && !b.closed; i++) await pause(5);
        b.socket.destroy();
    }
    return { sent };
}
