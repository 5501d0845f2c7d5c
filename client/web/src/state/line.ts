// What a room is told of its line. Pure: facts and times in, the state that is shown out.
import { judgeLiveLine } from '../devices/judge';

/** By rising urgency:
 *  uplink    our own picture is sent smaller than the camera gives it, because of the line
 *  weak      loss or delay that can be seen and heard
 *  fewer     some small pictures are paused
 *  sound     the main picture is paused
 *  voice     some voices are left out too */
export const levels = ['good', 'uplink', 'weak', 'fewer', 'sound', 'voice'] as const;
export type LineLevel = (typeof levels)[number];

export interface LineFacts {
    lossPermille: number;
    roundTripMs: number;
    stagePaused: boolean;
    tilesPaused: boolean;
    soundsPaused: boolean;
    uplinkLimited: boolean;
}

export function judgeFacts(facts: LineFacts): LineLevel {
    if (facts.soundsPaused) return 'voice';
    if (facts.stagePaused) return 'sound';
    if (facts.tilesPaused) return 'fewer';
    if (judgeLiveLine(facts.lossPermille, facts.roundTripMs) !== 'good') return 'weak';
    return facts.uplinkLimited ? 'uplink' : 'good';
}

/** How long a line must be so bad before words say so: a pause of a second is the server choosing anew, tiles wait at every
 * entrance until the line is known, one bad second in the figures (which come once a second) is no weak line, and a
 * browser's own estimate takes some seconds to rise. */
const enterMs: Readonly<Record<LineLevel, number>> = { good: 0, uplink: 8_000, weak: 4_000, fewer: 4_000, sound: 1_500, voice: 1_500 };
/** How long it must be better before the words go: pictures come back at once, loss comes in groups. */
const leaveMs: Readonly<Record<LineLevel, number>> = { good: 0, uplink: 6_000, weak: 8_000, fewer: 3_000, sound: 3_000, voice: 3_000 };

export interface Held {
    shown: LineLevel;
    /** For each level, since when it has been at least so bad; null: it isn't. */
    worseSinceMs: ReadonlyArray<number | null>;
    /** Since when it has been better than what is shown; null: it isn't. */
    betterSinceMs: number | null;
}

export const atFirst: Held = { shown: 'good', worseSinceMs: levels.map(() => null), betterSinceMs: null };

/** The worst level that has lasted, and a better one only when that has lasted too. */
export function hold(before: Held, level: LineLevel, nowMs: number): Held {
    const rank = levels.indexOf(level);
    const shownRank = levels.indexOf(before.shown);
    const worseSinceMs = levels.map((_, i) => (i <= rank ? (before.worseSinceMs[i] ?? nowMs) : null));
    const lasted = levels.filter((one, i) => {
        const since = worseSinceMs[i] ?? null;
        return since !== null && nowMs - since >= enterMs[one];
    });
    const reached = lasted[lasted.length - 1] ?? 'good';
    if (levels.indexOf(reached) > shownRank) return { shown: reached, worseSinceMs, betterSinceMs: null };
    if (rank >= shownRank) return { shown: before.shown, worseSinceMs, betterSinceMs: null };
    const betterSinceMs = before.betterSinceMs ?? nowMs;
    if (nowMs - betterSinceMs < leaveMs[before.shown]) return { shown: before.shown, worseSinceMs, betterSinceMs };
    return { shown: level, worseSinceMs, betterSinceMs: null };
}

/** What the conductors' lists say of another room's line. The estimate alone says nothing: to a room that watches little, the
 * server never tries how much more would fit. */
export interface OthersLine {
    loss_permille: number;
    paused: number;
}

export const weakFromPermille = 25;
export const othersLineWeak = (line: OthersLine | undefined): boolean => line !== undefined && (line.paused > 0 || line.loss_permille >= weakFromPermille);
