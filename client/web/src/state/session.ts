// Who is signed in here. undefined: not asked yet; null: nobody.
import { signal } from '@preact/signals';
import type { HttpSession, ServerError } from '../protocol.gen';
import { api, asRefused } from '../protocol/http';
import { endTabSession } from '../protocol/session';

export const session = signal<HttpSession | null | undefined>(undefined);
export const sessionProblem = signal<ServerError | null>(null);

export async function loadSession(): Promise<void> {
    sessionProblem.value = null;
    try {
        session.value = await api.session();
    } catch (error) {
        const refused = asRefused(error);
        if (refused.status === 401) session.value = null;
        else sessionProblem.value = refused.refusal;
    }
}

export async function signOut(): Promise<void> {
    await api.signOut().catch(() => undefined);
    endTabSession();
    session.value = null;
}
