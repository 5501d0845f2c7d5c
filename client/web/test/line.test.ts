import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limitedByLine, wantedHeight } from '../src/media/uplink';
import { atFirst, hold, judgeFacts, othersLineWeak, type LineFacts, type LineLevel } from '../src/state/line';

const fine: LineFacts = { lossPermille: 0, roundTripMs: 20, stagePaused: false, tilesPaused: false, soundsPaused: false, uplinkLimited: false };

test('the worst thing that is so decides the level', () => {
    const rows: Array<[Partial<LineFacts>, LineLevel]> = [
        [{}, 'good'],
        [{ uplinkLimited: true }, 'uplink'],
        [{ lossPermille: 24, roundTripMs: 399 }, 'good'],
        [{ lossPermille: 25 }, 'weak'],
        [{ roundTripMs: 400, uplinkLimited: true }, 'weak'],
        [{ tilesPaused: true, lossPermille: 100 }, 'fewer'],
        [{ stagePaused: true, tilesPaused: true }, 'sound'],
        [{ stagePaused: true, tilesPaused: true, soundsPaused: true }, 'voice'],
    ];
    for (const [facts, level] of rows) assert.equal(judgeFacts({ ...fine, ...facts }), level);
});

/** What is shown at each change, looking twice a second: [ms, shown]. */
function play(changes: Array<[number, LineLevel]>, endMs: number): Array<[number, LineLevel]> {
    const shown: Array<[number, LineLevel]> = [];
    let held = atFirst;
    let level: LineLevel = 'good';
    for (let now = 0; now <= endMs; now += 500) {
        for (const [at, next] of changes) if (at === now) level = next;
        const before = held.shown;
        held = hold(held, level, now);
        if (held.shown !== before) shown.push([now, held.shown]);
    }
    return shown;
}

test('a paused stage is said after a moment, and no longer three seconds after it is back', () => {
    assert.deepEqual(play([[1000, 'sound'], [20_000, 'good']], 30_000), [[2500, 'sound'], [23_000, 'good']]);
});

test('a pause of a second is not said, nor one bad second of the figures', () => {
    assert.deepEqual(play([[1000, 'sound'], [2000, 'good'], [5000, 'weak'], [7000, 'good']], 30_000), []);
});

test('a line that wavers between two kinds of bad is said, and its words stay', () => {
    const changes = Array.from({ length: 40 }, (_, i): [number, LineLevel] => [1000 + i * 1000, i % 2 === 0 ? 'weak' : 'sound']);
    assert.deepEqual(play(changes, 40_000), [[5000, 'weak']]);
});

test('a line that comes and goes does not flicker', () => {
    const changes = Array.from({ length: 20 }, (_, i): [number, LineLevel] => [1000 + i * 2000, i % 2 === 0 ? 'sound' : 'good']);
    assert.deepEqual(play(changes, 38_000), [[2500, 'sound']]);
});

test('it gets better by steps, each one when it has lasted', () => {
    assert.deepEqual(play([[0, 'sound'], [10_000, 'weak'], [20_000, 'good']], 40_000), [
        [1500, 'sound'],
        [13_000, 'weak'],
        [28_000, 'good'],
    ]);
});

test('of another room, a paused picture or loss is weak; a low estimate alone is none', () => {
    assert.equal(othersLineWeak(undefined), false);
    assert.equal(othersLineWeak({ loss_permille: 24, paused: 0 }), false);
    assert.equal(othersLineWeak({ loss_permille: 25, paused: 0 }), true);
    assert.equal(othersLineWeak({ loss_permille: 0, paused: 1 }), true);
});

test('a camera is called limited by the line only when it is sent much smaller than it is', () => {
    const layer = (frameHeight: number, framesPerSecond: number, qualityLimitationReason: string) => ({ type: 'outbound-rtp', kind: 'video', frameHeight, framesPerSecond, qualityLimitationReason });
    assert.equal(limitedByLine([layer(180, 25, 'bandwidth'), layer(360, 25, 'bandwidth'), layer(720, 0, 'bandwidth')], 720), true);
    assert.equal(limitedByLine([layer(180, 25, 'bandwidth'), layer(720, 20, 'bandwidth')], 720), false);
    assert.equal(limitedByLine([layer(180, 25, 'none'), layer(360, 25, 'none')], 720), false); // the server wants no more
    assert.equal(limitedByLine([layer(180, 25, 'cpu')], 720), false);
    assert.equal(limitedByLine([], 720), false);
});

test('a layer that the server stopped or bounded is not wanted whole', () => {
    const own = [150_000, 500_000, 1_700_000].map((maxBitrate, i) => ({ rid: 'lmh'[i] ?? '', maxBitrate, scaleResolutionDownBy: 4 / 2 ** i }));
    const rows: Array<[boolean[], number[], number]> = [
        [[true, true, true], [150_000, 500_000, 1_700_000], 720],
        [[true, true, true], [150_000, 500_000, 900_000], 360],
        [[true, true, false], [150_000, 500_000, 1_700_000], 360],
        [[true, false, false], [90_000, 500_000, 1_700_000], 0],
        [[false, false, false], [150_000, 500_000, 1_700_000], 0],
    ];
    for (const [active, bps, height] of rows)
        assert.equal(wantedHeight(own.map((encoding, i) => ({ ...encoding, active: active[i] ?? true, maxBitrate: bps[i] ?? 0 })), own, 720), height);
    assert.equal(wantedHeight([{ active: true }], [{}], 720), 720);
});
