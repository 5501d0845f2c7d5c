// Whether our own camera is sent smaller than it could be because of the line, as the browser says.

/** Some layer is limited by bandwidth, and the largest one that is sent is less than three quarters of the camera's height: a
 * sender that only trims its rate for a moment is not worth words. */
export function limitedByLine(stats: Iterable<Record<string, unknown>>, cameraHeight: number): boolean {
    let limited = false;
    let height = 0;
    for (const one of stats) {
        if (one['type'] !== 'outbound-rtp' || one['kind'] !== 'video') continue;
        if (one['qualityLimitationReason'] === 'bandwidth') limited = true;
        if (Number(one['framesPerSecond'] ?? 0) > 0) height = Math.max(height, Number(one['frameHeight'] ?? 0));
    }
    return limited && height < cameraHeight * 0.75;
}

export async function uplinkLimited(pc: RTCPeerConnection, track: MediaStreamTrack): Promise<boolean> {
    const sender = pc.getSenders().find((one) => one.track === track);
    if (sender === undefined) return false;
    try {
        return limitedByLine([...(await sender.getStats()).values()] as Array<Record<string, unknown>>, track.getSettings().height ?? 0);
    } catch {
        return false;
    }
}
