// One peer connection: one offer in the protocol's order, one answer. What is in a slot is the server's decision and comes
// by the notice `slots`; here a slot is a place in the offer.
import type { NoticeSend, ResultOffer } from '../protocol.gen';
import { Steering } from './steer';
import { uplinkLimited } from './uplink';

export interface Outgoing {
    microphone: MediaStreamTrack | null;
    camera: MediaStreamTrack | null;
    screen: MediaStreamTrack | null;
}

export type SoundName = 'stage-sound' | 'sound1' | 'sound2' | 'sound3';
export type PictureName = 'stage' | 'screen' | `tile${number}`;
export type SlotName = SoundName | PictureName;

export interface ReceiveHandlers {
    sound(name: SoundName, track: MediaStreamTrack): void;
    picture(name: PictureName, track: MediaStreamTrack): void;
    state(state: RTCPeerConnectionState): void;
}

const sounds: readonly SoundName[] = ['sound1', 'sound2', 'sound3'];

/** Simulcast layers, lowest first. Chromium sends the top one of three only from 960 × 540 up, of two from 480 × 270. */
export function layersFor(width: number, height: number): RTCRtpEncodingParameters[] {
    const three: RTCRtpEncodingParameters[] = [
        { rid: 'l', scaleResolutionDownBy: 4, maxBitrate: 150_000 },
        { rid: 'm', scaleResolutionDownBy: 2, maxBitrate: 500_000 },
        { rid: 'h', scaleResolutionDownBy: 1, maxBitrate: 1_700_000 },
    ];
    if (width >= 960 && height >= 540) return three;
    if (width >= 480 && height >= 270)
        return [
            { rid: 'l', scaleResolutionDownBy: 2, maxBitrate: 180_000 },
            { rid: 'm', scaleResolutionDownBy: 1, maxBitrate: 600_000 },
        ];
    return [{ rid: 'l', scaleResolutionDownBy: 1, maxBitrate: 250_000 }];
}

/** Temporal layers: a narrow line gets fewer frames before it gets a smaller picture. Browsers that can't leave it out. */
type Scalable = RTCRtpEncodingParameters & { scalabilityMode?: string };
const inThreeSteps = (encoding: RTCRtpEncodingParameters): Scalable => ({ ...encoding, scalabilityMode: 'L1T3' });

/** What is said comes first on a weak line. */
const soundEncodings: RTCRtpEncodingParameters[] = [{ priority: 'high', networkPriority: 'high' }];
const screenEncodings: RTCRtpEncodingParameters[] = [{ maxBitrate: 2_500_000, maxFramerate: 15, priority: 'medium' }];

function cameraLayers(track: MediaStreamTrack | null): RTCRtpEncodingParameters[] {
    const { width = 1280, height = 720 } = track?.getSettings() ?? {};
    return layersFor(Math.max(width, height), Math.min(width, height)).map(inThreeSteps);
}

/** What the server speaks. A browser's whole list makes an offer of 60 KB, fifteen times over. */
function spoken(codec: RTCRtpCodec): boolean {
    const type = codec.mimeType.toLowerCase();
    const fmtp = codec.sdpFmtpLine ?? '';
    if (type === 'video/h264') return fmtp.includes('profile-level-id=42e01f') && fmtp.includes('packetization-mode=1');
    if (type === 'video/vp9') return !/profile-id=[1-9]/.test(fmtp);
    return type === 'audio/opus' || type === 'audio/red' || type === 'video/vp8' || type === 'video/rtx';
}

function keepSpoken(transceiver: RTCRtpTransceiver): void {
    if (!('setCodecPreferences' in transceiver)) return;
    const kind = transceiver.receiver.track.kind;
    const side = transceiver.direction === 'sendonly' ? RTCRtpSender : RTCRtpReceiver;
    const codecs = side.getCapabilities(kind)?.codecs.filter(spoken) ?? [];
    try {
        if (codecs.length > 0) transceiver.setCodecPreferences(codecs);
    } catch {
        // A browser that refuses the list offers all it has.
    }
}

const common: RTCConfiguration = { bundlePolicy: 'max-bundle', rtcpMuxPolicy: 'require' };

/** A browser that does not like an address of a TURN server does without. */
function connectionTo(iceServers: RTCIceServer[]): RTCPeerConnection {
    try {
        return new RTCPeerConnection({ ...common, iceServers });
    } catch {
        return new RTCPeerConnection(common);
    }
}

/** Its media go by a TURN server. */
async function isRelayed(pc: RTCPeerConnection): Promise<boolean> {
    const all = [...((await pc.getStats()) as unknown as Map<string, Record<string, unknown>>).values()];
    const chosen = all.find((one) => one['type'] === 'transport')?.['selectedCandidatePairId'];
    const pair = all.find((one) => one['type'] === 'candidate-pair' && (one['id'] === chosen || one['selected'] === true));
    return pair !== undefined && all.some((one) => one['id'] === pair['localCandidateId'] && one['candidateType'] === 'relay');
}

export class Peer {
    readonly connection: RTCPeerConnection;
    renewAtMs = Infinity; // what it has of TURN servers is to be replaced then
    private readonly microphone: RTCRtpTransceiver;
    private readonly camera: RTCRtpTransceiver;
    private readonly screen: RTCRtpTransceiver;
    private readonly receivers: Array<[SlotName, RTCRtpTransceiver]> = [];
    private readonly cameraLayers: RTCRtpEncodingParameters[];
    private readonly steering: { camera: Steering; screen: Steering };

    constructor(outgoing: Outgoing, tiles: number, iceServers: RTCIceServer[], private readonly handlers: ReceiveHandlers) {
        const pc = connectionTo(iceServers);
        this.connection = pc;
        const layers = (this.cameraLayers = cameraLayers(outgoing.camera));
        this.microphone = pc.addTransceiver(outgoing.microphone ?? 'audio', { direction: 'sendonly', sendEncodings: soundEncodings });
        this.camera = pc.addTransceiver(outgoing.camera ?? 'video', { direction: 'sendonly', sendEncodings: layers });
        this.screen = pc.addTransceiver(outgoing.screen ?? 'video', { direction: 'sendonly', sendEncodings: screenEncodings });
        this.steering = { camera: new Steering(this.camera.sender, layers), screen: new Steering(this.screen.sender, screenEncodings) };
        this.receive('stage-sound', 'audio');
        this.receive('stage', 'video');
        this.receive('screen', 'video');
        for (const name of sounds) this.receive(name, 'audio');
        for (let i = 0; i < tiles; i++) this.receive(`tile${i}`, 'video');
        pc.getTransceivers().forEach(keepSpoken);
        pc.addEventListener('connectionstatechange', () => handlers.state(pc.connectionState));
        pc.addEventListener('track', (event) => this.arrived(event));
    }

    /** Offers, and takes the server's answer. Candidates are the server's alone (ICE-lite), so nothing is gathered first. */
    async connect(exchange: (sdp: string) => Promise<ResultOffer>): Promise<void> {
        const pc = this.connection;
        const offer = await pc.createOffer();
        await pc.setLocalDescription(offer);
        const answer = await exchange(pc.localDescription?.sdp ?? offer.sdp ?? '');
        if (pc.signalingState === 'closed') return;
        await pc.setRemoteDescription({ type: 'answer', sdp: answer.sdp });
    }

    /** mid → place, once offered. */
    places(): Map<string, SlotName> {
        const map = new Map<string, SlotName>();
        for (const [name, transceiver] of this.receivers) if (transceiver.mid !== null) map.set(transceiver.mid, name);
        return map;
    }

    replace(kind: keyof Outgoing, track: MediaStreamTrack | null): Promise<void> {
        return this[kind].sender.replaceTrack(track);
    }

    /** What the server wants of our pictures: layers nobody looks at stop. */
    steer(wanted: NoticeSend): void {
        if (wanted.camera !== undefined) this.steering.camera.steer(wanted.camera);
        if (wanted.screen !== undefined) this.steering.screen.steer(wanted.screen);
    }

    /** Our camera is sent smaller than it is wanted, because of the line. */
    cameraLimited(): Promise<boolean> {
        return uplinkLimited(this.camera.sender, this.cameraLayers);
    }

    /** New credentials. false: its media go by a relay that was got with the old ones, which end with these (RFC 8656, 9.2: an
     * allocation keeps its user). */
    async useServers(iceServers: RTCIceServer[]): Promise<boolean> {
        try {
            this.connection.setConfiguration({ ...common, iceServers });
            return !(await isRelayed(this.connection));
        } catch {
            return true; // closed, or a browser that can't: the next connection has them
        }
    }

    close(): void {
        this.connection.close();
    }

    private receive(name: SlotName, kind: 'audio' | 'video'): void {
        this.receivers.push([name, this.connection.addTransceiver(kind, { direction: 'recvonly' })]);
    }

    private arrived(event: RTCTrackEvent): void {
        const found = this.receivers.find(([, transceiver]) => transceiver === event.transceiver);
        if (found === undefined) return;
        const [name] = found;
        if (event.track.kind === 'audio') this.handlers.sound(name as SoundName, event.track);
        else this.handlers.picture(name as PictureName, event.track);
    }
}
