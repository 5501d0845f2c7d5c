// The websocket: requests with answers, hello with resume, coming back by itself. It keeps no briefing: what arrives goes
// to the handlers, and after every gap in the numbers it says hello again.
import type { BriefingEvent, ServerNotice, ParamsHello, ServerError, ServerReply, Requests, ResultHello } from '../protocol.gen';
import { timedOut, unreachable } from '../i18n/refusals';
import { ServerClock } from './clock';
import { Refused } from './http';
import { withSession } from './session';

export type Method = keyof Requests;
export type LinkState = 'connecting' | 'live' | 'waiting' | 'stopped';

export interface SocketHandlers {
    welcome(hello: ResultHello): void;
    event(event: BriefingEvent): void;
    notice(notice: ServerNotice): void;
    link(state: LinkState): void;
    refused(refusal: ServerError): void; // hello was refused: this briefing is not open to us
}

interface Waiting {
    resolve(result: unknown): void;
    reject(error: Refused): void;
    timer: ReturnType<typeof setTimeout>;
}

const requestTimeoutMs = 10_000;
const probeMs = 400;
// TCP asks again after 1, 3, 7, 15 s: on a line that was dead a new socket is sooner there. Every other one has more time, for slow lines.
const openWithinMs = [3_000, 8_000];
const pingEveryMs = 5_000;
const silentAfterMs = 12_000;
const firstRetrySpreadMs = 500; // clients of a restarted server come back spread over this
const longestRetryMs = 4_000;
// Refusals of hello that stay what they are; after all others it is tried again.
const final = new Set([
    'not-invited', 'removed', 'foreign-unit', 'foreign-briefing', 'foreign-endpoint', 'unknown-briefing', 'unknown-endpoint', 'already-closed',
    'briefing-full', 'unit-full', 'no-session', 'not-allowed', 'bad-link', 'expired-link', 'bad-subprotocol', 'quarantined', 'bad-params',
]);

export class BriefingSocket {
    readonly clock = new ServerClock();
    private socket: WebSocket | null = null;
    private nextId = 1;
    private waiting = new Map<number, Waiting>();
    private attempts = 0;
    private retry: ReturnType<typeof setTimeout> | null = null;
    private pinger: ReturnType<typeof setInterval> | null = null;
    private heardMs = 0;
    private stopped = false;

    constructor(
        private readonly hello: () => ParamsHello,
        private readonly handlers: SocketHandlers,
        private readonly url = withSession(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/api/v1/ws`),
    ) {}

    start(): void {
        this.stopped = false;
        this.connect();
    }

    stop(): void {
        this.stopped = true;
        if (this.retry !== null) clearTimeout(this.retry);
        this.drop();
        this.handlers.link('stopped');
    }

    /** The line may be another now: don't wait for the old socket to notice. */
    reconnectNow(): void {
        if (this.stopped) return;
        if (this.retry !== null) clearTimeout(this.retry);
        this.drop();
        this.connect();
    }

    /** Something says that the line is not what it was: an answer is due at once, or a new socket is made. */
    async probe(): Promise<void> {
        const { socket } = this;
        if (socket === null || socket.readyState !== WebSocket.OPEN) return;
        try {
            await this.request('ping', { client_ms: Date.now() }, probeMs);
        } catch {
            if (this.socket === socket) this.reconnectNow();
        }
    }

    /** Asks for what was missed. */
    async resynchronize(): Promise<void> {
        try {
            await this.greet();
        } catch {
            this.reconnectNow();
        }
    }

    request<M extends Method>(method: M, params: Requests[M]['params'], timeoutMs = requestTimeoutMs): Promise<Requests[M]['result']> {
        const socket = this.socket;
        if (socket === null || socket.readyState !== WebSocket.OPEN) return Promise.reject(new Refused(unreachable));
        const id = this.nextId++;
        return new Promise<Requests[M]['result']>((resolve, reject) => {
            const timer = this.expire(id, reject, timeoutMs);
            this.waiting.set(id, { resolve: (result) => resolve(result as Requests[M]['result']), reject, timer });
            socket.send(JSON.stringify({ id, method, params }));
        });
    }

    private connect(): void {
        this.handlers.link(this.attempts === 0 ? 'connecting' : 'waiting');
        const socket = new WebSocket(this.url, 'giaoban.1');
        this.socket = socket;
        const openMs = openWithinMs[this.attempts % openWithinMs.length] ?? requestTimeoutMs;
        setTimeout(() => this.socket === socket && socket.readyState === WebSocket.CONNECTING && this.again(), openMs);
        this.nextId = 1;
        socket.onopen = () => void this.opened(socket);
        socket.onmessage = (message) => this.received(String(message.data));
        socket.onclose = () => this.lost(socket);
    }

    private async opened(socket: WebSocket): Promise<void> {
        try {
            this.heardMs = performance.now();
            await this.greet();
            this.attempts = 0;
            this.keepAlive(socket);
            this.handlers.link('live');
        } catch (error) {
            if (error instanceof Refused && final.has(error.refusal.code)) {
                this.stop();
                this.handlers.refused(error.refusal);
            } else if (this.socket === socket) socket.close();
        }
    }

    private async greet(): Promise<void> {
        const sentMs = Date.now();
        const welcome = await this.request('hello', this.hello());
        this.clock.learn(welcome.server_ms, sentMs, Date.now());
        this.handlers.welcome(welcome);
    }

    private keepAlive(socket: WebSocket): void {
        if (this.pinger !== null) clearInterval(this.pinger);
        this.pinger = setInterval(() => {
            if (this.socket !== socket) return;
            if (performance.now() - this.heardMs > silentAfterMs) {
                this.reconnectNow();
                return;
            }
            void this.ping();
        }, pingEveryMs);
    }

    private async ping(): Promise<void> {
        try {
            const pong = await this.request('ping', { client_ms: Date.now() });
            this.clock.learn(pong.server_ms, pong.client_ms, Date.now());
        } catch {
            // Silence is noticed by heardMs.
        }
    }

    private received(text: string): void {
        this.heardMs = performance.now(); // not the wall clock: that may be set
        const message = JSON.parse(text) as ServerReply | BriefingEvent | ServerNotice;
        if ('event' in message) this.handlers.event(message);
        else if ('notice' in message) {
            if (message.notice === 'waiting') this.patience();
            this.handlers.notice(message);
        } else this.answered(message);
    }

    /** The server has our hello and says that its turn will come: the clock of an answer begins anew. */
    private patience(): void {
        for (const [id, waiting] of this.waiting) {
            clearTimeout(waiting.timer);
            waiting.timer = this.expire(id, waiting.reject, requestTimeoutMs);
        }
    }

    private expire(id: number, reject: (error: Refused) => void, timeoutMs: number): ReturnType<typeof setTimeout> {
        return setTimeout(() => {
            this.waiting.delete(id);
            reject(new Refused(timedOut));
        }, timeoutMs);
    }

    private answered(reply: ServerReply): void {
        const waiting = typeof reply.id === 'number' ? this.waiting.get(reply.id) : undefined;
        if (waiting === undefined || typeof reply.id !== 'number') return;
        this.waiting.delete(reply.id);
        clearTimeout(waiting.timer);
        if ('error' in reply && reply.error !== undefined) waiting.reject(new Refused(reply.error));
        else waiting.resolve('result' in reply ? reply.result : {});
    }

    /** It does not open: another one, at once, since the wait is over already. */
    private again(): void {
        this.attempts += 1;
        this.drop();
        this.connect();
    }

    private lost(socket: WebSocket): void {
        if (this.socket !== socket) return;
        this.drop();
        if (this.stopped) return;
        this.handlers.link('waiting');
        const backOffMs = this.attempts === 0 ? 0 : Math.min(longestRetryMs, 250 * 2 ** Math.min(this.attempts, 5));
        this.attempts += 1;
        this.retry = setTimeout(() => this.connect(), backOffMs + Math.random() * firstRetrySpreadMs);
    }

    private drop(): void {
        const socket = this.socket;
        this.socket = null;
        if (this.pinger !== null) clearInterval(this.pinger);
        for (const waiting of this.waiting.values()) {
            clearTimeout(waiting.timer);
            waiting.reject(new Refused(unreachable));
        }
        this.waiting.clear();
        if (socket !== null) {
            socket.onopen = socket.onmessage = socket.onclose = null;
            socket.close();
        }
    }
}
