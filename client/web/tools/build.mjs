// Builds dist/: index.html, hashed assets, and every text file once more as .br and .gz, so that the server compresses nothing.
import { readFile, readdir, rm, mkdir, writeFile, copyFile } from 'node:fs/promises';
import { brotliCompressSync, gzipSync, constants } from 'node:zlib';
import { createHash } from 'node:crypto';
import { build } from 'esbuild';

const root = new URL('..', import.meta.url).pathname;
const dist = `${root}dist`;
const preloadedFonts = /be-vietnam-pro-(vietnamese|latin)-(500|700)-normal/;

// The folder stays the same one: a running server holds it open. What is stale goes at the end.
await mkdir(`${dist}/assets`, { recursive: true });
const stale = new Set(await readdir(dist, { recursive: true }));
const result = await build({
    absWorkingDir: root,
    entryPoints: { app: 'src/main.tsx', style: 'src/styles/main.css' },
    bundle: true,
    minify: true,
    charset: 'utf8',
    format: 'esm',
    target: ['chrome110', 'firefox115', 'safari16'],
    jsx: 'automatic',
    jsxImportSource: 'preact',
    outdir: 'dist/assets',
    entryNames: '[name]-[hash]',
    assetNames: '[name]-[hash]',
    loader: { '.woff2': 'file' },
    sourcemap: false,
    legalComments: 'none',
    metafile: true,
});

const outputs = Object.keys(result.metafile.outputs).map((file) => file.replace('dist/', '/'));
const find = (pattern) => outputs.filter((file) => pattern.test(file));
const icon = await readFile(`${root}src/icon.svg`);
const iconName = `icon-${createHash('sha256').update(icon).digest('hex').slice(0, 8)}.svg`;
await copyFile(`${root}src/icon.svg`, `${dist}/assets/${iconName}`);

const preloads = find(preloadedFonts)
    .map((file) => `    <link rel="preload" href="${file}" as="font" type="font/woff2" crossorigin>`)
    .join('\n');
const html = (await readFile(`${root}src/index.html`, 'utf8'))
    .replace('<!-- preloads -->', preloads.trimStart())
    .replace('{{icon}}', `/assets/${iconName}`)
    .replace('{{style}}', find(/style-.*\.css$/)[0])
    .replace('{{script}}', find(/app-.*\.js$/)[0]);
await writeFile(`${dist}/index.html`, html);

const made = ['index.html', `assets/${iconName}`, ...outputs.map((file) => file.slice(1))];
for (const name of made) {
    stale.delete(name);
    if (!/\.(html|js|css|svg)$/.test(name)) continue;
    const bytes = await readFile(`${dist}/${name}`);
    const brotli = brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } });
    await writeFile(`${dist}/${name}.br`, brotli);
    await writeFile(`${dist}/${name}.gz`, gzipSync(bytes, { level: 9 }));
    stale.delete(`${name}.br`);
    stale.delete(`${name}.gz`);
    console.log(`${name} ${bytes.length} bytes, ${brotli.length} as brotli`);
}
stale.delete('assets');
for (const name of stale) await rm(`${dist}/${name}`, { recursive: true });
