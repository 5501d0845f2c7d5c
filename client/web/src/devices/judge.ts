// What the device check says about picture, sound and line. Pure: numbers in, a verdict out; words are the page's.
export type PictureVerdict = 'good' | 'dark' | 'bright' | 'blurred' | 'still';
export type SoundVerdict = 'waiting' | 'quiet' | 'good' | 'no-echo' | 'echo' | 'loud';
export type LineVerdict = 'good' | 'enough' | 'weak' | 'sound-only';

/** Mean luma (0–255) and mean absolute difference between neighbours (0–255) of a small grey picture. */
export function pictureFigures(grey: Uint8Array, width: number): { luma: number; detail: number } {
    let sum = 0;
    let detail = 0;
    let pairs = 0;
    grey.forEach((value, i) => {
        sum += value;
        if (i % width === 0) return;
        detail += Math.abs(value - (grey[i - 1] ?? value));
        pairs += 1;
    });
    return { luma: sum / Math.max(1, grey.length), detail: detail / Math.max(1, pairs) };
}

export function judgePicture(figures: { luma: number; detail: number }): PictureVerdict {
    if (figures.luma < 45) return 'dark';
    if (figures.luma > 225) return 'bright';
    return figures.detail < 0.8 ? 'blurred' : 'good';
}

export interface SoundFigures {
    loudestDb: number; // of the last seconds
    quietDb: number; // the room's own noise
    chimeDb: number | null; // while the speaker test played; null: not played yet
}

export function judgeSound({ loudestDb, quietDb, chimeDb }: SoundFigures): SoundVerdict {
    if (chimeDb !== null && chimeDb > -38 && chimeDb > quietDb + 15) return 'echo';
    if (loudestDb > -3) return 'loud';
    if (loudestDb > -42) return chimeDb === null ? 'good' : 'no-echo';
    return loudestDb > -60 ? 'quiet' : 'waiting';
}

export function judgeLine(downBps: number, roundTripMs: number): LineVerdict {
    if (downBps < 300_000) return 'sound-only';
    if (downBps < 2_500_000) return 'enough';
    return roundTripMs > 400 ? 'weak' : 'good';
}

/** In a meeting, from what the server sees of our line. */
export type LiveLine = 'good' | 'weak' | 'poor';

export function judgeLiveLine(lossPermille: number, roundTripMs: number): LiveLine {
    if (lossPermille >= 80 || roundTripMs >= 1000) return 'poor';
    if (lossPermille >= 25 || roundTripMs >= 400) return 'weak';
    return 'good';
}
