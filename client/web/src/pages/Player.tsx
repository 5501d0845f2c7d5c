// One recording: the programme with its chapters as a timeline and a list, integrity in words, downloads.
import { useSignal, type Signal } from '@preact/signals';
import { useEffect, useRef, useState } from 'preact/hooks';
import { ArrowLeft, ChevronDown, Download, Film, Link2, Maximize, Pause, Play, ShieldAlert, ShieldCheck, Volume2, VolumeX } from 'lucide-preact';
import type { HttpChapter, HttpGap, HttpRecording } from '../protocol.gen';
import { useGround, useLoaded, useTitle } from '../components/hooks';
import { Button, Empty, Failed, LanguageSwitch, Link, Menu, Pill, Spinner, type MenuItem } from '../components/ui';
import { timecode, words } from '../i18n';
import { api } from '../protocol/http';
import { RecordingProgress } from './Archive';

const refreshMs = 2_000;
const speeds = [0.75, 1, 1.25, 1.5, 2];
type Format = 'mp4' | 'webm';
const formats: readonly Format[] = ['mp4', 'webm'];

export function Player({ id }: { id: string }) {
    useGround('paper');
    const w = words.value;
    const [busy, setBusy] = useState(true);
    const [loaded, reload] = useLoaded(`recording ${id}`, () => api.recording(id), busy ? refreshMs : 0);
    const recording = loaded.state === 'here' ? loaded.value : null;
    useEffect(() => {
        if (recording !== null) setBusy(recording.state !== 'ready');
    }, [recording]);
    useTitle(recording?.title ?? w.archive.title);
    if (loaded.state === 'loading') return <Spinner>{w.loading}</Spinner>;
    if (loaded.state === 'failed')
        return (
            <Failed title={w.archive.notReady} refusal={loaded.refusal} retry={reload}>
                <Link to="/archive" class="button plain normal">
                    {w.archive.title}
                </Link>
            </Failed>
        );
    const compose = (format: Format) => {
        setBusy(true);
        void api.compose(id, format).catch(() => undefined).finally(reload);
    };
    return <Recording recording={loaded.value} onCompose={compose} />;
}

function Recording({ recording, onCompose }: { recording: HttpRecording; onCompose: (format: Format) => void }) {
    const w = words.value.archive;
    const at = useSignal(0);
    const video = useRef<HTMLVideoElement>(null);
    const [tab, setTab] = useState<'chapters' | 'integrity'>('chapters');
    const seek = (second: number) => {
        if (video.current !== null) video.current.currentTime = Math.max(0, Math.min(second, video.current.duration || second));
        at.value = Math.max(0, second);
    };
    return (
        <div class="player-page">
            <PlayerHeader recording={recording} onCompose={onCompose} onIntegrity={() => setTab('integrity')} />
            <main class="player-main" id="main">
                {recording.formats.length > 0 ? (
                    <Programme recording={recording} at={at} video={video} seek={seek} />
                ) : (
                    <div class="not-ready">
                        <Empty icon={Film} title={w.notReady}>
                            <RecordingProgress recording={summaryOf(recording)} />
                            {recording.state === 'failed' && <Button onClick={() => onCompose('mp4')}>{w.composeAgain}</Button>}
                        </Empty>
                    </div>
                )}
                <aside class="player-side">
                    <div class="tabs" role="tablist">
                        <button type="button" role="tab" aria-selected={tab === 'chapters'} onClick={() => setTab('chapters')}>
                            {w.chapters}
                        </button>
                        <button type="button" role="tab" aria-selected={tab === 'integrity'} onClick={() => setTab('integrity')}>
                            {w.gapTab}
                        </button>
                    </div>
                    {tab === 'chapters' ? <Chapters recording={recording} at={at} seek={seek} /> : <Integrity recording={recording} />}
                </aside>
            </main>
        </div>
    );
}

const summaryOf = (recording: HttpRecording) => ({ ...recording, formats: recording.formats.map((format) => format.name) });

function PlayerHeader({ recording, onCompose, onIntegrity }: { recording: HttpRecording; onCompose: (format: Format) => void; onIntegrity: () => void }) {
    const w = words.value;
    const whole = recording.gaps.length === 0;
    return (
        <header class="player-header">
            <Link to="/archive" class="back" label={w.archive.title}>
                <ArrowLeft size={20} aria-hidden="true" />
            </Link>
            <h1>{recording.title}</h1>
            <span class="dim when">
                {w.date(new Date(recording.opened_ms))} · {w.duration(recording.seconds)}
            </span>
            <span class="grow" />
            {/* Nothing is called whole before it is composed. */}
            <button type="button" class="pill-button" hidden={whole && recording.formats.length === 0} onClick={onIntegrity}>
                <Pill tone={whole ? 'jade' : 'amber'} icon={whole ? ShieldCheck : ShieldAlert}>
                    {whole ? w.archive.whole : w.archive.gaps(recording.gaps.length)}
                </Pill>
            </button>
            <Making recording={recording} />
            <Menu icon={Download} label={w.archive.download} items={formats.map((format) => downloadItem(recording, format, onCompose))}>
                {w.archive.download} <ChevronDown size={15} aria-hidden="true" />
            </Menu>
            <LanguageSwitch />
        </header>
    );
}

/** The other format is being made while this one can be watched. */
function Making({ recording }: { recording: HttpRecording }) {
    const w = words.value.archive;
    const missing = formats.find((format) => !recording.formats.some((one) => one.name === format));
    if (recording.formats.length === 0 || missing === undefined || (recording.state !== 'composing' && recording.state !== 'queued')) return null;
    const name = w.formats[missing];
    return (
        <span class="pill plain making" role="status">
            <Film size={14} aria-hidden="true" />
            <span>{recording.state === 'composing' ? w.makingFormat(name, recording.percent) : w.waitingFormat(name)}</span>
        </span>
    );
}

function downloadItem(recording: HttpRecording, format: Format, onCompose: (format: Format) => void): MenuItem {
    const w = words.value;
    const made = recording.formats.find((one) => one.name === format);
    const name = w.archive.formats[format];
    if (made !== undefined)
        return {
            icon: Download,
            words: `${w.archive.download} ${name} · ${w.bytes(made.bytes)}`,
            hint: w.archive.formatHints[format],
            run: () => download(api.file(recording.id, `programme.${format}`), `${recording.title}.${format}`),
        };
    const composing = recording.state === 'composing' || recording.state === 'queued';
    return {
        icon: Film,
        words: composing ? `${name}: ${w.archive.making(recording.percent)}` : w.archive.make(name),
        hint: w.archive.formatHints[format],
        disabled: composing || recording.state === 'recording',
        run: () => onCompose(format),
    };
}

function download(address: string, name: string): void {
    const link = document.createElement('a');
    link.href = `${address}${address.includes('?') ? '&' : '?'}download=1`;
    link.download = name;
    link.click();
}

interface Playing {
    recording: HttpRecording;
    at: Signal<number>;
    video: { current: HTMLVideoElement | null };
    seek: (second: number) => void;
}

/** The format this browser plays; MP4 first, since it is the office's. */
function playable(recording: HttpRecording): Format {
    const made = recording.formats.map((format) => format.name);
    const types: Record<Format, string> = { mp4: 'video/mp4; codecs="avc1.42E01F, mp4a.40.2"', webm: 'video/webm; codecs="vp8, opus"' };
    const probe = document.createElement('video');
    return formats.find((format) => made.includes(format) && probe.canPlayType(types[format]) !== '') ?? made[0] ?? 'mp4';
}

function Programme({ recording, at, video, seek }: Playing) {
    const w = words.value.archive;
    const playing = useSignal(false);
    const speed = useSignal(1);
    const muted = useSignal(false);
    const broken = useSignal(false);
    const duration = useSignal(recording.seconds);
    const format = playable(recording);
    useEffect(() => {
        const asked = Number(new URLSearchParams(location.search).get('t') ?? 0);
        if (asked > 0) seek(asked);
    }, []);
    const toggle = () => void (video.current?.paused ? video.current.play().catch(() => undefined) : video.current?.pause());
    const setSpeed = (next: number) => {
        speed.value = next;
        if (video.current !== null) video.current.playbackRate = next;
    };
    usePlayerKeys({ recording, at, video, seek, toggle, setSpeed, speed });
    return (
        <section class="programme">
            <div class="programme-picture">
                <video
                    ref={video} src={api.file(recording.id, `programme.${format}`)} preload="metadata" playsInline onClick={toggle}
                    onPlay={() => (playing.value = true)} onPause={() => (playing.value = false)} onTimeUpdate={(e) => (at.value = e.currentTarget.currentTime)}
                    onLoadedMetadata={(e) => (duration.value = Number.isFinite(e.currentTarget.duration) ? e.currentTarget.duration : recording.seconds)}
                    onVolumeChange={(e) => (muted.value = e.currentTarget.muted)} onError={() => (broken.value = true)}
                >
                    <track kind="chapters" src={api.file(recording.id, 'chapters.vtt')} srclang="vi" />
                </video>
                {broken.value && <p class="refusal">{w.mediaError}</p>}
            </div>
            <Timeline chapters={recording.chapters} duration={duration.value} at={at.value} seek={seek} />
            <div class="controls">
                <button type="button" class="play" aria-label={playing.value ? w.pauseButton : w.playButton} title={playing.value ? w.pauseButton : w.playButton} onClick={toggle}>
                    {playing.value ? <Pause size={22} aria-hidden="true" /> : <Play size={22} aria-hidden="true" />}
                </button>
                <span class="position">
                    <strong>{timecode(at.value)}</strong> <span class="dim">/ {timecode(duration.value)}</span>
                </span>
                <span class="grow" />
                <SpeedButton speed={speed.value} onSpeed={setSpeed} />
                <LinkButton recording={recording} at={at} />
                <Button icon={muted.value ? VolumeX : Volume2} tone="quiet" label={muted.value ? w.unmuteSound : w.muteSound} onClick={() => video.current !== null && (video.current.muted = !video.current.muted)} />
                <Button icon={Maximize} tone="quiet" label={w.fullscreen} onClick={() => void video.current?.requestFullscreen()} />
            </div>
            <p class="dim key-help">{w.keyHelp}</p>
        </section>
    );
}

function SpeedButton({ speed, onSpeed }: { speed: number; onSpeed: (speed: number) => void }) {
    const w = words.value;
    const text = String(speed).replace('.', w.code === 'vi' ? ',' : '.');
    const next = speeds[(speeds.indexOf(speed) + 1) % speeds.length] ?? 1;
    return (
        <Button class="soft" title={w.archive.speed} onClick={() => onSpeed(next)}>
            {text}×
        </Button>
    );
}

function LinkButton({ recording, at }: { recording: HttpRecording; at: Signal<number> }) {
    const w = words.value.archive;
    const [copied, setCopied] = useState(false);
    const [shown, setShown] = useState<string | null>(null);
    const copy = async () => {
        const address = `${location.origin}/archive/${recording.id}?t=${Math.floor(at.value)}`;
        try {
            await navigator.clipboard.writeText(address);
            setCopied(true);
            setTimeout(() => setCopied(false), 2_500);
        } catch {
            setShown(address);
        }
    };
    if (shown !== null)
        return (
            <label class="link-shown">
                <span>{w.linkShown}</span>
                <input readOnly value={shown} onFocus={(e) => e.currentTarget.select()} />
            </label>
        );
    return (
        <Button class="soft" icon={Link2} onClick={() => void copy()}>
            {copied ? w.linkCopied : w.linkHere}
        </Button>
    );
}

/** Chapters without holes: what lies between two turns belongs to the one before. */
export function segmentsOf(chapters: readonly HttpChapter[], duration: number): Array<{ start: number; end: number }> {
    if (chapters.length === 0) return [{ start: 0, end: duration }];
    const starts = chapters.map((chapter) => chapter.start_s);
    const all = (starts[0] ?? 0) > 0.5 ? [0, ...starts] : starts;
    return all.map((start, i) => ({ start, end: all[i + 1] ?? Math.max(duration, start) }));
}

function Timeline({ chapters, duration, at, seek }: { chapters: readonly HttpChapter[]; duration: number; at: number; seek: (second: number) => void }) {
    const w = words.value.archive;
    const bar = useRef<HTMLDivElement>(null);
    const point = (event: PointerEvent) => {
        if (bar.current === null || (event.type === 'pointermove' && event.buttons !== 1)) return;
        const { left, width } = bar.current.getBoundingClientRect();
        seek(((event.clientX - left) / width) * duration);
    };
    return (
        <div class="timeline" ref={bar} role="slider" tabIndex={0} aria-label={w.timeline} aria-valuemin={0} aria-valuemax={Math.round(duration)} aria-valuenow={Math.round(at)} aria-valuetext={timecode(at)} onPointerDown={point} onPointerMove={point}>
            {segmentsOf(chapters, duration).map(({ start, end }) => {
                const length = Math.max(0.001, end - start);
                const played = Math.max(0, Math.min(1, (at - start) / length));
                return (
                    <span key={start} class={`segment ${at >= start && at < end ? 'current' : ''}`} style={{ flexGrow: length }}>
                        <i style={{ width: `${played * 100}%` }} />
                    </span>
                );
            })}
        </div>
    );
}

interface Keys extends Playing {
    toggle: () => void;
    setSpeed: (speed: number) => void;
    speed: Signal<number>;
}

function usePlayerKeys({ recording, at, video, seek, toggle, setSpeed, speed }: Keys): void {
    useEffect(() => {
        const chapter = (step: 1 | -1) => {
            const starts = recording.chapters.map((one) => one.start_s);
            const next = step === 1 ? starts.find((start) => start > at.peek() + 0.5) : [...starts].reverse().find((start) => start < at.peek() - 2);
            seek(next ?? (step === 1 ? at.peek() : 0));
        };
        const faster = (step: 1 | -1) => setSpeed(speeds[Math.max(0, Math.min(speeds.length - 1, speeds.indexOf(speed.peek()) + step))] ?? 1);
        const actions: Record<string, () => void> = {
            ' ': toggle,
            k: toggle,
            ArrowLeft: () => seek(at.peek() - 5),
            ArrowRight: () => seek(at.peek() + 5),
            ArrowUp: () => chapter(-1),
            ArrowDown: () => chapter(1),
            '<': () => faster(-1),
            '>': () => faster(1),
            f: () => void video.current?.requestFullscreen(),
            m: () => video.current !== null && (video.current.muted = !video.current.muted),
        };
        const pressed = (event: KeyboardEvent) => {
            if (event.ctrlKey || event.metaKey || event.altKey) return;
            const { target } = event;
            if (target instanceof HTMLInputElement || (target instanceof HTMLButtonElement && event.key === ' ')) return;
            if (target instanceof HTMLElement && target.closest('[role="menu"]') !== null) return;
            const action = actions[event.key];
            if (action === undefined) return;
            event.preventDefault();
            action();
        };
        window.addEventListener('keydown', pressed);
        return () => window.removeEventListener('keydown', pressed);
    }, [recording]);
}

function Chapters({ recording, at, seek }: { recording: HttpRecording; at: Signal<number>; seek: (second: number) => void }) {
    const w = words.value.archive;
    const { chapters } = recording;
    if (chapters.length === 0) return <p class="dim side-empty">{recording.formats.length > 0 ? w.noChapters : w.chaptersLater}</p>;
    const current = chapters.findLastIndex((chapter) => chapter.start_s <= at.value + 0.05);
    return (
        <ol class="chapters">
            {chapters.map((chapter, i) => (
                <li key={`${chapter.start_s}`}>
                    <button type="button" class={i === current ? 'current' : ''} aria-current={i === current} onClick={() => seek(chapter.start_s)}>
                        <img class="thumb" src={api.file(recording.id, chapter.thumb)} alt="" loading="lazy" onError={(e) => e.currentTarget.classList.add('missing')} />
                        <span class="chapter-words">
                            <strong>{chapter.title}</strong>
                            <small>{words.value.duration(Math.max(1, chapter.end_s - chapter.start_s))}</small>
                        </span>
                        <span class="chapter-time">{timecode(chapter.start_s)}</span>
                    </button>
                </li>
            ))}
        </ol>
    );
}

function gapSource(recording: HttpRecording, gap: HttpGap): string {
    const w = words.value.archive;
    const track = recording.tracks.find((one) => one.track === gap.track);
    const kind = track === undefined ? w.unknownSource : w.kinds[track.kind];
    return gap.unit_name === '' ? kind : `${gap.unit_name} · ${kind}`;
}

function Integrity({ recording }: { recording: HttpRecording }) {
    const w = words.value.archive;
    const { gaps } = recording;
    const seconds = (gap: HttpGap) => (gap.to_us - gap.from_us) / 1e6;
    if (gaps.length === 0)
        return (
            <div class="integrity">
                <p class="notice jade">
                    <ShieldCheck size={20} aria-hidden="true" />
                    <span>{w.whole}</span>
                </p>
                <p class="dim">{w.wholeLead}</p>
                <Sums recording={recording} />
            </div>
        );
    return (
        <div class="integrity">
            <p class="notice amber">
                <ShieldAlert size={20} aria-hidden="true" />
                <span>{w.gaps(gaps.length)}</span>
            </p>
            <p class="dim">{w.gapsTotal(w.seconds(gaps.reduce((sum, gap) => sum + seconds(gap), 0)))}</p>
            <ul class="gap-list">
                {gaps.slice(0, 200).map((gap) => (
                    <li key={`${gap.track}-${gap.layer}-${gap.from_us}`}>
                        <strong>{gapSource(recording, gap)}</strong>
                        <span class="dim">
                            {timecode(gap.from_us / 1e6)} · {w.gapLine(w.seconds(seconds(gap)))} · {w.gapReasons[gap.reason]}
                        </span>
                    </li>
                ))}
            </ul>
            <Sums recording={recording} />
        </div>
    );
}

function Sums({ recording }: { recording: HttpRecording }) {
    const w = words.value;
    return (
        <dl class="sums">
            {recording.formats.map((format) => (
                <div key={format.name}>
                    <dt>
                        {w.archive.formats[format.name]} · {w.bytes(format.bytes)}
                    </dt>
                    <dd>SHA-256 {format.sha256}</dd>
                </div>
            ))}
        </dl>
    );
}
