import assert from 'node:assert/strict';
import { test } from 'node:test';
import { steered, Steering } from '../src/media/steer';

const own = [
    { rid: 'l', maxBitrate: 150_000 },
    { rid: 'm', maxBitrate: 500_000 },
    { rid: 'h', maxBitrate: 1_700_000 },
];
const sending = own.map((one) => ({ ...one, active: true, scaleResolutionDownBy: 1 }));

test('a layer nobody looks at stops, one that is too large is bounded, what else it has stays', () => {
    const next = steered(sending, own, [
        { rid: 'l', active: true },
        { rid: 'm', active: false },
        { rid: 'h', active: true, max_bps: 900_000 },
    ]);
    assert.deepEqual(next, [
        sending[0],
        { ...sending[1], active: false },
        { ...sending[2], maxBitrate: 900_000 },
    ]);
});

test('a bound that is lifted, or lies above our own, gives our own back', () => {
    const bounded = sending.map((one) => ({ ...one, maxBitrate: 90_000 }));
    const next = steered(bounded, own, [{ rid: 'l', active: true }, { rid: 'm', active: true, max_bps: 9_000_000 }]);
    assert.deepEqual(next?.map((one) => one.maxBitrate), [150_000, 500_000, 90_000]);
});

test('the same again changes nothing, nor does a layer we do not have', () => {
    assert.equal(steered(sending, own, [{ rid: 'l', active: true }, { rid: 'h', active: true }]), null);
    assert.equal(steered(sending, own, [{ rid: 'x', active: false }]), null);
    assert.equal(steered(sending, own, []), null);
});

test('a picture without simulcast is named by an empty rid', () => {
    const [next] = steered([{ active: true, maxBitrate: 2_500_000 }], [{ maxBitrate: 2_500_000 }], [{ rid: '', active: false }]) ?? [];
    assert.equal(next?.active, false);
});

test('the newest wish wins while an older one is being set, and a refusal ends nothing', async () => {
    let encodings: RTCRtpEncodingParameters[] = sending;
    const set: boolean[] = [];
    const sender = {
        getParameters: () => ({ encodings }) as RTCRtpSendParameters,
        setParameters: async (p: RTCRtpSendParameters) => {
            set.push(p.encodings[2]?.active ?? true);
            await Promise.resolve();
            if (set.length === 1) throw new Error('InvalidStateError');
            encodings = p.encodings;
        },
    } as unknown as RTCRtpSender;
    const steering = new Steering(sender, own);
    for (const active of [false, true, false]) steering.steer([{ rid: 'h', active }]);
    await new Promise((resolve) => setTimeout(resolve, 0));
    assert.deepEqual(set, [false, false]);
    assert.equal(encodings[2]?.active, false);
    steering.steer([{ rid: 'h', active: true }]);
    await new Promise((resolve) => setTimeout(resolve, 0));
    assert.equal(encodings[2]?.active, true);
});
