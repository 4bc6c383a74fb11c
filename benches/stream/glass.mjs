/**
 * Plays a page in headless Chromium, reads the capture time from every picture shown, and prints the delays as JSON. What
 * they mean stands in browser.rs.
 *
 *     node glass.mjs URL SETTLE SECONDS
 */

import { createRequire } from 'node:module';

import { blockCode } from '../../tests/page/code.mjs';

const tests = createRequire(new URL('../../tests/page/package.json', import.meta.url));
const { chromium } = tests('playwright-core');

/** For a page to load and play on a small board. */
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
  const seen = await page.evaluate(watch, seconds * 1000);
  const { clock, setup } = await page.evaluate(() => globalThis.porthole.stats());
  // Both on the page's clock: the picture's time is the board's, which the page has measured against its own.
  const since = (captured, time) => (time === undefined ? null : time + clock.offset - captured);
  const frames = seen.frames.map(({ frame, captured, received, presented, callback, displayed }) => ({
    number: frame,
    received: since(captured, received),
    presented: since(captured, presented),
    callback: since(captured, callback),
    displayed: since(captured, displayed),
  }));
  const report = {
    browser: `Chromium ${browser.version()}`, frames, unread: seen.unread, error: clock.roundTrip / 2, setup,
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
    const next = (_, picture) => {
      // The callback's own argument is the beginning of the browser's frame, which may lie before the picture came.
      const now = performance.now();
      const code = globalThis.blockCode.read(video);
      const { receiveTime: received, presentationTime: presented, expectedDisplayTime: displayed } = picture;
      if (code) frames.push({ ...code, received, presented, callback: now, displayed });
      else unread++;
      if (now >= end) resolve({ frames, unread });
      else video.requestVideoFrameCallback(next);
    };
    video.requestVideoFrameCallback(next);
  });
}
