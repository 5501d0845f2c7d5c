// H.264 and VP9 are passed on when a client prefers them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chromium } from './browsers.mjs';
import { Endpoint } from './endpoint.mjs';
import { Server } from './server.mjs';

for (const codec of ['video/vp9', 'video/h264'])
    test(`${codec} of a client that prefers it reaches another's stage`, async (t) => {
        const server = await Server.start();
        const browsers = [await chromium(), await chromium()];
        try {
            const briefing = await server.briefing(['ubnd-tinh', 'h-quan-hoa']);
            await server.ctl('briefing', 'open', briefing.id);
            const chair = await Endpoint.open(browsers[0], { source: 100, width: 640, height: 360, fps: 15, codec });
            if (!(await chair.page.evaluate((c) => RTCRtpSender.getCapabilities('video').codecs.some((x) => x.mimeType.toLowerCase() === c), codec))) {
                t.skip('this browser has no such encoder');
                return;
            }
            const room = await Endpoint.open(browsers[1], { source: 110, width: 320, height: 180, fps: 10 });
            await chair.join(server.plain + (await briefing.link('ubnd-tinh', 'chair')));
            await room.join(server.plain + (await briefing.link('h-quan-hoa')));
            await room.seesMoving('stage', 100);
            const received = await room.page.evaluate(async () => {
                const stats = [...(await window.giaoban.pc().getStats()).values()];
                const stage = window.giaoban.slots().find((s) => s.name === 'stage').mid;
                const inbound = stats.find((s) => s.type === 'inbound-rtp' && s.mid === stage);
                return stats.find((s) => s.id === inbound.codecId).mimeType.toLowerCase();
            });
            assert.equal(received, codec);
        } finally {
            for (const browser of browsers) await browser.close();
            await server.stop();
        }
    });
