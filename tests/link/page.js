// Runs in every page of these tests before its own scripts: watches what video[data-slot="stage"] shows and what
// audio[data-slot="stage-sound"] plays, in the conference's page and in the plain one (a direct call, another server) alike.
(() => {
    const SOUND_LOOK_MS = 10;
    const element = (selector) => document.querySelector(selector);
    const video = () => element('video[data-slot="stage"]');
    const audio = () => element('audio[data-slot="stage-sound"]');
    const trackOf = (e) => e?.srcObject?.getTracks()[0] ?? null;

    const connections = [];
    const Native = window.RTCPeerConnection;
    window.RTCPeerConnection = class extends Native {
        constructor(...args) {
            super(...args);
            connections.push(this);
        }
    };

    // The room's camera: one that two processors bear beside the rest of the test.
    const size = window.__camera;
    if (size && navigator.mediaDevices) {
        const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        navigator.mediaDevices.getUserMedia = (wanted) =>
            open(wanted.video ? { ...wanted, video: { width: size.width, height: size.height, frameRate: 30 } } : wanted);
    }

    // --- frames -----------------------------------------------------------------------------------------------------
    const frames = []; // [wall ms, height]
    let followed = null;
    const follow = () => {
        const v = video();
        if (v && v !== followed) {
            followed = v;
            const look = (now, of) => {
                if (v !== followed) return;
                frames.push([performance.timeOrigin + now, of.height]);
                v.requestVideoFrameCallback(look);
            };
            v.requestVideoFrameCallback(look);
        }
    };
    setInterval(follow, 50);

    // --- sound ------------------------------------------------------------------------------------------------------
    const gaps = []; // [wall ms at its end, ms] of times without a new sample of the stage's sound, from 40 ms up
    const sound = { last: null, at: 0 };
    function listen() {
        const track = trackOf(audio());
        const receiver = track && connections.flatMap((pc) => (pc.connectionState === 'closed' ? [] : pc.getReceivers())).find((r) => r.track === track);
        const source = receiver?.getSynchronizationSources()[0];
        const now = performance.timeOrigin + performance.now();
        if (source && source.rtpTimestamp !== sound.last) {
            if (sound.last !== null && now - sound.at > 40) gaps.push([now, now - sound.at]);
            sound.last = source.rtpTimestamp;
            sound.at = now;
        }
    }
    setInterval(listen, SOUND_LOOK_MS);

    // --- statistics -------------------------------------------------------------------------------------------------
    async function sample() {
        const wanted = { video: trackOf(video())?.id, audio: trackOf(audio())?.id };
        const out = { at: performance.timeOrigin + performance.now(), video: null, audio: null, sends: {} };
        for (const pc of connections.filter((c) => c.connectionState !== 'closed'))
            for (const s of (await pc.getStats()).values()) {
                if (s.type === 'inbound-rtp' && (s.trackIdentifier ? s.trackIdentifier === wanted[s.kind] : s.bytesReceived))
                    out[s.kind] = {
                        frames: s.framesDecoded, height: s.frameHeight, frozen_s: s.totalFreezesDuration, nacks: s.nackCount, plis: s.pliCount,
                        concealed: s.concealedSamples, silent: s.silentConcealedSamples, samples: s.totalSamplesReceived, lost: s.packetsLost, received: s.packetsReceived,
                        fec: s.fecPacketsReceived, fec_discarded: s.fecPacketsDiscarded, codec: s.codecId,
                    };
                if (s.type === 'outbound-rtp' && s.packetsSent)
                    out.sends[s.kind === 'audio' ? 'sound' : (s.rid ?? 'picture')] = {
                        height: s.frameHeight, frames: s.framesEncoded, limited: s.qualityLimitationReason,
                        bytes: s.bytesSent + 60 * s.packetsSent, // with headers, IP, UDP and the tag; without padding, which is in headerBytesSent
                    };
            }
        return out;
    }

    window.__watch = { sample, frames: () => frames, gaps: () => gaps, connections };

    // --- the plain page ---------------------------------------------------------------------------------------------
    const gathered = (pc) =>
        new Promise((resolve) => {
            const look = () => pc.iceGatheringState === 'complete' && resolve();
            pc.addEventListener('icegatheringstatechange', look);
            look();
        });

    window.__plain = {
        connections: {},
        async open(width, height) {
            this.stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width, height, frameRate: 30 } });
        },
        connection(name) {
            const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
            pc.addEventListener('track', ({ track }) => {
                const e = element(track.kind === 'video' ? 'video' : 'audio');
                e.srcObject = new MediaStream([track]);
                e.play();
            });
            return (this.connections[name] = pc);
        },
        async offer(name, encodings) {
            const pc = this.connection(name);
            pc.addTransceiver(this.stream.getAudioTracks()[0], { direction: name === 'direct' ? 'sendrecv' : 'sendonly' });
            pc.addTransceiver(this.stream.getVideoTracks()[0], { direction: name === 'direct' ? 'sendrecv' : 'sendonly', sendEncodings: encodings });
            await pc.setLocalDescription();
            await gathered(pc);
            return pc.localDescription.sdp;
        },
        async answer(name, sdp, sending) {
            const pc = this.connection(name);
            await pc.setRemoteDescription({ type: 'offer', sdp });
            if (sending) for (const track of this.stream.getTracks()) pc.addTrack(track, this.stream);
            await pc.setLocalDescription();
            await gathered(pc);
            return pc.localDescription.sdp;
        },
        accept(name, sdp) {
            return this.connections[name].setRemoteDescription({ type: 'answer', sdp });
        },
        state(name) {
            return this.connections[name]?.connectionState;
        },
        close() {
            for (const pc of Object.values(this.connections)) pc.close();
            this.connections = {};
        },
    };
})();
