// H.264 and VP9 are passed on when a client prefers them; of VP9 with layers in one stream each viewer gets its own.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chromium } from './browsers.mjs';
import { Endpoint } from './endpoint.mjs';
import { Server, figure, pause, until } from './server.mjs';

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

/** What arrives for the stage: {height, frames, freezes}. */
const arriving = (endpoint) =>
    endpoint.page.evaluate(async () => {
        const stats = [...(await window.giaoban.pc().getStats()).values()];
        const stage = window.giaoban.slots().find((s) => s.name === 'stage').mid;
        const s = stats.find((x) => x.type === 'inbound-rtp' && x.mid === stage);
        return { height: s.frameHeight, frames: s.framesDecoded, freezes: s.freezeCount };
    });

test('of VP9 with spatial layers in one stream a small view gets a lower layer, a large one the full size', async () => {
    const server = await Server.start();
    const browsers = [await chromium(), await chromium()];
    try {
        const briefing = await server.briefing(['ubnd-tinh', 'h-quan-hoa']);
        await server.ctl('briefing', 'open', briefing.id);
        const chair = await Endpoint.open(browsers[0], { source: 100, width: 1280, height: 720, fps: 15, codec: 'video/vp9', scalability: 'L3T3_KEY' });
        const room = await Endpoint.open(browsers[1], { source: 110, width: 320, height: 180, fps: 10 });
        await room.page.setViewport({ width: 420, height: 320 });
        await chair.join(server.plain + (await briefing.link('ubnd-tinh', 'chair')));
        await room.join(server.plain + (await briefing.link('h-quan-hoa')));
        const sent = () => chair.page.evaluate(async () => {
            const stats = [...(await window.giaoban.pc().getStats()).values()];
            return stats.filter((s) => s.type === 'outbound-rtp' && s.kind === 'video' && s.active).map((s) => [s.scalabilityMode, s.frameHeight]);
        });
        await until('the chair to send all its layers', async () => JSON.stringify(await sent()) === '[["L3T3_KEY",720]]');
        await room.seesMoving('stage', 100);

        const small = await until('a lower layer', async () => {
            const now = await arriving(room);
            return now.height > 0 && now.height < 720 && now;
        });
        assert.equal(small.height, 180);
        await pause(4000);
        const later = await arriving(room);
        assert.equal(later.height, small.height);
        assert.ok(later.frames - small.frames >= 40, `${later.frames - small.frames} frames in 4 s`);

        await room.page.setViewport({ width: 1920, height: 1080 });
        const large = await until('the full size', async () => {
            const now = await arriving(room);
            return now.height === 720 && now;
        });
        await pause(3000);
        const full = await arriving(room);
        assert.equal(full.height, 720);
        figure({ case: 'spatial layers: pauses while stepping up', freezes: full.freezes - later.freezes, ok: full.freezes - later.freezes <= 1 });
        assert.ok(full.frames - large.frames >= 30, `${full.frames - large.frames} frames in 3 s`);
        await room.seesMoving('stage', 100);

        await room.page.setViewport({ width: 420, height: 320 });
        await until('the lower layer again', async () => (await arriving(room)).height === small.height);
        await room.seesMoving('stage', 100);
    } finally {
        for (const browser of browsers) await browser.close();
        await server.stop();
    }
});
