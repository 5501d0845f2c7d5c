// /api/v1 over fetch. A refusal becomes a Refused with the server's own sentences.
import type {
    HttpBriefing, HttpBriefings, HttpRecording, HttpRecordings, HttpSession, HttpUnits, ServerError,
} from '../protocol.gen';
import { unreachable } from '../i18n/refusals';
import { withSession } from './session';

export class Refused extends Error {
    constructor(readonly refusal: ServerError, readonly status = 0) {
        super(refusal.code);
    }
}

export function asRefused(error: unknown): Refused {
    return error instanceof Refused ? error : new Refused(unreachable);
}

async function refusalOf(response: Response): Promise<ServerError> {
    try {
        const body = (await response.json()) as { error?: ServerError };
        if (body.error !== undefined) return body.error;
    } catch {
        // Not the server's JSON: something between us answered.
    }
    return { ...unreachable, code: `http-${response.status}` };
}

async function call<T>(method: 'GET' | 'POST' | 'DELETE', path: string, body?: object): Promise<T> {
    const init: RequestInit = { method, credentials: 'same-origin', headers: { Accept: 'application/json' } };
    if (method !== 'GET') init.headers = { Accept: 'application/json', 'Content-Type': 'application/json' };
    if (body !== undefined) init.body = JSON.stringify(body);
    let response: Response;
    try {
        response = await fetch(withSession(`/api/v1/${path}`), init);
    } catch {
        throw new Refused(unreachable);
    }
    if (!response.ok) throw new Refused(await refusalOf(response), response.status);
    if (response.status === 204) return undefined as T;
    const text = await response.text();
    return (text === '' ? undefined : JSON.parse(text)) as T;
}

const id = encodeURIComponent;

export const api = {
    session: () => call<HttpSession>('GET', 'session'),
    signIn: (login: string, password: string) => call<HttpSession>('POST', 'session', { login, password }),
    joinByLink: (token: string) => call<HttpSession>('POST', 'session/link', { token }),
    firstAccount: (token: string, login: string, name: string, password: string) =>
        call<HttpSession>('POST', 'session/first', { token, login, name, password }),
    signOut: () => call<void>('DELETE', 'session'),
    units: () => call<HttpUnits>('GET', 'units'),
    briefings: (fromMs: number, toMs: number) => call<HttpBriefings>('GET', `briefings?from_ms=${fromMs}&to_ms=${toMs}`),
    briefing: (briefing: string) => call<HttpBriefing>('GET', `briefings/${id(briefing)}`),
    plan: (title: string, starts_ms: number, units: string[], record: boolean) =>
        call<HttpBriefing>('POST', 'briefings', { title, starts_ms, units, record }),
    recordings: () => call<HttpRecordings>('GET', 'archive'),
    recording: (recording: string) => call<HttpRecording>('GET', `archive/${id(recording)}`),
    compose: (recording: string, format: 'mp4' | 'webm') => call<void>('POST', `archive/${id(recording)}/compose`, { format }),
    file: (recording: string, name: string) => withSession(`/api/v1/archive/${id(recording)}/files/${name}`),
};
