// The design system's pieces: buttons, pills, menus, dialogs, and the drawn states for empty, loading and refused.
import type { ComponentChildren, ComponentType, JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { LoaderCircle, TriangleAlert, type LucideProps } from 'lucide-preact';
import type { ServerError } from '../protocol.gen';
import { language, sentence, switchLanguage, words } from '../i18n';
import { navigate } from '../state/route';

export type Icon = ComponentType<LucideProps>;
export type Tone = 'plain' | 'main' | 'jade' | 'gold' | 'quiet' | 'danger';

interface ButtonProps {
    icon?: Icon;
    tone?: Tone;
    size?: 'small' | 'normal' | 'large';
    shortcut?: string;
    label?: string; // for a button without words
    title?: string;
    pressed?: boolean;
    disabled?: boolean;
    type?: 'button' | 'submit';
    class?: string;
    id?: string;
    onClick?: (event: JSX.TargetedMouseEvent<HTMLButtonElement>) => void;
    children?: ComponentChildren;
}

export function Button({ icon: Glyph, tone = 'plain', size = 'normal', shortcut, label, title, pressed, children, type = 'button', ...rest }: ButtonProps) {
    return (
        <button
            {...rest}
            type={type}
            class={`button ${tone} ${size} ${children === undefined ? 'bare' : ''} ${rest.class ?? ''}`}
            aria-label={label}
            title={title ?? label}
            aria-pressed={pressed}
            aria-keyshortcuts={shortcut}
        >
            {Glyph !== undefined && <Glyph size={size === 'small' ? 16 : 18} aria-hidden="true" />}
            {children !== undefined && <span class="button-words">{children}</span>}
            {shortcut !== undefined && <kbd aria-hidden="true">{shortcut}</kbd>}
        </button>
    );
}

export function Link({ to, class: className, children, label }: { to: string; class?: string; children: ComponentChildren; label?: string }) {
    const follow = (event: MouseEvent) => {
        if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
        event.preventDefault();
        navigate(to);
    };
    return (
        <a href={to} class={className} onClick={follow} aria-label={label} title={label}>
            {children}
        </a>
    );
}

export function Pill({ icon: Glyph, tone = 'plain', title, children }: { icon?: Icon; tone?: 'plain' | 'cinnabar' | 'jade' | 'gold' | 'amber'; title?: string; children: ComponentChildren }) {
    return (
        <span class={`pill ${tone}`} title={title}>
            {Glyph !== undefined && <Glyph size={14} aria-hidden="true" />}
            <span>{children}</span>
        </span>
    );
}

export function LanguageSwitch() {
    return (
        <button type="button" class="language" onClick={switchLanguage} lang={language.value === 'vi' ? 'en' : 'vi'} title={words.value.other}>
            {language.value === 'vi' ? 'EN' : 'VI'}
            <span class="hidden-words"> {words.value.other}</span>
        </button>
    );
}

/** A modal question. Escape and the quiet button leave everything as it is. */
export function Dialog({ title, onClose, children, wide = false }: { title: string; onClose: () => void; children: ComponentChildren; wide?: boolean }) {
    const ref = useRef<HTMLDialogElement>(null);
    useEffect(() => {
        const dialog = ref.current;
        if (dialog === null) return;
        dialog.showModal();
        return () => dialog.close();
    }, []);
    return (
        <dialog ref={ref} class={wide ? 'wide' : ''} aria-label={title} onCancel={onClose} onClick={(event) => event.target === ref.current && onClose()}>
            <div class="dialog-body">
                <h2>{title}</h2>
                {children}
            </div>
        </dialog>
    );
}

export interface Question {
    title: string;
    lead: string;
    action: string;
    run: () => void;
    /** A second way to say yes. */
    other?: { words: string; run: () => void };
}

export function Confirm({ question, onClose }: { question: Question; onClose: () => void }) {
    const w = words.value;
    const { other } = question;
    return (
        <Dialog title={question.title} onClose={onClose}>
            <p class="dim">{question.lead}</p>
            <div class="dialog-actions">
                <Button onClick={onClose}>{w.cancel}</Button>
                {other !== undefined && (
                    <Button
                        onClick={() => {
                            onClose();
                            other.run();
                        }}
                    >
                        {other.words}
                    </Button>
                )}
                <Button
                    tone="main"
                    onClick={() => {
                        onClose();
                        question.run();
                    }}
                >
                    {question.action}
                </Button>
            </div>
        </Dialog>
    );
}

export interface MenuItem {
    icon: Icon;
    words: string;
    hint?: string;
    disabled?: boolean;
    danger?: boolean;
    run: () => void;
}

/** A button with a short list under it. Arrow keys move, Escape closes and gives the focus back. */
export function Menu({ icon, label, items, children, tone = 'plain', size = 'normal' }: { icon: Icon; label: string; items: MenuItem[]; children?: ComponentChildren; tone?: Tone; size?: 'small' | 'normal' }) {
    const [open, setOpen] = useState(false);
    const root = useRef<HTMLDivElement>(null);
    const list = useRef<HTMLDivElement>(null);
    useEffect(() => {
        if (!open) return;
        place(root.current, list.current);
        list.current?.querySelector<HTMLButtonElement>('button:not(:disabled)')?.focus();
        const outside = (event: PointerEvent) => {
            if (event.target instanceof Node && root.current?.contains(event.target) === false) setOpen(false);
        };
        const scrolled = (event: Event) => event.target !== list.current && setOpen(false);
        document.addEventListener('pointerdown', outside);
        document.addEventListener('scroll', scrolled, true);
        return () => {
            document.removeEventListener('pointerdown', outside);
            document.removeEventListener('scroll', scrolled, true);
        };
    }, [open]);
    const close = () => {
        setOpen(false);
        root.current?.querySelector('button')?.focus();
    };
    const move = (event: KeyboardEvent) => {
        if (!open) return;
        const buttons = [...(list.current?.querySelectorAll<HTMLButtonElement>('button:not(:disabled)') ?? [])];
        const at = buttons.findIndex((button) => button === document.activeElement);
        if (event.key === 'Escape') close();
        else if (event.key === 'ArrowDown') buttons[(at + 1) % buttons.length]?.focus();
        else if (event.key === 'ArrowUp') buttons[(at - 1 + buttons.length) % buttons.length]?.focus();
        else return;
        event.preventDefault();
        event.stopPropagation();
    };
    return (
        <div class="menu" ref={root} onKeyDown={move}>
            <Button icon={icon} tone={tone} size={size} label={children === undefined ? label : undefined!} title={label} pressed={open} onClick={() => setOpen(!open)}>
                {children}
            </Button>
            {open && (
                <div class="menu-list" role="menu" aria-label={label} ref={list}>
                    {items.map((item) => (
                        <button
                            type="button"
                            role="menuitem"
                            disabled={item.disabled}
                            class={item.danger ? 'danger' : ''}
                            onClick={() => {
                                close();
                                item.run();
                            }}
                        >
                            <item.icon size={16} aria-hidden="true" />
                            <span>
                                {item.words}
                                {item.hint !== undefined && <small>{item.hint}</small>}
                            </span>
                        </button>
                    ))}
                </div>
            )}
        </div>
    );
}

/** Under the button if there is room, above it otherwise; never outside the window. */
function place(root: HTMLElement | null, list: HTMLElement | null): void {
    if (root === null || list === null) return;
    const button = root.getBoundingClientRect();
    const { width, height } = list.getBoundingClientRect();
    const below = button.bottom + 6 + height < window.innerHeight;
    list.style.top = `${Math.max(8, below ? button.bottom + 6 : button.top - 6 - height)}px`;
    list.style.left = `${Math.max(8, Math.min(button.right - width, window.innerWidth - width - 8))}px`;
}

export function Spinner({ children }: { children: ComponentChildren }) {
    return (
        <div class="state-box" role="status">
            <LoaderCircle class="spin" size={28} aria-hidden="true" />
            <p>{children}</p>
        </div>
    );
}

export function Empty({ icon: Glyph, title, lead, children }: { icon: Icon; title: string; lead?: string; children?: ComponentChildren }) {
    return (
        <div class="state-box">
            <Glyph size={32} aria-hidden="true" />
            <h2>{title}</h2>
            {lead !== undefined && <p>{lead}</p>}
            {children !== undefined && <div class="state-actions">{children}</div>}
        </div>
    );
}

export function Failed({ title, refusal, retry, children }: { title: string; refusal: ServerError; retry?: () => void; children?: ComponentChildren }) {
    return (
        <div class="state-box failed" role="alert">
            <TriangleAlert size={32} aria-hidden="true" />
            <h2>{title}</h2>
            <p>{sentence(refusal)}</p>
            <div class="state-actions">
                {retry !== undefined && <Button onClick={retry}>{words.value.retry}</Button>}
                {children}
            </div>
        </div>
    );
}
