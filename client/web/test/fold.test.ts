import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BriefingEvent, BriefingState, Endpoint } from '../src/protocol.gen';
import { applyEvent, follow } from '../src/state/fold';

const endpoint = (number: number, change: Partial<Endpoint> = {}): Endpoint => ({
    number, id: `e${number}`, unit: `u${number}`, unit_name: `Unit ${number}`, unit_short: `U${number}`, name: '', role: 'delegate', kind: 'room',
    connected: true, microphone: false, camera: true, screen: false, hears: true, ...change,
});

const start: BriefingState = {
    id: 'b', title: 'Giao ban', state: 'open', opened_ms: 1000, floor: 0, floor_since_ms: null, spotlight: 0, screen: 0, locked: false,
    recording: false, hands: [], endpoints: [endpoint(1, { role: 'chair', microphone: true }), endpoint(2), endpoint(3, { microphone: true })],
};

type Body = BriefingEvent extends infer E ? (E extends { event: infer N; data: infer D } ? { event: N; data: D } : never) : never;
const event = (body: Body, seq = 1, at_ms = 5000): BriefingEvent => ({ ...body, seq, prev: seq - 1, at_ms }) as BriefingEvent;
const after = (...bodies: Body[]): BriefingState => bodies.reduce((state, body) => applyEvent(state, event(body)), start);
const one = (state: BriefingState, number: number): Endpoint | undefined => state.endpoints.find((e) => e.number === number);

test('opening keeps the time at which it happened', () => {
    const state = applyEvent({ ...start, state: 'scheduled', opened_ms: null }, event({ event: 'opened', data: {} }, 1, 7000));
    assert.equal(state.state, 'open');
    assert.equal(state.opened_ms, 7000);
});

test('who joins again keeps its number and appears once', () => {
    const state = after({ event: 'left', data: { number: 2 } }, { event: 'joined', data: { endpoint: endpoint(2, { name: 'again' }) } });
    assert.deepEqual(state.endpoints.map((e) => e.number), [1, 2, 3]);
    assert.equal(one(state, 2)?.name, 'again');
});

test('a lost connection keeps floor and hand and closes the switches', () => {
    const state = after(
        { event: 'hand-raised', data: { number: 3 } },
        { event: 'floor-granted', data: { number: 3 } },
        { event: 'left', data: { number: 3 } },
    );
    assert.equal(state.floor, 3);
    assert.equal(state.hands.length, 1);
    assert.deepEqual([one(state, 3)?.connected, one(state, 3)?.microphone, one(state, 3)?.camera], [false, false, false]);
});

test('a removed endpoint is not listed any more', () => {
    assert.equal(one(after({ event: 'removed', data: { number: 2 } }), 2), undefined);
});

test('granting the floor sets holder and time and knows no other rule', () => {
    const state = after({ event: 'hand-raised', data: { number: 2 } }, { event: 'floor-granted', data: { number: 2 } });
    assert.deepEqual([state.floor, state.floor_since_ms], [2, 5000]);
    assert.equal(one(state, 2)?.microphone, false); // its `media` event follows
    assert.equal(state.hands.length, 1); // its `hand-lowered` event came before
});

test('a revoked floor leaves nobody and no time', () => {
    const state = after({ event: 'floor-granted', data: { number: 2 } }, { event: 'floor-revoked', data: { number: 2 } });
    assert.deepEqual([state.floor, state.floor_since_ms], [0, null]);
});

test('mute all spares the ones named', () => {
    const state = after({ event: 'all-muted', data: { except: [1] } });
    assert.deepEqual(state.endpoints.map((e) => e.microphone), [true, false, false]);
});

test('a mute closes one microphone', () => {
    const state = after({ event: 'muted', data: { number: 3, by: 1 } });
    assert.deepEqual(state.endpoints.map((e) => e.microphone), [true, false, false]);
});

test('media sets the three switches of one endpoint', () => {
    const state = after({ event: 'media', data: { number: 2, microphone: true, camera: false, screen: true } });
    assert.deepEqual([one(state, 2)?.microphone, one(state, 2)?.camera, one(state, 2)?.screen], [true, false, true]);
    assert.equal(one(state, 3)?.camera, true);
});

test('a hand that goes up twice is listed once', () => {
    assert.equal(after({ event: 'hand-raised', data: { number: 2 } }, { event: 'hand-raised', data: { number: 2 } }).hands.length, 1);
});

test('spotlight, screen, lock and recording set their one field', () => {
    const state = after(
        { event: 'spotlighted', data: { number: 2 } },
        { event: 'screen-shown', data: { number: 3 } },
        { event: 'microphones-locked', data: { locked: true } },
        { event: 'recording', data: { on: true } },
    );
    assert.deepEqual([state.spotlight, state.screen, state.locked, state.recording], [2, 3, true, true]);
});

test('closing ends floor, hands, spotlight, screen, recording and every connection, and keeps the lock', () => {
    const state = after(
        { event: 'hand-raised', data: { number: 2 } },
        { event: 'floor-granted', data: { number: 3 } },
        { event: 'spotlighted', data: { number: 2 } },
        { event: 'screen-shown', data: { number: 3 } },
        { event: 'microphones-locked', data: { locked: true } },
        { event: 'recording', data: { on: true } },
        { event: 'closed', data: {} },
    );
    assert.deepEqual([state.state, state.floor, state.floor_since_ms, state.spotlight, state.screen, state.recording, state.locked], ['closed', 0, null, 0, 0, false, true]);
    assert.deepEqual(state.hands, []);
    assert.ok(state.endpoints.every((e) => !e.connected && !e.microphone && !e.camera && !e.screen));
});

test('an event leaves the state before it untouched', () => {
    const frozen = JSON.stringify(start);
    after({ event: 'media', data: { number: 2, microphone: true, camera: false, screen: true } }, { event: 'left', data: { number: 1 } });
    assert.equal(JSON.stringify(start), frozen);
});

test('an event whose predecessor is unseen is a hole, a repeated one changes nothing', () => {
    const rows = [
        { last: 10, seq: 11, prev: 10, expected: 11 },
        { last: 10, seq: 14, prev: 10, expected: 14 }, // numbers between are not for this role
        { last: 10, seq: 10, prev: 9, expected: 10 },
        { last: 10, seq: 4, prev: 3, expected: 10 },
        { last: 10, seq: 13, prev: 12, expected: null },
        { last: 10, seq: 12, prev: 11, expected: null },
    ];
    for (const { last, seq, prev, expected } of rows) {
        const next = follow({ state: start, last }, { ...event({ event: 'opened', data: {} }), seq, prev });
        assert.equal(next?.last ?? null, expected, `${last} then ${seq} after ${prev}`);
    }
});
