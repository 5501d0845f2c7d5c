// A page is shared by getDisplayMedia and left still for a minute: its text stays readable, for a late joiner too.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { chromium } from './browsers.mjs';
import { Endpoint } from './endpoint.mjs';
import { Server, figure, pause, until } from './server.mjs';

const TITLE = 'Bang so lieu';
const STILL_MS = 60000;
const PAGE = `<!doctype html><meta charset="utf-8"><title>${TITLE}</title><style>body{font:16px sans-serif;background:#fff;color:#111;margin:24px}td{padding:3px 14px}</style>
<h2>Thiệt hại do mưa lũ theo huyện</h2><table>${[...Array(18).keys()].map((i) => `<tr>${[...Array(6).keys()].map((j) => `<td>Huyện ${i + 1}.${j}: ${(i * 7919 + j * 104729) % 100000}</td>`).join('')}</tr>`).join('')}</table>`;

let server, browsers = [], pages, sharer, viewer, briefing, truth;

before(async () => {
    pages = createServer((request, response) => response.setHeader('Content-Type', 'text/html').end(PAGE));
    await new Promise((resolve) => pages.listen(0, '127.0.0.1', resolve));
    server = await Server.start();
    briefing = await server.briefing(['ubnd-tinh', 'h-quan-hoa', 'h-nga-son']);
    await server.ctl('briefing', 'open', briefing.id);
    browsers.push(await chromium({ withoutFakeUi: true, width: 1280, height: 720, flags: ['--screen-info={1920x1080}', '--window-size=1280,800', `--auto-select-tab-capture-source-by-title=${TITLE}`, '--auto-accept-camera-and-microphone-capture'] }));
    browsers.push(await chromium());
    sharer = await Endpoint.open(browsers[0], { source: 100, width: 640, height: 360 });
    const shown = await sharer.page.browserContext().newPage({ type: 'window' });
    await shown.setViewport({ width: 1280, height: 720 });
    await shown.goto(`http://127.0.0.1:${pages.address().port}/`);
    truth = await shown.screenshot({ encoding: 'base64' });
    viewer = await Endpoint.open(browsers[1], { source: 110, width: 640, height: 360 });
    await sharer.join(server.plain + (await briefing.link('ubnd-tinh', 'chair')));
    await viewer.join(server.plain + (await briefing.link('h-quan-hoa')));
});

after(async () => {
    for (const browser of browsers) await browser.close().catch(() => {});
    await server?.stop();
    pages?.close();
});

/** How near the shared screen is to the page itself: share of its dark pixels that are dark, of its light ones that are light, mean error. */
function compare(endpoint) {
    return endpoint.page.evaluate(async (png) => {
        const video = document.querySelector('video[data-slot="screen"]');
        if (!video?.videoWidth) return null;
        const image = new Image();
        image.src = `data:image/png;base64,${png}`;
        await image.decode();
        const luma = (what) => {
            const canvas = document.createElement('canvas');
            canvas.width = 1280;
            canvas.height = 720;
            const context = canvas.getContext('2d');
            context.drawImage(what, 0, 0, 1280, 720);
            const { data } = context.getImageData(0, 0, 1280, 720);
            return Float32Array.from({ length: 1280 * 720 }, (_, i) => 0.3 * data[4 * i] + 0.59 * data[4 * i + 1] + 0.11 * data[4 * i + 2]);
        };
        const [a, b] = [luma(image), luma(video)];
        let dark = 0, darkRight = 0, light = 0, lightRight = 0, error = 0;
        for (let i = 0; i < a.length; i++) {
            error += Math.abs(a[i] - b[i]);
            if (a[i] < 70) { dark++; if (b[i] < 128) darkRight++; }
            if (a[i] > 230) { light++; if (b[i] > 190) lightRight++; }
        }
        return { dark: darkRight / dark, light: lightRight / light, error: error / a.length, width: video.videoWidth, height: video.videoHeight };
    }, truth);
}

function readable(seen) {
    return seen && seen.dark > 0.95 && seen.light > 0.97 && seen.error < 8;
}

test('a still shared page is readable after a minute, and for somebody who joins then', async () => {
    await sharer.page.click('#share');
    await until('the shared screen to arrive', async () => readable(await compare(viewer)), { timeout_ms: 30000, every_ms: 500 });
    await pause(STILL_MS);
    const still = await compare(viewer);
    assert.ok(readable(still), JSON.stringify(still));

    const late = await Endpoint.open(browsers[1], { source: 120, width: 640, height: 360 });
    const at = Date.now();
    await late.join(server.plain + (await briefing.link('h-nga-son')));
    const seen = await until('the late joiner to read it', async () => { const now = await compare(late); return readable(now) && now; }, { timeout_ms: 15000 });
    figure({ case: 'still shared screen', ok: true, seconds: STILL_MS / 1000, dark_right: Math.round(1000 * still.dark) / 1000, error: Math.round(10 * still.error) / 10, size: `${seen.width}x${seen.height}`, late_join_ms: Date.now() - at });
    assert.equal(seen.width, 1280);
    for (const e of [sharer, viewer, late]) assert.deepEqual(e.page.problems, []);
});
