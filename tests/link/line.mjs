// The line between two namespaces (tests/link/on-a-line, impair.c), and a real Chromium at its far end.
import { execFileSync, spawn } from 'node:child_process';
import { appendFileSync, chmodSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bin, root } from '../e2e/server.mjs';
import { steadyUs } from './traces.mjs';

export const TOWN = '10.88.0.1';
export const OFFICE = '10.88.0.2';
const WAIT_BIN_MS = 10;
const PERFECT = 'rate_bps=0 queue_us=0 delay_us=0 jitter_us=0 loss_ppm=0 burst_ppm=0 burst_us=0 duplicate_ppm=0 reorder_ppm=0 reorder_us=0 down=0';

/** Rates of the profiles' lines towards the office, bit/s (access.c). */
export const RATES = { A: 10e6, B: 4e6, C: 2e6, D: 1e6, E: 512e3, F: 256e3, G: 5e6 };

export class Line {
    /** `seed` makes its losses. The line is perfect until told otherwise. */
    static async start(seed = 1) {
        const line = new Line();
        const { GIAOBAN_TOWN: town, GIAOBAN_OFFICE: office } = process.env;
        line.child = spawn(join(bin, 'impair'), ['--left', town, '--right', office, '--seed', String(seed)], { stdio: ['pipe', 'pipe', 'inherit'] });
        line.seconds = [];
        line.holds = []; // [µs, bit/s towards the office], 0: anything
        let rest = '';
        await new Promise((resolve, reject) => {
            line.child.on('exit', () => reject(new Error('impair ended')));
            line.child.stdout.on('data', (bytes) => {
                const parts = (rest + bytes).split('\n');
                rest = parts.pop();
                for (const part of parts) {
                    if (part === 'ready') resolve();
                    else line.seconds.push({ at: Date.now(), ...JSON.parse(part) });
                }
            });
        });
        for (const [ns, own, own6] of [[town, TOWN, 'fd88::1'], [office, OFFICE, 'fd88::2']]) {
            execFileSync('ip', ['-n', ns, 'addr', 'add', `${own}/30`, 'dev', 'line0']);
            execFileSync('ip', ['-n', ns, '-6', 'addr', 'add', `${own6}/64`, 'dev', 'line0', 'nodad']);
            execFileSync('ip', ['-n', ns, 'link', 'set', 'line0', 'mtu', '1500', 'up']);
            execFileSync('ip', ['-n', ns, 'route', 'add', 'default', 'dev', 'line0']);
        }
        return line;
    }

    say(command) {
        const rate = /^profile (.)/.exec(command)?.[1] ?? /^set (?:down|both) .*\brate_bps=(\d+)/.exec(command)?.[1];
        if (rate) this.holds.push([steadyUs(), RATES[rate] ?? Number(rate)]);
        this.child.stdin.write(`${command}\n`);
    }

    profile(letter) {
        this.say(`profile ${letter}`);
    }

    /** "down", "up" or "both", and what of it: rate_bps=… and so on. */
    set(which, what) {
        this.say(`set ${which} ${what}`);
    }

    perfect() {
        this.say(`set both ${PERFECT}`);
        this.say('lose 0 0');
    }

    /** The largest packet at both ends. Below 1280 there is no IPv6. */
    mtu(bytes) {
        for (const ns of [process.env.GIAOBAN_TOWN, process.env.GIAOBAN_OFFICE]) execFileSync('ip', ['-n', ns, 'link', 'set', 'line0', 'mtu', String(bytes)]);
    }

    /** Seconds that ended between two wall times. */
    between(from, to) {
        return this.seconds.filter((s) => s.at > from && s.at <= to);
    }

    /** {bps, lost, dropped: shares, wait_ms_p95} of one direction between two wall times. */
    use(way, from, to) {
        const within = this.between(from, to);
        const [first, last] = [within[0]?.[way], within.at(-1)?.[way]];
        if (!first || first === last) return { bps: 0, lost: 0, dropped: 0, wait_ms_p95: 0 };
        const delta = (key) => last[key] - first[key];
        const offered = Math.max(1, delta('packets') + delta('lost') + delta('dropped'));
        return {
            bps: (delta('bytes') * 8000) / (within.at(-1).at - within[0].at),
            lost: delta('lost') / offered,
            dropped: delta('dropped') / offered,
            wait_ms_p95: waitP95(within.slice(1).map((s) => s[way].waits)),
        };
    }

    async stop() {
        this.child.removeAllListeners('exit');
        const ended = new Promise((resolve) => this.child.on('exit', resolve));
        this.child.stdin.end();
        await ended;
    }
}

/** Upper border of the bin in which the 95th percentile is; 0 when nobody waited as long as a bin. */
function waitP95(histograms) {
    const bins = [];
    for (const h of histograms) h.forEach((n, i) => (bins[i] = (bins[i] ?? 0) + n));
    let above = 0.05 * bins.reduce((a, b) => a + b, 0);
    for (let i = bins.length - 1; i > 0; i--) if ((above -= bins[i]) < 0) return (i + 1) * WAIT_BIN_MS;
    return 0;
}

/** An executable that runs Chromium in the office. */
export function chromiumInOffice() {
    const path = join(mkdtempSync(join(tmpdir(), 'giaoban-link-')), 'chromium');
    writeFileSync(path, `#!/bin/sh\nexec ip netns exec ${process.env.GIAOBAN_OFFICE} /usr/bin/chromium "$@"\n`);
    chmodSync(path, 0o755);
    return path;
}

/** One line of build/link.jsonl. */
export function figure(line) {
    appendFileSync(join(root, 'build', 'link.jsonl'), `${JSON.stringify(line)}\n`);
}
