// What the screens ask of the state. Pure functions.
import type { BriefingState, Endpoint, Role } from '../protocol.gen';

export const conducts = (role: Role): boolean => role === 'chair' || role === 'secretary';
export const maySpeak = (role: Role): boolean => role === 'delegate' || role === 'chair' || role === 'secretary';
export const mayMute = (role: Role): boolean => conducts(role) || role === 'technician';

export const endpointOf = (state: BriefingState, number: number): Endpoint | undefined =>
    number === 0 ? undefined : state.endpoints.find((endpoint) => endpoint.number === number);

/** The name people know it by: the unit's short name, else the person's. */
export const shownName = (endpoint: Endpoint): string => endpoint.unit_short || endpoint.unit_name || endpoint.name || endpoint.id;

export const connected = (state: BriefingState): Endpoint[] => state.endpoints.filter((endpoint) => endpoint.connected);

export const chairOf = (state: BriefingState): Endpoint | undefined => connected(state).find((endpoint) => endpoint.role === 'chair');

export const unitsPresent = (state: BriefingState): number => new Set(connected(state).map((endpoint) => endpoint.unit || endpoint.id)).size;

/** Hands in the order they went up, without the one who has the floor. */
export const queue = (state: BriefingState): Endpoint[] =>
    [...state.hands]
        .sort((a, b) => a.since_ms - b.since_ms || a.number - b.number)
        .filter((hand) => hand.number !== state.floor)
        .map((hand) => endpointOf(state, hand.number))
        .filter((endpoint): endpoint is Endpoint => endpoint?.connected === true);

/** Who should be on the stage of `me`; the server decides, this only names it until the first picture is there. */
export function stageOf(state: BriefingState, me: number): number {
    const candidates = [state.spotlight, state.floor, chairOf(state)?.number ?? 0];
    return candidates.find((number) => number !== 0 && number !== me) ?? 0;
}

export interface TileWish {
    hands: readonly number[];
    speaker: number;
    hidden: readonly number[]; // on stage, or me
}

/** Which endpoint each of `count` tiles shows. Those already shown keep their place: a change costs a keyframe. */
export function assignTiles(before: readonly number[], state: BriefingState, wish: TileWish, count: number): number[] {
    const rank = (endpoint: Endpoint): number => {
        const hand = wish.hands.indexOf(endpoint.number);
        if (hand >= 0) return hand;
        if (endpoint.number === wish.speaker) return 1000;
        if (endpoint.role === 'chair') return 1001;
        if (before.includes(endpoint.number)) return endpoint.camera ? 2000 : 4000;
        return endpoint.camera ? 3000 : 5000;
    };
    const wanted = connected(state)
        .filter((endpoint) => !wish.hidden.includes(endpoint.number))
        .sort((a, b) => rank(a) - rank(b) || a.number - b.number)
        .slice(0, count)
        .map((endpoint) => endpoint.number);
    const tiles = Array.from({ length: count }, (_, i) => {
        const shown = before[i] ?? 0;
        return wanted.includes(shown) && before.indexOf(shown) === i ? shown : 0;
    });
    const fresh = wanted.filter((number) => !tiles.includes(number));
    return tiles.map((number) => (number !== 0 ? number : (fresh.shift() ?? 0)));
}

/** Words without tone marks, for the search field: "quan hoa" finds "Quan Hóa". */
export const folded = (text: string): string =>
    text.normalize('NFD').replace(/\p{M}/gu, '').replace(/[đĐ]/g, 'd').toLowerCase();
