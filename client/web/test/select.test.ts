import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BriefingState, Endpoint } from '../src/protocol.gen';
import { assignTiles, folded, queue, stageOf, unitsPresent } from '../src/state/select';

const endpoint = (number: number, change: Partial<Endpoint> = {}): Endpoint => ({
    number, id: `e${number}`, unit: `u${number}`, unit_name: '', unit_short: `U${number}`, name: '', role: 'delegate', kind: 'room',
    connected: true, microphone: false, camera: true, screen: false, hears: true, ...change,
});

const state = (change: Partial<BriefingState> = {}): BriefingState => ({
    id: 'b', title: '', state: 'open', opened_ms: 0, floor: 0, floor_since_ms: null, spotlight: 0, screen: 0, locked: false, recording: false,
    hands: [], endpoints: [endpoint(1, { role: 'chair' }), ...[2, 3, 4, 5, 6, 7, 8, 9].map((n) => endpoint(n))], ...change,
});

const calm = { hands: [], speaker: 0, hidden: [] };

test('tiles keep their place when somebody new comes in', () => {
    const before = assignTiles([], state(), { ...calm, hidden: [1] }, 4);
    assert.deepEqual(before, [2, 3, 4, 5]);
    const after = assignTiles(before, state(), { ...calm, hidden: [1], hands: [9] }, 4);
    assert.deepEqual(after, [2, 3, 4, 9]);
});

test('who goes onto the stage frees its tile for one other', () => {
    assert.deepEqual(assignTiles([2, 3, 4, 5], state(), { ...calm, hidden: [1, 3] }, 4), [2, 6, 4, 5]);
});

test('empty tiles are nobody', () => {
    assert.deepEqual(assignTiles([], state({ endpoints: [endpoint(1), endpoint(2)] }), { ...calm, hidden: [1] }, 3), [2, 0, 0]);
});

test('a tile never shows somebody twice', () => {
    const tiles = assignTiles([5, 5, 5], state(), { ...calm, speaker: 5 }, 3);
    assert.equal(new Set(tiles).size, 3);
});

test('who left is not shown', () => {
    const gone = state({ endpoints: [endpoint(2, { connected: false }), endpoint(3)] });
    assert.deepEqual(assignTiles([2, 0], gone, calm, 2), [3, 0]);
});

test('the queue is in the order in which hands went up, without the holder and the absent', () => {
    const waiting = state({
        floor: 4,
        hands: [{ number: 3, since_ms: 30 }, { number: 2, since_ms: 10 }, { number: 4, since_ms: 5 }, { number: 9, since_ms: 1 }],
        endpoints: [endpoint(2), endpoint(3), endpoint(4), endpoint(9, { connected: false })],
    });
    assert.deepEqual(queue(waiting).map((e) => e.number), [2, 3]);
});

test('the stage is spotlight, else floor, else chair, and never oneself', () => {
    const rows = [
        { spotlight: 0, floor: 0, me: 2, stage: 1 },
        { spotlight: 0, floor: 3, me: 2, stage: 3 },
        { spotlight: 4, floor: 3, me: 2, stage: 4 },
        { spotlight: 0, floor: 2, me: 2, stage: 1 },
        { spotlight: 0, floor: 0, me: 1, stage: 0 },
    ];
    for (const { spotlight, floor, me, stage } of rows) assert.equal(stageOf(state({ spotlight, floor }), me), stage);
});

test('a unit with two endpoints counts once', () => {
    assert.equal(unitsPresent(state({ endpoints: [endpoint(1, { unit: 'a' }), endpoint(2, { unit: 'a' }), endpoint(3, { unit: 'b' }), endpoint(4, { connected: false })] })), 2);
});

test('search folds tone marks', () => {
    for (const [text, key] of [['UBND huyện Quan Hóa', 'quan hoa'], ['UBND huyện Quan Hoá', 'quan hoa'], ['Thị xã Bỉm Sơn', 'bim son'], ['Sở LĐTB&XH', 'ldtb']])
        assert.ok(folded(text ?? '').includes(key ?? '-'), text);
});
