// Compiles test/*.test.ts with what they need and runs them with node's own test runner.
import { readdir, rm } from 'node:fs/promises';
import { spawnSync } from 'node:child_process';
import { build } from 'esbuild';

const root = new URL('..', import.meta.url).pathname;
const out = `${root}node_modules/.cache/giaoban-tests`;
await rm(out, { recursive: true, force: true });
const names = (await readdir(`${root}test`)).filter((name) => name.endsWith('.test.ts'));
await build({
    absWorkingDir: root,
    entryPoints: names.map((name) => `test/${name}`),
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node18',
    outdir: out,
    outExtension: { '.js': '.mjs' },
    jsx: 'automatic',
    jsxImportSource: 'preact',
});
const files = names.map((name) => `${out}/${name.replace('.ts', '.mjs')}`);
process.exit(spawnSync(process.execPath, ['--test', ...files], { stdio: 'inherit' }).status ?? 1);
