// The pages and their addresses.
import { render } from 'preact';
import { useEffect } from 'preact/hooks';
import { MapPinOff } from 'lucide-preact';
import { Paper } from './components/Paper';
import { Empty, Link } from './components/ui';
import { words } from './i18n';
import { ArchiveList } from './pages/Archive';
import { BriefingPage } from './pages/Briefing';
import { FirstAccount, JoinLink } from './pages/Entrances';
import { Help } from './pages/Help';
import { Home } from './pages/Home';
import { Player } from './pages/Player';
import { SignIn } from './pages/SignIn';
import { path } from './state/route';
import { loadSession, session } from './state/session';

function Page() {
    const [, room = '', rest = ''] = path.value.split('/');
    const argument = decodeURIComponent(rest);
    if (room === 'b' && argument !== '') return <BriefingPage key={argument} id={argument} />;
    if (room === 'archive' && argument !== '' && session.value !== null) return <Player key={argument} id={argument} />;
    return (
        <Paper>
            {room === '' && <Home />}
            {room === 'archive' && (session.value === null ? <SignIn /> : <ArchiveList />)}
            {room === 'help' && <Help />}
            {room === 'j' && <JoinLink key={argument} token={argument} />}
            {room === 'first' && <FirstAccount token={argument} />}
            {!['', 'archive', 'help', 'j', 'first'].includes(room) && (
                <Empty icon={MapPinOff} title={words.value.away.notFound} lead={words.value.away.notFoundLead}>
                    <Link to="/" class="button main normal">
                        {words.value.home}
                    </Link>
                </Empty>
            )}
        </Paper>
    );
}

function App() {
    const entering = path.value.startsWith('/j/') || path.value.startsWith('/first/');
    useEffect(() => {
        if (!entering && session.value === undefined) void loadSession();
    }, [entering]);
    return <Page />;
}

const root = document.getElementById('app');
if (root !== null) render(<App />, root);
