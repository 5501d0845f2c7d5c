// Clients that begin a media handshake and leave it there: an endpoint's offer, a connectivity check that proves its password
// (RFC 8489), a ClientHello (RFC 6347, 4.2), and then nothing.
import { createHmac, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../e2e/server.mjs';

const offer = readFileSync(join(root, 'tests', 'data', 'offers', 'firefox-153-two-tiles.sdp'), 'utf8');
const table = Array.from({ length: 256 }, (_, n) => {
    for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
    return n >>> 0;
});

function crc32(bytes) {
    let c = 0xffffffff;
    for (const b of bytes) c = table[(c ^ b) & 255] ^ (c >>> 8);
    return (c ^ 0xffffffff) >>> 0;
}

function u16(n) {
    return Buffer.from([n >> 8, n & 255]);
}

function u24(n) {
    return Buffer.from([n >> 16, (n >> 8) & 255, n & 255]);
}

function attribute(type, value) {
    return Buffer.concat([u16(type), u16(value.length), value, Buffer.alloc((4 - (value.length % 4)) % 4)]);
}

/** A binding request with USE-CANDIDATE, MESSAGE-INTEGRITY and FINGERPRINT. */
export function stunCheck(username, password) {
    const body = Buffer.concat([attribute(6, Buffer.from(username)), attribute(0x24, Buffer.from([0x6e, 0, 1, 255])), attribute(0x802a, randomBytes(8)), attribute(0x25, Buffer.alloc(0))]);
    const head = (length) => Buffer.concat([u16(1), u16(length), Buffer.from([0x21, 0x12, 0xa4, 0x42]), id]);
    const id = randomBytes(12);
    const mac = createHmac('sha1', password).update(Buffer.concat([head(body.length + 24), body])).digest();
    const signed = Buffer.concat([body, attribute(8, mac)]);
    const mark = Buffer.alloc(4);
    mark.writeUInt32BE((crc32(Buffer.concat([head(signed.length + 8), signed])) ^ 0x5354554e) >>> 0);
    return Buffer.concat([head(signed.length + 8), signed, attribute(0x8028, mark)]);
}

/** A DTLS 1.2 ClientHello that the server answers with its first flight. */
export function clientHello() {
    const extension = (type, value) => Buffer.concat([u16(type), u16(value.length), value]);
    const extensions = Buffer.concat([
        extension(10, Buffer.from([0, 4, 0, 0x1d, 0, 0x17])), // x25519; P-256, which the certificate is of
        extension(11, Buffer.from([1, 0])),
        extension(13, Buffer.from([0, 2, 4, 3])), // ecdsa_secp256r1_sha256
        extension(14, Buffer.from([0, 2, 0, 7, 0])), // SRTP_AEAD_AES_128_GCM
        extension(23, Buffer.alloc(0)),
    ]);
    const body = Buffer.concat([Buffer.from([0xfe, 0xfd]), randomBytes(32), Buffer.from([0, 0, 0, 2, 0xc0, 0x2b, 1, 0]), u16(extensions.length), extensions]);
    const message = Buffer.concat([Buffer.from([1]), u24(body.length), u16(0), u24(0), u24(body.length), body]);
    return Buffer.concat([Buffer.from([22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0]), u16(message.length), message]);
}

const sockets = [];

export function closeSockets() {
    for (const s of sockets.splice(0)) s.close();
}

export async function udpSocket(address) {
    const socket = createSocket({ type: 'udp4' });
    sockets.push(socket);
    await new Promise((resolve, reject) => socket.on('error', reject).bind(0, address, resolve));
    const s = { socket, stun: 0, dtls: 0, other: 0, send: (bytes, port) => socket.send(bytes, port, '127.0.0.1') };
    socket.on('message', (m) => (m[0] < 4 ? s.stun++ : m[0] === 22 ? s.dtls++ : s.other++));
    return s;
}

/** What the endpoint of `peer` (past hello) needs to knock: from `address`. Throws when the offer is refused. */
export async function place(peer, address, incarnation = 1) {
    const ufrag = randomBytes(4).toString('hex');
    const sdp = offer.replace(/a=ice-ufrag:.*/g, `a=ice-ufrag:${ufrag}`);
    const answer = await peer.ask('offer', { sdp, incarnation });
    if (!answer.result) throw new Error(`offer: ${JSON.stringify(answer)}`);
    const of = (pattern) => pattern.exec(answer.result.sdp)[1].trim();
    const udp = await udpSocket(address);
    const username = `${of(/a=ice-ufrag:(.*)/)}:${ufrag}`;
    const password = of(/a=ice-pwd:(.*)/);
    const port = Number(of(/a=candidate:\S+ 1 \S+ \d+ 127\.0\.0\.1 (\d+)/i));
    return { ...udp, port, udp, check: () => udp.send(stunCheck(username, password), port), hello: () => udp.send(clientHello(), port) };
}
