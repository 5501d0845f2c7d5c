// Runs in every tested page before its own scripts. Two jobs: a camera and a microphone whose content can be recognised
// (the geometry of client/sim/picture.h, the tones of client/sim/sound.h), and readers for what the page shows and plays.
(() => {
    const CELLS = 16;
    const ROWS = 12;
    const check = (source, frame) => (source * 7 + ((frame >> 8) & 255) * 13 + (frame & 255) * 29 + 5) & 63;

    // --- the device -------------------------------------------------------------------------------------------------
    let device = null; // {source, stream}

    function drawRoom(context, width, height, source, frame) {
        context.fillStyle = `hsl(${(source * 47) % 360} 30% 35%)`;
        context.fillRect(0, 0, width, height);
        context.fillStyle = '#fff';
        context.font = `bold ${height / 10}px sans-serif`;
        context.fillText(`source ${source} frame ${frame}`, width * 0.05, height * 0.8);
        const rows = [0x8000 | (source << 6) | check(source, frame), frame & 0xffff];
        for (let row = 0; row < 2; row++)
            for (let i = 0; i < CELLS; i++) {
                context.fillStyle = (rows[row] >> (CELLS - 1 - i)) & 1 ? '#fff' : '#000';
                context.fillRect((i * width) / CELLS, (row * height) / ROWS, width / CELLS + 1, height / ROWS);
            }
        context.fillStyle = frame % 25 === 0 ? '#fff' : '#000';
        context.fillRect((11 * width) / CELLS, (4 * height) / ROWS, (4 * width) / CELLS, (4 * height) / ROWS);
    }

    function makeDevice({ source, width, height, fps }) {
        const canvas = document.createElement('canvas');
        canvas.width = width;
        canvas.height = height;
        const context = canvas.getContext('2d', { alpha: false });
        let frame = 0;
        drawRoom(context, width, height, source, frame);
        const video = canvas.captureStream(fps);
        // A worker's timer: a page's own is slowed down when its window is hidden.
        const ticks = new Worker(URL.createObjectURL(new Blob([`setInterval(() => postMessage(0), ${1000 / fps})`])));
        ticks.onmessage = () => drawRoom(context, width, height, source, (frame = (frame + 1) & 0xffff));
        const audio = new AudioContext({ sampleRate: 48000 });
        const tone = new OscillatorNode(audio, { frequency: 400 + 50 * source });
        const gain = new GainNode(audio, { gain: 0.12 });
        const out = audio.createMediaStreamDestination();
        tone.connect(gain).connect(out);
        tone.start();
        audio.resume();
        return { source, frame: () => frame, audio, stream: new MediaStream([...video.getVideoTracks(), ...out.stream.getAudioTracks()]) };
    }

    const settings = window.__device;
    if (settings && navigator.mediaDevices) {
        // The browser's own device is really opened, and stays open: addresses, autoplay and permissions follow from that.
        const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        let opened = null;
        navigator.mediaDevices.getUserMedia = async (wanted) => {
            opened ??= await open({ audio: true });
            device ??= makeDevice(settings);
            const tracks = [];
            if (wanted.video) tracks.push(device.stream.getVideoTracks()[0].clone());
            if (wanted.audio) tracks.push(device.stream.getAudioTracks()[0].clone());
            return new MediaStream(tracks);
        };
    }

    // A client that prefers another codec for what it sends.
    if (window.__codec) {
        const set = RTCRtpTransceiver.prototype.setCodecPreferences;
        RTCRtpTransceiver.prototype.setCodecPreferences = function (codecs) {
            const wanted = (c) => c.mimeType.toLowerCase() === window.__codec;
            return set.call(this, this.direction === 'sendonly' ? [...codecs.filter(wanted), ...codecs.filter((c) => !wanted(c))] : codecs);
        };
    }

    // A client whose camera is one stream with layers in it, instead of several streams.
    if (window.__scalability) {
        const add = RTCPeerConnection.prototype.addTransceiver;
        RTCPeerConnection.prototype.addTransceiver = function (track, init) {
            const encodings = init?.sendEncodings ?? [];
            if (encodings[0]?.rid !== undefined) encodings.splice(0, encodings.length, { scalabilityMode: window.__scalability, maxBitrate: 2_000_000 });
            return add.call(this, track, init);
        };
    }

    // --- the readers ------------------------------------------------------------------------------------------------
    const scratch = document.createElement('canvas');
    const pen = scratch.getContext('2d', { willReadFrequently: true });

    /** {source, frame, width, height, flash} of what a video element shows now; null when there is no readable code. */
    function see(video) {
        if (!video || !video.videoWidth) return null;
        scratch.width = 160;
        scratch.height = 90;
        pen.drawImage(video, 0, 0, 160, 90);
        const { data } = pen.getImageData(0, 0, 160, 90);
        const luma = (x0, x1, y0, y1) => {
            let sum = 0;
            let n = 0;
            for (let y = Math.ceil((y0 * 90) / ROWS + 2); y < (y1 * 90) / ROWS - 2; y++)
                for (let x = Math.ceil((x0 * 160) / CELLS + 2); x < (x1 * 160) / CELLS - 2; x++) {
                    const at = 4 * (y * 160 + x);
                    sum += data[at] + data[at + 1] + data[at + 2];
                    n += 3;
                }
            return sum / n;
        };
        const rows = [0, 1].map((row) => [...Array(CELLS).keys()].reduce((bits, i) => (bits << 1) | (luma(i, i + 1, row, row + 1) > 125), 0));
        const source = (rows[0] >> 6) & 0xff;
        if (rows[0] >> 14 !== 2 || (rows[0] & 63) !== check(source, rows[1])) return null;
        return { source, frame: rows[1], width: video.videoWidth, height: video.videoHeight, flash: luma(11, 15, 4, 8) > 125 };
    }

    let ears = null;
    const analysers = new Map();

    /** The strongest tones of a track, strongest first: [{hz, db}]. A second call some 200 ms later hears the present. */
    function hear(track) {
        ears ??= new AudioContext({ sampleRate: 48000 });
        ears.resume();
        let analyser = analysers.get(track.id);
        if (!analyser) {
            analyser = new AnalyserNode(ears, { fftSize: 16384, smoothingTimeConstant: 0 });
            ears.createMediaStreamSource(new MediaStream([track])).connect(analyser);
            analysers.set(track.id, analyser);
        }
        const bins = new Float32Array(analyser.frequencyBinCount);
        analyser.getFloatFrequencyData(bins);
        const peaks = [];
        for (let i = 3; i < bins.length - 1; i++)
            if (bins[i] > -75 && bins[i] >= bins[i - 1] && bins[i] > bins[i + 1]) peaks.push({ hz: Math.round((i * 48000) / 16384), db: Math.round(bins[i]) });
        return peaks.sort((a, b) => b.db - a.db).slice(0, 8);
    }

    window.__probe = { see, hear, device: () => device, draw: drawRoom };
})();
