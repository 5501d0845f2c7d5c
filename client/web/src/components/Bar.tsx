// The bottom bar: what I switch on, what the chair and the secretary do for all. Every action one click and most one key.
import {
    Circle, CircleCheck, CircleStop, Ear, EllipsisVertical, Hand, Lock, LockOpen, LogOut, Mic, MicOff, MonitorUp, MonitorX, OctagonX, Power, Settings2, Video,
    VideoOff, VolumeX,
} from 'lucide-preact';
import { words } from '../i18n';
import { canShareScreen } from '../devices/devices';
import type { BriefingState } from '../protocol.gen';
import type { Room } from '../state/room';
import { endpointOf, shownName } from '../state/select';
import { Button, Menu, type MenuItem, type Question } from './ui';

export interface BarProps {
    room: Room;
    state: BriefingState;
    onQuestion: (question: Question) => void;
    onDevices: () => void;
    onLeave: () => void;
}

function MicrophoneButton({ room, state }: BarProps) {
    const w = words.value.room;
    const open = room.microphoneOpen.value;
    const locked = state.locked && !open && !room.conducting.value && !room.holdsFloor.value;
    return (
        <Button id="microphone" icon={open ? Mic : MicOff} tone={open ? 'jade' : 'plain'} shortcut="M" pressed={open} title={locked ? w.micLocked : open ? w.micTurnOff : w.micTurnOn} disabled={locked} onClick={() => void room.setMicrophone(!open)}>
            {open ? w.micOn : w.micOff}
        </Button>
    );
}

function CameraButton({ room }: { room: Room }) {
    const w = words.value.room;
    const on = room.cameraTrack.value !== null;
    return (
        <Button id="camera" icon={on ? Video : VideoOff} shortcut="V" pressed={on} title={on ? w.cameraTurnOff : w.cameraTurnOn} onClick={() => void room.setCamera(!on)}>
            {on ? w.cameraOn : w.cameraOff}
        </Button>
    );
}

function ShareButton({ room }: { room: Room }) {
    const w = words.value.room;
    const on = room.screenTrack.value !== null;
    if (!canShareScreen() || !(on || room.conducting.value || room.holdsFloor.value)) return null;
    return (
        <Button id="share" icon={on ? MonitorX : MonitorUp} tone={on ? 'jade' : 'plain'} pressed={on} onClick={() => void room.setScreen(!on)}>
            {on ? w.sharing : w.share}
        </Button>
    );
}

function HandButton({ room, state }: BarProps) {
    const w = words.value.room;
    const up = room.handUp.value;
    if (!room.speaking.value || room.role.value === 'chair') return null;
    if (room.holdsFloor.value)
        return (
            <Button id="end-turn" icon={CircleCheck} onClick={() => void room.ask('revoke', {})}>
                {w.endTurn}
            </Button>
        );
    const before = room.queue.value.findIndex((endpoint) => endpoint.number === room.me.value?.number);
    return (
        <Button id="hand" icon={Hand} tone={up ? 'gold' : 'plain'} shortcut="H" pressed={up} disabled={state.state !== 'open'} title={up && before >= 0 ? w.yourTurn(before) : undefined!} onClick={() => void room.ask(up ? 'lower-hand' : 'raise-hand', {})}>
            {up ? w.lowerHand : w.raiseHand}
        </Button>
    );
}

function recordingQuestion(room: Room, state: BriefingState, onQuestion: (question: Question) => void): void {
    const w = words.value.room;
    if (!state.recording) void room.ask('record', { on: true });
    else onQuestion({ title: w.recordOffConfirm, lead: w.recordOffLead, action: w.recordOff, run: () => void room.ask('record', { on: false }) });
}

/** Asks when it takes our own camera too. */
export function soundOnlyQuestion(room: Room, onQuestion: (question: Question) => void): void {
    const w = words.value.room;
    if (room.soundOnly.value || room.cameraTrack.value === null) void room.setSoundOnly(!room.soundOnly.value);
    else
        onQuestion({
            title: w.soundOnlyConfirm,
            lead: w.soundOnlyLead,
            action: w.soundOnlyDo,
            run: () => void room.setSoundOnly(true),
            other: { words: w.soundOnlyKeep, run: () => void room.setSoundOnly(true, true) },
        });
}

function SoundOnlyButton({ room, onQuestion }: BarProps) {
    const w = words.value.room;
    const on = room.soundOnly.value;
    const label = on ? w.picturesAgain : w.soundOnly;
    const run = () => soundOnlyQuestion(room, onQuestion);
    if (room.muting.value) return <Button id="sound-only" icon={Ear} label={label} pressed={on} onClick={run} />;
    return (
        <Button id="sound-only" icon={Ear} title={w.soundOnlyLead} pressed={on} onClick={run}>
            {label}
        </Button>
    );
}

function endQuestion(room: Room, onQuestion: (question: Question) => void): void {
    const w = words.value.room;
    onQuestion({ title: w.endConfirm, lead: w.endLead, action: w.endDo, run: () => void room.ask('close', {}) });
}

function Conduct({ room, state, onQuestion }: BarProps) {
    const w = words.value.room;
    const holder = endpointOf(state, state.floor);
    if (!room.muting.value) return null;
    return (
        <div class="bar-group conduct">
            <Button id="mute-all" icon={VolumeX} shortcut="A" onClick={() => void room.ask('mute-all', {})}>
                {w.muteAll}
            </Button>
            {room.conducting.value && (
                <>
                    <Button id="lock" icon={state.locked ? Lock : LockOpen} pressed={state.locked} onClick={() => void room.ask('lock-microphones', { locked: !state.locked })}>
                        {state.locked ? w.unlock : w.lock}
                    </Button>
                    <Button id="revoke" icon={OctagonX} disabled={holder === undefined} title={holder === undefined ? w.revoke : w.revokeTitle(shownName(holder))} onClick={() => void room.ask('revoke', {})}>
                        {w.revoke}
                    </Button>
                    <Button id="record" class="record" icon={state.recording ? CircleStop : Circle} pressed={state.recording} disabled={state.state !== 'open'} onClick={() => recordingQuestion(room, state, onQuestion)}>
                        {state.recording ? w.recordOff : w.recordOn}
                    </Button>
                </>
            )}
        </div>
    );
}

export function Bar(props: BarProps) {
    const w = words.value.room;
    const { room, state, onQuestion, onDevices, onLeave } = props;
    return (
        <footer class={`bar ${room.conducting.value ? 'conducting' : ''}`}>
            <div class="bar-group">
                <MicrophoneButton {...props} />
                <CameraButton room={room} />
                <ShareButton room={room} />
                <HandButton {...props} />
            </div>
            <Conduct {...props} />
            <div class="bar-group right">
                <SoundOnlyButton {...props} />
                <Button id="devices" icon={Settings2} label={w.devices} onClick={onDevices} />
                <Button id="leave" icon={LogOut} tone="quiet" onClick={onLeave} {...(room.conducting.value ? { label: w.leave } : {})}>
                    {room.conducting.value ? undefined : w.leave}
                </Button>
                {room.conducting.value && state.state === 'open' && (
                    <Button id="close" tone="danger" onClick={() => endQuestion(room, onQuestion)}>
                        {w.end}
                    </Button>
                )}
            </div>
        </footer>
    );
}

/** Four thumbs' buttons; what is used seldom is behind the last one. */
export function PhoneBar(props: BarProps) {
    const w = words.value.room;
    const { room, state, onQuestion, onDevices } = props;
    const open = room.microphoneOpen.value;
    const camera = room.cameraTrack.value !== null;
    const hand = room.handUp.value;
    const conducting = room.conducting.value;
    const more: MenuItem[] = [
        { icon: Ear, words: room.soundOnly.value ? w.picturesAgain : w.soundOnly, run: () => soundOnlyQuestion(room, onQuestion) },
        { icon: Hand, words: hand ? w.lowerHand : w.raiseHand, disabled: state.state !== 'open' || room.role.value === 'chair', run: () => void room.ask(hand ? 'lower-hand' : 'raise-hand', {}) },
        { icon: state.locked ? LockOpen : Lock, words: state.locked ? w.unlock : w.lock, run: () => void room.ask('lock-microphones', { locked: !state.locked }) },
        { icon: OctagonX, words: w.revoke, disabled: state.floor === 0, run: () => void room.ask('revoke', {}) },
        { icon: state.recording ? CircleStop : Circle, words: state.recording ? w.recordOff : w.recordOn, disabled: state.state !== 'open', run: () => recordingQuestion(room, state, onQuestion) },
        { icon: Settings2, words: w.devices, run: onDevices },
        { icon: Power, words: w.end, danger: true, disabled: state.state !== 'open', run: () => endQuestion(room, onQuestion) },
    ];
    return (
        <footer class="phone-bar">
            <Thumb id="microphone" icon={open ? Mic : MicOff} tone={open ? 'jade' : ''} words={open ? w.micTurnOff : w.micTurnOn} pressed={open} onClick={() => void room.setMicrophone(!open)} />
            <Thumb id="camera" icon={camera ? Video : VideoOff} tone="" words={w.cameraOn} pressed={camera} onClick={() => void room.setCamera(!camera)} />
            {conducting ? (
                <Thumb id="mute-all" icon={VolumeX} tone="" words={w.muteAllShort} onClick={() => void room.ask('mute-all', {})} />
            ) : room.holdsFloor.value ? (
                <Thumb id="end-turn" icon={CircleCheck} tone="" words={w.endTurn} onClick={() => void room.ask('revoke', {})} />
            ) : (
                <Thumb id="hand" icon={Hand} tone={hand ? 'gold' : ''} words={hand ? w.lowerHand : w.raiseHand} pressed={hand} disabled={state.state !== 'open' || !room.speaking.value} onClick={() => void room.ask(hand ? 'lower-hand' : 'raise-hand', {})} />
            )}
            {conducting ? (
                <div class="thumb-button">
                    <Menu icon={EllipsisVertical} label={w.keysMore} items={more} />
                    <span>{w.keysMore}</span>
                </div>
            ) : (
                <Thumb id="sound-only" icon={Ear} tone={room.soundOnly.value ? 'jade' : ''} words={room.soundOnly.value ? w.picturesAgain : w.soundOnly} pressed={room.soundOnly.value} onClick={() => soundOnlyQuestion(room, onQuestion)} />
            )}
        </footer>
    );
}

function Thumb({ icon: Glyph, words: label, tone, id, pressed, disabled, onClick }: { icon: typeof Ear; words: string; tone: string; id: string; pressed?: boolean; disabled?: boolean; onClick: () => void }) {
    return (
        <button type="button" id={id} class={`thumb-button ${tone}`} aria-pressed={pressed} disabled={disabled} onClick={onClick}>
            <span class="thumb-round">
                <Glyph size={24} aria-hidden="true" />
            </span>
            <span>{label}</span>
        </button>
    );
}
