import { useState } from 'preact/hooks';
import { Eye, EyeOff } from 'lucide-preact';
import type { ServerError } from '../protocol.gen';
import { useTitle } from '../components/hooks';
import { Button, Link } from '../components/ui';
import { sentence, words } from '../i18n';
import { api, asRefused } from '../protocol/http';
import { session } from '../state/session';

export function PasswordField({ label, value, onInput, name, hint }: { label: string; value: string; onInput: (value: string) => void; name: string; hint?: string }) {
    const [shown, setShown] = useState(false);
    const w = words.value.signIn;
    return (
        <label class="field">
            <span>{label}</span>
            <span class="field-row">
                <input type={shown ? 'text' : 'password'} name={name} autocomplete={name} required value={value} onInput={(e) => onInput(e.currentTarget.value)} />
                <Button icon={shown ? EyeOff : Eye} tone="quiet" size="small" label={shown ? w.hide : w.show} onClick={() => setShown(!shown)} />
            </span>
            {hint !== undefined && <small>{hint}</small>}
        </label>
    );
}

export function SignIn() {
    const w = words.value.signIn;
    const [login, setLogin] = useState('');
    const [password, setPassword] = useState('');
    const [working, setWorking] = useState(false);
    const [refusal, setRefusal] = useState<ServerError | null>(null);
    useTitle(`${w.title} · ${words.value.product}`);
    const submit = async (event: Event) => {
        event.preventDefault();
        setWorking(true);
        setRefusal(null);
        try {
            session.value = await api.signIn(login.trim(), password);
        } catch (error) {
            setRefusal(asRefused(error).refusal);
            setWorking(false);
        }
    };
    return (
        <form class="card form" onSubmit={(event) => void submit(event)}>
            <h1>{w.title}</h1>
            <p class="dim">{w.lead}</p>
            <label class="field">
                <span>{w.login}</span>
                <input name="username" autocomplete="username" autocapitalize="none" spellcheck={false} required value={login} onInput={(e) => setLogin(e.currentTarget.value)} />
            </label>
            <PasswordField label={w.password} name="current-password" value={password} onInput={setPassword} />
            {refusal !== null && (
                <p class="refusal" role="alert">
                    {sentence(refusal)}
                </p>
            )}
            <Button type="submit" tone="main" size="large" disabled={working}>
                {working ? w.working : w.submit}
            </Button>
            <Link to="/help" class="quiet-link">
                {w.help}
            </Link>
        </form>
    );
}
