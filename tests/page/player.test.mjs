/** Other WHEP players in a real browser: not our page, no control channel, candidates in the offer. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';

import { SOON, eventually, open, start, viewers } from './page.mjs';

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

/** Loads what an npm package exports into a page, as the global `library`. */
async function load(page, statement) {
  const stdin = { contents: statement, resolveDir: fileURLToPath(new URL('.', import.meta.url)) };
  const { outputFiles } = await build({ stdin, bundle: true, write: false, format: 'iife', globalName: 'library' });
  await page.addScriptTag({ content: outputFiles[0].text });
}

test('the npm package @eyevinn/webrtc-player plays, and unloading it frees the session', async (t) => {
  const program = await start(t, { camera: 'pattern' });
  const page = await open(t, `${program.url}${ELSEWHERE}`, undefined, { bypassCSP: true });
  await load(page, `export { WebRTCPlayer } from '@eyevinn/webrtc-player'`);
  await page.evaluate(async (endpoint) => {
    const video = document.body.appendChild(document.createElement('video'));
    Object.assign(video, { muted: true, autoplay: true });
    globalThis.player = new globalThis.library.WebRTCPlayer({ video, type: 'whep', statsTypeFilter: '^inbound-rtp' });
    globalThis.player.on('stats:inbound-rtp', (report) => report.kind === 'video' && (globalThis.decoded = report.framesDecoded));
    await globalThis.player.load(new URL(endpoint));
  }, `${program.url}whep`);
  await page.waitForFunction(() => globalThis.decoded > 30, null, SOON);
  const frame = await page.evaluate(() => blockCode.read(document.querySelector('video')).frame);
  await page.waitForFunction((frame) => blockCode.read(document.querySelector('video'))?.frame > frame, frame, SOON);
  await viewers(page, program, 1);

  const left = page.waitForResponse((response) => response.request().method() === 'DELETE', SOON);
  await page.evaluate(() => globalThis.player.unload());
  // The end of the connection may arrive first, and ends the session.
  assert.ok([200, 404].includes((await left).status()));
  assert.equal((await program.status()).viewers, 0);
});

/** Waits until the board's pattern moves, and sound is played. */
async function watched(page) {
  await page.waitForFunction(() => blockCode.read(document.querySelector('video')) !== null, null, SOON);
  const frame = await page.evaluate(() => blockCode.read(document.querySelector('video')).frame);
  await page.waitForFunction((frame) => blockCode.read(document.querySelector('video'))?.frame > frame + 10, frame, SOON);
  await page.waitForFunction(async () => {
    const reports = [...(await globalThis.peer.getStats()).values()];
    const audio = reports.find(({ type, kind }) => type === 'inbound-rtp' && kind === 'audio');
    return audio?.packetsReceived > 20 && audio.jitterBufferEmittedCount > 0;
  }, null, SOON);
}

test('the npm package whip-whep plays, leaves nothing, and plays again', async (t) => {
  const program = await start(t);
  const page = await open(t, `${program.url}${ELSEWHERE}`, undefined, { bypassCSP: true });
  await load(page, `export { WHEPClient } from 'whip-whep/whep.js'`);
  await page.evaluate(() => void Object.assign(document.body.appendChild(document.createElement('video')), { muted: true, autoplay: true }));
  for (let round = 0; round < 2; round += 1) {
    await page.evaluate(async (endpoint) => {
      const peer = (globalThis.peer = new RTCPeerConnection());
      for (const kind of ['video', 'audio']) peer.addTransceiver(kind, { direction: 'recvonly' });
      peer.addEventListener('track', ({ streams }) => (document.querySelector('video').srcObject = streams[0]));
      globalThis.player = new globalThis.library.WHEPClient();
      await globalThis.player.view(peer, endpoint);
    }, `${program.url}whep`);
    await watched(page);
    await viewers(page, program, 1);
    await page.evaluate(() => globalThis.player.stop());
    assert.equal((await program.status()).viewers, 0);
    await eventually(() => program.status(), ({ cameras, audio }) =>
      cameras[0].state === 'idle' && audio.state === 'idle', 'the board should be idle');
  }
});
