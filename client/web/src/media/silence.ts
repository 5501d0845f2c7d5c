// Notices that everything that came has stopped of a sudden: a line that broke, or a network that is another one now. A browser
// takes five seconds for that. Only what had been coming steadily can stop; a quiet briefing is no silence.
//
// What was shown and played last is cheap to ask, but sound goes on for up to a second out of its buffer, and a picture also
// stops when it is paused. So a stop of either is a suspicion, and the connection's count of packets decides. All is counted in
// looks: a page that was busy looks late, which is no gap.

const lookEveryMs = 150;
const steadyLooks = 7;
const gapLooks = 2;
const silentLooks = 2; // of the count, after the suspicion: 600 ms in all

/** Pictures, or sounds: the newest that came of any of them. */
class Flow {
    private newest = 0;
    private steady = 0;
    private still = 0;

    /** true: it had been coming steadily, and doesn't. `newest` is on whatever clock; 0: none yet. */
    stopped(newest: number): boolean {
        if (newest === this.newest) this.still += 1;
        else {
            this.steady = this.still < gapLooks ? this.steady + 1 : 1;
            this.still = 0;
            this.newest = newest;
        }
        return this.steady >= steadyLooks && this.still >= gapLooks;
    }

    begin(): void {
        this.steady = 0;
    }
}

export interface Newest {
    picture: number;
    sound: number;
}

export class SilenceWatch {
    private readonly picture = new Flow();
    private readonly sound = new Flow();
    private counted: number | null = null; // while there is a suspicion
    private quiet = 0;
    private readonly timer: ReturnType<typeof setInterval>;

    constructor(connection: () => RTCPeerConnection | null, private readonly silent: () => void) {
        this.timer = setInterval(() => {
            const pc = connection();
            if (pc !== null && this.look(newestOf(pc.getReceivers()))) void countOf(pc).then((packets) => packets !== null && pc === connection() && this.count(packets));
        }, lookEveryMs);
    }

    stop(): void {
        clearInterval(this.timer);
    }

    /** true: the count is wanted. */
    look(newest: Newest): boolean {
        const stopped = [this.picture.stopped(newest.picture), this.sound.stopped(newest.sound)];
        if (stopped.includes(true)) return true;
        this.counted = null;
        return false;
    }

    /** Packets of all kinds that this connection has had so far. */
    count(packets: number): void {
        if (this.counted === null || this.counted === packets) {
            this.quiet = this.counted === null ? 0 : this.quiet + 1;
            this.counted = packets;
            if (this.quiet < silentLooks) return;
            this.silent();
        }
        this.counted = null; // told once; or something comes
        this.picture.begin();
        this.sound.begin();
    }
}

function newestOf(receivers: readonly RTCRtpReceiver[]): Newest {
    const newest: Newest = { picture: 0, sound: 0 };
    for (const receiver of receivers) {
        const kind = receiver.track.kind === 'video' ? 'picture' : 'sound';
        for (const source of receiver.getSynchronizationSources?.() ?? []) newest[kind] = Math.max(newest[kind], source.timestamp);
    }
    return newest;
}

async function countOf(pc: RTCPeerConnection): Promise<number | null> {
    const report = await pc.getStats().catch(() => null);
    if (report === null) return null;
    let packets = 0;
    let known = false;
    report.forEach((entry: { type: string; packetsReceived?: number }) => {
        if (entry.type !== 'inbound-rtp' && entry.type !== 'transport') return;
        known ||= entry.packetsReceived !== undefined;
        packets += entry.packetsReceived ?? 0;
    });
    return known ? packets : null;
}
