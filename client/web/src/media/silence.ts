// Notices that everything that came has stopped of a sudden: a line that broke, or a network that is another one now. A browser
// takes five seconds for that. Only what had been coming steadily can stop; a quiet briefing is no silence.

const lookEveryMs = 150;
const steadyForMs = 1_000;
const steadyGapMs = 300;
const silentAfterMs = 600;

export class SilenceWatch {
    private newest = 0; // of all sources, on their own clock
    private changedMs = 0;
    private steadySinceMs = 0;
    private armed = false;
    private readonly timer: ReturnType<typeof setInterval>;

    constructor(private readonly receivers: () => readonly RTCRtpReceiver[], private readonly silent: () => void) {
        this.timer = setInterval(() => this.look(newestOf(this.receivers()), performance.now()), lookEveryMs);
    }

    stop(): void {
        clearInterval(this.timer);
    }

    /** `newest` is when the last packet came, on whatever clock; 0: none yet. */
    look(newest: number, nowMs: number): void {
        if (newest !== this.newest) {
            if (nowMs - this.changedMs > steadyGapMs) this.steadySinceMs = nowMs;
            this.newest = newest;
            this.changedMs = nowMs;
            this.armed = newest !== 0 && nowMs - this.steadySinceMs >= steadyForMs;
        } else if (this.armed && nowMs - this.changedMs >= silentAfterMs) {
            this.armed = false; // once
            this.silent();
        }
    }
}

function newestOf(receivers: readonly RTCRtpReceiver[]): number {
    let newest = 0;
    for (const receiver of receivers)
        for (const source of receiver.getSynchronizationSources?.() ?? []) newest = Math.max(newest, source.timestamp);
    return newest;
}
