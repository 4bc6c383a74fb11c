/**
 * Plays a page in headless Chromium, reads the capture time from every frame shown, and prints the delays as JSON.
 * browser.rs explains them.
 *
 *     node glass.mjs URL SETTLE SECONDS
 */

import { createRequire } from 'node:module';

import { blockCode } from '../../tests/page/code.mjs';

const tests = createRequire(new URL('../../tests/page/package.json', import.meta.url));
const { chromium } = tests('playwright-core');

/** Limit for a page to load and play from a small board. */
const SOON = { timeout: 60_000 };

const [url, settle, seconds] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  headless: true,
  args: [
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
  ],
});
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 720 } });
  await page.addInitScript(blockCode);
  await page.goto(url);
  await page.waitForFunction(() => globalThis.porthole?.state === 'live' && document.querySelector('video').videoWidth > 0,
    null, SOON);
  await page.waitForTimeout(settle * 1000);
  const result = await page.evaluate(watch, seconds * 1000);
  const { clock, setup } = await page.evaluate(() => globalThis.porthole.stats());
  // On the page's clock: the capture time is by the server's clock, whose offset the page has measured.
  const since = (captured, time) => (time === undefined ? null : time + clock.offset - captured);
  const frames = result.frames.map(({ frame, captured, received, presented, callback, displayed }) => ({
    number: frame,
    received: since(captured, received),
    presented: since(captured, presented),
    callback: since(captured, callback),
    displayed: since(captured, displayed),
  }));
  const report = {
    browser: `Chromium ${browser.version()}`, frames, unread: result.unread, error: clock.roundTrip / 2, setup,
  };
  process.stdout.write(JSON.stringify(report));
} finally {
  await browser.close();
}

/** Runs inside the page: collects every frame presented within a time span, with its timestamps. */
function watch(milliseconds) {
  const video = document.querySelector('video');
  const end = performance.now() + milliseconds;
  const frames = [];
  let unread = 0;
  return new Promise((resolve) => {
    const next = (_, metadata) => {
      // The callback's first argument is the start of the browser's rendering frame, which may precede the video frame.
      const now = performance.now();
      const code = globalThis.blockCode.read(video);
      const { receiveTime: received, presentationTime: presented, expectedDisplayTime: displayed } = metadata;
      if (code) frames.push({ ...code, received, presented, callback: now, displayed });
      else unread++;
      if (now >= end) resolve({ frames, unread });
      else video.requestVideoFrameCallback(next);
    };
    video.requestVideoFrameCallback(next);
  });
}
