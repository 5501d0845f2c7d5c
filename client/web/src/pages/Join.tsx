// Before the room: picture, live level, speaker test, three judgements in words, one button, and a way in without devices.
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { Camera, CameraOff, CircleAlert, CircleCheck, LoaderCircle, Mic, MicOff, Video, Volume2, Wifi } from 'lucide-preact';
import { OwnPicture } from '../components/Picture';
import { useGround, useTitle } from '../components/hooks';
import { Button, LanguageSwitch, Link, type Icon } from '../components/ui';
import { DeviceCheck } from '../devices/check';
import { canChooseSpeaker, type DeviceChoice } from '../devices/devices';
import { words } from '../i18n';
import type { HttpBriefing } from '../protocol.gen';

export interface JoinChoice {
    microphone: MediaStreamTrack | null;
    camera: MediaStreamTrack | null;
    choice: DeviceChoice;
}

export function Join({ briefing, unit, small, onEnter }: { briefing: HttpBriefing; unit: string; small: boolean; onEnter: (choice: JoinChoice) => void }) {
    useGround('lacquer');
    const w = words.value.join;
    useTitle(`${briefing.title} · ${w.title}`);
    const check = useMemo(() => new DeviceCheck(small), []);
    useEffect(() => {
        void check.start();
        return () => check.close();
    }, []);
    const silent = () => {
        const { choice } = check.handOver();
        onEnter({ microphone: null, camera: null, choice });
    };
    const enter = () => {
        onEnter(check.handOver());
    };
    const withoutDevices = check.camera.value === null && check.microphone.value === null;
    return (
        <main class="join">
            <Preview check={check} />
            <section class="join-side">
                <div class="join-head">
                    <p class="dim">
                        {briefing.title} · {words.value.clock(new Date(briefing.starts_ms))}
                    </p>
                    <LanguageSwitch />
                </div>
                <h1>{unit}</h1>
                <Devices check={check} />
                <ul class="judgements">
                    <PictureJudgement check={check} />
                    <SoundJudgement check={check} />
                    <LineJudgement check={check} />
                </ul>
                <div class="join-actions">
                    <Button id="enter" tone="main" size="large" disabled={check.asking.value} onClick={withoutDevices ? silent : enter}>
                        {w.enter}
                    </Button>
                    <button id="enter-silent" type="button" class="quiet-link" onClick={silent}>
                        {w.without}
                    </button>
                </div>
            </section>
        </main>
    );
}

function Preview({ check }: { check: DeviceCheck }) {
    const w = words.value.join;
    const host = useRef<HTMLDivElement>(null);
    const track = check.camera.value;
    useEffect(() => {
        const video = host.current?.querySelector('video');
        if (video != null) check.judge(video);
    }, [track]);
    const problem = check.cameraProblem.value;
    return (
        <div class="join-picture" ref={host}>
            {track !== null && <OwnPicture track={track} label={w.preview} slot="preview" />}
            {track === null && (
                <div class="join-nothing" role="status">
                    {check.asking.value ? <Camera size={40} aria-hidden="true" /> : <CameraOff size={40} aria-hidden="true" />}
                    <strong>{check.asking.value ? w.asking : w.problems[problem ?? 'none']}</strong>
                    {!check.asking.value && <p>{w.problems[`${problem ?? 'none'}_`]}</p>}
                    {!check.asking.value && problem === 'insecure' && (
                        <Link to="/help" class="button plain normal">
                            {words.value.help.title}
                        </Link>
                    )}
                    {!check.asking.value && problem !== 'insecure' && <Button onClick={() => void check.retry()}>{words.value.retry}</Button>}
                </div>
            )}
            <Level check={check} />
        </div>
    );
}

const bars = 12;
const lowestDb = -66;

function Level({ check }: { check: DeviceCheck }) {
    const w = words.value.join;
    if (check.microphone.value === null) {
        return check.asking.value ? null : (
            <p class="join-level off">
                <MicOff size={18} aria-hidden="true" /> {w.problemMicrophone}
            </p>
        );
    }
    const level = check.levelDb.value;
    const lit = Math.round(((level - lowestDb) / -lowestDb) * bars);
    const word = level > -4 ? 'loud' : level > -45 ? 'good' : level > -60 ? 'quiet' : 'none';
    return (
        <div class="join-level">
            <Mic size={18} aria-hidden="true" />
            <span class="level-bars" role="meter" aria-label={w.level} aria-valuemin={lowestDb} aria-valuemax={0} aria-valuenow={Math.round(level)}>
                {Array.from({ length: bars }, (_, i) => (
                    <i class={`${i < lit ? 'lit' : ''} ${i >= bars - 2 ? 'over' : ''}`} data-bar={i} />
                ))}
            </span>
            {/* Who has been heard well is silent now, no more. */}
            {(word === 'good' || word === 'loud' || !check.proven) && <strong>{w.levelWords[word]}</strong>}
        </div>
    );
}

interface Choices {
    icon: Icon;
    label: string;
    none: string;
    devices: MediaDeviceInfo[];
    value: string;
    disabled: boolean;
    onChange: (deviceId: string) => void;
}

export function DeviceSelect({ icon: Glyph, label, none, devices, value, disabled, onChange }: Choices) {
    const w = words.value.join;
    return (
        <label class="device">
            <Glyph size={20} aria-hidden="true" />
            <span class="hidden-words">{label}</span>
            <select value={value} disabled={disabled || devices.length === 0} onChange={(event) => onChange(event.currentTarget.value)}>
                {devices.length === 0 && <option value="">{disabled ? none : w.defaultDevice}</option>}
                {devices.length > 0 && !devices.some((device) => device.deviceId === value) && <option value={value}>{w.defaultDevice}</option>}
                {devices.map((device, i) => (
                    <option value={device.deviceId} key={device.deviceId}>
                        {device.label || `${label} ${i + 1}`}
                    </option>
                ))}
            </select>
        </label>
    );
}

/** The device that a track really comes from. */
const deviceOf = (track: MediaStreamTrack | null, chosen: string): string => track?.getSettings().deviceId ?? chosen;

function Devices({ check }: { check: DeviceCheck }) {
    const w = words.value.join;
    const { cameras, microphones, speakers } = check.lists.value;
    return (
        <div class="devices">
            <DeviceSelect
                icon={Video} label={w.camera} none={w.noCamera} devices={cameras} disabled={check.camera.value === null && cameras.length === 0}
                value={deviceOf(check.camera.value, check.choice.value.camera)} onChange={(id) => void check.choose('camera', id)}
            />
            <DeviceSelect
                icon={Mic} label={w.microphone} none={w.noMicrophone} devices={microphones} disabled={check.microphone.value === null && microphones.length === 0}
                value={deviceOf(check.microphone.value, check.choice.value.microphone)} onChange={(id) => void check.choose('microphone', id)}
            />
            <div class="speaker-row">
                <DeviceSelect
                    icon={Volume2} label={w.speaker} none={w.defaultDevice} devices={canChooseSpeaker() ? speakers : []} disabled={false}
                    value={check.choice.value.speaker} onChange={(id) => void check.choose('speaker', id)}
                />
                <button id="chime" type="button" class="gold-link" disabled={check.chiming.value} onClick={() => void check.chime()}>
                    {check.chiming.value ? w.testing : w.test}
                </button>
            </div>
        </div>
    );
}

type JudgementTone = 'good' | 'attention' | 'waiting';

function Judgement({ tone, icon: Glyph, title, lead }: { tone: JudgementTone; icon?: Icon; title: string; lead?: string | undefined }) {
    const Mark = Glyph ?? (tone === 'good' ? CircleCheck : tone === 'attention' ? CircleAlert : LoaderCircle);
    return (
        <li class={`judgement ${tone}`}>
            <Mark size={22} aria-hidden="true" />
            <span>
                {title}
                {lead !== undefined && <small>{lead}</small>}
            </span>
        </li>
    );
}

function PictureJudgement({ check }: { check: DeviceCheck }) {
    const w = words.value.join;
    if (check.asking.value) return <Judgement tone="waiting" title={w.picture.still} />;
    if (check.camera.value === null) return <Judgement tone="attention" icon={CameraOff} title={check.cameraProblem.value === 'denied' ? w.blockedCamera : w.noCamera} />;
    const verdict = check.picture.value;
    if (verdict === 'good') return <Judgement tone="good" title={w.picture.good} />;
    if (verdict === 'still') return <Judgement tone="waiting" title={w.picture.still} />;
    return <Judgement tone="attention" title={w.picture[verdict]} lead={w.picture[`${verdict}_`]} />;
}

function SoundJudgement({ check }: { check: DeviceCheck }) {
    const w = words.value.join;
    if (check.microphone.value === null)
        return check.asking.value ? <Judgement tone="waiting" title={w.sound.waiting} /> : <Judgement tone="attention" icon={MicOff} title={check.microphoneProblem.value === 'denied' ? w.blockedMicrophone : w.noMicrophone} />;
    const verdict = check.sound.value;
    if (verdict === 'no-echo') return <Judgement tone="good" title={w.sound['no-echo']} />;
    if (verdict === 'good') return <Judgement tone="good" title={w.sound.good} lead={w.sound.good_} />;
    if (verdict === 'waiting') return <Judgement tone="waiting" icon={Mic} title={w.sound.waiting} lead={w.sound.waiting_} />;
    return <Judgement tone="attention" title={w.sound[verdict]} lead={w.sound[`${verdict}_`]} />;
}

function LineJudgement({ check }: { check: DeviceCheck }) {
    const w = words.value.join.line;
    const line = check.line.value;
    if (line === 'measuring') return <Judgement tone="waiting" title={w.measuring} />;
    if (line === 'failed') return <Judgement tone="attention" title={w.failed} lead={w.failed_} />;
    const title = w.good(words.value.megabits(line.downBps));
    if (line.verdict === 'good') return <Judgement tone="good" title={title} lead={w.good_} />;
    const lead = line.verdict === 'enough' ? w.enough_ : line.verdict === 'weak' ? w.weak_ : w.soundOnly_;
    return <Judgement tone="attention" icon={Wifi} title={title} lead={lead} />;
}
