// The language on screen: Vietnamese first, English by a switch that is remembered.
import { computed, effect, signal } from '@preact/signals';
import type { ServerError } from '../protocol.gen';
import { en } from './en';
import { vi, type Words } from './vi';

export type Language = 'vi' | 'en';
const key = 'giaoban.language';

export const language = signal<Language>(localStorage.getItem(key) === 'en' ? 'en' : 'vi');
export const words = computed<Words>(() => (language.value === 'en' ? en : vi));

effect(() => {
    document.documentElement.lang = language.value;
    localStorage.setItem(key, language.value);
});

export function switchLanguage(): void {
    language.value = language.value === 'vi' ? 'en' : 'vi';
}

/** The server's own sentence, in the language on screen. */
export const sentence = (refusal: ServerError): string => refusal[language.value];

/** 3:05, 1:02:07 */
export function timecode(seconds: number): string {
    const whole = Math.max(0, Math.floor(seconds));
    const two = (n: number) => String(n).padStart(2, '0');
    const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
    return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${two(m)}:${two(s)}`;
}
