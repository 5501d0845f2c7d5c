import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SilenceWatch } from '../src/media/silence';

const lookMs = 150;

/** A look every 150 ms. For each, `pictures` and `sounds` say whether something new was shown and played, `packets` whether any
 * packet came. Returns when silence was told, in ms. */
function told(pictures: string, sounds: string, packets: string): number[] {
    const at: number[] = [];
    const newest = { picture: 0, sound: 0 };
    let nowMs = 0;
    let count = 0;
    const watch = new SilenceWatch(() => null, () => at.push(nowMs));
    watch.stop();
    for (let i = 0; i < packets.length; i += 1) {
        nowMs += lookMs;
        if (pictures[i] === 'x') newest.picture = nowMs;
        if (sounds[i] === 'x') newest.sound = nowMs;
        if (packets[i] === 'x') count += 5;
        if (watch.look(newest)) watch.count(count);
    }
    return at;
}

const alike = (came: string): number[] => told(came, came, came);

test('what came steadily and stops is told once, 600 ms later', () => {
    assert.deepEqual(alike('xxxxxxxxxx..........'), [1500 + 600]);
});

test('sound that goes on out of its buffer does not hide it', () => {
    assert.deepEqual(told('xxxxxxxxxx..........', 'xxxxxxxxxxxxxxxx....', 'xxxxxxxxxx..........'), [1500 + 600]);
});

test('with sound alone it is told when its buffer is empty', () => {
    assert.deepEqual(told('....................', 'xxxxxxxxxxxxx.......', 'xxxxxxxxxx..........'), [1950 + 600]);
});

test('a picture that is paused while anything else comes is no silence, nor is a pause in speaking', () => {
    assert.deepEqual(told('xxxxxxxxxx..........', 'xxxxxxxxxxxxxxxxxxxx', 'xxxxxxxxxxxxxxxxxxxx'), []);
    assert.deepEqual(told('xxxxxxxxxx..........', 'xxxxxxxxxx..........', 'xxxxxxxxxxxx.x.x.x.x'), []);
});

test('what never came, or only now and then, does not stop', () => {
    assert.deepEqual(alike('....................'), []);
    assert.deepEqual(alike('x...x...x...x...x............'), []);
    assert.deepEqual(alike('xxx.......'), []);
});

test('a gap is none', () => {
    assert.deepEqual(alike('xxxxxxxxxx..xxx..xxxxxxxx'), []);
});

test('it is told again when it has come steadily again', () => {
    assert.deepEqual(alike('xxxxxxxxxx.....xxxxxxxxxx.....'), [2100, 4350]);
});
