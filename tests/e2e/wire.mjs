// The protocol on the wire: a validator for every message, and a small websocket client for tests that need no media.
import Ajv2020 from 'ajv/dist/2020.js';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import WebSocket from 'ws';
import { root } from './server.mjs';

const schema = JSON.parse(readFileSync(join(root, 'signaling', 'protocol', 'messages.schema.json'), 'utf8'));
const ajv = new Ajv2020({ allErrors: true, strict: false });
ajv.addSchema(schema);
const validators = new Map();

function validator(name) {
    if (!schema.$defs[name]) return null;
    if (!validators.has(name)) validators.set(name, ajv.compile({ $ref: `${schema.$id}#/$defs/${name}` }));
    return validators.get(name);
}

function complaint(name, value) {
    const check = validator(name);
    if (!check) return `no schema for ${name}`;
    return check(value) ? null : `${name}: ${ajv.errorsText(check.errors)} in ${JSON.stringify(value).slice(0, 400)}`;
}

/** Follows one websocket's frames and collects what breaks the schema in `complaints`. */
export class WireCheck {
    constructor() {
        this.methods = new Map();
        this.complaints = [];
        this.messages = 0;
    }

    note(name, value) {
        const text = complaint(name, value);
        if (text) this.complaints.push(text);
    }

    sent(text) {
        const m = JSON.parse(text);
        this.messages++;
        this.methods.set(m.id, m.method);
        this.note('request', m);
        this.note(`params.${m.method}`, m.params);
    }

    received(text) {
        const m = JSON.parse(text);
        this.messages++;
        if (m.event) {
            this.note('event', m);
            this.note(`event.${m.event}`, m.data);
        } else if (m.notice) {
            this.note('notice', m);
            if (m.data !== undefined) this.note(`notice.${m.notice}`, m.data);
        } else {
            this.note('reply', m);
            if (m.result !== undefined) this.note(`result.${this.methods.get(m.id)}`, m.result);
        }
    }
}

/** Validates everything a Chromium page sends and receives on its websockets. */
export async function watchWire(page) {
    const cdp = await page.createCDPSession();
    await cdp.send('Network.enable');
    const checks = new Map();
    const of = (id) => checks.get(id) ?? checks.set(id, new WireCheck()).get(id);
    cdp.on('Network.webSocketFrameSent', (e) => e.response.opcode === 1 && of(e.requestId).sent(e.response.payloadData));
    cdp.on('Network.webSocketFrameReceived', (e) => e.response.opcode === 1 && of(e.requestId).received(e.response.payloadData));
    return {
        complaints: () => [...checks.values()].flatMap((c) => c.complaints),
        messages: () => [...checks.values()].reduce((sum, c) => sum + c.messages, 0),
    };
}

/** Which definition the body of a successful answer keeps to, by verb and path. */
const bodies = [
    [/^(GET|POST) session(\/link|\/first)?$/, 'http.session'],
    [/^GET units$/, 'http.units'],
    [/^GET briefings$/, 'http.briefings'],
    [/^POST briefings$/, 'http.briefing'],
    [/^GET briefings\/[^/]+$/, 'http.briefing'],
    [/^POST briefings\/[^/]+\/links$/, 'http.link'],
    [/^POST briefings\/[^/]+\/check$/, 'result.check'],
    [/^POST briefings\/[^/]+\/[a-z-]+$/, 'http.briefing'],
    [/^POST accounts$/, 'http.done'],
    [/^GET archive$/, 'http.recordings'],
    [/^GET archive\/[^/]+$/, 'http.recording'],
    [/^POST archive\/[^/]+\/compose$/, 'http.done'],
];

/** What is wrong with an answer of /api/v1 by the protocol's schema; null when nothing is. Recordings' files are not the protocol's. */
export function bodyComplaint(verb, path, status, json) {
    const [route] = path.split('?');
    if (json === null || /^archive\/[^/]+\/files\//.test(route)) return null;
    const known = bodies.find(([pattern]) => pattern.test(`${verb} ${route}`));
    const name = status >= 400 ? 'http.error' : known?.[1];
    return name ? complaint(name, json) : `no schema for ${verb} ${route}`;
}

/** One request of /api/v1; throws when the answer's body breaks the schema. */
export async function api(server, verb, path, { body, cookie, origin = server.plain, raw } = {}) {
    const headers = { Origin: origin };
    if (body !== undefined || raw !== undefined) headers['Content-Type'] = 'application/json';
    if (cookie) headers.Cookie = cookie;
    const response = await fetch(`${server.plain}/api/v1/${path}`, { method: verb, headers, body: raw ?? (body && JSON.stringify(body)), redirect: 'manual' });
    const text = await response.text();
    const json = text && response.headers.get('content-type')?.includes('json') ? JSON.parse(text) : null;
    const wrong = bodyComplaint(verb, path, response.status, json);
    if (wrong) throw new Error(`the answer breaks the protocol: ${wrong}`);
    return {
        status: response.status,
        json,
        cookie: response.headers.get('set-cookie')?.split(';')[0] ?? null,
        headers: response.headers,
        text,
    };
}

/** Signs in by a join link; yields the cookie. */
export async function session(server, link) {
    const token = link.split('/').pop();
    const answer = await api(server, 'POST', 'session/link', { body: { token } });
    if (answer.status !== 200) throw Object.assign(new Error(`link refused: ${answer.text}`), { answer });
    return answer.cookie;
}

export class Peer {
    static async open(server, cookie) {
        const p = new Peer();
        p.check = new WireCheck();
        p.waiting = new Map();
        p.events = [];
        p.notices = [];
        p.stray = [];
        p.next = 1;
        p.socket = new WebSocket(`${server.plain.replace('http', 'ws')}/api/v1/ws`, 'giaoban.1', { headers: { Cookie: cookie, Origin: server.plain } });
        p.closed = new Promise((resolve) => p.socket.on('close', (code) => resolve(code)));
        p.socket.on('message', (bytes) => p.receive(bytes.toString()));
        await new Promise((resolve, reject) => {
            p.socket.on('open', resolve);
            p.socket.on('error', reject);
        });
        p.socket.on('error', () => {});
        return p;
    }

    receive(text) {
        this.check.received(text);
        const m = JSON.parse(text);
        if (m.event) this.events.push(m);
        else if (m.notice) this.notices.push(m);
        else if (this.waiting.has(m.id)) {
            this.waiting.get(m.id)(m);
            this.waiting.delete(m.id);
        } else this.stray.push(m);
    }

    /** The whole reply: {result} or {error}. */
    ask(method, params = {}) {
        const id = this.next++;
        const text = JSON.stringify({ id, method, params });
        this.check.methods.set(id, method);
        return new Promise((resolve, reject) => {
            this.waiting.set(id, resolve);
            this.closed.then((code) => reject(new Error(`socket closed with ${code} before the reply to ${method}`)));
            this.socket.send(text);
        });
    }

    raw(text) {
        this.socket.send(text);
    }

    close() {
        this.socket.close();
        return this.closed;
    }
}
