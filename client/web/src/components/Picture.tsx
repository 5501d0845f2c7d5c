// Mounts a receive slot's element, or shows a track of our own.
import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { Wifi, WifiOff } from 'lucide-preact';
import type { PictureView } from '../media/view';

export function Picture({ view, shown }: { view: PictureView; shown: boolean }) {
    const host = useRef<HTMLDivElement>(null);
    useEffect(() => {
        host.current?.append(view.root);
        return () => view.root.remove();
    }, [view]);
    return <div class={`picture ${shown && view.hasPicture.value ? '' : 'covered'}`} ref={host} />;
}

/** Over a picture that our line does not hold: its last frame dimmed, and what is so. */
export function Veil({ small = false, away = false, children }: { small?: boolean; away?: boolean; children: ComponentChildren }) {
    const Glyph = away ? WifiOff : Wifi;
    return (
        <span class={`veil ${small ? 'small' : ''}`} role={small ? undefined : 'status'}>
            <Glyph size={small ? 16 : 28} aria-hidden="true" />
            <span>{children}</span>
        </span>
    );
}

export function OwnPicture({ track, label, slot }: { track: MediaStreamTrack; label: string; slot?: string }) {
    const ref = useRef<HTMLVideoElement>(null);
    useEffect(() => {
        if (ref.current === null) return;
        ref.current.srcObject = new MediaStream([track]);
        void ref.current.play().catch(() => undefined);
    }, [track]);
    return <video class="own-picture" ref={ref} muted autoplay playsInline aria-label={label} data-own={slot} />;
}
