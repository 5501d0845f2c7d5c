import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SilenceWatch } from '../src/media/silence';

/** Looks every 150 ms; `came` says for each whether something has come. Returns when silence was told, in ms. */
function told(came: string): number[] {
    const at: number[] = [];
    let nowMs = 0;
    let newest = 0;
    const watch = new SilenceWatch(() => [], () => at.push(nowMs));
    watch.stop();
    for (const one of came) {
        nowMs += 150;
        if (one === 'x') newest = nowMs;
        watch.look(newest, nowMs);
    }
    return at;
}

test('what came steadily and stops is told once, 600 ms later', () => {
    assert.deepEqual(told('xxxxxxxxxx..........'), [1500 + 600]);
});

test('what never came, or only now and then, does not stop', () => {
    assert.deepEqual(told('....................'), []);
    assert.deepEqual(told('x...x...x...x...x............'), []);
    assert.deepEqual(told('xxx.......'), []);
});

test('a gap is none', () => {
    assert.deepEqual(told('xxxxxxxxxx..xxx..xxxxxxxx'), []);
});

test('it is told again when it has come steadily again', () => {
    assert.deepEqual(told('xxxxxxxxxx.....xxxxxxxxxx.....'), [2100, 4350]);
});
