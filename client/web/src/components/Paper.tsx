// The frame of desk work: header with where one can go and who one is.
import type { ComponentChildren } from 'preact';
import { Landmark, LogOut } from 'lucide-preact';
import { words } from '../i18n';
import { path } from '../state/route';
import { session, signOut } from '../state/session';
import { useGround } from './hooks';
import { Button, LanguageSwitch, Link } from './ui';

export function Paper({ children }: { children: ComponentChildren }) {
    useGround('paper');
    const w = words.value;
    const here = path.value;
    const who = session.value;
    return (
        <div class="paper">
            <a class="skip" href="#main">
                {w.skip}
            </a>
            <header class="paper-header">
                <Link to="/" class="brand">
                    <span class="brand-mark">
                        <Landmark size={20} aria-hidden="true" />
                    </span>
                    <span class="brand-words">{w.productPlace}</span>
                </Link>
                <nav>
                    <Link to="/" class={here === '/' ? 'here' : ''}>
                        {w.home_.today}
                    </Link>
                    {who != null && (
                        <Link to="/archive" class={here.startsWith('/archive') ? 'here' : ''}>
                            {w.home_.archive}
                        </Link>
                    )}
                    <Link to="/help" class={here === '/help' ? 'here' : ''}>
                        {w.home_.help}
                    </Link>
                </nav>
                <span class="grow" />
                {who != null && <span class="who">{who.person?.name || w.roles[who.role]}</span>}
                <LanguageSwitch />
                {who != null && <Button icon={LogOut} tone="quiet" size="small" label={w.home_.signOut} onClick={() => void signOut()} />}
            </header>
            <main id="main" class="paper-main">
                {children}
            </main>
        </div>
    );
}
