// The whole way over IPv6 alone: page, websocket, sound and picture over [::1].
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chromium } from './browsers.mjs';
import { Endpoint } from './endpoint.mjs';
import { Server, until } from './server.mjs';

test('a chair and a simulated room meet over [::1]', async () => {
    const server = await Server.start({ settings: { 'media.addresses': '::1' } });
    const browser = await chromium();
    try {
        const briefing = await server.briefing(['ubnd-tinh', 'h-muong-lat']);
        await server.ctl('briefing', 'open', briefing.id);
        const sims = await server.rooms([await briefing.link('h-muong-lat')], '--ipv6');
        await until('the room to be in', () => sims.status()?.joined === 1, { timeout_ms: 40000 });
        const chair = await Endpoint.open(browser, { source: 100, width: 320, height: 180, fps: 10 });
        await chair.join(`http://[::1]:${server.plainPort}${await briefing.link('ubnd-tinh', 'chair')}`);
        const { endpoints } = await chair.state();
        await chair.page.click(`[data-number="${endpoints.find((e) => e.unit === 'h-muong-lat').number}"] button`);
        await chair.seesMoving('stage', 0);
        await chair.hearsTone('stage-sound', 400);
        const { address } = await chair.remote();
        assert.equal(address.replace(/[[\]]/g, ''), '::1');
        assert.deepEqual(chair.page.problems, []);
    } finally {
        await browser.close();
        await server.stop();
    }
});
