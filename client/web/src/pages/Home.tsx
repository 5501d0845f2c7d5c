// Today's briefings with their state and one main action each, what comes, and what is being composed.
import { CalendarDays, Mail } from 'lucide-preact';
import type { HttpBriefing, HttpRecordingSummary } from '../protocol.gen';
import { useLoaded, useNow, useTitle } from '../components/hooks';
import { Empty, Failed, Link, Spinner } from '../components/ui';
import { words } from '../i18n';
import { api } from '../protocol/http';
import { session, sessionProblem, loadSession } from '../state/session';
import { RecordingProgress, Thumb } from './Archive';
import { SignIn } from './SignIn';

const dayMs = 86_400_000;
const refreshMs = 10_000;

export function startOfDay(ms: number): number {
    const day = new Date(ms);
    day.setHours(0, 0, 0, 0);
    return day.getTime();
}

export function Home() {
    const w = words.value;
    useTitle(w.product);
    if (sessionProblem.value !== null) return <Failed title={w.home_.failed} refusal={sessionProblem.value} retry={() => void loadSession()} />;
    if (session.value === undefined) return <Spinner>{w.loading}</Spinner>;
    return session.value === null ? <SignIn /> : <Today />;
}

function Today() {
    const w = words.value;
    const now = useNow(30_000);
    const today = startOfDay(now);
    const [briefings, reload] = useLoaded(`briefings ${today}`, () => api.briefings(today - dayMs, today + 8 * dayMs), refreshMs);
    const [recordings] = useLoaded('recordings', () => api.recordings(), refreshMs);
    if (briefings.state === 'loading') return <Spinner>{w.loading}</Spinner>;
    if (briefings.state === 'failed') return <Failed title={w.home_.failed} refusal={briefings.refusal} retry={reload} />;
    const all = [...briefings.value.briefings].sort((a, b) => a.starts_ms - b.starts_ms);
    const isToday = (briefing: HttpBriefing) => briefing.state === 'open' || (briefing.starts_ms >= today && briefing.starts_ms < today + dayMs);
    const todays = all.filter(isToday).sort((a, b) => order(a) - order(b) || a.starts_ms - b.starts_ms);
    const coming = all.filter((briefing) => briefing.starts_ms >= today + dayMs && briefing.state === 'scheduled');
    const last = recordings.state === 'here' ? [...recordings.value.recordings].sort((a, b) => b.opened_ms - a.opened_ms).find((r) => r.state !== 'recording') : undefined;
    return (
        <div class="today">
            <h1>{w.longDate(new Date(now))}</h1>
            <p class="dim lead">{w.home_.count(todays.length)}</p>
            {todays.length === 0 && (
                <Empty icon={CalendarDays} title={w.home_.count(0)} lead={w.home_.empty}>
                    <p class="dim with-icon">
                        <Mail size={16} aria-hidden="true" /> {w.home_.emptyLink}
                    </p>
                </Empty>
            )}
            {todays.map((briefing) => (
                <BriefingCard key={briefing.id} briefing={briefing} />
            ))}
            {last !== undefined && <Recent recording={last} />}
            {coming.length > 0 && <h2>{w.home_.later}</h2>}
            {coming.map((briefing) => (
                <BriefingCard key={briefing.id} briefing={briefing} dated />
            ))}
        </div>
    );
}

const order = (briefing: HttpBriefing): number => ({ open: 0, scheduled: 1, closed: 2 })[briefing.state];

function BriefingCard({ briefing, dated = false }: { briefing: HttpBriefing; dated?: boolean }) {
    const w = words.value;
    const starts = new Date(briefing.starts_ms);
    const parts = [w.home_.units(briefing.units)];
    if (briefing.state !== 'closed' && briefing.endpoints > 0) parts.push(w.home_.inside(briefing.endpoints));
    if (briefing.recording) parts.push(w.home_.recording);
    parts.push(w.home_.yourRole(w.roles[briefing.role]));
    return (
        <article class={`card briefing ${briefing.state}`}>
            <div class="briefing-time">
                <strong>{w.clock(starts)}</strong>
                <span class="dim">{dated ? w.date(starts) : w.home_.states[briefing.state]}</span>
            </div>
            <div class="briefing-words">
                <h3>{briefing.title}</h3>
                <p class="dim">{parts.join(' · ')}</p>
            </div>
            {briefing.state === 'closed' ? (
                <Link to={`/archive/${briefing.id}`} class="button plain normal">
                    {w.home_.watch}
                </Link>
            ) : (
                <Link to={`/b/${briefing.id}`} class={`button normal ${briefing.state === 'open' ? 'main' : 'plain'}`}>
                    {briefing.state === 'open' ? w.home_.enter : w.home_.openEarly}
                </Link>
            )}
        </article>
    );
}

function Recent({ recording }: { recording: HttpRecordingSummary }) {
    const w = words.value;
    return (
        <>
            <h2>{w.home_.recent}</h2>
            <Link to={`/archive/${recording.id}`} class={`card recent ${recording.formats.length > 0 ? '' : 'pending'}`}>
                <Thumb recording={recording} />
                <span class="recent-words">
                    <strong>{recording.title}</strong>
                    <span class="dim">
                        {w.date(new Date(recording.opened_ms))} · {w.duration(recording.seconds)}
                    </span>
                    <RecordingProgress recording={recording} />
                </span>
            </Link>
        </>
    );
}
