// What the tests of survival share: a server with a briefing of simulated rooms, windows in which something is broken, figures.
// Moments are random: SEED=… repeats those of a run.
import assert from 'node:assert/strict';
import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Server, idleMeter, pause, root, until } from '../e2e/server.mjs';
import { Peer, api, session } from '../e2e/wire.mjs';

export const full = process.env.FULL === 'yes';
export const MOMENTS = full ? 20 : 2;
/** In a quiet window sound arrives every 20 ms; that is no gap. */
const STEP_MS = 20;
/** A heartbeat may fail to come for a second, and is looked for ten times a second; then it is a kill. */
export const SILENCE_MS = 1200;
const seed = process.env.SEED ?? String(Math.floor(Math.random() * 1e9));

/** Numbers in [0, 1) that SEED and `name` determine. */
export function randomness(name) {
    let state = [...`${seed} ${name}`].reduce((h, c) => Math.imul(h ^ c.charCodeAt(0), 16777619), 2166136261);
    console.log(`# ${name}: SEED=${seed}`);
    const next = () => {
        state = (state + 0x6d2b79f5) | 0;
        let t = Math.imul(state ^ (state >>> 15), 1 | state);
        t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
        return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
    return { between: (from, to) => from + next() * (to - from), pick: (list) => list[Math.floor(next() * list.length)] };
}

/** CLOCK_MONOTONIC in µs, which session times and the simulator's are too. */
export function nowUs() {
    return Number(process.hrtime.bigint() / 1000n);
}

/** One line of build/survive.jsonl. */
export function figure(line) {
    appendFileSync(join(root, 'build', 'survive.jsonl'), `${JSON.stringify(line)}\n`);
}

/** A figure with its bounds, {gap_ms: 40, …}: outside a bound `ok` is false, outside three times of it the test fails. Where the
 * machine was busy with something else (less than a tenth idle), times mean nothing: `ok` is false then, and nothing fails. */
export function measured(name, figures, bounds) {
    const busy = figures.idle_percent < 10;
    const ok = !busy && Object.entries(bounds).every(([key, bound]) => figures[key] <= bound);
    figure({ case: name, ok, gap_ms: null, lost_ms: null, back_ms: null, ledger_error_ms: null, ...figures, ...Object.fromEntries(Object.entries(bounds).map(([key, bound]) => [`bound_${key}`, bound])) });
    for (const [key, bound] of busy ? [] : Object.entries(bounds)) assert.ok(figures[key] <= 3 * bound, `${name}: ${key} is ${figures[key]}, its bound ${bound}`);
}

/** A new server for what is done in it: a process that dies often is started again later and later, and no moment shall pay for
 * the one before. Yields what `doing` does, with the share of the processors that was idle meanwhile. */
export async function inWorld(settings, doing) {
    const world = await World.start(settings);
    const idle = idleMeter();
    try {
        await doing(world, idle);
    } finally {
        await world.stop();
    }
}

/** The same where the machine must have time left to say something: below 10 % idle the figure is void. */
export function measuredIdle(name, idlePercent, figures, bounds) {
    if (idlePercent >= 10) measured(name, { ...figures, idle_percent: idlePercent }, bounds);
    else figure({ case: name, ok: false, void: true, ...figures, idle_percent: idlePercent });
}

export const round = (ms) => Math.round(ms * 10) / 10;

/** Begins a window in each simulator, does what is to be done, and yields the rooms of all of them. */
export async function watching(sims, doing) {
    for (const sim of sims) sim.child.stdin.write('begin\n');
    await doing();
    const seen = sims.map((sim) => sim.windows.length);
    for (const sim of sims) sim.child.stdin.write('end\n');
    await until('the windows', () => sims.every((sim, i) => sim.windows.length > seen[i]));
    return sims.flatMap((sim) => sim.windows.at(-1).rooms);
}

/** Longest time without stage sound at any of these rooms, less a step. All of them must have heard some. */
export function gapMs(rooms) {
    for (const r of rooms) assert.ok(r.gap_us !== null && r.sound > 0, `room ${r.number} heard nothing: ${JSON.stringify(r)}`);
    return Math.max(...rooms.map((r) => r.gap_us / 1000)) - STEP_MS;
}

export class World {
    /** A server of two workers, and the first briefing's rooms in it. */
    static async start(settings = {}) {
        const w = new World();
        w.server = await Server.start({ settings });
        return w;
    }

    /** {id, sims, rooms: units, secretary, numbers, …}: opened, everybody in, the first room has the floor, the last ones a raised hand. */
    async briefing(units, { record = false, options = [], source = 0 } = {}) {
        const b = await this.server.briefing(['vp-ubnd', ...units], { record });
        b.units = units;
        b.secretaryLink = await b.link('vp-ubnd', 'secretary');
        const links = [];
        for (const unit of units) links.push(await b.link(unit));
        await this.server.ctl('briefing', 'open', b.id);
        b.openedUs = nowUs();
        b.sim = await this.server.rooms(links, '--windows', '--source', String(source), ...options);
        await until('the rooms to be in', () => b.sim.status()?.joined === units.length, { timeout_ms: 60000 });
        await this.conduct(b);
        b.numbers = Object.fromEntries(b.state.endpoints.map((e) => [e.unit, e.number]));
        await this.ask(b, 'grant', { endpoint: b.numbers[units[0]] });
        for (const unit of units.slice(2)) await this.ask(b, 'raise-hand', { endpoint: b.numbers[unit] });
        await until('sound at every listener', async () => {
            const rooms = await watching([b.sim], () => pause(300));
            return this.listeners(b, rooms).every((r) => r.sound > 10);
        });
        return b;
    }

    /** The secretary's socket, anew after control was gone: the same endpoint. `b.state` is what the server says then. */
    async conduct(b) {
        b.cookie ??= await session(this.server, b.secretaryLink);
        b.secretary = await Peer.open(this.server, b.cookie);
        const answer = await b.secretary.ask('hello', { briefing: b.id, kind: 'desk', resume: b.resume ?? null });
        assert.ok(answer.result, JSON.stringify(answer));
        b.resume = { endpoint: answer.result.endpoint, secret: answer.result.secret, last: 0 };
        b.state = answer.result.state;
        return b.state;
    }

    async ask(b, method, params = {}) {
        const answer = await b.secretary.ask(method, params);
        assert.ok(answer.result, `${method}: ${JSON.stringify(answer)}`);
    }

    /** What must be as before: seats, floor, hands, microphones, recording. */
    async stateOf(b) {
        const deadline = Date.now() + 10000;
        for (;;) {
            try {
                if (b.secretary.socket.readyState !== 1) await this.conduct(b);
                else {
                    await b.secretary.close();
                    await this.conduct(b);
                }
                break;
            } catch (error) {
                if (Date.now() > deadline) throw error;
                await pause(50);
            }
        }
        const { floor, hands, recording, state, spotlight, endpoints } = b.state;
        return {
            floor,
            hands: hands.map((h) => h.number ?? h),
            recording,
            state,
            spotlight,
            endpoints: endpoints.map(({ number, id, unit, connected, microphone, camera }) => ({ number, id, unit, connected, microphone, camera })),
        };
    }

    /** Everybody but who has the floor. */
    listeners(b, rooms) {
        return rooms.filter((r) => r.number !== b.numbers[b.units[0]]);
    }

    /** Pid of the newest start of a worker, recorder or composer; undefined: none was started. */
    started(kind, { index = 0, job = '' } = {}) {
        const starts = [...this.server.log.matchAll(/started (\w+) index=(\d+) job="([^"]*)" pid=(\d+)/g)];
        const pid = starts.filter((m) => m[1] === kind && Number(m[2]) === index && m[3].startsWith(job)).at(-1)?.[4];
        return pid && Number(pid);
    }

    worker(index) {
        return this.started('worker', { index });
    }

    /** Stops a process for five seconds. Yields when the supervisor killed it and for how long it had borne it, or null: it didn't. */
    async stopped(pid) {
        const wall = Date.now();
        const at = nowUs();
        process.kill(pid, 'SIGSTOP');
        await pause(5000);
        const found = new RegExp(`^(\\S+) error giaoban/supervisor no heartbeat: killed pid=${pid} `, 'm').exec(this.server.log);
        if (!found) {
            process.kill(pid, 'SIGCONT');
            return null;
        }
        const silent_ms = new Date(found[1]).getTime() - wall;
        return { at: at + silent_ms * 1000, silent_ms };
    }

    dir(b) {
        return join(this.server.data, 'recordings', b.id);
    }

    /** Closes a recorded briefing and waits for its programme; yields its path. */
    async programme(b) {
        await this.ask(b, 'close');
        return this.composed(b);
    }

    async composed(b, name = 'programme.mp4') {
        await until('the programme to be composed', async () => {
            const { json } = await api(this.server, 'GET', `archive/${b.id}`, { cookie: b.cookie });
            assert.notEqual(json?.state, 'failed', JSON.stringify(json));
            return json?.state === 'ready' && json.formats.some((f) => f.name === name || `programme.${f.name}` === name);
        }, { timeout_ms: 120000, every_ms: 100 });
        return join(this.dir(b), name);
    }

    workerOf(room) {
        return room.port - this.server.settings['media.port'];
    }

    /** kill −9 of everything at once, supervisor first, and what a service manager does then. Yields the moment in µs. */
    async killAll() {
        const all = [this.server.child.pid, ...['giaoband', 'giaoban-media', 'giaoban-recorder'].flatMap((p) => this.server.pids(p))];
        const at = nowUs();
        for (const pid of all) process.kill(pid, 'SIGKILL');
        await this.server.exited;
        return at;
    }

    /** Starts it again after the wait that config/giaoban.service asks for, as often as it takes; yields how often. */
    async startAgain(waitMs = restartMs()) {
        for (let tries = 1; ; tries++) {
            await pause(waitMs);
            try {
                await this.server.launch();
                return tries;
            } catch (error) {
                if (this.server.child.exitCode === null) throw error;
                waitMs = restartMs();
            }
        }
    }

    async stop() {
        await this.server.stop();
    }
}

export function restartMs() {
    const unit = readFileSync(join(root, 'config', 'giaoban.service'), 'utf8');
    const [, number, suffix] = /^RestartSec=([\d.]+)(ms|s)?$/m.exec(unit);
    return Number(number) * (suffix === 'ms' ? 1 : 1000);
}
