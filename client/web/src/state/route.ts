// Where we are: the address bar as a signal.
import { signal } from '@preact/signals';

export const path = signal(location.pathname);

window.addEventListener('popstate', () => (path.value = location.pathname));

export function navigate(to: string, replace = false): void {
    if (replace) history.replaceState(null, '', to);
    else history.pushState(null, '', to);
    path.value = location.pathname;
    window.scrollTo(0, 0);
}
