// The room: stage, strip, right column and bar on a desk; stage, one sentence, tabs and thumbs' buttons on a phone.
import { useEffect, useState } from 'preact/hooks';
import { Mic, Video, Volume2 } from 'lucide-preact';
import { Bar, PhoneBar } from '../components/Bar';
import { useGround, useTitle } from '../components/hooks';
import { FloorPanel, PeoplePanel } from '../components/Panels';
import { SharedScreen, Stage } from '../components/Stage';
import { Said, StateLine } from '../components/StateLine';
import { OwnTile, Strip } from '../components/Tiles';
import { RecordingPill, TopBar } from '../components/TopBar';
import { Confirm, Dialog, Spinner, type Question } from '../components/ui';
import { canChooseSpeaker, listDevices, type DeviceLists } from '../devices/devices';
import { words } from '../i18n';
import type { BriefingState } from '../protocol.gen';
import type { Room } from '../state/room';
import { connected } from '../state/select';
import { DeviceSelect } from './Join';

export function Conference({ room, units }: { room: Room; units: number }) {
    useGround('lacquer');
    const state = room.briefing.value;
    useTitle(state?.title ?? words.value.product);
    if (state === null || room.me.value === null) return <Spinner>{room.waiting.value > 0 ? words.value.join.waiting(room.waiting.value) : words.value.join.entering}</Spinner>;
    return <Inside room={room} state={state} units={units} />;
}

function Inside({ room, state, units }: { room: Room; state: BriefingState; units: number }) {
    const w = words.value.room;
    const [question, setQuestion] = useState<Question | null>(null);
    const [devices, setDevices] = useState(false);
    const phone = room.options.kind === 'phone';
    const sharing = state.screen !== 0;
    const leave = () => setQuestion({ title: w.leaveConfirm, lead: w.leaveLead, action: w.leave, run: () => void room.leave() });
    const open = () => setQuestion({ title: w.openConfirm, lead: w.openLead, action: w.open, run: () => void room.ask('open', {}) });
    useKeys(room);
    useEffect(() => room.media.layoutChanged(), [sharing]);
    const bar = { room, state, onQuestion: setQuestion, onDevices: () => setDevices(true), onLeave: leave };
    return (
        <div class={`room ${phone ? 'phone' : 'desk'} ${sharing ? 'sharing' : ''}`} onClick={releaseFocus}>
            <TopBar room={room} state={state} units={units} onLeave={leave} />
            <main class="room-main">
                <div class="area-screen">{sharing && <SharedScreen room={room} state={state} />}</div>
                <div class="area-stage">
                    <Stage room={room} state={state} onOpen={open} />
                    {phone && room.cameraTrack.value !== null && <OwnTile room={room} />}
                    <Said room={room} />
                </div>
                {phone ? <PhoneTabs room={room} state={state} onQuestion={setQuestion} /> : <Strip room={room} state={state} />}
                {!phone && (
                    <aside class="side">
                        <StateLine room={room} onQuestion={setQuestion} />
                        <FloorPanel room={room} state={state} />
                        <PeoplePanel room={room} state={state} onQuestion={setQuestion} />
                    </aside>
                )}
            </main>
            {phone ? <PhoneBar {...bar} /> : <Bar {...bar} />}
            {question !== null && <Confirm question={question} onClose={() => setQuestion(null)} />}
            {devices && <DeviceDialog room={room} onClose={() => setDevices(false)} />}
        </div>
    );
}

function PhoneTabs({ room, state, onQuestion }: { room: Room; state: BriefingState; onQuestion: (question: Question) => void }) {
    const w = words.value.room;
    const [tab, setTab] = useState<'floor' | 'people'>('floor');
    return (
        <div class="phone-tabs">
            <StateLine room={room} onQuestion={onQuestion} />
            <div class="tabs" role="tablist">
                <button type="button" role="tab" aria-selected={tab === 'floor'} onClick={() => setTab('floor')}>
                    {w.tabFloor}
                    {room.queue.value.length > 0 && <span class="count">{room.queue.value.length}</span>}
                </button>
                <button type="button" role="tab" aria-selected={tab === 'people'} onClick={() => setTab('people')}>
                    {w.tabPeople}
                    <span class="count">{connected(state).length}</span>
                </button>
                <span class="grow" />
                <RecordingPill room={room} state={state} />
            </div>
            {tab === 'floor' ? <FloorPanel room={room} state={state} /> : <PeoplePanel room={room} state={state} onQuestion={onQuestion} />}
        </div>
    );
}

/** After a mouse click the button lets go of the focus, so that Enter is the next invitation again; a keyboard keeps it. */
function releaseFocus(event: MouseEvent): void {
    const { activeElement } = document;
    if (event.detail > 0 && activeElement instanceof HTMLButtonElement && activeElement.closest('[role="menu"], dialog') === null) activeElement.blur();
}

const typing = (target: EventTarget | null): boolean => target instanceof HTMLElement && target.closest('input, textarea, select, dialog, [role="menu"]') !== null;

/** M microphone, V camera, H hand, A mute all, Enter invites the next. Escape closes what is open (dialogs do that themselves). */
function useKeys(room: Room): void {
    useEffect(() => {
        const pressed = (event: KeyboardEvent) => {
            if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || typing(event.target)) return;
            const action = actionOf(room, event);
            if (action === null) return;
            event.preventDefault();
            action();
        };
        const escape = (event: KeyboardEvent) => {
            if (event.key === 'Escape' && event.target instanceof HTMLInputElement) event.target.blur();
        };
        window.addEventListener('keydown', pressed);
        window.addEventListener('keydown', escape);
        return () => {
            window.removeEventListener('keydown', pressed);
            window.removeEventListener('keydown', escape);
        };
    }, [room]);
}

function actionOf(room: Room, event: KeyboardEvent): (() => void) | null {
    const state = room.briefing.peek();
    const [next] = room.queue.peek();
    switch (event.key) {
        case 'm':
        case 'M':
            return () => void room.setMicrophone(!room.microphoneOpen.peek());
        case 'v':
        case 'V':
            return () => void room.setCamera(room.cameraTrack.peek() === null);
        case 'h':
        case 'H':
            if (!room.speaking.peek() || room.role.peek() === 'chair' || room.holdsFloor.peek() || state?.state !== 'open') return null;
            return () => void room.ask(room.handUp.peek() ? 'lower-hand' : 'raise-hand', {});
        case 'a':
        case 'A':
            return room.muting.peek() ? () => void room.ask('mute-all', {}) : null;
        case 'Enter':
            // On a button, Enter is that button's.
            if (event.target instanceof HTMLButtonElement || event.target instanceof HTMLAnchorElement) return null;
            return room.conducting.peek() && state?.state === 'open' && next !== undefined ? () => void room.ask('grant', { endpoint: next.number }) : null;
        default:
            return null;
    }
}

function DeviceDialog({ room, onClose }: { room: Room; onClose: () => void }) {
    const w = words.value;
    const [lists, setLists] = useState<DeviceLists>({ cameras: [], microphones: [], speakers: [] });
    useEffect(() => {
        const refresh = () => void listDevices().then(setLists);
        refresh();
        navigator.mediaDevices?.addEventListener('devicechange', refresh);
        return () => navigator.mediaDevices?.removeEventListener('devicechange', refresh);
    }, []);
    const { choice } = room;
    const cameraId = room.cameraTrack.value?.getSettings().deviceId ?? choice.value.camera;
    const microphoneId = room.media.outgoing.microphone?.getSettings().deviceId ?? choice.value.microphone;
    return (
        <Dialog title={w.room.devicesTitle} onClose={onClose}>
            <div class="devices">
                <DeviceSelect icon={Video} label={w.join.camera} none={w.join.noCamera} devices={lists.cameras} disabled={false} value={cameraId} onChange={(id) => void room.changeDevice('camera', id)} />
                <DeviceSelect icon={Mic} label={w.join.microphone} none={w.join.noMicrophone} devices={lists.microphones} disabled={false} value={microphoneId} onChange={(id) => void room.changeDevice('microphone', id)} />
                <DeviceSelect icon={Volume2} label={w.join.speaker} none={w.join.defaultDevice} devices={canChooseSpeaker() ? lists.speakers : []} disabled={false} value={choice.value.speaker} onChange={(id) => void room.changeDevice('speaker', id)} />
            </div>
            <div class="dialog-actions">
                <button type="button" class="button plain normal" onClick={onClose}>
                    <span class="button-words">{w.close}</span>
                </button>
            </div>
        </Dialog>
    );
}
