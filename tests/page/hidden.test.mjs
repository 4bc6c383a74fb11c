/** A page that nobody looks at: its video is paused on the board. The browser's word for it is replaced by the test's. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { SOON, becomes, click, open, playing, start, stats } from './page.mjs';

test('a hidden page is sent no video unless it records, and has it back at once when it is shown', async (t) => {
  const program = await start(t);
  const page = await open(t, program.url);
  await playing(page);
  await click(page, '#mute');
  const hide = (hidden) => page.evaluate((hidden) => {
    Object.defineProperty(document, 'hidden', { configurable: true, value: hidden });
    Object.defineProperty(document, 'visibilityState', { configurable: true, value: hidden ? 'hidden' : 'visible' });
    document.dispatchEvent(new Event('visibilitychange'));
  }, hidden);
  await hide(true);
  await stats(page, () => {
    const { video, audio } = globalThis.porthole.stats();
    return video?.bitrate === 0 && audio?.bitrate > 0;
  });
  await becomes(page, 'live');
  const frame = await page.evaluate(() => blockCode.read(document.querySelector('video')).frame);
  const next = page.evaluate((frame) => new Promise((resolve) => {
    const shown = performance.now();
    const look = () => {
      const { frame: now } = blockCode.read(document.querySelector('video')) ?? { frame };
      if (now !== frame) resolve(performance.now() - shown);
      else requestAnimationFrame(look);
    };
    look();
  }), frame);
  await hide(false);
  const took = Math.round(await next);
  t.diagnostic(`the first frame came after ${took} ms`);
  assert.ok(took < 1_500, `${took} ms`);
  await page.waitForSelector('#warning', { ...SOON, state: 'hidden' });

  // A recording goes on, and when it ends so does the video.
  await click(page, '#record');
  await hide(true);
  await page.waitForFunction(() => /0:(0[3-9]|[1-5]\d)/.test(document.querySelector('#record span').textContent), null, SOON);
  await stats(page, () => globalThis.porthole.stats().video?.bitrate > 0);
  await page.evaluate(() => document.getElementById('record').click());
  await stats(page, () => globalThis.porthole.stats().video?.bitrate === 0);
  assert.deepEqual(page.errors, []);
});
