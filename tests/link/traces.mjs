// A worker's trace of one call (server/sfu/trace.h): what it wrote of those who joined in it, what the line held meanwhile, and a
// picture of both (tests/link/plot).
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pause, root } from '../e2e/server.mjs';

const FLUSH_MS = 1300;

/** The clock of the server's times, µs. */
export const steadyUs = () => Number(process.hrtime.bigint() / 1000n);

/** Cuts out the first peer that began after `sinceUs`, as peer 1, its times beginning at the whole second before; `holds`: [[µs, bit/s], …]. */
function cut(text, sinceUs, holds) {
    const lines = text.split('\n').slice(0, -1);
    const base = Number(lines[0]?.split(' ')[2]);
    const from36 = (word) => parseInt(word, 36);
    const begins = lines.find((l) => l.startsWith('n ') && base + from36(l.split(' ')[2]) >= sinceUs);
    if (!begins) return null;
    const id = begins.split(' ')[1];
    const zero = Math.floor((base + from36(begins.split(' ')[2])) / 1e6) * 1e6;
    const out = [`giaoban-trace 1 ${zero}`];
    const later = holds.filter(([us]) => us > zero).map(([us, bps]) => ({ us, text: `l ${(us - zero).toString(36)} ${bps.toString(36)}` }));
    const now = holds.filter(([us]) => us <= zero).at(-1);
    if (now) out.push(`l 0 ${now[1].toString(36)}`);
    for (const line of lines.slice(1)) {
        const words = line.split(' ');
        if (words[1] !== id) continue;
        const us = base + from36(words[2]);
        while (later[0]?.us <= us) out.push(later.shift().text);
        words[1] = '1';
        words[2] = (us - zero).toString(36);
        if (words[0] === 'f' && words.length > 4) words[4] = words[4].replace(/^[^:]+/, (sent) => (base + from36(sent) - zero).toString(36));
        out.push(words.join(' '));
    }
    return `${out.join('\n')}\n`;
}

/** build/link-traces/NAME.trace and .svg of the viewer that joined `server` after `sinceUs`. */
export async function keepLineTrace(name, server, line, sinceUs) {
    await pause(FLUSH_MS);
    const dir = join(root, 'build', 'link-traces'), base = join(dir, name.replaceAll(/[^\w.]+/g, '-'));
    const text = cut(readFileSync(join(server.data, 'worker-0.trace'), 'latin1'), sinceUs, line.holds);
    if (!text) return;
    mkdirSync(dir, { recursive: true });
    writeFileSync(`${base}.trace`, text);
    execFileSync(join(root, 'tests', 'link', 'plot'), [`${base}.trace`, '--title', name]);
}
