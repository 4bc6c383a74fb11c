/** Other WHEP players in a real browser: not our page, no control channel, candidates in the offer. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';

import { SOON, open, start, viewers } from './page.mjs';

/**
 * A page at this path has the board's root as its base and nothing of our page in it; its CSP, which allows nothing, is
 * bypassed.
 */
const ELSEWHERE = 'healthz';

test('a player without a control channel plays, and is dropped soon after it leaves', async (t) => {
  const program = await start(t, { camera: 'pattern' });
  const page = await open(t, `${program.url}${ELSEWHERE}`, undefined, { bypassCSP: true });
  const size = await page.evaluate(async () => {
    const peer = (globalThis.peer = new RTCPeerConnection());
    const video = document.createElement('video');
    video.muted = true;
    peer.addTransceiver('video', { direction: 'recvonly' });
    peer.addEventListener('track', ({ track }) => {
      video.srcObject = new MediaStream([track]);
      video.play();
    });
    await peer.setLocalDescription();
    while (peer.iceGatheringState !== 'complete') {
      await new Promise((resolve) => peer.addEventListener('icegatheringstatechange', resolve, { once: true }));
    }
    const headers = { 'Content-Type': 'application/sdp' };
    const response = await fetch('/whep', { method: 'POST', headers, body: peer.localDescription.sdp });
    await peer.setRemoteDescription({ type: 'answer', sdp: await response.text() });
    await new Promise((resolve) => video.requestVideoFrameCallback(resolve));
    return [video.videoWidth, video.videoHeight];
  });
  assert.deepEqual(size, [1280, 720]);
  await viewers(page, program, 1);
  await page.evaluate(() => globalThis.peer.close());
  // Well below the 15 s after which a silent viewer is dropped.
  await viewers(page, program, 0, { timeout: 8_000 });
});

test('the npm package @eyevinn/webrtc-player plays, and unloading it frees the session', async (t) => {
  const program = await start(t, { camera: 'pattern' });
  const { outputFiles } = await build({
    stdin: {
      contents: `export { WebRTCPlayer } from '@eyevinn/webrtc-player'`,
      resolveDir: fileURLToPath(new URL('.', import.meta.url)),
    },
    bundle: true,
    write: false,
    format: 'iife',
    globalName: 'eyevinn',
  });
  const page = await open(t, `${program.url}${ELSEWHERE}`, undefined, { bypassCSP: true });
  await page.addScriptTag({ content: outputFiles[0].text });
  await page.evaluate(async (endpoint) => {
    const video = document.body.appendChild(document.createElement('video'));
    Object.assign(video, { muted: true, autoplay: true });
    globalThis.player = new globalThis.eyevinn.WebRTCPlayer({ video, type: 'whep', statsTypeFilter: '^inbound-rtp' });
    globalThis.player.on('stats:inbound-rtp', (report) => report.kind === 'video' && (globalThis.decoded = report.framesDecoded));
    await globalThis.player.load(new URL(endpoint));
  }, `${program.url}whep`);
  await page.waitForFunction(() => globalThis.decoded > 30, null, SOON);
  const frame = await page.evaluate(() => blockCode.read(document.querySelector('video')).frame);
  await page.waitForFunction((frame) => blockCode.read(document.querySelector('video'))?.frame > frame, frame, SOON);
  await viewers(page, program, 1);

  const left = page.waitForResponse((response) => response.request().method() === 'DELETE', SOON);
  await page.evaluate(() => globalThis.player.unload());
  assert.equal((await left).status(), 200);
  assert.equal((await program.status()).viewers, 0);
});
