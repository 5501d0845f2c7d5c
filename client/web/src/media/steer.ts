// What the server has said of our pictures, put into a sender's parameters. The client's own bounds stay the upper ones.
import type { SendLayers } from '../protocol.gen';

/** `own` are the encodings as this client made them. null: nothing changes. */
export function steered(
    now: readonly RTCRtpEncodingParameters[],
    own: readonly RTCRtpEncodingParameters[],
    wanted: SendLayers,
): RTCRtpEncodingParameters[] | null {
    let changed = false;
    const next = now.map((encoding, i) => {
        const layer = wanted.find((one) => one.rid === (encoding.rid ?? ''));
        const most = own.find((one) => one.rid === encoding.rid)?.maxBitrate ?? own[i]?.maxBitrate;
        if (layer === undefined) return encoding;
        const maxBitrate = Math.min(layer.max_bps ?? Infinity, most ?? Infinity);
        const to = { ...encoding, active: layer.active };
        if (layer.active && Number.isFinite(maxBitrate)) to.maxBitrate = maxBitrate;
        if ((encoding.active ?? true) === to.active && encoding.maxBitrate === to.maxBitrate) return encoding;
        changed = true;
        return to;
    });
    return changed ? next : null;
}

/** One sender, whose parameters are changed one after another: the newest wish counts. */
export class Steering {
    private wanted: SendLayers | null = null;
    private busy = false;

    constructor(private readonly sender: RTCRtpSender, private readonly own: readonly RTCRtpEncodingParameters[]) {}

    steer(wanted: SendLayers): void {
        this.wanted = wanted;
        if (!this.busy) void this.run();
    }

    private async run(): Promise<void> {
        this.busy = true;
        while (this.wanted !== null) {
            const wanted = this.wanted;
            this.wanted = null;
            const parameters = this.sender.getParameters();
            const encodings = steered(parameters.encodings ?? [], this.own, wanted);
            if (encodings === null) continue;
            parameters.encodings = encodings;
            try {
                await this.sender.setParameters(parameters);
            } catch {
                // The connection is over, or this browser can't: it sends what it sent.
            }
        }
        this.busy = false;
    }
}
