// Types of the protocol from its one contract, signaling/protocol/messages.schema.json, into src/protocol.gen.ts.
import { readFile, writeFile } from 'node:fs/promises';
import { execFileSync } from 'node:child_process';

const generator = new URL('../../../signaling/protocol/types.mjs', import.meta.url).pathname;
const target = new URL('../src/protocol.gen.ts', import.meta.url);
const text = execFileSync(process.execPath, [generator], { encoding: 'utf8', maxBuffer: 1 << 24 });
const before = await readFile(target, 'utf8').catch(() => '');
if (before !== text) await writeFile(target, text);
