// The strip: our own picture, then the tiles. A tile keeps its element; who is in it is said by the server.
import { Ear, Hand, MicOff, VideoOff, WifiOff } from 'lucide-preact';
import { words } from '../i18n';
import type { BriefingState, Endpoint } from '../protocol.gen';
import type { PictureView } from '../media/view';
import type { Room } from '../state/room';
import { othersLineWeak } from '../state/line';
import { endpointOf, shownName } from '../state/select';
import { OwnPicture, Picture, Veil } from './Picture';
import { SpeakingMark } from './Stage';

/** What is wrong with another room's line, in words; '': nothing. Only who conducts or watches is told. */
export function weakLine(room: Room, number: number): string {
    const w = words.value.room;
    const line = room.lines.value.find((one) => one.number === number);
    if (line === undefined || !othersLineWeak(line)) return '';
    return line.paused > 0 ? w.lineWithoutPictures(line.paused) : w.lineLoses(Math.round(line.loss_permille / 10));
}

function Marks({ room, endpoint, hand }: { room: Room; endpoint: Endpoint; hand: boolean }) {
    const w = words.value.room;
    const weak = weakLine(room, endpoint.number);
    return (
        <span class="tile-marks">
            {weak !== '' && (
                <span class="mark amber" title={weak}>
                    <WifiOff size={13} aria-hidden="true" />
                    <span class="hidden-words">{weak}</span>
                </span>
            )}
            {hand && (
                <span class="mark gold" title={w.handUp}>
                    <Hand size={13} aria-hidden="true" />
                    <span class="hidden-words">{w.handUp}</span>
                </span>
            )}
        </span>
    );
}

function Tile({ room, state, view, number }: { room: Room; state: BriefingState; view: PictureView; number: number }) {
    const w = words.value.room;
    const endpoint = endpointOf(state, number);
    const slot = room.media.slots.value.get(view.name as `tile${number}`);
    const arrived = slot !== undefined && slot.number === number && endpoint?.camera === true;
    const soundOnly = room.soundOnly.value;
    const hand = state.hands.some((one) => one.number === number);
    const speaking = endpoint !== undefined && room.speaker.value === number && endpoint.microphone;
    return (
        <div class={`tile ${endpoint === undefined ? 'vacant' : ''} ${hand ? 'waiting' : ''} ${speaking ? 'speaking' : ''}`} role="listitem" aria-label={endpoint && shownName(endpoint)}>
            <Picture view={view} shown={arrived && !soundOnly} />
            {endpoint !== undefined && (
                <>
                    {(!endpoint.camera || soundOnly) && (
                        <span class="tile-nothing">
                            {endpoint.camera ? <Ear size={18} aria-hidden="true" /> : <VideoOff size={18} aria-hidden="true" />}
                            <span class="hidden-words">{endpoint.camera ? w.soundOnly : w.noPicture}</span>
                        </span>
                    )}
                    {arrived && !soundOnly && view.paused.value && <Veil small>{w.pausedTile}</Veil>}
                    <Marks room={room} endpoint={endpoint} hand={hand} />
                    <span class="tile-name">
                        <SpeakingMark speaking={speaking} open={endpoint.microphone} />
                        {shownName(endpoint)}
                    </span>
                </>
            )}
        </div>
    );
}

export function OwnTile({ room }: { room: Room }) {
    const w = words.value.room;
    const track = room.cameraTrack.value;
    const hand = room.handUp.value;
    return (
        <div class={`tile own ${hand ? 'waiting' : ''} ${room.microphoneOpen.value ? 'open' : ''}`} role="listitem" aria-label={w.yourRoom}>
            {track !== null ? (
                <OwnPicture track={track} label={w.yourRoom} slot="tile" />
            ) : (
                <span class="tile-nothing">
                    <VideoOff size={18} aria-hidden="true" />
                </span>
            )}
            <span class="tile-marks">
                {!room.microphoneOpen.value && (
                    <span class="mark" title={w.microphoneClosed}>
                        <MicOff size={13} aria-hidden="true" />
                    </span>
                )}
                {hand && (
                    <span class="mark gold" title={w.handUp}>
                        <Hand size={13} aria-hidden="true" />
                    </span>
                )}
            </span>
            <span class="tile-name">{w.yourRoom}</span>
        </div>
    );
}

export function Strip({ room, state }: { room: Room; state: BriefingState }) {
    return (
        <div class={`strip ${room.media.tiles.length <= 2 ? 'few' : ''}`} role="list" aria-label={words.value.room.tiles}>
            <OwnTile room={room} />
            {room.media.tiles.map((view, i) => (
                <Tile key={view.name} room={room} state={state} view={view} number={room.tileNumbers.value[i] ?? 0} />
            ))}
        </div>
    );
}
