import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Patience } from '../src/media/patience';

/** Seconds of 100 packets each, of which so many are asked for again. */
function waits(patience: Patience, asked: number[], roundTripMs: number, before = { packets: 0, asked: 0 }): Array<number | null> {
    return asked.map((n) => patience.look({ packets: (before.packets += 100), asked: (before.asked += n), roundTripMs }));
}

test('without losses nothing waits', () => {
    assert.deepEqual(waits(new Patience(), [0, 0, 0, 0], 80), [null, null, null, null]);
});

test('on a line that loses all wait for a round trip and a little more, and go on for a while after the last loss', () => {
    const patience = new Patience();
    const so = { packets: 0, asked: 0 };
    assert.deepEqual(waits(patience, [0, 3, 0, 3], 80, so), [null, 140, 140, 140]);
    const after = waits(patience, Array<number>(40).fill(0), 80, so);
    assert.equal(after.lastIndexOf(140) + 1, 4 + 19); // four more looks see the loss, of which the last counts twenty
    assert.equal(after.at(-1), null);
});

test('a round trip that wavers changes nothing, one that grows does, and nobody waits for ever', () => {
    const patience = new Patience();
    const so = { packets: 0, asked: 0 };
    waits(patience, [3, 3], 80, so);
    assert.deepEqual(waits(patience, [3], 100, so), [140]);
    assert.deepEqual(waits(patience, [3], 170, so), [230]);
    assert.deepEqual(waits(patience, [3], 5000, so), [350]);
});

test('a new connection counts from nothing', () => {
    const patience = new Patience();
    waits(patience, [3, 3, 3], 80);
    assert.equal(patience.look({ packets: 10, asked: 0, roundTripMs: 80 }), 140);
    assert.equal(patience.look({ packets: 110, asked: 0, roundTripMs: 80 }), 140);
});
