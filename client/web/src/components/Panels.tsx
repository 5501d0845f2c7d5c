// The right column: who has the floor and who waits for it; who is here and what can be done with each.
import { useSignal } from '@preact/signals';
import { ArrowRight, CircleCheck, EarOff, EllipsisVertical, Hand, Info, Mic, MicOff, MonitorUp, MonitorX, Search, Stethoscope, TriangleAlert, UserX, WifiOff } from 'lucide-preact';
import { language, words } from '../i18n';
import type { BriefingState, Endpoint, ResultCheck } from '../protocol.gen';
import type { Room } from '../state/room';
import { connected, endpointOf, folded, shownName } from '../state/select';
import { useNow } from './hooks';
import { weakLine } from './Tiles';
import { Button, Menu, Pill, type MenuItem, type Question } from './ui';

export function FloorPanel({ room, state }: { room: Room; state: BriefingState }) {
    const w = words.value.room;
    const now = useNow(5_000, () => room.socket.clock.now());
    const holder = endpointOf(state, state.floor);
    const waiting = room.queue.value;
    const [next] = waiting;
    const open = state.state === 'open';
    const since = (number: number) => (now - (state.hands.find((hand) => hand.number === number)?.since_ms ?? now)) / 1000;
    return (
        <section class="panel floor-panel" aria-label={w.floorPanel}>
            <h2>
                {w.floorPanel} <span class="count">{w.waiting(waiting.length)}</span>
            </h2>
            <div class="rows">
                {holder !== undefined && <Holder room={room} state={state} holder={holder} />}
                {waiting.map((endpoint, i) => (
                    <div class={`row ${i === 0 ? 'next' : ''}`} key={endpoint.number}>
                        <span class="rank">{i + 1}</span>
                        <span class="row-words">
                            <strong>{shownName(endpoint)}</strong>
                            <small>{w.handFor(words.value.duration(Math.max(1, since(endpoint.number))))}</small>
                        </span>
                        {room.conducting.value && open && (
                            <Button size="small" title={w.inviteName(shownName(endpoint))} onClick={() => void room.ask('grant', { endpoint: endpoint.number })}>
                                {w.invite}
                            </Button>
                        )}
                        {!room.conducting.value && endpoint.number === room.me.value?.number && <Pill tone="gold">{w.you}</Pill>}
                    </div>
                ))}
                {waiting.length === 0 && (
                    <p class="rows-empty">
                        {w.inviteNone}
                        {room.conducting.value && open && <small>{w.inviteHint}</small>}
                    </p>
                )}
            </div>
            {room.conducting.value && open && next !== undefined && (
                <div class="panel-action">
                    <Button id="invite-next" icon={ArrowRight} tone="main" shortcut="Enter" onClick={() => void room.ask('grant', { endpoint: next.number })}>
                        {w.inviteName(shownName(next))}
                    </Button>
                </div>
            )}
        </section>
    );
}

function Holder({ room, state, holder }: { room: Room; state: BriefingState; holder: Endpoint }) {
    const w = words.value.room;
    const since = state.floor_since_ms === null ? '' : w.since(words.value.clock(new Date(state.floor_since_ms)));
    const microphone = holder.connected ? (holder.microphone ? w.microphoneOpen : w.microphoneClosed) : w.keepsTurn;
    const speaking = room.speaker.value === holder.number && holder.microphone;
    return (
        <div class="row holder">
            <span class="rank" aria-hidden="true">
                •
            </span>
            <span class="row-words">
                <strong>{shownName(holder)}</strong>
                <small>
                    {since} · {microphone}
                </small>
            </span>
            {speaking ? (
                <Pill tone="cinnabar" icon={Mic}>
                    {w.speaking}
                </Pill>
            ) : (
                <span class="holder-mark" title={w.speakingNow}>
                    {holder.microphone ? <Mic size={16} aria-hidden="true" /> : <MicOff size={16} aria-hidden="true" />}
                </span>
            )}
        </div>
    );
}

export function PeoplePanel({ room, state, onQuestion }: { room: Room; state: BriefingState; onQuestion: (question: Question) => void }) {
    const w = words.value.room;
    const wanted = useSignal('');
    const needle = folded(wanted.value.trim());
    const me = room.me.value?.number ?? 0;
    const all = connected(state);
    const rank = (endpoint: Endpoint) => (endpoint.number === me ? 0 : endpoint.role === 'chair' ? 1 : endpoint.role === 'secretary' ? 2 : 3);
    const matching = all
        .filter((endpoint) => folded(`${endpoint.unit_short} ${endpoint.unit_name} ${endpoint.name}`).includes(needle))
        .sort((a, b) => rank(a) - rank(b) || shownName(a).localeCompare(shownName(b), 'vi'));
    return (
        <section class="panel people-panel" aria-label={w.peoplePanel}>
            <h2>
                {w.peoplePanel} <span class="count">{all.length}</span>
            </h2>
            <label class="search">
                <Search size={16} aria-hidden="true" />
                <input id="people-search" type="search" placeholder={w.search} aria-label={w.search} value={wanted.value} onInput={(event) => (wanted.value = event.currentTarget.value)} />
            </label>
            <div class="rows">
                {matching.map((endpoint) => (
                    <Person key={endpoint.number} room={room} state={state} endpoint={endpoint} onQuestion={onQuestion} />
                ))}
                {matching.length === 0 && <p class="rows-empty">{w.peopleNone}</p>}
                {matching.length > 0 && all.length === 1 && <p class="rows-empty">{w.peopleEmpty}</p>}
            </div>
        </section>
    );
}

function MicrophoneMark({ room, endpoint }: { room: Room; endpoint: Endpoint }) {
    const w = words.value.room;
    if (!endpoint.hears)
        return (
            <span class="mic-mark" title={w.silent} aria-label={w.silent} role="img">
                <EarOff size={16} aria-hidden="true" />
            </span>
        );
    const word = endpoint.microphone ? w.microphoneOpen : w.microphoneClosed;
    const Glyph = endpoint.microphone ? Mic : MicOff;
    const mark = <Glyph size={16} aria-hidden="true" />;
    if (!endpoint.microphone || !room.muting.value || endpoint.number === room.me.value?.number)
        return (
            <span class={`mic-mark ${endpoint.microphone ? 'open' : ''}`} title={word} aria-label={word} role="img">
                {mark}
            </span>
        );
    return (
        <button type="button" class="mic-mark open" title={`${w.mute}: ${shownName(endpoint)}`} aria-label={`${w.mute}: ${shownName(endpoint)}`} onClick={() => void room.ask('mute', { endpoint: endpoint.number })}>
            {mark}
        </button>
    );
}

const checkGlyphs = { good: CircleCheck, unknown: Info, bad: TriangleAlert };

/** What is switched off, or in a format that can't be looked into, is no fault. */
function checkTone(picture: ResultCheck['picture']['verdict'], sound: ResultCheck['sound']['verdict']): keyof typeof checkGlyphs {
    if (picture === 'good' && sound === 'good') return 'good';
    const harmless = ['good', 'off', 'unsupported'].includes(picture) && ['good', 'muted'].includes(sound);
    return harmless ? 'unknown' : 'bad';
}

/** What the last check of this room found, and when. */
function CheckLine({ room, number }: { room: Room; number: number }) {
    const check = room.checks.value.get(number);
    if (check === undefined) return null;
    if (check.state === 'running') return <small class="check-line">{words.value.room.checking}</small>;
    const { picture, sound, words: said } = check.result;
    const tone = checkTone(picture.verdict, sound.verdict);
    const Glyph = checkGlyphs[tone];
    return (
        <small class={`check-line ${tone}`} role="status">
            <Glyph size={14} aria-hidden="true" />
            <span>
                {said[language.value]} · {words.value.clock(new Date(check.atMs))}
            </span>
        </small>
    );
}

function Person({ room, state, endpoint, onQuestion }: { room: Room; state: BriefingState; endpoint: Endpoint; onQuestion: (question: Question) => void }) {
    const w = words.value.room;
    const me = endpoint.number === room.me.value?.number;
    const hand = state.hands.some((one) => one.number === endpoint.number);
    const name = shownName(endpoint);
    const speaking = room.speaker.value === endpoint.number && endpoint.microphone;
    const role = endpoint.role === 'delegate' ? '' : words.value.roles[endpoint.role];
    const lead = [me ? w.you : '', role, endpoint.name !== name ? endpoint.name : ''].filter((part) => part !== '').join(' · ');
    const weak = weakLine(room, endpoint.number);
    const line = room.lines.value.find((one) => one.number === endpoint.number);
    const figures = line === undefined ? '' : w.othersFigures(line.bps, line.estimate_bps, line.loss_permille);
    const invitable = !me && room.conducting.value && state.state === 'open' && state.floor !== endpoint.number && endpoint.role !== 'observer' && endpoint.role !== 'technician';
    return (
        <div class={`row person ${speaking ? 'speaking' : ''}`} data-number={endpoint.number}>
            <MicrophoneMark room={room} endpoint={endpoint} />
            <span class="row-words">
                <strong>{name}</strong>
                {lead !== '' && <small>{lead}</small>}
                {weak !== '' && (
                    <small class="line-weak" title={figures}>
                        <WifiOff size={14} aria-hidden="true" />
                        <span>{weak}</span>
                    </small>
                )}
                <CheckLine room={room} number={endpoint.number} />
            </span>
            {hand && <Hand class="gold-mark" size={16} aria-label={w.handUp} />}
            {invitable && (
                <Button size="small" tone="quiet" title={w.inviteName(name)} onClick={() => void room.ask('grant', { endpoint: endpoint.number })}>
                    {w.invite}
                </Button>
            )}
            {room.muting.value && !me && <Menu icon={EllipsisVertical} size="small" tone="quiet" label={w.more(name)} items={actions(room, state, endpoint, onQuestion)} />}
        </div>
    );
}

function actions(room: Room, state: BriefingState, endpoint: Endpoint, onQuestion: (question: Question) => void): MenuItem[] {
    const w = words.value.room;
    const { number } = endpoint;
    const name = shownName(endpoint);
    const mute: MenuItem = { icon: MicOff, words: w.mute, disabled: !endpoint.microphone, run: () => void room.ask('mute', { endpoint: number }) };
    const check: MenuItem = { icon: Stethoscope, words: w.check, disabled: room.checks.value.get(number)?.state === 'running', run: () => void room.check(number) };
    if (!room.conducting.value) return [check, mute];
    const spotlit = state.spotlight === number;
    const hand = state.hands.some((one) => one.number === number);
    return [
        mute,
        check,
        {
            icon: spotlit ? MonitorX : MonitorUp,
            words: spotlit ? w.spotlightOff : w.spotlight,
            run: () => void room.ask('spotlight', { endpoint: spotlit ? 0 : number }),
        },
        { icon: Hand, words: hand ? w.lowerFor : w.raiseFor, disabled: state.state !== 'open', run: () => void room.ask(hand ? 'lower-hand' : 'raise-hand', { endpoint: number }) },
        {
            icon: UserX,
            words: w.remove,
            danger: true,
            disabled: endpoint.role === 'chair',
            run: () => onQuestion({ title: w.removeConfirm(name), lead: w.removeLead, action: w.removeDo, run: () => void room.ask('remove', { endpoint: number }) }),
        },
    ];
}
