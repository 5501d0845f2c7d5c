// A person at a browser: opens a join link, passes the device check, and then looks and listens.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { newPage } from './browsers.mjs';
import { percentile, root, until } from './server.mjs';

const probe = readFileSync(join(root, 'tests', 'e2e', 'probe.js'), 'utf8');

export class Endpoint {
    /** `source` is what its camera and microphone carry: 0…255, tone 400 + 50 × source Hz. null: the browser's own fake device. */
    static async open(browser, { source = null, width = 960, height = 540, fps = 25, codec = null, scalability = null } = {}) {
        const e = new Endpoint();
        e.page = await newPage(browser);
        e.source = source;
        const device = source === null ? 'null' : JSON.stringify({ source, width, height, fps });
        await e.page.evaluateOnNewDocument(`window.__device = ${device};\nwindow.__codec = ${JSON.stringify(codec)};\nwindow.__scalability = ${JSON.stringify(scalability)};\n${probe}`);
        return e;
    }

    /** As far as the device check's button. */
    async arrive(url) {
        await this.page.goto(url);
        await this.page.waitForSelector('#enter:not([disabled])', { timeout: 20000 });
    }

    async join(url) {
        await this.arrive(url);
        return this.enter();
    }

    async enter() {
        await this.page.click('#enter');
        await until('a connected peer connection', () => this.page.evaluate(() => window.giaoban?.pc()?.connectionState === 'connected'));
        return this;
    }

    state() {
        return this.page.evaluate(() => window.giaoban.state());
    }

    /** What a picture slot shows now ('stage', 'screen', 'tile0' …): {source, frame, width, height, flash} or null. */
    see(slot) {
        return this.page.evaluate((name) => window.__probe.see(document.querySelector(`video[data-slot="${name}"]`)), slot);
    }

    /** Waits until the slot moves and shows `source`: two different frames of it. */
    async seesMoving(slot, source, timeout_ms = 20000) {
        let first = null;
        return until(
            `${slot} to show moving pictures of source ${source}`,
            async () => {
                const now = await this.see(slot);
                if (now?.source !== source) return false;
                first ??= now;
                return now.frame !== first.frame && now;
            },
            { timeout_ms },
        );
    }

    /** Tones of a sound slot ('stage-sound', 'sound1' …), strongest first. */
    hear(slot) {
        return this.page.evaluate((name) => {
            const track = document.querySelector(`audio[data-slot="${name}"]`)?.srcObject?.getAudioTracks()[0];
            return track ? window.__probe.hear(track) : [];
        }, slot);
    }

    async hearsTone(slot, hz, timeout_ms = 20000) {
        return until(
            `${slot} to carry ${hz} Hz`,
            async () => {
                const tones = await this.hear(slot);
                return tones.slice(0, 3).some((t) => Math.abs(t.hz - hz) < 12) && tones;
            },
            { timeout_ms, every_ms: 200 },
        );
    }

    /** Starts a log of every change of the stage's source, with wall times. */
    async watchStage() {
        await this.page.evaluate(() => {
            const video = document.querySelector('video[data-slot="stage"]');
            window.__stage = [];
            let last = null;
            const look = () => {
                const seen = window.__probe.see(video);
                if (seen && seen.source !== last) {
                    last = seen.source;
                    window.__stage.push({ source: last, at: performance.timeOrigin + performance.now() });
                }
                video.requestVideoFrameCallback(look);
            };
            video.requestVideoFrameCallback(look);
        });
    }

    /** Wall time at which the stage changed to `source` after `since`. */
    async stageChanged(source, since, timeout_ms = 10000) {
        return until(
            `the stage to change to source ${source}`,
            () => this.page.evaluate((s, t) => window.__stage.find((x) => x.source === s && x.at >= t)?.at ?? 0, source, since),
            { timeout_ms, every_ms: 20 },
        );
    }

    /** Packets received and lost on a slot's sound, and concealment. */
    soundStats(slot) {
        return this.page.evaluate(async (name) => {
            const track = document.querySelector(`audio[data-slot="${name}"]`)?.srcObject?.getAudioTracks()[0];
            const receiver = window.giaoban.pc().getReceivers().find((r) => r.track === track);
            if (!receiver) return null;
            for (const s of (await receiver.getStats()).values())
                if (s.type === 'inbound-rtp') return { received: s.packetsReceived, lost: s.packetsLost, concealed: s.concealedSamples ?? 0, total: s.totalSamplesReceived ?? 0 };
            return null;
        }, slot);
    }

    /** Watches the RTP timestamps played from a sound slot; `stopGaps` yields the longest time without a new one, in ms. */
    async watchGaps(slot) {
        await this.page.evaluate((name) => {
            const track = () => document.querySelector(`audio[data-slot="${name}"]`)?.srcObject?.getAudioTracks()[0];
            const watch = { longest: 0, last: 0, at: performance.now(), timer: 0 };
            watch.timer = setInterval(() => {
                const receiver = window.giaoban.pc()?.getReceivers().find((r) => r.track === track());
                const source = receiver?.getSynchronizationSources()[0];
                const now = performance.now();
                if (source && source.rtpTimestamp !== watch.last) {
                    watch.last = source.rtpTimestamp;
                    watch.longest = Math.max(watch.longest, now - watch.at);
                    watch.at = now;
                }
            }, 5);
            window.__gaps = watch;
        }, slot);
    }

    stopGaps() {
        return this.page.evaluate(() => {
            const watch = window.__gaps;
            clearInterval(watch.timer);
            return Math.round(Math.max(watch.longest, performance.now() - watch.at));
        });
    }

    /** Address and port at which the server's media is reached: the port tells the worker. */
    remote() {
        return this.page.evaluate(async () => {
            const stats = [...(await window.giaoban.pc().getStats()).values()];
            const used = stats.find((s) => s.type === 'candidate-pair' && s.nominated && s.state === 'succeeded');
            const { address, port } = stats.find((s) => s.id === used.remoteCandidateId);
            return { address, port };
        });
    }

    /** ms from the click on "enter" to the first frame of the stage. */
    joinMs() {
        return this.page.evaluate(() => {
            const at = (name) => performance.getEntriesByName(`giaoban:${name}`).at(-1)?.startTime;
            return at('stage-first-frame') - at('join-click');
        });
    }

    async close() {
        await this.page.browserContext().close().catch(() => {});
    }
}

export const p95 = (values) => Math.round(percentile(values, 95));
