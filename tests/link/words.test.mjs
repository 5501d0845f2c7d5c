// What a room attendant reads when the line is weak: tests/link/on-a-line node --test tests/link/words.test.mjs
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { chromium, newPage } from '../e2e/browsers.mjs';
import { Server, root, until } from '../e2e/server.mjs';
import { Line, TOWN, chromiumInOffice, figure } from './line.mjs';

const WORDS_WITHIN_MS = 5000; // of the pause
const GONE_WITHIN_MS = 10000; // of the line's return
const desks = [[1920, 1080], [1366, 768]];
const phones = [[390, 844]]; // chosen at the entrance
const shots = join(root, 'build', 'words');

let line, server, briefing, browser, conductors, page, rooms;

const inPage = (what) => page.evaluate(what);
const stageSlot = () => inPage(() => window.giaoban.slots().find((slot) => slot.name === 'stage'));
const veil = () => inPage(() => document.querySelector('.stage .veil')?.textContent ?? '');
const stateLine = () => inPage(() => document.querySelector('.state-line')?.textContent ?? '');
const picture = () =>
    inPage(async () => {
        const mid = window.giaoban.slots().find((slot) => slot.name === 'stage').mid;
        for (const s of (await window.giaoban.pc().getStats()).values()) if (s.type === 'inbound-rtp' && s.mid === mid) return { frames: s.framesDecoded, bytes: s.bytesReceived };
        return { frames: 0, bytes: 0 };
    });

/** ms until it is so; figures are kept, only three times the bound fails. */
async function within(name, bound_ms, probe) {
    const start = Date.now();
    await until(name, probe, { timeout_ms: 3 * bound_ms, every_ms: 50 });
    const ms = Date.now() - start;
    figure({ test: 'words', name, ms, bound_ms, ok: ms <= bound_ms });
    return ms;
}

before(async () => {
    mkdirSync(shots, { recursive: true });
    line = await Line.start(1);
    server = await Server.start({ settings: { workers: 1, placement: 'home', 'media.addresses': `127.0.0.1,${TOWN}`, addresses: '' } });
    briefing = await server.briefing(['ubnd-tinh', 'vp-ubnd', 'h-quan-hoa', 'h-ba-thuoc', 'h-muong-lat'], { record: false });
    await server.ctl('briefing', 'open', briefing.id);
    rooms = await server.rooms([await briefing.link('ubnd-tinh', 'chair'), await briefing.link('h-ba-thuoc')], '--size', '1280x720', '--speak');
    await until('the rooms outside to be in', () => rooms.status()?.joined === 2, { timeout_ms: 60000 });
    line.profile('A');
    browser = await chromium({ executablePath: chromiumInOffice(), pipe: true });
    page = await enter('h-quan-hoa');
});

async function enter(unit, [width, height] = desks[1]) {
    page = await newPage(browser);
    await page.setViewport({ width, height });
    await page.goto(`https://${TOWN}:${server.port}${await briefing.link(unit)}`);
    await page.waitForSelector('#enter:not([disabled])', { timeout: 60000 });
    await page.click('#enter');
    await until('moving pictures', async () => (await picture()).frames > 30, { timeout_ms: 60000 });
    return page;
}

after(async () => {
    await browser?.close();
    await conductors?.close();
    await server?.stop();
    await line?.stop();
});

test('a line of a crisis pauses the picture: the page says so in its place, the sound goes on, and the words go with the line’s return', async () => {
    assert.equal(await veil(), '');
    line.profile('F');
    await until('the stage to be paused', async () => (await stageSlot()).paused, { timeout_ms: 30000 });
    const words = await within('words-after-pause', WORDS_WITHIN_MS, async () => (await veil()).includes('Đường truyền yếu: tạm dừng hình, vẫn nghe tiếng'));
    await within('state-line-after-pause', WORDS_WITHIN_MS, async () => /Đường truyền (rất )?yếu/.test(await stateLine()));
    assert.ok(words >= 0);
    await screenshots('paused');
    const heard = () =>
        inPage(async () => {
            let packets = 0;
            for (const s of (await window.giaoban.pc().getStats()).values()) if (s.type === 'inbound-rtp' && s.kind === 'audio') packets += s.packetsReceived;
            return packets;
        });
    const packets = await heard();
    await until('sound to go on', async () => (await heard()) > packets + 40, { timeout_ms: 5000 });
    assert.equal(rooms.status().paused_slots, 0); // the others' lines are good
    line.profile('A');
    await within('words-gone-after-return', GONE_WITHIN_MS, async () => (await veil()) === '');
    await within('state-line-gone-after-return', 2 * GONE_WITHIN_MS, async () => (await stateLine()).startsWith('Phòng của bạn'));
    const { frames } = await picture();
    await until('the picture to move', async () => (await picture()).frames > frames + 10, { timeout_ms: 5000 });
});

test('sound only: the stage’s slot is emptied by the server, the camera stops when told so, and both come back', async () => {
    await page.click('#sound-only');
    await page.waitForSelector('dialog[open]');
    await page.click('dialog[open] .button.main');
    await until('an empty stage slot', async () => (await stageSlot()).number === 0, { timeout_ms: 10000 });
    assert.equal((await stageSlot()).paused, false);
    const still = await picture();
    const camera = () => inPage(() => window.giaoban.state().endpoints.find((e) => e.number === window.giaoban.me().number).camera);
    await until('the camera to be off', async () => !(await camera()));
    assert.match(await stateLine(), /Chỉ nghe tiếng/);
    await screenshots('sound-only');
    assert.ok((await picture()).frames - still.frames < 10, 'pictures still come');
    await page.click('#sound-only');
    const { frames } = await picture();
    await until('the picture to move again', async () => (await picture()).frames > frames + 10, { timeout_ms: 10000 });
    await until('the camera to be on again', camera);
});

test('a phone says it in its own places', async () => {
    await page.browserContext().close();
    await enter('h-muong-lat', phones[0]);
    line.profile('F');
    await within('words-on-a-phone', 3 * WORDS_WITHIN_MS, async () => (await veil()) !== '');
    await until('the state line to say so', async () => /yếu/.test(await stateLine()), { timeout_ms: 15000 });
    await screenshots('paused', phones);
    line.profile('A');
    await page.click('#sound-only');
    await page.waitForSelector('dialog[open]');
    await screenshots('question', phones);
    await page.click('dialog[open] .button.main');
    await until('an empty stage slot', async () => (await stageSlot()).number === 0, { timeout_ms: 10000 });
    await screenshots('sound-only', phones);
});

test('who conducts reads in the list which room’s line is weak', async () => {
    conductors = await chromium({ pipe: true });
    const conductor = await newPage(conductors);
    await conductor.goto(`https://${TOWN}:${server.port}${await briefing.link('vp-ubnd', 'secretary')}`);
    await conductor.waitForSelector('#enter:not([disabled])', { timeout: 60000 });
    await conductor.click('#enter');
    await conductor.waitForSelector('.person');
    await page.click('#sound-only'); // pictures again
    line.profile('F');
    await within('weak-line-in-the-list', 3 * WORDS_WITHIN_MS, () => conductor.evaluate(() => document.querySelector('.person .line-weak') !== null));
    await screenshots('list', desks, conductor);
    assert.match(await conductor.evaluate(() => document.querySelector('.person .line-weak').textContent), /hình|gói|mất/);
});

/** Nothing is cut off and nothing sticks out, at each size and in both languages; pictures to look at in build/words. */
async function screenshots(name, sizes = desks, of = page) {
    for (const [width, height] of sizes) {
        await of.setViewport({ width, height });
        for (const language of ['vi', 'en']) {
            if ((await of.evaluate(() => document.documentElement.lang)) !== language) await of.evaluate(() => document.querySelector('button.language')?.click());
            await of.screenshot({ path: join(shots, `${name}-${width}-${language}.png`) });
            const out = await of.evaluate(() => {
                const cut = [...document.querySelectorAll('.veil, .state-line, .line-weak, .bar .button, .thumb-button, dialog .button')].filter((e) => e.clientWidth > 0 && (e.scrollWidth > e.clientWidth + 1 || e.getBoundingClientRect().right > innerWidth + 1 || e.getBoundingClientRect().left < (e.closest('dialog')?.getBoundingClientRect().left ?? 0)));
                return [document.documentElement.scrollWidth > innerWidth ? 'the page is wider than its window' : '', ...cut.map((e) => `${e.className}: ${e.textContent}`)].filter(Boolean);
            });
            assert.deepEqual(out, [], `${width}×${height} ${language}`);
        }
    }
    await of.evaluate(() => document.documentElement.lang !== 'vi' && document.querySelector('button.language').click());
}
