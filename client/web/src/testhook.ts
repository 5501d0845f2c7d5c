// window.giaoban: what tests and a technician may read of the room on this page. Nothing here changes anything.
import type { BriefingState, NoticeLine } from './protocol.gen';
import type { SlotState } from './media/media';
import { timings, type Mark } from './media/timings';
import type { LineLevel } from './state/line';
import type { Me, Phase, Room } from './state/room';

export interface GiaobanHook {
    state(): BriefingState | null;
    me(): Me | null;
    phase(): Phase;
    link(): string;
    pc(): RTCPeerConnection | null;
    slots(): SlotState[];
    line(): { notice: NoticeLine | null; shown: LineLevel };
    readonly timings: Readonly<Partial<Record<Mark, number>>>;
}

declare global {
    interface Window {
        giaoban?: Readonly<GiaobanHook>;
    }
}

export function exposeForTests(room: Room): void {
    window.giaoban = Object.freeze({
        state: () => room.briefing.peek(),
        me: () => room.me.peek(),
        phase: () => room.phase.peek(),
        link: () => room.link.peek(),
        pc: () => room.media.pc,
        line: () => ({ notice: room.line.peek(), shown: room.lineHeld.peek().shown }),
        slots: () => [...room.media.slots.peek().values()],
        timings,
    });
}
