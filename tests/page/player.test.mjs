/** A plain WHEP player in a real browser: not our page, no control channel, candidates in the offer. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { launch } from './browser.mjs';
import { Program } from './program.mjs';

let browser;
let program;

before(async () => {
  browser = await launch();
  program = await Program.start({ camera: 'pattern' });
});

after(async () => {
  await browser?.close();
  await program?.end('SIGKILL');
});

test('a player without a control channel plays, and is gone soon after it leaves', async () => {
  const page = await browser.newPage();
  await page.goto(`${program.url}api/status`);
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
  assert.equal(await viewers(page), 1);
  await page.evaluate(() => globalThis.peer.close());
  // Well below the 15 s after which a viewer without a sign of life is given up.
  await page.waitForFunction(async () => (await (await fetch('/api/status')).json()).viewers === 0, null, { timeout: 8_000 });
  await page.close();
});

async function viewers(page) {
  return page.evaluate(async () => (await (await fetch('/api/status')).json()).viewers);
}
