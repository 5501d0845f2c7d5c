// The device check's state: opens camera and microphone once, measures, and hands the tracks over to the room.
import { batch, signal } from '@preact/signals';
import {
    canCapture, listDevices, openCamera, openMicrophone, problemOf, rememberChoice, rememberedChoice, type DeviceChoice, type DeviceLists, type DeviceProblem,
} from './devices';
import { judgeLine, judgePicture, judgeSound, pictureFigures, type LineVerdict, type PictureVerdict, type SoundVerdict } from './judge';
import { LevelMeter, playChime } from './level';

const levelEveryMs = 60;
const pictureEveryMs = 700;
const greyWidth = 96;
const greyHeight = 54;
const lineProbeMs = 4_000;

export class DeviceCheck {
    readonly asking = signal(true);
    readonly camera = signal<MediaStreamTrack | null>(null);
    readonly microphone = signal<MediaStreamTrack | null>(null);
    readonly cameraProblem = signal<DeviceProblem | null>(null);
    readonly microphoneProblem = signal<DeviceProblem | null>(null);
    readonly lists = signal<DeviceLists>({ cameras: [], microphones: [], speakers: [] });
    readonly choice = signal<DeviceChoice>(rememberedChoice());
    readonly levelDb = signal(-100);
    readonly picture = signal<PictureVerdict>('still');
    readonly sound = signal<SoundVerdict>('waiting');
    readonly line = signal<{ verdict: LineVerdict; downBps: number } | 'measuring' | 'failed'>('measuring');
    readonly chiming = signal(false);
    private meter: LevelMeter | null = null;
    private timers: Array<ReturnType<typeof setInterval>> = [];
    private recent: number[] = [];
    private chimeDb: number | null = null;
    private closed = false;
    private readonly onDevices = () => void this.refreshLists();

    constructor(private readonly small: boolean) {}

    async start(): Promise<void> {
        void this.probeLine();
        if (!canCapture()) {
            batch(() => {
                this.asking.value = false;
                this.cameraProblem.value = this.microphoneProblem.value = 'insecure';
            });
            return;
        }
        navigator.mediaDevices.addEventListener('devicechange', this.onDevices);
        this.timers.push(setInterval(() => this.measureLevel(), levelEveryMs));
        // One after the other: a browser asks one question, and a missing camera must not cost the microphone.
        await this.open('camera');
        await this.open('microphone');
        this.asking.value = false;
        await this.refreshLists();
    }

    async choose(kind: keyof DeviceChoice, deviceId: string): Promise<void> {
        this.choice.value = { ...this.choice.value, [kind]: deviceId };
        rememberChoice(this.choice.value);
        if (kind === 'speaker') this.chimeDb = null;
        else await this.open(kind);
    }

    /** The microphone has been heard well. */
    get proven(): boolean {
        return this.sound.value === 'good' || this.sound.value === 'no-echo';
    }

    async retry(): Promise<void> {
        this.asking.value = true;
        await this.open('camera');
        await this.open('microphone');
        this.asking.value = false;
        await this.refreshLists();
    }

    /** Plays the chime and listens: what the microphone hears of it is the room's echo. */
    async chime(): Promise<void> {
        if (this.chiming.value) return;
        this.chiming.value = true;
        this.recent = [];
        try {
            await playChime(this.choice.value.speaker);
            this.chimeDb = this.meter === null ? null : Math.max(-100, ...this.recent);
        } finally {
            this.chiming.value = false;
        }
    }

    judge(video: HTMLVideoElement): void {
        this.timers.push(setInterval(() => this.measurePicture(video), pictureEveryMs));
    }

    /** The tracks go on living in the room. */
    handOver(): { camera: MediaStreamTrack | null; microphone: MediaStreamTrack | null; choice: DeviceChoice } {
        const tracks = { camera: this.camera.value, microphone: this.microphone.value, choice: this.choice.value };
        this.camera.value = this.microphone.value = null;
        this.close();
        return tracks;
    }

    close(): void {
        this.closed = true;
        for (const timer of this.timers) clearInterval(timer);
        this.timers = [];
        this.meter?.close();
        this.meter = null;
        this.camera.value?.stop();
        this.microphone.value?.stop();
        if (canCapture()) navigator.mediaDevices.removeEventListener('devicechange', this.onDevices);
    }

    private async open(kind: 'camera' | 'microphone'): Promise<void> {
        const problem = kind === 'camera' ? this.cameraProblem : this.microphoneProblem;
        this[kind].value?.stop();
        try {
            const id = this.choice.value[kind];
            const track = kind === 'camera' ? await openCamera(id, this.small) : await openMicrophone(id);
            if (this.closed) {
                track.stop();
                return;
            }
            batch(() => {
                this[kind].value = track;
                problem.value = null;
            });
            if (kind === 'microphone') this.listen(track);
        } catch (error) {
            batch(() => {
                this[kind].value = null;
                problem.value = problemOf(error);
            });
        }
    }

    private listen(track: MediaStreamTrack): void {
        this.meter?.close();
        this.meter = new LevelMeter(track);
        this.recent = [];
    }

    private measureLevel(): void {
        if (this.meter === null) return;
        const level = this.meter.levelDb();
        this.levelDb.value = level;
        this.recent = [...this.recent.slice(-99), level];
        if (this.chiming.value) return;
        const loudestDb = Math.max(...this.recent);
        const quietDb = [...this.recent].sort((a, b) => a - b)[Math.floor(this.recent.length / 5)] ?? -100;
        const verdict = judgeSound({ loudestDb, quietDb, chimeDb: this.chimeDb });
        // Silence after a good sentence takes nothing back.
        if (!(this.proven && (verdict === 'waiting' || verdict === 'quiet'))) this.sound.value = verdict;
    }

    private measurePicture(video: HTMLVideoElement): void {
        if (this.camera.value === null || video.videoWidth === 0) {
            this.picture.value = 'still';
            return;
        }
        const canvas = new OffscreenCanvas(greyWidth, greyHeight);
        const context = canvas.getContext('2d');
        if (context === null) return;
        context.drawImage(video, 0, 0, greyWidth, greyHeight);
        const { data } = context.getImageData(0, 0, greyWidth, greyHeight);
        const grey = new Uint8Array(greyWidth * greyHeight);
        for (let i = 0; i < grey.length; i++) grey[i] = ((data[i * 4] ?? 0) * 2 + (data[i * 4 + 1] ?? 0) * 5 + (data[i * 4 + 2] ?? 0)) >> 3;
        this.picture.value = judgePicture(pictureFigures(grey, greyWidth));
    }

    private async refreshLists(): Promise<void> {
        this.lists.value = await listDevices();
    }

    /** Downloads this page's own script once more, uncached: its size over its time, less the round trip. */
    private async probeLine(): Promise<void> {
        const script = document.querySelector<HTMLScriptElement>('script[src]')?.src ?? '/';
        const timeout = AbortSignal.timeout(lineProbeMs);
        try {
            const before = performance.now();
            await (await fetch('/healthz', { cache: 'no-store', signal: timeout })).arrayBuffer();
            const roundTripMs = performance.now() - before;
            const begun = performance.now();
            const response = await fetch(script, { cache: 'no-store', signal: timeout });
            await response.arrayBuffer();
            const tookMs = Math.max(1, performance.now() - begun - roundTripMs);
            const stored = Number(response.headers.get('content-length') ?? 0);
            const downBps = ((stored > 0 ? stored : 40_000) * 8_000) / tookMs;
            this.line.value = { verdict: judgeLine(downBps, roundTripMs), downBps };
        } catch {
            this.line.value = 'failed';
        }
    }
}
