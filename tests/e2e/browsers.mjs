// Stock Chromium and Firefox ESR, driven by puppeteer-core.
import puppeteer from 'puppeteer-core';

const CHROMIUM_FLAGS = [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-dev-shm-usage', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream=fps=30',
    '--allow-loopback-in-peer-connection', '--disable-features=WebRtcHideLocalIpsWithMdns', '--ignore-certificate-errors',
    '--disable-background-timer-throttling', '--disable-backgrounding-occluded-windows', '--disable-renderer-backgrounding',
];

export async function chromium({ flags = [], width = 1366, height = 768, withoutFakeUi = false, executablePath = '/usr/bin/chromium', pipe = false } = {}) {
    const all = withoutFakeUi ? CHROMIUM_FLAGS.filter((f) => f !== '--use-fake-ui-for-media-stream') : CHROMIUM_FLAGS;
    return puppeteer.launch({
        executablePath,
        pipe, // for a browser in another network namespace, whose port is not reached
        headless: true,
        args: [...all, ...flags],
        defaultViewport: { width, height },
        acceptInsecureCerts: true,
        protocolTimeout: 120000,
    });
}

export async function firefox({ width = 1366, height = 768 } = {}) {
    return puppeteer.launch({
        browser: 'firefox',
        executablePath: '/usr/bin/firefox-esr',
        headless: true,
        defaultViewport: { width, height },
        acceptInsecureCerts: true,
        protocolTimeout: 120000,
        extraPrefsFirefox: {
            'media.navigator.streams.fake': true,
            'media.navigator.permission.disabled': true,
            'media.peerconnection.ice.loopback': true,
            'media.peerconnection.ice.obfuscate_host_addresses': false,
            'media.autoplay.default': 0,
            'media.autoplay.block-webaudio': false,
            'media.autoplay.blocking_policy': 0,
        },
    });
}

/** A page in a window and a profile of its own (a hidden tab shows no frames); its errors are kept in `page.problems`. */
export async function newPage(browser) {
    const context = await browser.createBrowserContext();
    const page = await context.newPage();
    page.problems = [];
    page.on('response', (r) => r.status() >= 400 && page.problems.push(`${r.status()} ${r.url()}`));
    page.on('pageerror', (error) => page.problems.push(String(error)));
    page.on('console', (message) => {
        if (process.env.GIAOBAN_LOG) process.stderr.write(`[page] ${message.type()} ${message.text()}\n`);
        if (message.type() === 'error') page.problems.push(message.text());
    });
    return page;
}
