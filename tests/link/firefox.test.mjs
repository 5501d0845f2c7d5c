// Firefox takes no redundant sound (RED): what it hears on bad lines is stated apart, and has no bound.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { root, until } from '../e2e/server.mjs';
import { Giaoban, World } from './calls.mjs';
import { Line, TOWN, figure } from './line.mjs';
import { JOIN_MS, frozenMs, full } from './measure.mjs';

const SECONDS = 20;

async function firefoxOn(profile) {
    const line = await Line.start(1);
    const world = await World.start();
    const call = await Giaoban.start(world); // a browser speaks: a simulated room's sound repeats nothing
    let child;
    try {
        const url = `https://${TOWN}:${world.server.port}${await call.briefing.link('h-quan-hoa')}`;
        child = spawn('ip', ['netns', 'exec', process.env.GIAOBAN_OFFICE, process.execPath, join(root, 'tests', 'link', 'firefox-in-office.mjs'), url, String(SECONDS + JOIN_MS / 1000)], { stdio: ['pipe', 'pipe', 'inherit'] });
        const said = [];
        let rest = '';
        child.stdout.on('data', (bytes) => {
            const parts = (rest + bytes).split('\n');
            rest = parts.pop();
            said.push(...parts.map((p) => JSON.parse(p)));
        });
        await until('firefox at the door', () => said.some((s) => s.ready), { timeout_ms: 60000 });
        line.say('seed 7');
        line.profile(profile);
        child.stdin.write('enter\n');
        await until('firefox to be done', () => said.some((s) => s.done), { timeout_ms: 90000 });
        const samples = said.filter((s) => s.sample).map((s) => s.sample);
        const [first, last] = [samples[JOIN_MS / 1000], samples.at(-1)];
        const frames = said.at(-1).frames.map(([t]) => t).filter((t) => t > first.at && t < last.at);
        const delta = (key) => (last.audio?.[key] ?? 0) - (first.audio?.[key] ?? 0);
        assert.ok(delta('received') > 0, 'it heard nothing');
        figure({
            case: 'firefox', profile, server: 'giaoban', ok: true, height: last.video?.height ?? null, fps: Math.round((frames.length * 10000) / (last.at - first.at)) / 10,
            frozen: Math.round((frozenMs(frames, first.at, last.at) * 10000) / (last.at - first.at)) / 10000,
            concealed: delta('samples') ? Math.round((delta('concealed') * 10000) / delta('samples')) / 10000 : null,
            sound_packets_lost: Math.round((delta('lost') * 10000) / (delta('lost') + delta('received'))) / 10000, fec_packets: delta('fec'),
        });
    } finally {
        child?.stdin.end();
        await new Promise((resolve) => (child && child.exitCode === null ? child.on('exit', resolve) : resolve()));
        await call.stop();
        await world.stop();
        await line.stop();
    }
}

for (const profile of ['D', 'E']) test(`Firefox’s sound on line ${profile}`, { skip: full ? false : 'only with --full' }, () => firefoxOn(profile));
