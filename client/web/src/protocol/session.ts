// A tab that came by a join link has a session of its own, beside the browser's other ones: its name travels as `s`.
const key = 'giaoban.session';

export function sessionName(): string | null {
    return sessionStorage.getItem(key);
}

export function beginTabSession(): void {
    const bytes = crypto.getRandomValues(new Uint8Array(6));
    sessionStorage.setItem(key, Array.from(bytes, (byte) => (byte % 36).toString(36)).join(''));
}

export function endTabSession(): void {
    sessionStorage.removeItem(key);
}

export function withSession(path: string): string {
    const name = sessionName();
    return name === null ? path : `${path}${path.includes('?') ? '&' : '?'}s=${name}`;
}
