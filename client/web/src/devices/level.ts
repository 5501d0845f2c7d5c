// A microphone's level, and the chime of the speaker test. Levels are dBFS of the last 50 ms.
const floorDb = -100;

export class LevelMeter {
    private readonly context = new AudioContext();
    private readonly analyser = this.context.createAnalyser();
    private readonly source: MediaStreamAudioSourceNode;
    private readonly samples: Float32Array<ArrayBuffer>;

    constructor(track: MediaStreamTrack) {
        this.analyser.fftSize = 2048;
        this.samples = new Float32Array(this.analyser.fftSize);
        this.source = this.context.createMediaStreamSource(new MediaStream([track]));
        this.source.connect(this.analyser);
        void this.context.resume();
    }

    levelDb(): number {
        this.analyser.getFloatTimeDomainData(this.samples);
        let sum = 0;
        for (const sample of this.samples) sum += sample * sample;
        return Math.max(floorDb, 10 * Math.log10(sum / this.samples.length + 1e-10));
    }

    close(): void {
        this.source.disconnect();
        void this.context.close();
    }
}

export const chimeSeconds = 1.4;

/** Three notes through the chosen speaker. */
export async function playChime(deviceId: string): Promise<void> {
    const context = new AudioContext();
    const target = context.createMediaStreamDestination();
    [523.25, 659.25, 783.99].forEach((frequency, i) => {
        const note = context.createOscillator();
        const gain = context.createGain();
        const at = context.currentTime + 0.05 + i * 0.38;
        note.frequency.value = frequency;
        gain.gain.setValueAtTime(0, at);
        gain.gain.linearRampToValueAtTime(0.35, at + 0.03);
        gain.gain.exponentialRampToValueAtTime(0.001, at + 0.55);
        note.connect(gain).connect(target);
        note.start(at);
        note.stop(at + 0.6);
    });
    const element = new Audio();
    element.srcObject = target.stream;
    if (deviceId !== '' && 'setSinkId' in element) await element.setSinkId(deviceId).catch(() => undefined);
    await element.play();
    await new Promise((resolve) => setTimeout(resolve, chimeSeconds * 1000));
    element.srcObject = null;
    await context.close();
}
