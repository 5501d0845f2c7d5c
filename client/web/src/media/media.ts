// Media of one stay in a briefing: the elements, the one peer connection, and the one way back for every cause.
import { signal } from '@preact/signals';
import type { MediaKind, NoticeSend, NoticeSlots, ParamsLayout, ResultOffer } from '../protocol.gen';
import { Peer, type Outgoing, type PictureName, type SlotName } from './peer';
import { keepPatience } from './patience';
import { SilenceWatch } from './silence';
import { mark } from './timings';
import { PictureView, SoundViews } from './view';

export type RejoinCause = 'first' | 'worker-gone' | 'placement' | 'upgrade' | 'ice-failed' | 'disconnected' | 'no-connection' | 'network' | 'device' | 'takeover' | 'credentials';

export interface SlotState {
    mid: string;
    name: SlotName;
    number: number;
    kind: MediaKind;
    paused: boolean;
}

export interface MediaOptions {
    tiles: number;
    nextIncarnation(): number;
    offer(sdp: string, incarnation: number): Promise<ResultOffer>;
    layout(layout: ParamsLayout): Promise<unknown>;
    renewServers(): void; // hello again, and useServers with what it says
    silent(): void; // nothing comes any more: is the line dead?
}

const layoutDelayMs = 100;
const connectWithinMs = 8_000;
const disconnectedForMs = 2_500; // a short break heals by itself
const longestRetryMs = 4_000;
const renewAfter = 0.75; // of the lifetime of TURN credentials
const renewAgainMs = 1_000;

export class Media {
    readonly outgoing: Outgoing = { microphone: null, camera: null, screen: null };
    readonly stage = new PictureView('stage');
    readonly screen = new PictureView('screen');
    readonly tiles: readonly PictureView[];
    readonly sounds = new SoundViews();
    readonly connection = signal<RTCPeerConnectionState>('new');
    readonly slots = signal<ReadonlyMap<SlotName, SlotState>>(new Map());
    private iceServers: RTCIceServer[] = []; // TURN, as the server said when it let us in
    private renewAtMs = Infinity;
    private renewTimer: ReturnType<typeof setTimeout> | null = null;
    private peer: Peer | null = null;
    private rejoining: Promise<void> | null = null;
    private again = false;
    private wanted = false; // a connection that could not be made yet
    private failures = 0;
    private watch: ReturnType<typeof setTimeout> | null = null;
    private tileNumbers: readonly number[] = [];
    private lastLayout = '';
    private layoutTimer: ReturnType<typeof setTimeout> | null = null;
    private readonly resized = new ResizeObserver(() => this.layoutChanged());
    private stopped = false;
    private readonly silence: SilenceWatch;
    private readonly endPatience: () => void;
    private soundOnly = false;

    constructor(private readonly options: MediaOptions) {
        this.tiles = Array.from({ length: options.tiles }, (_, i) => new PictureView(`tile${i}`));
        for (const view of this.views()) this.resized.observe(view.root);
        this.silence = new SilenceWatch(() => this.pc, options.silent);
        this.endPatience = keepPatience(() => this.pc);
    }

    get pc(): RTCPeerConnection | null {
        return this.peer?.connection ?? null;
    }

    /** A new connection with the same tracks and elements, whatever the cause. One at a time; a second wish waits. */
    rejoin(cause: RejoinCause): Promise<void> {
        if (this.stopped) return Promise.resolve();
        if (this.rejoining !== null) {
            this.again = true;
            return this.rejoining;
        }
        this.rejoining = this.renew(cause).finally(() => {
            this.rejoining = null;
            if (!this.again) return;
            this.again = false;
            void this.rejoin(cause);
        });
        return this.rejoining;
    }

    /** The socket is live again: make what could not be made, and tell the server what is shown. */
    linkLive(): void {
        this.lastLayout = '';
        this.layoutChanged();
        if (this.rejoining === null && (this.wanted || this.peer === null)) void this.rejoin('takeover');
    }

    /** The seat is used elsewhere: nothing goes in or out until the next rejoin. Devices stay ours. */
    suspend(): void {
        this.clearWatch();
        this.wanted = false;
        this.peer?.close();
        this.peer = null;
    }

    /** Sound only: neither stage nor tiles are asked for; sound and the shared screen go on. */
    setSoundOnly(on: boolean): void {
        this.soundOnly = on;
        this.layoutChanged();
    }

    async replace(kind: keyof Outgoing, track: MediaStreamTrack | null): Promise<void> {
        this.outgoing[kind] = track;
        if (this.peer === null) return;
        try {
            await this.peer.replace(kind, track);
        } catch {
            await this.rejoin('device');
        }
    }

    assigned(notice: NoticeSlots): void {
        const places = this.peer?.places() ?? new Map<string, SlotName>();
        const next = new Map(this.slots.value);
        const stageBefore = next.get('stage')?.number ?? 0;
        for (const slot of notice.slots) {
            const name = places.get(slot.mid);
            if (name === undefined) continue;
            this.pauseChanged(name, slot, next.get(name));
            next.set(name, { ...slot, name });
        }
        this.slots.value = next;
        const stageNow = next.get('stage')?.number ?? 0;
        if (stageNow !== stageBefore && stageNow !== 0) this.stage.nextFrame(() => mark('stage-switched-frame'));
    }

    /** TURN servers; their credentials live so long from now. They are replaced before, and a connection by a relay, which can't
     * take others, by a new one. */
    async useServers(servers: RTCIceServer[], lifetimeS = Infinity): Promise<void> {
        this.iceServers = servers;
        this.renewAtMs = performance.now() + lifetimeS * 1000 * renewAfter;
        const { peer } = this;
        if (peer === null) return;
        if (await peer.useServers(servers)) peer.renewAtMs = this.renewAtMs;
        else if (peer === this.peer && performance.now() >= peer.renewAtMs) await this.rejoin('credentials');
        this.scheduleRenewal();
    }

    private scheduleRenewal(): void {
        if (this.renewTimer !== null) clearTimeout(this.renewTimer);
        this.renewTimer = null;
        const atMs = this.peer?.renewAtMs ?? Infinity;
        if (this.stopped || atMs === Infinity) return;
        this.renewTimer = setTimeout(() => this.options.renewServers(), Math.max(renewAgainMs, atMs - performance.now()));
    }

    /** What of our pictures somebody looks at. */
    steer(notice: NoticeSend): void {
        this.peer?.steer(notice);
    }

    cameraLimited(): Promise<boolean> {
        return this.peer?.cameraLimited() ?? Promise.resolve(false);
    }

    private pauseChanged(name: SlotName, slot: NoticeSlots['slots'][number], before: SlotState | undefined): void {
        if (slot.kind === 'microphone') return;
        const view = this.view(name as PictureName);
        view.setPaused(slot.paused);
        if (slot.paused && before !== undefined && before.number !== 0 && before.number !== slot.number) view.forget();
    }

    /** Which endpoint each tile shows; sizes are measured. */
    showTiles(numbers: readonly number[]): void {
        this.tileNumbers = numbers;
        this.layoutChanged();
    }

    layoutChanged(): void {
        if (this.layoutTimer !== null || this.stopped) return;
        this.layoutTimer = setTimeout(() => {
            this.layoutTimer = null;
            void this.sendLayout();
        }, layoutDelayMs);
    }

    stop(): void {
        this.stopped = true;
        this.silence.stop();
        this.endPatience();
        this.clearWatch();
        if (this.layoutTimer !== null) clearTimeout(this.layoutTimer);
        if (this.renewTimer !== null) clearTimeout(this.renewTimer);
        this.resized.disconnect();
        this.peer?.close();
        this.peer = null;
        this.sounds.stop();
        for (const kind of ['microphone', 'camera', 'screen'] as const) {
            this.outgoing[kind]?.stop();
            this.outgoing[kind] = null;
        }
    }

    private views(): PictureView[] {
        return [this.stage, this.screen, ...this.tiles];
    }

    private async renew(cause: RejoinCause): Promise<void> {
        this.wanted = true;
        this.clearWatch();
        if (cause !== 'first') mark('rejoin-start');
        const former = this.peer;
        const peer = new Peer({ ...this.outgoing }, this.options.tiles, this.iceServers, {
            sound: (name, track) => this.sounds.take(name, track),
            picture: (name, track) => this.view(name).take(track),
            state: (state) => this.stateChanged(peer, state),
        });
        peer.renewAtMs = this.renewAtMs;
        try {
            const incarnation = this.options.nextIncarnation();
            this.peer = peer; // before the answer: `slots` may come with it
            await peer.connect((sdp) => this.options.offer(sdp, incarnation));
            this.wanted = false;
            former?.close();
            this.scheduleRenewal();
            if (cause === 'first') this.stage.nextFrame(() => mark('stage-first-frame'));
            else mark('rejoin-answered');
            this.watch = setTimeout(() => this.notConnected(peer), connectWithinMs);
        } catch {
            peer.close();
            if (this.stopped) return;
            this.peer = former;
            this.failures += 1;
            const waitMs = Math.min(longestRetryMs, 500 * 2 ** Math.min(this.failures, 4));
            this.watch = setTimeout(() => this.wanted && void this.rejoin(cause), waitMs);
        }
    }

    private view(name: PictureName): PictureView {
        if (name === 'stage') return this.stage;
        if (name === 'screen') return this.screen;
        return this.tiles[Number(name.slice('tile'.length))] ?? this.stage;
    }

    private stateChanged(peer: Peer, state: RTCPeerConnectionState): void {
        if (peer !== this.peer) return;
        this.connection.value = state;
        if (state === 'connected') {
            this.failures = 0;
            this.clearWatch();
        }
        if (state === 'failed') void this.rejoin('ice-failed');
        if (state === 'disconnected') {
            this.options.silent(); // a new connection is offered by the socket: is that alive?
            this.clearWatch();
            this.watch = setTimeout(() => peer === this.peer && void this.rejoin('disconnected'), disconnectedForMs);
        }
    }

    private notConnected(peer: Peer): void {
        if (peer === this.peer && peer.connection.connectionState !== 'connected') void this.rejoin('no-connection');
    }

    private clearWatch(): void {
        if (this.watch !== null) clearTimeout(this.watch);
        this.watch = null;
    }

    private async sendLayout(): Promise<void> {
        const ratio = window.devicePixelRatio || 1;
        const pixels = (length: number) => Math.min(8192, Math.round(length * ratio));
        const size = (view: PictureView) => ({ width: pixels(view.width), height: pixels(view.height) });
        const none = { width: 0, height: 0 };
        const tiles = this.tiles.map((view, i) => ({ endpoint: this.tileNumbers[i] ?? 0, ...(this.soundOnly ? none : size(view)) }));
        const layout: ParamsLayout = { stage: this.soundOnly ? none : size(this.stage), screen: size(this.screen), tiles };
        const text = JSON.stringify(layout);
        if (text === this.lastLayout) return;
        this.lastLayout = text;
        try {
            await this.options.layout(layout);
        } catch {
            this.lastLayout = ''; // sent again when the link is back
        }
    }
}
