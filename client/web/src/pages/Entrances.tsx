// Two one-way doors: a join link becomes a session of this tab, the administrator's first link becomes an account.
import { useEffect, useState } from 'preact/hooks';
import type { ServerError } from '../protocol.gen';
import { useTitle } from '../components/hooks';
import { Button, Failed, Link, Spinner } from '../components/ui';
import { sentence, words } from '../i18n';
import { api, asRefused } from '../protocol/http';
import { beginTabSession } from '../protocol/session';
import { navigate } from '../state/route';
import { session } from '../state/session';
import { PasswordField } from './SignIn';

export function JoinLink({ token }: { token: string }) {
    const w = words.value;
    const [refusal, setRefusal] = useState<ServerError | null>(null);
    const [round, setRound] = useState(0);
    useTitle(w.product);
    useEffect(() => {
        setRefusal(null);
        beginTabSession();
        api.joinByLink(token).then(
            (here) => {
                session.value = here;
                navigate(here.briefing === null ? '/' : `/b/${here.briefing}`, true);
            },
            (error: unknown) => setRefusal(asRefused(error).refusal),
        );
    }, [token, round]);
    if (refusal === null) return <Spinner>{w.link.working}</Spinner>;
    return (
        <Failed title={w.link.failed} refusal={refusal} retry={() => setRound(round + 1)}>
            <Link to="/" class="button plain normal">
                {w.home}
            </Link>
        </Failed>
    );
}

export function FirstAccount({ token }: { token: string }) {
    const w = words.value.first;
    const [login, setLogin] = useState('');
    const [name, setName] = useState('');
    const [password, setPassword] = useState('');
    const [again, setAgain] = useState('');
    const [working, setWorking] = useState(false);
    const [problem, setProblem] = useState<string | null>(null);
    useTitle(`${w.title} · ${words.value.product}`);
    const submit = async (event: Event) => {
        event.preventDefault();
        if (password !== again) {
            setProblem(w.different);
            return;
        }
        setWorking(true);
        setProblem(null);
        try {
            session.value = await api.firstAccount(token, login.trim(), name.trim(), password);
            navigate('/', true);
        } catch (error) {
            setProblem(sentence(asRefused(error).refusal));
            setWorking(false);
        }
    };
    return (
        <form class="card form" onSubmit={(event) => void submit(event)}>
            <h1>{w.title}</h1>
            <p class="dim">{w.lead}</p>
            <label class="field">
                <span>{w.name}</span>
                <input name="name" autocomplete="name" required maxLength={120} value={name} onInput={(e) => setName(e.currentTarget.value)} />
            </label>
            <label class="field">
                <span>{words.value.signIn.login}</span>
                <input name="username" autocomplete="username" autocapitalize="none" required pattern="[A-Za-z0-9._@\-]+" maxLength={63} value={login} onInput={(e) => setLogin(e.currentTarget.value)} />
            </label>
            <PasswordField label={w.password} name="new-password" value={password} onInput={setPassword} hint={w.passwordHint} />
            <PasswordField label={w.again} name="new-password" value={again} onInput={setAgain} />
            {problem !== null && (
                <p class="refusal" role="alert">
                    {problem}
                </p>
            )}
            <Button type="submit" tone="main" size="large" disabled={working}>
                {w.submit}
            </Button>
        </form>
    );
}
