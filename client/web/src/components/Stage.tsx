// The stage: who everybody sees, with the caption at the lower left and the timer at the lower right; and the shared screen.
import type { ComponentChildren } from 'preact';
import { Ear, Mic, Users, VideoOff, VolumeX } from 'lucide-preact';
import { timecode, words } from '../i18n';
import type { BriefingState, Endpoint } from '../protocol.gen';
import type { Room } from '../state/room';
import { endpointOf, shownName } from '../state/select';
import { useNow } from './hooks';
import { OwnPicture, Picture, Veil } from './Picture';
import { lineState } from './TopBar';
import { Button } from './ui';

function Placeholder({ name, children }: { name: string; children: ComponentChildren }) {
    return (
        <div class="placeholder">
            <strong>{name}</strong>
            <span>{children}</span>
        </div>
    );
}

function Timer({ room, state, named }: { room: Room; state: BriefingState; named: number }) {
    const now = useNow(500, () => room.socket.clock.now());
    if (state.floor === 0 || state.floor_since_ms === null) return null;
    const holder = endpointOf(state, state.floor);
    if (holder !== undefined && !holder.connected)
        return (
            <div class="timer waits">
                {holder.number !== named && <span>{shownName(holder)}</span>}
                <strong>{words.value.room.keepsTurn}</strong>
            </div>
        );
    return (
        <div class="timer">
            <span>{words.value.room.spoken}</span>
            <strong>{timecode((now - state.floor_since_ms) / 1000)}</strong>
        </div>
    );
}

function captionLead(state: BriefingState, endpoint: Endpoint): string {
    const w = words.value.room;
    if (endpoint.number === state.floor) return endpoint.connected ? w.speakingNow : w.keepsFloor;
    return endpoint.role === 'chair' ? w.chairTitle : w.onStage;
}

export function Stage({ room, state, onOpen }: { room: Room; state: BriefingState; onOpen: () => void }) {
    const w = words.value.room;
    const number = room.stageNumber.value;
    const endpoint = endpointOf(state, number);
    const mine = room.mine.value;
    const everybodySeesMe = endpoint === undefined && mine !== undefined && (mine.role === 'chair' || room.holdsFloor.value);
    const shown = endpoint ?? (everybodySeesMe ? mine : undefined);
    const own = everybodySeesMe ? room.cameraTrack.value : null;
    const soundOnly = room.soundOnly.value;
    const hasPicture = endpoint?.camera === true && endpoint.connected && !soundOnly;
    const line = lineState(room);
    return (
        <figure class="stage" aria-label={w.mainStage}>
            <Picture view={room.media.stage} shown={hasPicture} />
            {own !== null && <OwnPicture track={own} label={w.yourRoom} slot="stage" />}
            {shown !== undefined && own === null && !hasPicture && (
                <Placeholder name={shownName(shown)}>
                    {soundOnly && shown.camera ? <Ear size={18} aria-hidden="true" /> : <VideoOff size={18} aria-hidden="true" />}
                    {!shown.connected ? w.away : soundOnly && shown.camera ? w.soundOnlyStage : w.noPicture}
                </Placeholder>
            )}
            {hasPicture && line === 'mediaBack' && <Veil away>{w.pausedAway}</Veil>}
            {hasPicture && line !== 'mediaBack' && room.media.stage.paused.value && <Veil>{w.pausedStage}</Veil>}
            {shown === undefined && <StageEmpty room={room} state={state} />}
            {state.state === 'scheduled' && <NotOpened room={room} onOpen={onOpen} />}
            {shown !== undefined && (
                <figcaption class="caption">
                    <span>{everybodySeesMe ? w.stageSelf : captionLead(state, shown)}</span>
                    <strong>{shownName(shown)}</strong>
                </figcaption>
            )}
            <Timer room={room} state={state} named={shown?.number ?? 0} />
            {room.media.sounds.blocked.value && (
                <div class="unblock">
                    <Button icon={VolumeX} tone="gold" size="large" id="unblock" onClick={() => void room.media.sounds.unblock()}>
                        {w.unblock}
                    </Button>
                    <span>{w.unblockLead}</span>
                </div>
            )}
        </figure>
    );
}

function StageEmpty({ room, state }: { room: Room; state: BriefingState }) {
    const w = words.value.room;
    if (state.state === 'scheduled') return null;
    return (
        <div class="placeholder">
            <Users size={36} aria-hidden="true" />
            <strong>{w.stageEmptyOpen}</strong>
            <span>{room.conducting.value ? w.stageEmptyOpenChair : w.stageEmptyWait}</span>
        </div>
    );
}

function NotOpened({ room, onOpen }: { room: Room; onOpen: () => void }) {
    const w = words.value.room;
    return (
        <div class="not-opened">
            <strong>{w.notOpened}</strong>
            <span>{room.conducting.value ? w.notOpenedChair : w.notOpenedLead}</span>
            {room.conducting.value && (
                <Button id="open" tone="main" size="large" onClick={onOpen}>
                    {w.open}
                </Button>
            )}
        </div>
    );
}

export function SharedScreen({ room, state }: { room: Room; state: BriefingState }) {
    const w = words.value.room;
    const presenter = endpointOf(state, state.screen);
    const mine = state.screen === room.me.value?.number;
    const own = mine ? room.screenTrack.value : null;
    return (
        <figure class="shared-screen" aria-label={w.screen}>
            <Picture view={room.media.screen} shown={!mine && presenter !== undefined} />
            {!mine && presenter !== undefined && room.media.screen.paused.value && <Veil>{w.pausedScreen}</Veil>}
            {own !== null && <OwnPicture track={own} label={w.screen} slot="screen" />}
            {presenter !== undefined && <figcaption class="screen-caption">{w.presenting(shownName(presenter))}</figcaption>}
        </figure>
    );
}

export function SpeakingMark({ speaking, open }: { speaking: boolean; open: boolean }) {
    if (!speaking || !open) return null;
    return (
        <span class="speaking-mark" title={words.value.room.speaking}>
            <Mic size={13} aria-hidden="true" />
            <span class="hidden-words">{words.value.room.speaking}</span>
        </span>
    );
}
