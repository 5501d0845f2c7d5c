// /b/<id>: device check, then the room, then what comes after it.
import { useEffect, useState } from 'preact/hooks';
import { CircleCheck, DoorOpen, MonitorX, UserX } from 'lucide-preact';
import { useGround, useLoaded } from '../components/hooks';
import { Button, Empty, Failed, Link, Spinner } from '../components/ui';
import { words } from '../i18n';
import { mark } from '../media/timings';
import { api } from '../protocol/http';
import type { EndpointKind, HttpBriefing } from '../protocol.gen';
import { Room } from '../state/room';
import { session } from '../state/session';
import { exposeForTests } from '../testhook';
import { Conference } from './Conference';
import { Join, type JoinChoice } from './Join';
import { SignIn } from './SignIn';

const isPhone = (): boolean => window.matchMedia('(max-width: 720px)').matches;
const kindHere = (): EndpointKind => (isPhone() ? 'phone' : 'desk');

export function BriefingPage({ id }: { id: string }) {
    const w = words.value;
    const signedIn = session.value?.role ?? '';
    const [loaded, reload] = useLoaded(`briefing ${id} ${signedIn}`, async () => {
        const [briefing, units] = await Promise.all([api.briefing(id), api.units()]);
        return { briefing, units: units.units };
    });
    useGround(session.value === null ? 'paper' : 'lacquer');
    if (session.value === null) return <SignIn />;
    if (loaded.state === 'loading' || session.value === undefined) return <Spinner>{w.loading}</Spinner>;
    if (loaded.state === 'failed')
        return (
            <Failed title={w.away.refused} refusal={loaded.refusal} retry={reload}>
                <HomeLink />
            </Failed>
        );
    const { briefing, units } = loaded.value;
    const unit = units.find((one) => one.id === session.value?.unit);
    const name = unit?.short || unit?.name || session.value.person?.name || w.roles[briefing.role];
    return <Stay briefing={briefing} name={name} onAgain={reload} />;
}

function Stay({ briefing, name, onAgain }: { briefing: HttpBriefing; name: string; onAgain: () => void }) {
    const w = words.value;
    const [room, setRoom] = useState<Room | null>(null);
    useEffect(() => () => room?.dispose(), [room]);
    const enter = (choice: JoinChoice) => {
        mark('join-click');
        const fresh = new Room({ briefing: briefing.id, kind: kindHere(), ...choice, openMicrophoneAtOnce: briefing.role === 'chair' });
        exposeForTests(fresh);
        fresh.start();
        setRoom(fresh);
    };
    const again = () => {
        setRoom(null);
        onAgain();
    };
    if (briefing.state === 'closed' && room === null)
        return (
            <Empty icon={CircleCheck} title={w.join.closed} lead={w.join.closedLead}>
                <ArchiveLink />
                <HomeLink />
            </Empty>
        );
    if (room === null) return <Join briefing={briefing} unit={name} small={isPhone()} onEnter={enter} />;
    switch (room.phase.value) {
        case 'joining':
        case 'in':
            return <Conference room={room} units={briefing.units} />;
        case 'taken-over':
            return (
                <Empty icon={MonitorX} title={w.away.takenOver} lead={w.away.takenOverLead}>
                    <Button tone="main" onClick={() => room.takeBack()}>
                        {w.away.takeBack}
                    </Button>
                    <HomeLink />
                </Empty>
            );
        case 'removed':
            return (
                <Empty icon={UserX} title={w.away.removed} lead={w.away.removedLead}>
                    <HomeLink />
                </Empty>
            );
        case 'ended':
            return (
                <Empty icon={CircleCheck} title={w.away.ended} lead={room.recorded.value ? w.away.endedRecorded : w.away.endedLead}>
                    {room.recorded.value && <ArchiveLink />}
                    <HomeLink />
                </Empty>
            );
        case 'left':
            return (
                <Empty icon={DoorOpen} title={w.away.left} lead={w.away.leftLead}>
                    <Button tone="main" onClick={again}>
                        {w.away.again}
                    </Button>
                    <HomeLink />
                </Empty>
            );
        case 'refused':
            return room.refusal.value === null ? null : (
                <Failed title={w.away.refused} refusal={room.refusal.value} retry={again}>
                    <HomeLink />
                </Failed>
            );
    }
}

const HomeLink = () => (
    <Link to="/" class="button plain normal">
        {words.value.home}
    </Link>
);

const ArchiveLink = () => (
    <Link to="/archive" class="button main normal">
        {words.value.away.toArchive}
    </Link>
);
