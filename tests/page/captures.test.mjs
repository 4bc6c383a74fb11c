/** Photos and recordings, checked by their contents: the right camera, full resolution, complete. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { DESKTOP, LATER, PHONE, SOON, becomes, click, eventually, open, playing, start, toasted } from './page.mjs';
import { codes, streams } from './media-files.mjs';

const camera = (name, width, height) => `[[camera]]\nname = "${name}"\ndevice = "pattern"\nwidth = ${width}\nheight = ${height}\n`;
const CONFIG = `${camera('door', 1920, 1080)}fps = 10\n${camera('garden', 640, 360)}[audio]\ndevice = "tone"\n`;

/** For recordings of both: a browser encodes these in software. */
const TWO_SIZES = `${camera('door', 1280, 720)}fps = 15\n${camera('garden', 640, 360)}[audio]\ndevice = "tone"\n`;

/** The block code in the page's video: camera and frame number. */
const shown = (page) => page.evaluate(() => blockCode.read(document.querySelector('video')));

/** Waits until the video has shown this many more frames: a busy machine shows fewer in a second. */
async function more(page, count) {
  const frames = () => page.evaluate(() => {
    const { totalVideoFrames, droppedVideoFrames } = document.querySelector('video').getVideoPlaybackQuality();
    return totalVideoFrames - droppedVideoFrames;
  });
  const before = await frames();
  await eventually(frames, (now) => now >= before + count, `${count} more frames after ${before}`, LATER);
}

/** Whether the page has recorded for some seconds. Runs inside it. */
const recorded = () => /^Stop (?!0:0[0-2]$)/.test(document.querySelector('#record span').textContent);

/** Waits for the file that a click downloads. */
async function file(page, selector) {
  const coming = page.waitForEvent('download', SOON);
  await click(page, selector);
  const download = await coming;
  return { name: download.suggestedFilename(), path: await download.path() };
}

for (const [name, viewport] of Object.entries({ phone: PHONE, desktop: DESKTOP })) {
  test(`a photo is the latest frame at the camera’s full resolution (${name})`, async (t) => {
    const program = await start(t, { config: CONFIG });
    const page = await open(t, program.url, viewport, { acceptDownloads: true });
    await page.addInitScript(() => {
      // Records the board's digest, which the page itself does not use.
      const { send } = RTCDataChannel.prototype;
      RTCDataChannel.prototype.send = function (text) {
        if (!this.watched) this.addEventListener('message', ({ data }) => {
          if (typeof data === 'string' && data.includes('sha256')) globalThis.description = JSON.parse(data).result;
        });
        this.watched = true;
        return send.call(this, text);
      };
    });
    await page.reload();
    await playing(page);
    const before = await shown(page);
    const { name, path } = await file(page, '#photo');
    assert.match(name, /^door-\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d\.jpg$/);
    assert.deepEqual(streams(path), [{ kind: 'video', codec: 'mjpeg', width: 1920, height: 1080 }]);
    const [code] = codes(path);
    assert.equal(code.camera, before.camera);
    assert.ok(code.frame >= before.frame, `frame ${code.frame} after ${before.frame}`);
    const description = await page.evaluate(() => globalThis.description);
    const bytes = readFileSync(path);
    assert.equal(bytes.length, description.bytes);
    assert.equal(createHash('sha256').update(bytes).digest('hex'), description.sha256);
    await toasted(page, new RegExp(name));
    await page.waitForSelector('#photo:enabled', SOON);
    assert.deepEqual(page.errors, []);
  });
}

test('a photo that the board cannot take shows an error, and the session continues', async (t) => {
  const program = await start(t, { config: '[[camera]]\ndevice = "/dev/porthole-no-such-camera"\n[audio]\ndevice = "off"\n' });
  const page = await open(t, program.url);
  await page.waitForFunction(() => globalThis.porthole?.state === 'live' && document.querySelector('#photo').disabled === false, null, SOON);
  await click(page, '#photo');
  await toasted(page, /error.*porthole-no-such-camera/);
  await becomes(page, 'live');
});

test('a recording contains the frames of its time, and audio although the page is muted', async (t) => {
  const program = await start(t, { config: CONFIG });
  const page = await open(t, `${program.url}?camera=garden`, PHONE, { acceptDownloads: true });
  await playing(page);
  const before = await shown(page);
  await click(page, '#record');
  await page.waitForFunction(recorded, null, SOON);
  await more(page, 60);
  const { name, path } = await file(page, '#record');
  assert.match(name, /^garden-.*\.(mp4|webm)$/);
  assert.deepEqual(streams(path).map(({ kind }) => kind).sort(), ['audio', 'video']);
  const { width, height } = streams(path).find(({ kind }) => kind === 'video');
  assert.deepEqual([width, height], [640, 360]);
  const found = codes(path).filter(Boolean);
  assert.ok(found.length > 30, `${found.length} frames of about 90 are readable`);
  assert.ok(found.every((code) => code.camera === before.camera));
  assert.ok(found.every((code, at) => at === 0 || code.frame > found[at - 1].frame), 'each frame is newer than the one before');
  assert.ok(found.at(-1).captured - found[0].captured > 2_000);
  await page.waitForFunction(() => document.querySelector('#record span').textContent === 'Record', null, SOON);
});

test('a recording continues across a switch to a camera of another resolution', async (t) => {
  const program = await start(t, { config: TWO_SIZES });
  const page = await open(t, `${program.url}?camera=garden`, DESKTOP, { acceptDownloads: true });
  await playing(page);
  await page.waitForFunction(() => !document.querySelector('#photo').disabled, null, SOON);
  const garden = (await shown(page)).camera;
  await click(page, '#record');
  await page.waitForFunction(recorded, null, SOON);
  await more(page, 30);
  await page.selectOption('#camera', 'door');
  const other = await page.waitForFunction((garden) => {
    const video = document.querySelector('video');
    const camera = blockCode.read(video)?.camera;
    return video.videoWidth === 1280 && camera !== undefined && camera !== garden && { camera };
  }, garden, SOON);
  const door = (await other.jsonValue()).camera;
  await more(page, 60);
  const { path } = await file(page, '#record');
  const cameras = codes(path).filter(Boolean).map(({ camera }) => camera);
  const turn = cameras.indexOf(door);
  assert.ok(turn > 10 && cameras.length - turn > 10, `${turn} frames of garden, ${cameras.length - turn} of door`);
  assert.ok(cameras.slice(0, turn).every((camera) => camera === garden) && cameras.slice(turn).every((camera) => camera === door));
});

test('a recording is saved when the board goes away', async (t) => {
  const program = await start(t, { config: CONFIG });
  const page = await open(t, `${program.url}?camera=garden`, DESKTOP, { acceptDownloads: true });
  await playing(page);
  await click(page, '#record');
  await page.waitForFunction(recorded, null, SOON);
  await more(page, 30);
  const coming = page.waitForEvent('download', SOON);
  await program.end('SIGTERM');
  const path = await (await coming).path();
  assert.ok(codes(path).filter(Boolean).length > 10);
});
