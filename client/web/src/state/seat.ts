// What a tab must remember to come back as the same endpoint: kept for the tab, one a briefing.
export interface Seat {
    endpoint: string;
    secret: string;
    last: number;
    incarnation: number;
}

const key = (briefing: string): string => `giaoban.seat.${briefing}`;

const soundOnlyKey = (briefing: string): string => `giaoban.sound-only.${briefing}`;

/** Sound only is this tab's choice, kept when its page is loaded again. */
export const rememberedSoundOnly = (briefing: string): boolean => sessionStorage.getItem(soundOnlyKey(briefing)) === 'on';

export function rememberSoundOnly(briefing: string, on: boolean): void {
    if (on) sessionStorage.setItem(soundOnlyKey(briefing), 'on');
    else sessionStorage.removeItem(soundOnlyKey(briefing));
}

export function rememberedSeat(briefing: string): Seat | null {
    try {
        const kept = JSON.parse(sessionStorage.getItem(key(briefing)) ?? 'null') as Partial<Seat> | null;
        if (kept === null || typeof kept.endpoint !== 'string' || typeof kept.secret !== 'string') return null;
        return { endpoint: kept.endpoint, secret: kept.secret, last: kept.last ?? 0, incarnation: kept.incarnation ?? 0 };
    } catch {
        return null;
    }
}

export function rememberSeat(briefing: string, seat: Seat): void {
    sessionStorage.setItem(key(briefing), JSON.stringify(seat));
}

export function forgetSeat(briefing: string): void {
    sessionStorage.removeItem(key(briefing));
}
