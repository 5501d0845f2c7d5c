// Debian's Janus with its VideoRoom, in town: what many would take instead. As installed but for what a run needs: addresses,
// HTTP, no configuration of its own. Signaling is done here, the pages only make offers and answers.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pause, until } from '../e2e/server.mjs';

const PORT = 18088;
const ROOM = 1;

export class Janus {
    static version() {
        return execFileSync('dpkg-query', ['-W', '-f=${Version}', 'janus']).toString();
    }

    static async start() {
        const j = new Janus();
        j.dir = mkdtempSync(join(tmpdir(), 'giaoban-janus-'));
        const write = (name, text) => writeFileSync(join(j.dir, name), text);
        write('janus.jcfg', 'general: { debug_level = 3 }\nmedia: { rtp_port_range = "42000-42999" }\nplugins: { disable = "libjanus_audiobridge.so,libjanus_echotest.so,libjanus_recordplay.so,libjanus_sip.so,libjanus_nosip.so,libjanus_streaming.so,libjanus_textroom.so,libjanus_videocall.so,libjanus_voicemail.so,libjanus_lua.so,libjanus_duktape.so" }\ntransports: { disable = "libjanus_mqtt.so,libjanus_nanomsg.so,libjanus_pfunix.so,libjanus_rabbitmq.so,libjanus_websockets.so" }\n');
        write('janus.transport.http.jcfg', `general: { json = "compact"\n base_path = "/janus"\n http = true\n port = ${PORT}\n ip = "127.0.0.1"\n https = false }\nadmin: { admin_http = false }\n`);
        write('janus.plugin.videoroom.jcfg', 'general: { }\n');
        j.log = '';
        j.child = spawn('janus', ['-F', j.dir, '-o'], { stdio: ['ignore', 'pipe', 'pipe'] });
        for (const s of [j.child.stdout, j.child.stderr]) s.on('data', (b) => (j.log = (j.log + b).slice(-8000)));
        j.exited = new Promise((resolve) => j.child.on('exit', resolve));
        await until('janus to answer', async () => {
            if (j.child.exitCode !== null) throw new Error(`janus ended:\n${j.log}`);
            return (await fetch(`http://127.0.0.1:${PORT}/janus/info`)).ok;
        });
        j.events = [];
        j.session = (await j.post('', { janus: 'create' })).data.id;
        j.polling = j.poll();
        const handle = await j.attach();
        await j.ask(handle, { request: 'create', room: ROOM, publishers: 8, audiocodec: 'opus', videocodec: 'vp8', bitrate: 0 }, null, true);
        return j;
    }

    async post(path, body) {
        const transaction = Math.random().toString(36).slice(2);
        const answer = await (await fetch(`http://127.0.0.1:${PORT}/janus${path}`, { method: 'POST', body: JSON.stringify({ transaction, ...body }) })).json();
        if (answer.janus === 'error') throw new Error(`janus: ${JSON.stringify(answer.error)}`);
        return { ...answer, transaction };
    }

    async poll() {
        while (!this.over) {
            try {
                const answer = await (await fetch(`http://127.0.0.1:${PORT}/janus/${this.session}?maxev=10`)).json();
                this.events.push(...[answer].flat());
            } catch {
                await pause(100);
            }
        }
    }

    async attach() {
        return (await this.post(`/${this.session}`, { janus: 'attach', plugin: 'janus.plugin.videoroom' })).data.id;
    }

    async detach(handle) {
        await this.post(`/${this.session}/${handle}`, { janus: 'detach' });
    }

    /** {data, jsep} of the answer, which comes with an event unless `at once`. */
    async ask(handle, body, jsep = null, atOnce = false) {
        const sent = await this.post(`/${this.session}/${handle}`, { janus: 'message', body, ...(jsep && { jsep }) });
        const answer = atOnce ? sent : await until(`janus to answer ${body.request}`, () => this.events.find((e) => e.janus === 'event' && e.transaction === sent.transaction));
        const { data } = answer.plugindata;
        if (data.error) throw new Error(`janus: ${data.error}`);
        return { data, jsep: answer.jsep };
    }

    /** Its page's stream in the room: {handle, feed}. */
    async publish(page, encodings) {
        const handle = await this.attach();
        const sdp = await page.evaluate((e) => window.__plain.offer('publish', e), encodings);
        const { data, jsep } = await this.ask(handle, { request: 'joinandconfigure', ptype: 'publisher', room: ROOM }, { type: 'offer', sdp });
        await page.evaluate((answer) => window.__plain.accept('publish', answer), jsep.sdp);
        return { handle, feed: data.id };
    }

    async subscribe(page, feed) {
        const handle = await this.attach();
        const { jsep } = await this.ask(handle, { request: 'join', ptype: 'subscriber', room: ROOM, streams: [{ feed }] });
        const sdp = await page.evaluate((offer) => window.__plain.answer('subscribe', offer, false), jsep.sdp);
        await this.ask(handle, { request: 'start' }, { type: 'answer', sdp });
        return { handle };
    }

    async stop() {
        this.over = true;
        this.child.kill('SIGTERM');
        await this.exited;
        await this.polling;
        rmSync(this.dir, { recursive: true, force: true });
    }
}
