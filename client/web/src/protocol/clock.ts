// The server's wall clock, from welcome and pong: the reply with the shortest round trip of the last ones counts.
interface Sample {
    offsetMs: number;
    roundTripMs: number;
}

export class ServerClock {
    private samples: Sample[] = [];

    learn(serverMs: number, sentMs: number, receivedMs: number): void {
        const roundTripMs = Math.max(0, receivedMs - sentMs);
        this.samples = [...this.samples.slice(-7), { offsetMs: serverMs - (sentMs + roundTripMs / 2), roundTripMs }];
    }

    get offsetMs(): number {
        const [first, ...rest] = this.samples;
        if (first === undefined) return 0;
        return rest.reduce((best, sample) => (sample.roundTripMs <= best.roundTripMs ? sample : best), first).offsetMs;
    }

    get roundTripMs(): number {
        return this.samples.at(-1)?.roundTripMs ?? 0;
    }

    now(localMs: number = Date.now()): number {
        return localMs + this.offsetMs;
    }
}
