// What is going on with me, in one sentence; more urgent things push the others out.
import { Ear, Info, Mic, MicOff, TriangleAlert, WifiOff, X } from 'lucide-preact';
import { sentence, words } from '../i18n';
import type { Message, Room } from '../state/room';
import { soundOnlyQuestion } from './Bar';
import { useNow } from './hooks';
import { isWeak, lineState } from './TopBar';
import { Button, type Icon, type Question } from './ui';

interface Line {
    tone: 'jade' | 'amber' | 'gold' | 'plain' | 'cinnabar';
    icon: Icon;
    text: string;
    more?: string;
    action?: { words: string; run: () => void };
}

function mine(room: Room): Line {
    const w = words.value.room;
    if (room.holdsFloor.value && !room.hasMicrophone.value)
        return { tone: 'gold', icon: MicOff, text: w.floorNoMicrophone, action: { words: w.micTurnOn, run: () => void room.setMicrophone(true) } };
    if (room.me.value?.second) return { tone: 'plain', icon: Info, text: w.second };
    if (room.holdsFloor.value && room.microphoneOpen.value) return { tone: 'cinnabar', icon: Mic, text: `${w.state.floor}. ${w.state.open}.` };
    if (room.microphoneOpen.value) return { tone: 'jade', icon: Mic, text: w.state.open };
    if (!room.hasMicrophone.value) return { tone: 'plain', icon: MicOff, text: w.state.listening };
    return { tone: 'plain', icon: MicOff, text: w.state.muted };
}

function current(room: Room, nowMs: number, onQuestion: (question: Question) => void): Line {
    const w = words.value.room;
    const state = lineState(room);
    const since = room.awaySinceMs.value;
    const seconds = since === null ? '' : w.state.seconds(Math.max(0, Math.round((nowMs - since) / 1000)));
    if (state === 'reconnecting' || state === 'mediaBack') return { tone: 'amber', icon: WifiOff, text: `${w.state.away} ${seconds}`.trim(), more: w.state[state] };
    if (room.soundOnly.value) return { tone: 'plain', icon: Ear, text: w.soundOnlyNow, action: { words: w.picturesAgain, run: () => void room.setSoundOnly(false) } };
    if (state === 'uplink') return { tone: 'amber', icon: TriangleAlert, text: w.state.uplink };
    if (isWeak(state)) {
        const noPage = state === 'sound' && room.media.slots.value.get('screen')?.paused === true;
        return {
            tone: 'amber',
            icon: TriangleAlert,
            text: noPage ? w.state.soundNoPage : w.state[state],
            action: { words: w.soundOnly, run: () => soundOnlyQuestion(room, onQuestion) },
        };
    }
    return mine(room);
}

export function StateLine({ room, onQuestion }: { room: Room; onQuestion: (question: Question) => void }) {
    const now = useNow(1000);
    const line = current(room, now, onQuestion);
    // The chair's microphone button says as much; the room goes to the lists.
    if (room.conducting.value && room.options.kind !== 'phone' && (line.tone === 'jade' || line.tone === 'plain') && !room.me.value?.second && !room.soundOnly.value) return null;
    return (
        <p class={`state-line ${line.tone}`} role="status">
            <line.icon size={18} aria-hidden="true" />
            <span>
                {line.text}
                {line.more !== undefined && <small>{line.more}</small>}
            </span>
            {line.action !== undefined && (
                <Button size="small" onClick={line.action.run}>
                    {line.action.words}
                </Button>
            )}
        </p>
    );
}

function text(message: Message, room: Room): string {
    const w = words.value.room;
    switch (message.kind) {
        case 'refusal':
            return sentence(message.refusal);
        case 'device':
            return `${w.device[message.what]}: ${w.device[message.problem]}`;
        case 'muted':
            return w.says.muted;
        case 'floor':
            return room.hasMicrophone.value ? w.says.floor : w.says.floorNoMic;
        case 'floor-ended':
            return w.says.floorEnded;
    }
}

/** Said once, gone by itself: a refusal, a mute, the floor. */
export function Said({ room }: { room: Room }) {
    const message = room.message.value;
    const tone = message === null ? '' : message.kind === 'floor' ? 'cinnabar' : message.kind === 'refusal' || message.kind === 'device' ? 'amber' : '';
    return (
        <div class="said" aria-live="assertive">
            {message !== null && (
                <p class={`toast ${tone}`}>
                    <span>{text(message, room)}</span>
                    <Button icon={X} tone="quiet" size="small" label={words.value.close} onClick={() => room.dismiss()} />
                </p>
            )}
        </div>
    );
}
