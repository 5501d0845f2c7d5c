// Whether our own camera is sent smaller than it is wanted because of the line, as the browser says.

/** Some layer is limited by bandwidth, and the largest one that is sent is less than three quarters of the height that is wanted: a
 * sender that only trims its rate for a moment is not worth words. */
export function limitedByLine(stats: Iterable<Record<string, unknown>>, wantedHeight: number): boolean {
    let limited = false;
    let height = 0;
    for (const one of stats) {
        if (one['type'] !== 'outbound-rtp' || one['kind'] !== 'video') continue;
        if (one['qualityLimitationReason'] === 'bandwidth') limited = true;
        if (Number(one['framesPerSecond'] ?? 0) > 0) height = Math.max(height, Number(one['frameHeight'] ?? 0));
    }
    return limited && height < wantedHeight * 0.75;
}

/** The height of the largest layer that the server wants and does not bound below what we would send. Of one that it stopped or
 * bounded, browsers say "bandwidth" too: that is its viewers' line, or nobody looks. */
export function wantedHeight(now: readonly RTCRtpEncodingParameters[], own: readonly RTCRtpEncodingParameters[], cameraHeight: number): number {
    const free = now.filter((encoding, i) => (encoding.active ?? true) && (encoding.maxBitrate ?? Infinity) >= (own[i]?.maxBitrate ?? 0));
    return Math.max(0, ...free.map((encoding) => cameraHeight / (encoding.scaleResolutionDownBy ?? 1)));
}

export async function uplinkLimited(sender: RTCRtpSender, own: readonly RTCRtpEncodingParameters[]): Promise<boolean> {
    const wanted = wantedHeight(sender.getParameters().encodings ?? [], own, sender.track?.getSettings().height ?? 0);
    if (wanted === 0) return false;
    try {
        return limitedByLine([...(await sender.getStats()).values()] as Array<Record<string, unknown>>, wanted);
    } catch {
        return false;
    }
}
