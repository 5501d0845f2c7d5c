// The archive's list: what can be watched, what is being composed and how far.
import { Archive as ArchiveIcon, CirclePlay, Film } from 'lucide-preact';
import type { HttpRecordingSummary } from '../protocol.gen';
import { useLoaded, useTitle } from '../components/hooks';
import { Empty, Failed, Link, Spinner } from '../components/ui';
import { words } from '../i18n';
import { api } from '../protocol/http';

const refreshMs = 3_000;

export function Progress({ percent, label }: { percent: number; label: string }) {
    return <progress class="progress" max={100} value={percent} aria-label={label} />;
}

export function RecordingProgress({ recording }: { recording: HttpRecordingSummary }) {
    const w = words.value.archive;
    switch (recording.state) {
        case 'composing':
            return (
                <span class="progress-row">
                    <Progress percent={recording.percent} label={w.composing(recording.percent)} />
                    <span>{w.composing(recording.percent)}</span>
                </span>
            );
        case 'queued':
            return <span class="dim">{w.queued}</span>;
        case 'recording':
            return <span class="dim">{w.recordingNow}</span>;
        case 'failed':
            return <span class="amber-words">{w.composeFailed}</span>;
        case 'ready':
            return <span class="jade-words">{recording.formats.map((format) => w.formats[format]).join(' · ')}</span>;
    }
}

export function ArchiveList() {
    const w = words.value;
    useTitle(`${w.archive.title} · ${w.product}`);
    const [loaded, reload] = useLoaded('archive', () => api.recordings(), refreshMs);
    if (loaded.state === 'loading') return <Spinner>{w.loading}</Spinner>;
    if (loaded.state === 'failed') return <Failed title={w.archive.failed} refusal={loaded.refusal} retry={reload} />;
    const recordings = [...loaded.value.recordings].sort((a, b) => b.opened_ms - a.opened_ms);
    if (recordings.length === 0) return <Empty icon={ArchiveIcon} title={w.archive.empty} lead={w.archive.emptyLead} />;
    return (
        <div class="archive">
            <h1>{w.archive.title}</h1>
            <p class="dim lead">{w.archive.count(recordings.length)}</p>
            {recordings.map((recording) => (
                <Item key={recording.id} recording={recording} />
            ))}
        </div>
    );
}

/** The programme's first picture; thumbnails exist once it is composed. */
export function Thumb({ recording }: { recording: HttpRecordingSummary }) {
    const watchable = recording.formats.length > 0;
    return (
        <span class="thumb-box">
            {watchable && <img class="thumb" src={api.file(recording.id, 'thumbs/01.jpg')} alt="" loading="lazy" onError={(e) => e.currentTarget.classList.add('missing')} />}
            {watchable ? <CirclePlay size={34} aria-hidden="true" /> : <Film size={30} aria-hidden="true" />}
        </span>
    );
}

function Item({ recording }: { recording: HttpRecordingSummary }) {
    const w = words.value;
    const watchable = recording.formats.length > 0;
    return (
        <Link to={`/archive/${recording.id}`} class={`card recent ${watchable ? '' : 'pending'}`}>
            <Thumb recording={recording} />
            <span class="recent-words">
                <strong>{recording.title}</strong>
                <span class="dim">
                    {w.date(new Date(recording.opened_ms))} · {w.clock(new Date(recording.opened_ms))} · {w.duration(recording.seconds)}
                </span>
                <RecordingProgress recording={recording} />
            </span>
        </Link>
    );
}
