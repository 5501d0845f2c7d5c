// One way to bring a sender's sound and picture from town to an office: through giaoban, directly between two browsers, through
// Janus. In each the sender is the same Chromium with the same camera, the viewer another one behind the line, which sends too.
//   ready()   all that needs no line; join() through the line, yields when media is connected; leave()
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { join } from 'node:path';
import { chromium, newPage } from '../e2e/browsers.mjs';
import { Server, root, until } from '../e2e/server.mjs';
import { Peer, session } from '../e2e/wire.mjs';
import { Janus } from './janus.mjs';
import { TOWN, chromiumInOffice } from './line.mjs';

const script = readFileSync(join(root, 'tests', 'link', 'page.js'), 'utf8');
const CAMERA = { width: 1280, height: 720 };
/** The office's camera: two processors bear no second 720p in three layers. */
const OFFICE_CAMERA = { width: 640, height: 360 };
/** What the conference's page asks of a browser (client/web/src/media/peer.ts). */
const TOP_BPS = 1_700_000;
const LAYERS = [
    { rid: 'l', scaleResolutionDownBy: 4, maxBitrate: 150_000 },
    { rid: 'm', scaleResolutionDownBy: 2, maxBitrate: 500_000 },
    { rid: 'h', scaleResolutionDownBy: 1, maxBitrate: TOP_BPS },
];
const JOIN = { timeout_ms: 60000 };

/** A page that watches its stage; `camera` null: as large as is asked for. */
export async function watchingPage(browser, camera = OFFICE_CAMERA) {
    const page = await newPage(browser);
    await page.evaluateOnNewDocument(`window.__camera = ${JSON.stringify(camera)};\n${script}`);
    return page;
}

/** Server, both browsers, the plain page. */
export class World {
    static async start({ settings = {} } = {}) {
        const w = new World();
        w.server = await Server.start({ settings: { workers: 1, placement: 'home', 'media.addresses': `127.0.0.1,${TOWN}`, addresses: '', 'media.trace': true, ...settings } });
        w.office = await chromium({ executablePath: chromiumInOffice(), pipe: true });
        return w;
    }

    /** The sender's browser, when a test needs one. */
    async town() {
        return (this.townBrowser ??= await chromium());
    }

    async plainUrl() {
        if (!this.web) {
            const tls = (name) => readFileSync(join(this.server.data, 'tls', name));
            this.web = createServer({ cert: tls('server.crt'), key: tls('server.key') }, (request, answer) => {
                const bytes = new URL(request.url, 'https://x').searchParams.get('bytes');
                answer.setHeader('Content-Type', bytes ? 'application/octet-stream' : 'text/html');
                answer.end(bytes ? randomBytes(Number(bytes)) : '<!doctype html><video data-slot="stage" muted autoplay style="width:960px;height:540px"></video><audio data-slot="stage-sound" autoplay></audio>');
            });
            await new Promise((resolve) => this.web.listen(0, TOWN, resolve));
        }
        return `https://${TOWN}:${this.web.address().port}/`;
    }

    async stop() {
        for (const b of [this.office, this.townBrowser]) await b?.close().catch(() => {});
        this.web?.close();
        this.web?.closeAllConnections();
        await this.server.stop();
    }
}

/** A briefing whose stage is a Chromium in town, or with `sim` a simulated room of three layers. */
export class Giaoban {
    name = 'giaoban';

    static async start(world, { sim = false, record = false, rooms = [], options = [] } = {}) {
        const c = new Giaoban();
        c.world = world;
        const b = await world.server.briefing(['ubnd-tinh', 'vp-ubnd', 'h-quan-hoa', ...rooms], { record });
        c.briefing = b;
        await world.server.ctl('briefing', 'open', b.id);
        const links = [];
        for (const unit of rooms) links.push(await b.link(unit));
        const chair = await b.link('ubnd-tinh', 'chair');
        if (sim) links.unshift(chair);
        if (links.length) {
            c.sim = await world.server.rooms(links, '--size', '1280x720', '--speak', ...options);
            await until('the simulated rooms to be in', () => c.sim.status()?.joined === links.length, JOIN);
        }
        if (!sim) {
            c.sender = await watchingPage(await world.town(), null);
            await c.sender.setViewport({ width: 1024, height: 400 }); // a desk's, as small as they come: what it shows costs the test's processors
            await c.enter(c.sender, chair);
        }
        // Numbers are given as they come in.
        c.conductor = await Peer.open(world.server, await session(world.server, await b.link('vp-ubnd', 'secretary')));
        const hello = await c.conductor.ask('hello', { briefing: b.id, kind: 'desk', resume: null });
        c.numbers = Object.fromEntries(hello.result.state.endpoints.map((e) => [e.unit, e.number]));
        const grant = await c.conductor.ask('grant', { endpoint: c.numbers['ubnd-tinh'] });
        if (grant.error) throw new Error(JSON.stringify(grant));
        return c;
    }

    async arrive(page, link) {
        await page.goto(`https://${TOWN}:${this.world.server.port}${link}`);
        await page.waitForSelector('#enter:not([disabled])', { timeout: 60000 });
    }

    async enter(page, link) {
        await this.arrive(page, link);
        await page.click('#enter');
        await until('the peer connection', () => connected(page), JOIN);
    }

    async ready() {
        this.viewer = await watchingPage(this.world.office);
        await this.arrive(this.viewer, await this.briefing.link('h-quan-hoa'));
    }

    async join() {
        await this.viewer.click('#enter');
        await until('the peer connection', () => connected(this.viewer), JOIN);
    }

    async leave() {
        await this.viewer.browserContext().close();
    }

    async stop() {
        await this.conductor.close();
        await this.sender?.browserContext().close();
        if (this.sim?.child.exitCode === null) this.sim.child.kill('SIGTERM');
        await this.sim?.ended;
    }
}

function connected(page) {
    return page.evaluate(() => window.__watch.connections.some((pc) => pc.connectionState === 'connected'));
}

async function plainPage(browser, url, camera) {
    const page = await watchingPage(browser, null);
    await page.goto(url);
    await page.evaluate(({ width, height }) => window.__plain.open(width, height), camera);
    return page;
}

const plainConnected = (page, name) => until(`${name} to be connected`, () => page.evaluate((n) => window.__plain.state(n) === 'connected', name), JOIN);

/** Two browsers, nothing in between. */
export class Direct {
    name = 'direct';

    static async start(world) {
        const c = new Direct();
        c.world = world;
        c.url = await world.plainUrl();
        c.sender = await plainPage(await world.town(), c.url, CAMERA);
        return c;
    }

    async ready() {
        this.viewer = await plainPage(this.world.office, this.url, OFFICE_CAMERA);
    }

    async join() {
        const offer = await this.sender.evaluate((e) => window.__plain.offer('direct', e), [{ maxBitrate: TOP_BPS }]);
        const answer = await this.viewer.evaluate((sdp) => window.__plain.answer('direct', sdp, true), offer);
        await this.sender.evaluate((sdp) => window.__plain.accept('direct', sdp), answer);
        await plainConnected(this.viewer, 'direct');
    }

    async leave() {
        await this.sender.evaluate(() => window.__plain.close());
        await this.viewer.browserContext().close();
    }

    async stop() {
        await this.sender.browserContext().close();
    }
}

export class ThroughJanus {
    name = 'janus';

    static async start(world) {
        const c = new ThroughJanus();
        c.world = world;
        c.url = await world.plainUrl();
        c.janus = await Janus.start();
        c.sender = await plainPage(await world.town(), c.url, CAMERA);
        c.published = await c.janus.publish(c.sender, LAYERS);
        await plainConnected(c.sender, 'publish');
        return c;
    }

    async ready() {
        this.viewer = await plainPage(this.world.office, this.url, OFFICE_CAMERA);
    }

    async join() {
        this.subscribed = await this.janus.subscribe(this.viewer, this.published.feed);
        await plainConnected(this.viewer, 'subscribe');
        this.own = await this.janus.publish(this.viewer, [{ rid: 'l', scaleResolutionDownBy: 2, maxBitrate: 180_000 }, { rid: 'm', scaleResolutionDownBy: 1, maxBitrate: 600_000 }]);
    }

    async leave() {
        for (const { handle } of [this.subscribed, this.own]) await this.janus.detach(handle);
        await this.viewer.browserContext().close();
    }

    async stop() {
        await this.sender.browserContext().close();
        await this.janus.stop();
    }
}
