// The fold over events that the server's core recorded (tests/data/briefings.jsonl, written and checked by test_briefing_log.c)
// gives the core's own snapshots.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { BriefingEvent, BriefingState } from '../src/protocol.gen';
import { follow, type Sequenced } from '../src/state/fold';

const lines = readFileSync(new URL('../../../../../tests/data/briefings.jsonl', import.meta.url), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as BriefingEvent | BriefingState);

test('recorded events fold into the server’s own snapshots', () => {
    const kinds = new Set<string>();
    let here: Sequenced | null = null;
    let snapshots = 0;
    for (const [i, line] of lines.entries()) {
        if ('event' in line) {
            assert.ok(here !== null);
            kinds.add(line.event);
            here = follow(here, line);
            assert.ok(here !== null, `line ${i + 1}: a hole`);
        } else if (here === null || line.state === 'scheduled') {
            here = { state: line, last: 1 };
        } else {
            assert.deepEqual(here.state, line, `line ${i + 1}`);
            snapshots++;
        }
    }
    assert.ok(snapshots >= 20, `${snapshots} snapshots`);
    assert.equal(kinds.size, 16, [...kinds].join());
});
