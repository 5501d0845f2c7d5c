// The room's header: which briefing, is it recorded, who is here, how is the line, what time it is.
import { Circle, CircleCheck, HardDrive, LogOut, TriangleAlert, Users, Wifi, WifiOff } from 'lucide-preact';
import { timecode, words } from '../i18n';
import type { BriefingState } from '../protocol.gen';
import type { Room } from '../state/room';
import { othersLineWeak, type LineLevel } from '../state/line';
import { unitsPresent } from '../state/select';
import { useNow } from './hooks';
import { LanguageSwitch, Pill } from './ui';

export function RecordingPill({ room, state }: { room: Room; state: BriefingState }) {
    const w = words.value.room;
    const recorder = room.recorder.value;
    if (!state.recording && recorder !== null && !recorder.healthy)
        return (
            <Pill tone="amber" icon={TriangleAlert} title={w.recordCannot}>
                {w.notRecorded}
            </Pill>
        );
    if (!state.recording) return null;
    if (recorder !== null && !recorder.healthy) {
        const full = recorder.code === 'disk-full';
        return (
            <Pill tone="amber" icon={TriangleAlert} title={full ? w.diskFullLead : w.recordProblem}>
                {full ? w.diskFull : w.recordFailing}
            </Pill>
        );
    }
    // Only who conducts or watches is told what is on disk; for the others the log's word stands.
    const confirmed = recorder === null ? !room.muting.value : recorder.synced_s > 0;
    return (
        <span class={`pill cinnabar recording ${confirmed ? 'confirmed' : ''}`} title={recorder !== null ? w.recordSaved(timecode(recorder.synced_s)) : w.recording}>
            <Circle size={8} fill="currentColor" aria-hidden="true" />
            <span class="long">{confirmed ? w.recording : w.recordStarting}</span>
            <span class="short">{w.recordingShort}</span>
            {confirmed && recorder !== null && <span class="long saved">{timecode(recorder.synced_s)}</span>}
        </span>
    );
}

/** For how long the disk lasts, when that is less than it should be. */
function DiskPill({ room }: { room: Room }) {
    const w = words.value.room;
    const recorder = room.recorder.value;
    if (recorder === null || !recorder.healthy || recorder.left_s === undefined) return null;
    return (
        <Pill tone="amber" icon={HardDrive} title={recorder.code === 'disk-soon' ? w.diskSoon : w.diskShort}>
            {w.diskLasts(words.value.duration(recorder.left_s))}
        </Pill>
    );
}

function AlarmPills({ room }: { room: Room }) {
    return (
        <>
            {room.alarms.value.map((code) => {
                const [short, lead] = words.value.room.alarms[code] ?? [code, ''];
                return (
                    <Pill key={code} tone="amber" icon={TriangleAlert} title={lead}>
                        {short}
                    </Pill>
                );
            })}
        </>
    );
}

export type LineState = LineLevel | 'reconnecting' | 'mediaBack' | 'connecting';

export function lineState(room: Room): LineState {
    const connection = room.media.connection.value;
    if (room.link.value === 'waiting') return 'reconnecting';
    if (connection === 'new' || (connection === 'connecting' && room.media.slots.value.size === 0)) return 'connecting';
    if (connection !== 'connected') return 'mediaBack';
    return room.lineHeld.value.shown;
}

const weakened: ReadonlySet<LineState> = new Set<LineState>(['uplink', 'weak', 'fewer', 'sound', 'voice']);
export const isWeak = (state: LineState): boolean => weakened.has(state);

function LinePill({ room }: { room: Room }) {
    const w = words.value.room.state;
    const state = lineState(room);
    const line = room.line.value;
    const figures = line === null ? '' : words.value.room.lineFigures(line.receive_bps, line.estimate_bps, line.send_bps, line.rtt_ms);
    if (state === 'good')
        return (
            <Pill tone="jade" icon={CircleCheck} title={figures}>
                {w.good}
            </Pill>
        );
    if (isWeak(state))
        return (
            <Pill tone="amber" icon={Wifi} title={`${w[state]}. ${figures}`}>
                {state === 'uplink' ? w.uplinkShort : w.weakShort}
            </Pill>
        );
    return (
        <Pill tone="amber" icon={WifiOff} title={w[state]}>
            {state === 'connecting' ? w.connecting : w.awayShort}
        </Pill>
    );
}

export function TopBar({ room, state, units, onLeave }: { room: Room; state: BriefingState; units: number; onLeave: () => void }) {
    const w = words.value.room;
    const now = useNow(1000, () => room.socket.clock.now());
    const weak = room.lines.value.filter(othersLineWeak).length;
    return (
        <header class="room-header">
            <h1 title={state.title}>{state.title}</h1>
            <RecordingPill room={room} state={state} />
            <DiskPill room={room} />
            <AlarmPills room={room} />
            <span class="grow" />
            <Pill icon={Users}>{w.units(unitsPresent(state), units)}</Pill>
            {weak > 0 && (
                <Pill tone="amber" icon={TriangleAlert}>
                    {w.weakLines(weak)}
                </Pill>
            )}
            <LinePill room={room} />
            <LanguageSwitch />
            <button type="button" class="leave-small" aria-label={w.leave} title={w.leave} onClick={onLeave}>
                <LogOut size={18} aria-hidden="true" />
            </button>
            <time class="clock" title={w.clock}>
                {words.value.clock(new Date(now))}
            </time>
        </header>
    );
}
