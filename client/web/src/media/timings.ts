// Marks for tests and for a technician's eye: performance.getEntriesByType('mark').
export type Mark = 'join-click' | 'stage-first-frame' | 'floor-event' | 'stage-switched-frame' | 'rejoin-start' | 'rejoin-answered';

export const timings: Partial<Record<Mark, number>> = {};

export function mark(name: Mark): void {
    timings[name] = performance.mark(`giaoban:${name}`).startTime;
}
