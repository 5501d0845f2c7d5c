// firefox-in-office URL SECONDS: Firefox joins by that link, in the namespace this runs in, and watches. It is steered over a port,
// which is not reached from another namespace: hence a program of its own. Commands on standard input: "enter", then one sample a
// second on standard output, as JSON; ends with its input.
import { createInterface } from 'node:readline';
import { firefox } from '../e2e/browsers.mjs';
import { pause, until } from '../e2e/server.mjs';
import { watchingPage } from './calls.mjs';

const [url, seconds] = [process.argv[2], Number(process.argv[3])];
const browser = await firefox();
const commands = createInterface({ input: process.stdin });
commands.on('close', () => browser.close().finally(() => process.exit(0)));
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

const page = await watchingPage(browser);
await page.goto(url);
await page.waitForSelector('#enter:not([disabled])', { timeout: 60000 });
say({ ready: true });
for await (const line of commands) {
    if (line !== 'enter') continue;
    await page.click('#enter');
    await until('the peer connection', () => page.evaluate(() => window.__watch.connections.some((pc) => pc.connectionState === 'connected')), { timeout_ms: 60000 });
    say({ joined: true });
    for (let i = 0; i < seconds; i++) {
        await pause(1000);
        say({ sample: await page.evaluate(() => window.__watch.sample()) });
    }
    say({ frames: await page.evaluate(() => window.__watch.frames()), done: true });
}
