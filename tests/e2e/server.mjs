// Starts the whole server on free ports over a temporary data directory, and stops it with everything it started.
import { execFile, spawn } from 'node:child_process';
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
export const bin = process.env.GIAOBAN_BIN ?? join(root, 'build', 'release', 'bin');
const run = promisify(execFile);

/** Polls `probe` until it yields something truthy; the one way tests wait. */
export async function until(what, probe, { timeout_ms = 20000, every_ms = 50 } = {}) {
    const deadline = Date.now() + timeout_ms;
    let last;
    for (;;) {
        try {
            const value = await probe();
            if (value) return value;
            last = value;
        } catch (error) {
            last = error;
        }
        if (Date.now() > deadline) throw new Error(`waited ${timeout_ms} ms in vain for ${what}; last: ${last?.stack ?? JSON.stringify(last)}`);
        await pause(every_ms);
    }
}

/** Lets real time pass: for watching that something keeps on, never for hoping that something has happened. */
export function pause(ms) {
    return new Promise((resolve) => setTimeout(resolve, ms));
}

/** One line of build/e2e.jsonl. A timing outside its bound is a figure with ok false; three times the bound is a failure. */
export function figure(line) {
    appendFileSync(join(root, 'build', 'e2e.jsonl'), `${JSON.stringify(line)}\n`);
}

export function percentile(values, p) {
    const sorted = [...values].sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.ceil((p / 100) * sorted.length) - 1)];
}

/** Share of both cores that was idle between two readings, in percent. */
export function idleMeter() {
    const read = () => {
        const f = readFileSync('/proc/stat', 'utf8').split('\n')[0].trim().split(/\s+/).slice(1).map(Number);
        return { idle: f[3] + f[4], all: f.slice(0, 8).reduce((a, b) => a + b, 0) };
    };
    const start = read();
    return () => {
        const end = read();
        return Math.round((1000 * (end.idle - start.idle)) / Math.max(1, end.all - start.all)) / 10;
    };
}

async function freeTcpPort() {
    return new Promise((resolve, reject) => {
        const s = createServer();
        s.on('error', reject);
        s.listen(0, '127.0.0.1', () => {
            const { port } = s.address();
            s.close(() => resolve(port));
        });
    });
}

/** Free for UDP and TCP. */
async function freeUdpRange(count) {
    const taken = (port) =>
        new Promise((resolve) => {
            const s = createSocket('udp4');
            const t = createServer();
            s.on('error', () => resolve(true));
            t.on('error', () => s.close(() => resolve(true)));
            s.bind(port, '127.0.0.1', () => t.listen(port, '127.0.0.1', () => t.close(() => s.close(() => resolve(false)))));
        });
    for (;;) {
        const base = 20000 + Math.floor(Math.random() * 20000);
        const used = await Promise.all([...Array(count).keys()].map((i) => taken(base + i)));
        if (!used.includes(true)) return base;
    }
}

export class Server {
    /** `settings` are configuration keys; two workers and spread placement unless they say else. `port` 0: any. */
    static async start({ settings = {}, port = 0 } = {}) {
        const s = new Server();
        s.data = mkdtempSync(join(tmpdir(), 'giaoban-e2e-'));
        s.port = port || (await freeTcpPort());
        s.plainPort = await freeTcpPort();
        s.settings = { workers: 2, placement: 'spread', plain_port: s.plainPort, 'media.addresses': ['127.0.0.1', '::1', process.env.GIAOBAN_TEST_ADDRESSES].filter(Boolean).join(','), 'media.port': await freeUdpRange(4), ...settings };
        s.plain = `http://127.0.0.1:${s.plainPort}`;
        s.tls = `https://localhost:${s.port}`;
        s.sims = [];
        await run(join(root, 'config', 'make-certificate'), [join(s.data, 'tls')]);
        await s.launch();
        return s;
    }

    arguments() {
        const set = Object.entries(this.settings).flatMap(([key, value]) => ['--set', `${key}=${value}`]);
        return ['--config', join(root, 'config', 'giaoban.yaml'), '--data', this.data, '--port', String(this.port), '--set', `web_dir=${join(root, 'client/web/dist')}`, ...set];
    }

    async launch() {
        this.log = '';
        this.child = spawn(join(bin, 'giaoban'), this.arguments(), { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
        for (const stream of [this.child.stdout, this.child.stderr])
            stream.on('data', (bytes) => {
                this.log += bytes;
                if (process.env.GIAOBAN_LOG) process.stderr.write(bytes);
            });
        this.exited = new Promise((resolve) => this.child.on('exit', (code, signal) => resolve({ code, signal })));
        await until('the server to be healthy', async () => {
            if (this.child.exitCode !== null) throw new Error(`giaoban ended:\n${this.log}`);
            return (await fetch(`${this.plain}/healthz`)).ok;
        });
    }

    async ctl(...args) {
        const { stdout } = await run(join(bin, 'giaobanctl'), ['--data', this.data, '--server', this.plain, ...args]);
        return stdout.trim();
    }

    /** A briefing of these units, and `link(unit, role)` for it. */
    async briefing(units, { record = false } = {}) {
        const args = ['briefing', 'create', '--title', 'Giao ban kiểm thử', '--units', units.join(',')];
        if (record) args.push('--record');
        const id = (await this.ctl(...args)).split(/\s+/)[0];
        return { id, link: async (unit, role = 'delegate') => (await this.ctl('link', '--briefing', id, '--unit', unit, '--role', role)).split(/\s+/).pop() };
    }

    /** Simulated rooms, one for each link; `status()` is the newest status line. With `--windows`, `windows` are those that ended. */
    async rooms(links, ...extra) {
        const file = join(this.data, `links-${this.sims.length}.txt`);
        writeFileSync(file, `${links.join('\n')}\n`);
        const child = spawn(join(bin, 'giaoban-sim'), ['--server', this.plain, '--links', file, ...extra], { stdio: ['pipe', 'pipe', 'pipe'] });
        const sim = { child, lines: [], windows: [], log: '', status: () => sim.lines.at(-1) };
        let rest = '';
        child.stdout.on('data', (bytes) => {
            const parts = (rest + bytes).split('\n');
            rest = parts.pop();
            for (const part of parts.filter((p) => p.startsWith('{'))) {
                const line = JSON.parse(part);
                if (line.window) sim.windows.push(line.window);
                else sim.lines.push(line);
            }
        });
        child.stderr.on('data', (bytes) => {
            sim.log += bytes;
            if (process.env.GIAOBAN_LOG) process.stderr.write(bytes);
        });
        sim.ended = new Promise((resolve) => child.on('exit', resolve));
        this.sims.push(sim);
        return sim;
    }

    /** Counters of the metrics page: name with labels → value. */
    async metrics() {
        const text = await (await fetch(`${this.plain}/metrics`)).text();
        return Object.fromEntries(
            text
                .split('\n')
                .filter((l) => l && !l.startsWith('#'))
                .map((l) => {
                    const at = l.lastIndexOf(' ');
                    return [l.slice(0, at), Number(l.slice(at + 1))];
                }),
        );
    }

    /** Sum of a worker counter over all workers. */
    async counter(name) {
        const all = await this.metrics();
        return Object.entries(all)
            .filter(([key]) => key.startsWith(`giaoban_media_${name}_total`))
            .reduce((sum, [, value]) => sum + value, 0);
    }

    /** Pids of this server's children by program name. */
    pids(program) {
        const found = [];
        for (const pid of readdirSync('/proc').filter((n) => /^\d+$/.test(n))) {
            try {
                const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
                const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
                const name = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')[0].split('/').pop();
                if (parent === this.child.pid && name === program) found.push(Number(pid));
            } catch {
                // ended meanwhile
            }
        }
        return found.sort((a, b) => a - b);
    }

    kill(program, signal = 'SIGKILL', index = 0) {
        const pid = this.pids(program)[index];
        if (!pid) throw new Error(`no ${program} runs`);
        process.kill(pid, signal);
        return pid;
    }

    async stop() {
        for (const sim of this.sims) {
            if (sim.child.exitCode === null) sim.child.kill('SIGTERM');
        }
        await Promise.all(this.sims.map((sim) => sim.ended));
        if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGTERM');
        const how = await this.exited;
        if (!process.env.GIAOBAN_KEEP) rmSync(this.data, { recursive: true, force: true });
        return how;
    }
}
