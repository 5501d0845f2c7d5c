import { useEffect, useRef, useState } from 'preact/hooks';
import type { ServerError } from '../protocol.gen';
import { asRefused } from '../protocol/http';

/** The time, renewed every `everyMs`; `now` is the server's clock where there is one. */
export function useNow(everyMs = 1000, now: () => number = Date.now): number {
    const [value, setValue] = useState(now());
    useEffect(() => {
        const timer = setInterval(() => setValue(now()), everyMs);
        return () => clearInterval(timer);
    }, [everyMs]);
    return value;
}

export type Loaded<T> = { state: 'loading' } | { state: 'failed'; refusal: ServerError } | { state: 'here'; value: T };

/** Asks when `key` changes, again on `reload()`, and every `everyMs` if given; an answer that is there stays until the next. */
export function useLoaded<T>(key: string, ask: () => Promise<T>, everyMs = 0): [Loaded<T>, () => void] {
    const [loaded, setLoaded] = useState<Loaded<T>>({ state: 'loading' });
    const [round, setRound] = useState(0);
    const asked = useRef(key);
    useEffect(() => {
        let current = true;
        if (asked.current !== key) setLoaded({ state: 'loading' });
        asked.current = key;
        const once = () =>
            ask().then(
                (value) => current && setLoaded({ state: 'here', value }),
                (error: unknown) => current && setLoaded((before) => (before.state === 'here' && everyMs > 0 ? before : { state: 'failed', refusal: asRefused(error).refusal })),
            );
        void once();
        const timer = everyMs > 0 ? setInterval(() => void once(), everyMs) : null;
        return () => {
            current = false;
            if (timer !== null) clearInterval(timer);
        };
    }, [key, round, everyMs]);
    return [loaded, () => setRound(round + 1)];
}

export function useTitle(title: string): void {
    useEffect(() => {
        document.title = title;
    }, [title]);
}

/** Meeting screens are lacquer, desk work is paper. */
export function useGround(ground: 'lacquer' | 'paper'): void {
    useEffect(() => {
        document.documentElement.dataset['ground'] = ground;
    }, [ground]);
}
