import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeLine, judgeLiveLine, judgePicture, judgeSound, pictureFigures } from '../src/devices/judge';
import { ServerClock } from '../src/protocol/clock';

test('a black, a white, a flat and a lively picture are told apart', () => {
    const filled = (value: (i: number) => number) => Uint8Array.from({ length: 96 * 54 }, (_, i) => value(i));
    assert.equal(judgePicture(pictureFigures(filled(() => 10), 96)), 'dark');
    assert.equal(judgePicture(pictureFigures(filled(() => 250), 96)), 'bright');
    assert.equal(judgePicture(pictureFigures(filled(() => 120), 96)), 'blurred');
    assert.equal(judgePicture(pictureFigures(filled((i) => 80 + (i % 7) * 15), 96)), 'good');
});

test('sound is judged by its loudest moment, and by what comes back from the speaker', () => {
    const rows = [
        { loudestDb: -80, quietDb: -85, chimeDb: null, verdict: 'waiting' },
        { loudestDb: -52, quietDb: -70, chimeDb: null, verdict: 'quiet' },
        { loudestDb: -20, quietDb: -60, chimeDb: null, verdict: 'good' },
        { loudestDb: -20, quietDb: -60, chimeDb: -58, verdict: 'no-echo' },
        { loudestDb: -20, quietDb: -60, chimeDb: -25, verdict: 'echo' },
        { loudestDb: -1, quietDb: -60, chimeDb: null, verdict: 'loud' },
    ];
    for (const { verdict, ...figures } of rows) assert.equal(judgeSound(figures), verdict);
});

test('lines are judged by what fits through them', () => {
    assert.equal(judgeLine(200_000, 50), 'sound-only');
    assert.equal(judgeLine(1_100_000, 50), 'enough');
    assert.equal(judgeLine(10_000_000, 50), 'good');
    assert.equal(judgeLine(10_000_000, 900), 'weak');
    assert.deepEqual([judgeLiveLine(0, 30), judgeLiveLine(30, 30), judgeLiveLine(100, 30), judgeLiveLine(0, 500)], ['good', 'weak', 'poor', 'weak']);
});

test('the server clock trusts the reply with the shortest round trip', () => {
    const clock = new ServerClock();
    clock.learn(10_500, 0, 1_000); // 10,000 behind by the middle of a slow second
    clock.learn(13_010, 3_000, 3_020);
    clock.learn(15_900, 5_000, 5_800);
    assert.equal(clock.offsetMs, 10_000);
    assert.equal(clock.now(4_000), 14_000);
});
