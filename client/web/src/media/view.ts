// Elements of the receive slots. They live as long as the page: a re-join changes what plays in them, never them. A picture
// that is being replaced stays as its last frame on a canvas until the new one's first frame is there.
import { signal } from '@preact/signals';

const pausedAfterMs = 1_000;
const absentAfterMs = 3_000;
const movesWithinMs = 4_000; // after a pause; whose camera is off by then is said elsewhere

export class PictureView {
    readonly root = document.createElement('div');
    readonly video = document.createElement('video');
    readonly hasPicture = signal(false);
    /** Our line does not hold it, for so long that words say so; until it moves again. */
    readonly paused = signal(false);
    private readonly frozen = document.createElement('canvas');
    private track: MediaStreamTrack | null = null;
    private frameWaiters: Array<() => void> = [];
    private isPaused = false;
    private pauseTimer: ReturnType<typeof setTimeout> | null = null;

    constructor(readonly name: string) {
        this.root.className = 'picture-view';
        this.video.muted = true;
        this.video.autoplay = true;
        this.video.playsInline = true;
        this.video.disablePictureInPicture = true;
        this.video.dataset['slot'] = name;
        this.frozen.hidden = true;
        this.root.append(this.video, this.frozen);
        this.video.addEventListener('resize', () => this.sized());
        // A callback asked for before the element had a picture may never come: ask again once it has one.
        for (const event of ['loadeddata', 'playing', 'resize']) this.video.addEventListener(event, () => this.arm());
    }

    get width(): number {
        return this.root.isConnected ? this.root.clientWidth : 0;
    }

    get height(): number {
        return this.root.isConnected ? this.root.clientHeight : 0;
    }

    /** Shows this track from its first packet on; until then what was there stays. */
    take(track: MediaStreamTrack): void {
        this.track = track;
        const start = () => {
            if (this.track !== track) return;
            this.freeze();
            this.video.srcObject = new MediaStream([track]);
            void this.video.play().catch(() => undefined); // muted video may always play; a race with another take is harmless
            this.nextFrame(() => this.thaw());
        };
        if (!track.muted || this.video.srcObject === null) start();
        else track.addEventListener('unmute', start, { once: true });
    }

    /** The next frame that is really shown. */
    nextFrame(then: () => void): void {
        this.frameWaiters.push(then);
        this.arm();
    }

    /** What the server says. A pause shorter than a moment is not said; at an entrance, pictures wait a little longer until the
     * line is known. */
    setPaused(paused: boolean): void {
        if (paused === this.isPaused) return;
        this.isPaused = paused;
        if (this.pauseTimer !== null) clearTimeout(this.pauseTimer);
        if (paused) {
            this.pauseTimer = setTimeout(() => (this.paused.value = true), this.hasPicture.value ? pausedAfterMs : absentAfterMs);
            return;
        }
        const moves = () => {
            if (!this.isPaused) this.paused.value = false;
        };
        if (this.paused.value) this.nextFrame(moves);
        this.pauseTimer = setTimeout(moves, movesWithinMs);
    }

    /** What stands here is somebody else's: nothing is shown until the next frame. */
    forget(): void {
        this.hasPicture.value = false;
        this.nextFrame(() => this.thaw());
    }

    private arm(): void {
        if (this.frameWaiters.length === 0) return;
        this.video.requestVideoFrameCallback(() => {
            const waiters = this.frameWaiters;
            this.frameWaiters = [];
            for (const waiter of waiters) waiter();
        });
    }

    private sized(): void {
        this.hasPicture.value = this.video.videoWidth > 0;
    }

    private freeze(): void {
        const { videoWidth, videoHeight } = this.video;
        if (videoWidth === 0) return;
        this.frozen.width = videoWidth;
        this.frozen.height = videoHeight;
        this.frozen.getContext('2d')?.drawImage(this.video, 0, 0);
        this.frozen.hidden = false;
    }

    private thaw(): void {
        this.hasPicture.value = true;
        this.frozen.hidden = true;
        this.frozen.width = 0;
    }
}

/** Sound slots: hidden audio elements. A browser may refuse to play before the user has touched the page. */
export class SoundViews {
    readonly blocked = signal(false);
    private readonly elements = new Map<string, HTMLAudioElement>();
    private muted = false;
    private sink = '';

    take(name: string, track: MediaStreamTrack): void {
        const element = this.elements.get(name) ?? this.create(name);
        element.srcObject = new MediaStream([track]);
        void this.play(element);
    }

    setMuted(muted: boolean): void {
        this.muted = muted;
        for (const element of this.elements.values()) element.muted = muted;
    }

    async setSink(deviceId: string): Promise<void> {
        this.sink = deviceId;
        await Promise.all([...this.elements.values()].map((element) => applySink(element, deviceId)));
    }

    /** After a touch of "Bật tiếng". */
    async unblock(): Promise<void> {
        this.blocked.value = false;
        await Promise.all([...this.elements.values()].map((element) => this.play(element)));
    }

    stop(): void {
        for (const element of this.elements.values()) {
            element.srcObject = null;
            element.remove();
        }
        this.elements.clear();
    }

    private create(name: string): HTMLAudioElement {
        const element = document.createElement('audio');
        element.autoplay = true;
        element.hidden = true;
        element.muted = this.muted;
        element.dataset['slot'] = name;
        document.body.append(element);
        this.elements.set(name, element);
        if (this.sink !== '') void applySink(element, this.sink);
        return element;
    }

    private async play(element: HTMLAudioElement): Promise<void> {
        try {
            await element.play();
        } catch (error) {
            if (error instanceof DOMException && error.name === 'NotAllowedError') this.blocked.value = true;
        }
    }
}

export async function applySink(element: HTMLMediaElement, deviceId: string): Promise<void> {
    if (!('setSinkId' in element)) return;
    try {
        await element.setSinkId(deviceId);
    } catch {
        // The device is gone: the browser's default goes on.
    }
}
