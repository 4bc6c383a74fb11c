/** Recordings in a real browser: the running one and one that has ended are played, and played from another place. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CONFIG, LATER, SOON, eventually, open, start } from './page.mjs';

/** The first recording in the list. */
async function first(page, url) {
  const { recordings } = await (await page.request.get(`${url}api/recordings`)).json();
  return recordings[0] ?? { bytes: 0, running: true };
}

/** Shows a recording on the page, which remembers the frame that is shown as `lastFrame`. */
const show = (page, source) => page.evaluate(async (source) => {
  document.querySelector('#recording')?.remove();
  const video = Object.assign(document.createElement('video'), { id: 'recording', src: source, muted: true });
  document.body.append(video);
  globalThis.lastFrame = null;
  const next = (_, { mediaTime }) => {
    globalThis.lastFrame = { code: blockCode.read(video), at: mediaTime };
    video.requestVideoFrameCallback(next);
  };
  video.requestVideoFrameCallback(next);
  await new Promise((resolve, reject) => {
    video.onloadeddata = resolve;
    video.onerror = () => reject(new Error(video.error.message));
  });
  return video.duration;
}, source);

/** The number of the frame that is shown, and its time in the recording. */
const shown = (page) => page.evaluate(() => {
  const video = document.querySelector('#recording');
  return { frame: blockCode.read(video)?.frame ?? null, time: video.currentTime, error: video.error?.message };
});

/** Goes to a time: the number of the frame there, and its own time in the recording. */
async function seek(page, time) {
  await page.evaluate((time) => new Promise((resolve) => {
    const video = document.querySelector('#recording');
    video.onseeked = resolve;
    video.currentTime = time;
  }), time);
  // A busy machine drops frames, so that the last one before a time may be older.
  const there = (frame) => frame?.code && frame.at < time + 0.05 && frame.at > time - 1;
  const { code, at } = await eventually(() => page.evaluate(() => lastFrame), there, `a frame at ${time} s`);
  return { frame: code.frame, at };
}

test('a recording is played from its beginning and from anywhere, while it runs and afterwards', async (t) => {
  const program = await start(t, { config: `${CONFIG}\n[auth]\nmode = "none"\n[recording]\nmode = "always"\nmin_free = ""\n` });
  const page = await open(t, program.url);
  const running = await eventually(() => first(page, program.url), ({ bytes }) => bytes > 600_000, 'something should be recorded', LATER);
  // As far as it is written.
  await show(page, running.file);
  await page.evaluate(() => document.querySelector('#recording').play());
  await eventually(() => shown(page), ({ frame, time }) => frame !== null && time > 1, 'the running one should play');
  await eventually(() => first(page, program.url), ({ bytes }) => bytes > 1_500_000, 'more should be recorded', LATER);
  await page.request.post(`${program.url}api/command`, { data: { method: 'privacy.set', params: { on: true } } });
  const ended = await eventually(() => first(page, program.url), ({ running }) => !running, 'it should end');
  const duration = await show(page, ended.file);
  assert.ok(Math.abs(duration - ended.length) < 0.2, `${duration} s and not ${ended.length}`);
  const begin = await seek(page, 0.5);
  for (const time of [ended.length - 1, ended.length / 2, 1]) {
    const { frame, at } = await seek(page, time);
    // 30 frames a second: their numbers tell the time of capture.
    const expected = begin.frame + (at - begin.at) * 30;
    assert.ok(Math.abs(frame - expected) < 2, `frame ${frame} at ${at} s, and not ${expected}`);
  }
  await page.evaluate(() => document.querySelector('#recording').play());
  const from = await shown(page);
  await eventually(() => shown(page), ({ frame }) => frame > from.frame + 15, 'it should go on from there', SOON);
  assert.deepEqual(page.errors, []);
});
