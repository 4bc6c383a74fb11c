/**
 * MJPEG where WebRTC cannot work: in a real browser without RTCPeerConnection, without H.264, and on a network where every path is
 * blocked. A moving picture, and what is missing.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CONFIG, DESKTOP, LATER, PHONE, SOON, announced, click, eventually, open, playing, start, viewers } from './page.mjs';
import { module } from './web.mjs';

/** The browser as if it had no WebRTC. */
const withoutWebRtc = () => delete globalThis.RTCPeerConnection;

/** The browser as if it had no H.264: it offers what else it has. */
const withoutH264 = () => {
  const { createOffer } = RTCPeerConnection.prototype;
  RTCPeerConnection.prototype.createOffer = async function (...options) {
    for (const transceiver of this.getTransceivers()) {
      if (transceiver.receiver.track.kind !== 'video') continue;
      const { codecs } = RTCRtpReceiver.getCapabilities('video');
      transceiver.setCodecPreferences(codecs.filter(({ mimeType }) => !/h264/i.test(mimeType)));
    }
    return createOffer.apply(this, options);
  };
};

/** Opens a page whose browser lacks something. */
async function lacking(t, url, what, viewport = DESKTOP, options = {}) {
  const page = await open(t, 'about:blank', viewport, options);
  await page.addInitScript(what);
  await page.goto(url);
  return page;
}

/** The code in the picture, which has the frame's number; null while there is none. */
const number = (page) => page.evaluate(() => {
  const image = document.querySelector('#mjpeg');
  if (image.hidden || !image.complete || image.naturalWidth === 0) return null;
  return blockCode.read(image)?.frame ?? null;
});

/** Waits for a moving picture. */
async function moving(page, deadline = SOON) {
  const seen = new Set();
  await eventually(async () => seen.add(await number(page)).delete(null) || seen.size, () => seen.size >= 3, 'the picture should move', deadline);
}

test('a browser without WebRTC shows MJPEG and what is missing', async (t) => {
  const program = await start(t);
  const page = await lacking(t, program.url, withoutWebRtc, PHONE);
  await moving(page);
  assert.equal(await page.textContent('#state'), 'Live as MJPEG');
  assert.equal(await page.isVisible('#notice-mjpeg'), true);
  assert.equal(await page.isVisible('#notice-advice'), false, 'the picture is more important');
  await announced(page, /^This browser can’t play the stream\..* Showing MJPEG instead: no sound/);
  await click(page, '#notice-expand');
  assert.ok((await page.locator('#notice-advice li:visible').count()) > 0);
  await viewers(page, program, 1);
  // Nothing is sent to a page that the user has hung up.
  await click(page, '#hang-up');
  await viewers(page, program, 0);
  assert.equal(await page.isVisible('#mjpeg'), false);
});

test('a browser without H.264 shows MJPEG, in Korean too', async (t) => {
  const program = await start(t);
  const page = await lacking(t, program.url, withoutH264, DESKTOP, { locale: 'ko-KR' });
  await moving(page);
  assert.equal(await page.textContent('#notice-title'), '이 브라우저에는 H.264 코덱이 없습니다');
  assert.equal(await page.textContent('#state'), 'MJPEG 실시간');
  assert.match(await page.textContent('#notice-mjpeg'), /MJPEG/);
});

test('where every path is blocked MJPEG is shown until one is free', async (t) => {
  const program = await start(t);
  const page = await open(t, 'about:blank');
  await page.route('**/whep', async (route) => {
    const response = await route.fetch();
    const lines = (await response.text()).split('\r\n').filter((line) => !line.startsWith('a=candidate:'));
    lines.splice(lines.findLastIndex((line) => line.startsWith('m=')), 0, 'a=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host');
    await route.fulfill({ status: response.status(), headers: response.headers(), body: lines.join('\r\n') });
  });
  await page.goto(program.url);
  await moving(page, LATER);
  // Answers that are on their way are passed on first.
  await page.unrouteAll({ behavior: 'wait' });
  await playing(page, LATER);
  assert.equal(await page.isVisible('#mjpeg'), false);
  // An offer that the page gave up has been passed on all the same: the board waits 20 s for who made it.
  await viewers(page, program, 1, LATER);
});

test('the picture comes back when the board does', async (t) => {
  const program = await start(t);
  const page = await lacking(t, program.url, withoutWebRtc);
  await moving(page);
  const { port } = program;
  await program.end('SIGKILL');
  await page.waitForFunction(() => document.querySelector('#mjpeg').hidden, null, SOON);
  await start(t, { config: CONFIG, port });
  await moving(page, LATER);
});

test('parts are found however the bytes arrive', async () => {
  const { PartReader } = await module('mjpeg-parts.js');
  const encoder = new TextEncoder();
  const file = (length) => Uint8Array.from({ length }, (_, at) => (at % 4 === 0 ? 13 : 10));
  const files = [file(5), file(300), file(0), file(1_000)];
  const text = files.flatMap((file) => [encoder.encode(`--x\r\nContent-Type: image/jpeg\r\nContent-Length: ${file.length}\r\n\r\n`), file, encoder.encode('\r\n')]);
  const bytes = new Uint8Array(text.reduce((sum, { length }) => sum + length, 0));
  text.reduce((at, part) => (bytes.set(part, at), at + part.length), 0);
  for (const size of [1, 7, 64, bytes.length]) {
    const reader = new PartReader();
    const found = [];
    for (let at = 0; at < bytes.length; at += size) found.push(...reader.push(bytes.slice(at, at + size)));
    assert.deepEqual(found, files, `in chunks of ${size}`);
  }
  assert.throws(() => new PartReader().push(encoder.encode('Content-Length: 99999999999\r\n\r\n')), /no usable length/);
  assert.throws(() => new PartReader().push(encoder.encode('--x\r\nContent-Type: image/jpeg\r\n\r\n')), /no usable length/);
  assert.throws(() => new PartReader().push(new Uint8Array(5_000)), /not MJPEG/);
});
