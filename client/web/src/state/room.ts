// One stay in a briefing: socket, state and media held together. Screens read its signals and call its actions.
import { batch, computed, effect, signal } from '@preact/signals';
import type {
    BriefingEvent, BriefingState, Endpoint, EndpointKind, NoticeLine, NoticeLines, NoticeRecorder, ParamsHello, Requests,
    ResultCheck, ResultHello, Role, ServerError, ServerNotice,
} from '../protocol.gen';
import { openCamera, openMicrophone, openScreen, problemOf, type DeviceChoice, type DeviceProblem } from '../devices/devices';
import { Media } from '../media/media';
import { mark } from '../media/timings';
import { asRefused } from '../protocol/http';
import { BriefingSocket, type LinkState } from '../protocol/socket';
import { follow } from './fold';
import { atFirst, hold, judgeFacts, type Held } from './line';
import { rememberSeat, rememberedSeat, forgetSeat, rememberSoundOnly, rememberedSoundOnly, type Seat } from './seat';
import { assignTiles, conducts, endpointOf, mayMute, maySpeak, queue, stageOf } from './select';

export type Phase = 'joining' | 'in' | 'taken-over' | 'removed' | 'ended' | 'refused' | 'left';

export interface Me {
    endpoint: string;
    number: number;
    role: Role;
    unit: string | null;
    hears: boolean;
    second: boolean;
}

export type Message =
    | { kind: 'refusal'; refusal: ServerError }
    | { kind: 'device'; what: 'camera' | 'microphone' | 'screen'; problem: DeviceProblem }
    | { kind: 'muted' | 'floor' | 'floor-ended' };

/** What the server found in a room's picture and sound, or that it is looking. */
export type Check = { state: 'running' } | { state: 'done'; result: ResultCheck; atMs: number };

export interface RoomOptions {
    briefing: string;
    kind: EndpointKind;
    microphone: MediaStreamTrack | null;
    camera: MediaStreamTrack | null;
    choice: DeviceChoice;
    openMicrophoneAtOnce: boolean;
}

const narrowBelow = 1000; // CSS pixels: a small laptop's or a tablet's window
/** Tiles beside our own picture: receive slots are offered once, so the width at entering decides. */
const tilesOf = (kind: EndpointKind): number => (kind === 'phone' ? 0 : innerWidth < narrowBelow ? 2 : 6);
const messageForMs = 6_000;
const lookMs = 500;
const uplinkLookMs = 2_000;
const checkForMs = 100_000; // the server's own limit is 90 s, when every room is checked at once

/** From Wi-Fi to a modem, where the browser tells. Its other changes (estimates of rate) are no change of network. */
function onNetworkType(changed: () => void): () => void {
    const { connection } = navigator as Navigator & { connection?: EventTarget & { type?: string } };
    if (connection === undefined) return () => undefined;
    let former = connection.type;
    const look = () => {
        const { type } = connection;
        if (type !== former && type !== 'none') changed();
        former = type;
    };
    connection.addEventListener('change', look);
    return () => connection.removeEventListener('change', look);
}

export class Room {
    readonly briefing = signal<BriefingState | null>(null);
    readonly me = signal<Me | null>(null);
    readonly phase = signal<Phase>('joining');
    readonly link = signal<LinkState>('connecting');
    readonly refusal = signal<ServerError | null>(null);
    /** My place among those who come in at the same time; 0: not waiting. */
    readonly waiting = signal(0);
    readonly speaker = signal(0);
    readonly line = signal<NoticeLine | null>(null);
    readonly lines = signal<NoticeLines['endpoints']>([]);
    readonly checks = signal<ReadonlyMap<number, Check>>(new Map());
    /** Something was recorded while we were here, or before as far as the snapshot said. */
    readonly recorded = signal(false);
    readonly recorder = signal<NoticeRecorder | null>(null);
    /** What ails the server itself: staff is told. */
    readonly alarms = signal<readonly string[]>([]);
    readonly message = signal<Message | null>(null);
    readonly hasMicrophone = signal(false);
    readonly cameraTrack = signal<MediaStreamTrack | null>(null);
    readonly screenTrack = signal<MediaStreamTrack | null>(null);
    readonly soundOnly = signal(false);
    /** What is said of our line, steady enough to be read. */
    readonly lineHeld = signal<Held>(atFirst);
    /** Since when socket or media are away, by this machine's clock; null: they aren't. */
    readonly awaySinceMs = signal<number | null>(null);
    readonly choice = signal<DeviceChoice>({ camera: '', microphone: '', speaker: '' });

    readonly mine = computed<Endpoint | undefined>(() => {
        const { value: briefing } = this.briefing;
        return briefing === null ? undefined : endpointOf(briefing, this.me.value?.number ?? 0);
    });
    readonly role = computed<Role>(() => this.me.value?.role ?? 'observer');
    readonly conducting = computed(() => conducts(this.role.value));
    readonly muting = computed(() => mayMute(this.role.value));
    readonly speaking = computed(() => maySpeak(this.role.value));
    readonly microphoneOpen = computed(() => this.mine.value?.microphone === true);
    readonly queue = computed(() => (this.briefing.value === null ? [] : queue(this.briefing.value)));
    readonly handUp = computed(() => this.briefing.value?.hands.some((hand) => hand.number === this.me.value?.number) ?? false);
    readonly holdsFloor = computed(() => this.briefing.value !== null && this.briefing.value.floor !== 0 && this.briefing.value.floor === this.me.value?.number);
    /** Who is in my stage slot; until the server has said so, who should be. */
    readonly stageNumber = computed(() => {
        const slot = this.media.slots.value.get('stage');
        if (slot !== undefined && slot.number !== 0) return slot.number;
        return this.briefing.value === null ? 0 : stageOf(this.briefing.value, this.me.value?.number ?? 0);
    });
    readonly screenNumber = computed(() => this.briefing.value?.screen ?? 0);
    readonly tileNumbers = signal<readonly number[]>([]);

    readonly media: Media;
    readonly socket: BriefingSocket;
    private seat: Seat | null;
    private wantMicrophone: boolean;
    private wasOpen = false;
    private cameraWasOn = false; // before sound only
    private uplinkIsLimited = false;
    private address = ''; // where the server sees us
    private disposers: Array<() => void> = [];
    private messageTimer: ReturnType<typeof setTimeout> | null = null;

    constructor(readonly options: RoomOptions) {
        this.seat = rememberedSeat(options.briefing);
        this.wantMicrophone = options.openMicrophoneAtOnce && options.microphone !== null;
        this.choice.value = options.choice;
        this.media = new Media({
            tiles: tilesOf(options.kind),
            nextIncarnation: () => this.nextIncarnation(),
            offer: (sdp, incarnation) => this.socket.request('offer', { sdp, incarnation }),
            layout: (layout) => this.socket.request('layout', layout),
            renewServers: () => void this.socket.resynchronize(),
            silent: () => void this.socket.probe(),
        });
        this.soundOnly.value = rememberedSoundOnly(options.briefing);
        if (this.soundOnly.value) {
            options.camera?.stop();
            this.cameraWasOn = options.camera !== null;
            options = { ...options, camera: null };
            this.media.setSoundOnly(true);
        }
        this.media.outgoing.microphone = options.microphone;
        this.media.outgoing.camera = options.camera;
        if (options.microphone !== null) options.microphone.enabled = false;
        this.hasMicrophone.value = options.microphone !== null;
        this.cameraTrack.value = options.camera;
        this.watchTrack('camera', options.camera);
        this.watchTrack('microphone', options.microphone);
        void this.media.sounds.setSink(options.choice.speaker);
        this.socket = new BriefingSocket(() => this.hello(), {
            welcome: (hello) => this.welcomed(hello),
            event: (event) => this.event(event),
            notice: (notice) => this.notice(notice),
            link: (state) => this.linked(state),
            refused: (refusal) => this.refused(refusal),
        });
        this.disposers.push(effect(() => this.followMicrophone()), effect(() => this.followTiles()));
        const looks = [setInterval(() => this.lookAtLine(), lookMs), setInterval(() => void this.lookAtUplink(), uplinkLookMs)];
        this.disposers.push(() => looks.forEach(clearInterval));
        const online = () => this.networkChanged();
        window.addEventListener('online', online);
        this.disposers.push(() => window.removeEventListener('online', online));
        this.disposers.push(onNetworkType(online));
    }

    start(): void {
        this.socket.start();
    }

    // ── actions ───────────────────────────────────────────────────────────────────────────────────────────────────────

    /** A request whose refusal is shown in the server's words. true: done. */
    async ask<M extends keyof Requests>(method: M, params: Requests[M]['params']): Promise<boolean> {
        try {
            await this.socket.request(method, params);
            return true;
        } catch (error) {
            this.say({ kind: 'refusal', refusal: asRefused(error).refusal });
            return false;
        }
    }

    /** A few seconds' look at another room's picture and sound. */
    async check(number: number): Promise<void> {
        const put = (check: Check | null): void => {
            const checks = new Map(this.checks.value);
            if (check === null) checks.delete(number);
            else checks.set(number, check);
            this.checks.value = checks;
        };
        if (this.checks.value.get(number)?.state === 'running') return;
        put({ state: 'running' });
        try {
            const result = await this.socket.request('check', { endpoint: number }, checkForMs);
            put({ state: 'done', result, atMs: this.socket.clock.now() });
        } catch (error) {
            put(null);
            this.say({ kind: 'refusal', refusal: asRefused(error).refusal });
        }
    }

    async setMicrophone(on: boolean): Promise<void> {
        const track = this.media.outgoing.microphone;
        if (!on && track !== null) track.enabled = false; // heard nowhere from this moment, whatever the line does
        if (on && track === null && !(await this.acquireMicrophone())) return;
        this.wantMicrophone = on;
        if (!(await this.announce({ microphone: on }))) this.wantMicrophone = this.microphoneOpen.value;
        this.followMicrophone();
    }

    async setCamera(on: boolean): Promise<void> {
        if (!on) {
            this.cameraTrack.value?.stop();
            this.cameraTrack.value = null;
            await Promise.all([this.media.replace('camera', null), this.announce({ camera: false })]);
            return;
        }
        try {
            const track = await openCamera(this.choice.value.camera, this.options.kind === 'phone');
            await this.useCamera(track);
            await this.announce({ camera: true });
        } catch (error) {
            this.say({ kind: 'device', what: 'camera', problem: problemOf(error) });
        }
    }

    async setScreen(on: boolean): Promise<void> {
        if (!on) {
            this.screenTrack.value?.stop();
            this.screenTrack.value = null;
            await Promise.all([this.media.replace('screen', null), this.announce({ screen: false })]);
            return;
        }
        try {
            const track = await openScreen();
            if (track === null) return;
            track.addEventListener('ended', () => this.screenTrack.value === track && void this.setScreen(false));
            this.screenTrack.value = track;
            await this.media.replace('screen', track);
            if (!(await this.announce({ screen: true }))) await this.setScreen(false);
        } catch (error) {
            this.say({ kind: 'device', what: 'screen', problem: problemOf(error) });
        }
    }

    /** Another device while in: the sender keeps its place, only the track is another. */
    async changeDevice(kind: keyof DeviceChoice, deviceId: string): Promise<void> {
        this.choice.value = { ...this.choice.value, [kind]: deviceId };
        if (kind === 'speaker') return this.media.sounds.setSink(deviceId);
        if (kind === 'camera' && this.cameraTrack.value === null) return;
        if (kind === 'microphone' && !this.hasMicrophone.value) return;
        try {
            if (kind === 'camera') {
                this.cameraTrack.value?.stop();
                await this.useCamera(await openCamera(deviceId, this.options.kind === 'phone'));
            } else await this.acquireMicrophone();
        } catch (error) {
            this.say({ kind: 'device', what: kind, problem: problemOf(error) });
        }
    }

    /** For a weak line: no pictures of the rooms; sound, the shared screen and our microphone go on. The camera is ours to
     * keep; one that was stopped comes back with the pictures. */
    async setSoundOnly(on: boolean, keepCamera = false): Promise<void> {
        this.soundOnly.value = on;
        rememberSoundOnly(this.options.briefing, on);
        this.media.setSoundOnly(on);
        const camera = this.cameraTrack.value !== null;
        if (on) {
            this.cameraWasOn = camera && !keepCamera;
            if (this.cameraWasOn) await this.setCamera(false);
        } else if (this.cameraWasOn && !camera) {
            this.cameraWasOn = false;
            await this.setCamera(true);
        }
    }

    async leave(): Promise<void> {
        await this.socket.request('leave', {}, 1_000).catch(() => undefined);
        forgetSeat(this.options.briefing);
        this.finish('left');
    }

    /** Take the seat back from the other window. */
    takeBack(): void {
        this.phase.value = 'joining';
        this.socket.start(); // and with the link the media come back
    }

    say(message: Message): void {
        if (this.messageTimer !== null) clearTimeout(this.messageTimer);
        this.message.value = message;
        this.messageTimer = setTimeout(() => (this.message.value = null), messageForMs);
    }

    dismiss(): void {
        this.message.value = null;
    }

    dispose(): void {
        this.socket.stop();
        this.media.stop();
        for (const dispose of this.disposers) dispose();
        this.disposers = [];
    }

    // ── what arrives ──────────────────────────────────────────────────────────────────────────────────────────────────

    private hello(): ParamsHello {
        const resume = this.seat === null ? null : { endpoint: this.seat.endpoint, secret: this.seat.secret, last: this.briefing.value === null ? 0 : this.seat.last };
        return { briefing: this.options.briefing, kind: this.options.kind, resume };
    }

    private welcomed(hello: ResultHello): void {
        batch(() => {
            this.alarms.value = []; // those that last are told again
            if (hello.state !== undefined) this.briefing.value = hello.state;
            if (hello.state?.recording === true) this.recorded.value = true;
            for (const event of hello.events ?? []) this.fold(event);
            this.me.value = {
                endpoint: hello.endpoint,
                number: hello.number,
                role: hello.role,
                unit: hello.unit,
                hears: hello.hears,
                second: hello.note === 'second-endpoint',
            };
            this.keepSeat({ endpoint: hello.endpoint, secret: hello.secret, last: hello.last, incarnation: this.seat?.incarnation ?? 0 });
            this.phase.value = this.briefing.value?.state === 'closed' ? 'ended' : 'in';
        });
        this.media.sounds.setMuted(!hello.hears);
        void this.media.useServers(hello.media.ice_servers, hello.media.ice_lifetime_s);
        const moved = this.address !== '' && this.address !== hello.media.address;
        this.address = hello.media.address;
        if (this.media.pc === null) void this.media.rejoin('first');
        else if (moved) void this.media.rejoin('network');
        void this.announce({});
    }

    private event(event: BriefingEvent): void {
        if (event.event === 'floor-granted') mark('floor-event');
        if (!this.fold(event)) {
            void this.socket.resynchronize();
            return;
        }
        this.remark(event);
        if (event.event === 'recording') this.recorder.value = null; // what was told of the stretch before
        if (event.event === 'closed') this.finish('ended');
    }

    /** false: an event before this one is missing. */
    private fold(event: BriefingEvent): boolean {
        const { value: state } = this.briefing;
        if (state === null || this.seat === null) return true;
        const next = follow({ state, last: this.seat.last }, event);
        if (next === null) return false;
        // Back after an absence that was too long for the server: who still has the floor speaks on.
        if (event.event === 'joined' && event.data.endpoint.number === this.me.value?.number && next.state.floor === event.data.endpoint.number)
            this.wantMicrophone = this.hasMicrophone.value;
        batch(() => {
            this.briefing.value = next.state;
            if (next.state.recording) this.recorded.value = true;
            if (this.seat !== null && next.last !== this.seat.last) this.keepSeat({ ...this.seat, last: next.last });
        });
        return true;
    }

    /** What concerns me is said, not only shown. */
    private remark(event: BriefingEvent): void {
        const me = this.me.value?.number ?? 0;
        if (event.event === 'muted' && event.data.number === me && event.data.by !== me) this.say({ kind: 'muted' });
        if (event.event === 'all-muted' && !event.data.except.includes(me) && this.wantMicrophone) this.say({ kind: 'muted' });
        if (event.event === 'floor-granted' && event.data.number === me) this.say({ kind: 'floor' });
        if (event.event === 'floor-revoked' && event.data.number === me) this.say({ kind: 'floor-ended' });
    }

    private notice(notice: ServerNotice): void {
        switch (notice.notice) {
            case 'slots':
                this.media.assigned(notice.data);
                break;
            case 'send':
                this.media.steer(notice.data);
                break;
            case 'waiting':
                this.waiting.value = notice.data.place;
                break;
            case 'speaker':
                this.speaker.value = notice.data.number;
                break;
            case 'rejoin':
                void this.media.rejoin(notice.data.reason);
                break;
            case 'line':
                this.line.value = notice.data;
                break;
            case 'lines':
                this.lines.value = notice.data.endpoints;
                break;
            case 'recorder':
                this.recorder.value = notice.data;
                break;
            case 'alarm':
                this.alarms.value = notice.data.codes;
                break;
            case 'removed':
                forgetSeat(this.options.briefing);
                this.finish('removed');
                break;
            case 'taken-over':
                this.socket.stop();
                this.media.suspend();
                this.phase.value = 'taken-over';
                break;
            case 'closing':
                break; // the server restarts; the socket comes back by itself
        }
    }

    private linked(state: LinkState): void {
        this.link.value = state;
        this.waiting.value = 0;
        if (state === 'live') this.media.linkLive();
    }

    private refused(refusal: ServerError): void {
        // The seat is not ours any more (its secret is unknown, or its time is over): come as a new one, once.
        if (this.seat !== null && (refusal.code === 'foreign-endpoint' || refusal.code === 'unknown-endpoint')) {
            this.seat = null;
            forgetSeat(this.options.briefing);
            this.socket.start();
            return;
        }
        this.refusal.value = refusal;
        this.finish('refused');
    }

    private finish(phase: Phase): void {
        this.phase.value = phase;
        this.dispose();
        this.cameraTrack.value = null;
        this.screenTrack.value = null;
    }

    private networkChanged(): void {
        this.socket.reconnectNow();
        void this.media.rejoin('network');
    }

    // ── the line ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    private lookAtLine(): void {
        const now = Date.now();
        const slots = [...this.media.slots.value.values()];
        const connection = this.media.connection.value;
        const away = this.link.value === 'waiting' || connection === 'disconnected' || connection === 'failed';
        const line = this.line.value;
        const level = judgeFacts({
            lossPermille: line?.loss_permille ?? 0,
            roundTripMs: line?.rtt_ms ?? 0,
            stagePaused: slots.some((slot) => (slot.name === 'stage' || slot.name === 'screen') && slot.paused),
            tilesPaused: slots.some((slot) => slot.name.startsWith('tile') && slot.paused),
            soundsPaused: slots.some((slot) => slot.kind === 'microphone' && slot.paused),
            uplinkLimited: this.uplinkIsLimited,
        });
        batch(() => {
            this.lineHeld.value = hold(this.lineHeld.value, level, now);
            if (away) this.awaySinceMs.value ??= now;
            else if (connection === 'connected') this.awaySinceMs.value = null;
        });
    }

    private async lookAtUplink(): Promise<void> {
        this.uplinkIsLimited = this.cameraTrack.value !== null && (await this.media.cameraLimited());
    }

    // ── media ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    private nextIncarnation(): number {
        const incarnation = (this.seat?.incarnation ?? 0) + 1;
        if (this.seat !== null) this.keepSeat({ ...this.seat, incarnation });
        return incarnation;
    }

    private keepSeat(seat: Seat): void {
        this.seat = seat;
        rememberSeat(this.options.briefing, seat);
    }

    /** Tells the server what is switched on, if it does not know already. */
    private async announce(change: { microphone?: boolean; camera?: boolean; screen?: boolean }): Promise<boolean> {
        const known = this.mine.value;
        if (known === undefined) return false;
        const wish = {
            microphone: change.microphone ?? (known.microphone || (this.wantMicrophone && this.hasMicrophone.value)),
            camera: change.camera ?? this.cameraTrack.value !== null,
            screen: change.screen ?? this.screenTrack.value !== null,
        };
        const same = wish.microphone === known.microphone && wish.camera === known.camera && wish.screen === known.screen;
        return same || this.ask('media', wish);
    }

    private async acquireMicrophone(): Promise<boolean> {
        try {
            const track = await openMicrophone(this.choice.value.microphone);
            const former = this.media.outgoing.microphone;
            track.enabled = former?.enabled ?? false;
            await this.media.replace('microphone', track);
            former?.stop();
            this.hasMicrophone.value = true;
            this.watchTrack('microphone', track);
            return true;
        } catch (error) {
            this.say({ kind: 'device', what: 'microphone', problem: problemOf(error) });
            return false;
        }
    }

    private async useCamera(track: MediaStreamTrack): Promise<void> {
        this.cameraTrack.value = track;
        this.watchTrack('camera', track);
        await this.media.replace('camera', track);
    }

    /** Unplugged in mid-meeting: another device of its kind takes over. */
    private watchTrack(kind: 'camera' | 'microphone', track: MediaStreamTrack | null): void {
        track?.addEventListener('ended', () => {
            if (this.media.outgoing[kind] === track) void this.changeDevice(kind, '');
        });
    }

    /** The microphone follows what the server forwards: granted the floor it opens, muted it closes. Only a track that the
     * user gave at the device check (or by the button) exists at all. */
    private followMicrophone(): void {
        const open = this.microphoneOpen.value;
        const { microphone } = this.media.outgoing;
        if (this.wasOpen && !open) this.wantMicrophone = false;
        this.wasOpen = open;
        if (microphone !== null && this.hasMicrophone.value) microphone.enabled = open;
    }

    private followTiles(): void {
        const { value: state } = this.briefing;
        if (state === null || this.media.tiles.length === 0) return;
        const wish = {
            hands: this.queue.value.map((endpoint) => endpoint.number),
            speaker: this.speaker.value,
            hidden: [this.me.value?.number ?? 0, this.stageNumber.value],
        };
        const next = assignTiles(this.tileNumbers.peek(), state, wish, this.media.tiles.length);
        if (next.join() === this.tileNumbers.peek().join()) return;
        this.tileNumbers.value = next;
        this.media.showTiles(next);
    }
}
