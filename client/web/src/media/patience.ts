// On a line that loses packets, what plays waits for the repair: it comes a round trip later, and a player that does not wait has
// shown the next frames by then. Sound and picture wait alike, so that lips and voice stay together; without losses nothing waits.

const lookEveryMs = 1000;
const windowLooks = 5;
const lossy = 0.005; // of the packets of pictures, asked for again
const staysLooks = 20;
const beyondRoundTripMs = 60; // the loss is noticed with the next packet, the repair is paced
const longestMs = 350;
const worthMs = 30; // smaller changes are not made: each one stretches the sound for a moment

export interface Received {
    packets: number;
    asked: number; // packets asked for again
    roundTripMs: number;
}

export class Patience {
    private readonly seen: Received[] = [];
    private lossyFor = 0;
    private waitsMs: number | null = null;

    /** What all receivers should wait from now on; null: as little as the browser likes. Counts are of the connection so far. */
    look(now: Received): number | null {
        const first = this.seen[0];
        if (first !== undefined && now.packets < first.packets) this.seen.length = 0; // another connection
        this.seen.push(now);
        if (this.seen.length > windowLooks + 1) this.seen.shift();
        const from = this.seen[0] ?? now;
        const packets = now.packets - from.packets;
        if (packets > 0 && (now.asked - from.asked) / packets > lossy) this.lossyFor = staysLooks;
        else if (this.lossyFor > 0) this.lossyFor -= 1;
        if (this.lossyFor === 0) return (this.waitsMs = null);
        const wanted = Math.min(longestMs, Math.round(now.roundTripMs + beyondRoundTripMs));
        if (this.waitsMs === null || Math.abs(wanted - this.waitsMs) > worthMs) this.waitsMs = wanted;
        return this.waitsMs;
    }
}

async function receivedOf(pc: RTCPeerConnection): Promise<Received | null> {
    const report = await pc.getStats().catch(() => null);
    if (report === null) return null;
    const received: Received = { packets: 0, asked: 0, roundTripMs: 0 };
    report.forEach((one: Record<string, unknown>) => {
        if (one['type'] === 'inbound-rtp' && one['kind'] === 'video') {
            received.packets += Number(one['packetsReceived'] ?? 0);
            received.asked += Number(one['nackCount'] ?? 0);
        }
        if (one['type'] === 'candidate-pair' && (one['nominated'] === true || one['selected'] === true))
            received.roundTripMs = Math.max(received.roundTripMs, 1000 * Number(one['currentRoundTripTime'] ?? 0));
    });
    return received;
}

/** Keeps a connection's receivers patient, as long as there is one. Yields what ends it. */
export function keepPatience(connection: () => RTCPeerConnection | null): () => void {
    const patience = new Patience();
    const look = async (): Promise<void> => {
        const pc = connection();
        const received = pc && (await receivedOf(pc));
        if (!pc || !received) return;
        const waitMs = patience.look(received);
        for (const receiver of pc.getReceivers()) if ((receiver.jitterBufferTarget ?? null) !== waitMs) receiver.jitterBufferTarget = waitMs;
    };
    const timer = setInterval(() => void look(), lookEveryMs);
    return () => clearInterval(timer);
}
