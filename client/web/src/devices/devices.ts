// Cameras, microphones, speakers: choosing, remembering the choice, and why one cannot be had, in a code that has words.
export type DeviceProblem = 'denied' | 'none' | 'busy' | 'insecure' | 'failed';

export interface DeviceChoice {
    camera: string;
    microphone: string;
    speaker: string;
}

const choiceKey = 'giaoban.devices';

export function rememberedChoice(): DeviceChoice {
    try {
        const kept = JSON.parse(localStorage.getItem(choiceKey) ?? '{}') as Partial<DeviceChoice>;
        return { camera: kept.camera ?? '', microphone: kept.microphone ?? '', speaker: kept.speaker ?? '' };
    } catch {
        return { camera: '', microphone: '', speaker: '' };
    }
}

export function rememberChoice(choice: DeviceChoice): void {
    localStorage.setItem(choiceKey, JSON.stringify(choice));
}

export function problemOf(error: unknown): DeviceProblem {
    const name = error instanceof DOMException ? error.name : '';
    if (name === 'NotAllowedError' || name === 'SecurityError') return 'denied';
    if (name === 'NotFoundError' || name === 'OverconstrainedError') return 'none';
    if (name === 'NotReadableError' || name === 'AbortError') return 'busy';
    return 'failed';
}

export const canCapture = (): boolean => window.isSecureContext && 'mediaDevices' in navigator;
export const canShareScreen = (): boolean => canCapture() && 'getDisplayMedia' in navigator.mediaDevices;
export const canChooseSpeaker = (): boolean => 'setSinkId' in HTMLMediaElement.prototype;

const chosen = (deviceId: string): MediaTrackConstraints => (deviceId === '' ? {} : { deviceId: { exact: deviceId } });

async function firstTrack(constraints: MediaStreamConstraints): Promise<MediaStreamTrack> {
    if (!canCapture()) throw new DOMException('not a secure context', 'SecurityError');
    const stream = await navigator.mediaDevices.getUserMedia(constraints);
    const track = stream.getTracks()[0];
    if (track === undefined) throw new DOMException('no track', 'NotFoundError');
    return track;
}

/** The remembered device may be unplugged by now: any other of its kind will do. */
async function orAny(deviceId: string, open: (id: string) => Promise<MediaStreamTrack>): Promise<MediaStreamTrack> {
    try {
        return await open(deviceId);
    } catch (error) {
        if (deviceId === '' || problemOf(error) !== 'none') throw error;
        return open('');
    }
}

export function openCamera(deviceId: string, small: boolean): Promise<MediaStreamTrack> {
    const size = small ? { width: { ideal: 960 }, height: { ideal: 540 } } : { width: { ideal: 1280 }, height: { ideal: 720 } };
    return orAny(deviceId, async (id) => {
        const track = await firstTrack({ video: { ...size, frameRate: { ideal: 30, max: 30 }, ...chosen(id) } });
        track.contentHint = 'motion';
        return track;
    });
}

export function openMicrophone(deviceId: string): Promise<MediaStreamTrack> {
    return orAny(deviceId, async (id) => {
        const track = await firstTrack({
            audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1, ...chosen(id) },
        });
        track.contentHint = 'speech';
        return track;
    });
}

/** A page or window, sharp rather than fluent. null: the user changed their mind. */
export async function openScreen(): Promise<MediaStreamTrack | null> {
    try {
        const stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { ideal: 10, max: 15 } }, audio: false });
        const track = stream.getVideoTracks()[0] ?? null;
        if (track !== null) track.contentHint = 'detail';
        return track;
    } catch (error) {
        if (problemOf(error) === 'denied') return null;
        throw error;
    }
}

export interface DeviceLists {
    cameras: MediaDeviceInfo[];
    microphones: MediaDeviceInfo[];
    speakers: MediaDeviceInfo[];
}

export async function listDevices(): Promise<DeviceLists> {
    if (!canCapture()) return { cameras: [], microphones: [], speakers: [] };
    const all = await navigator.mediaDevices.enumerateDevices();
    const of = (kind: MediaDeviceKind) => all.filter((device) => device.kind === kind && device.deviceId !== '');
    return { cameras: of('videoinput'), microphones: of('audioinput'), speakers: of('audiooutput') };
}
