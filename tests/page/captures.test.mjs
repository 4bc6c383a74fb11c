/** Photos and recordings, by what is in the files: they are of the right camera, in its full size, and whole. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { DESKTOP, PHONE, SOON, click, open, playing, start } from './page.mjs';
import { codes, streams } from './media-files.mjs';

const camera = (name, width, height) => `[[camera]]\nname = "${name}"\ndevice = "pattern"\nwidth = ${width}\nheight = ${height}\n`;
const CONFIG = `${camera('door', 1920, 1080)}fps = 10\n${camera('garden', 640, 360)}[audio]\ndevice = "tone"\n`;

/** What the page's picture shows: the camera's number, and the picture's. */
const shown = (page) => page.evaluate(() => blockCode.read(document.querySelector('video')));

/** Waits for the file that a click makes. */
async function file(page, selector) {
  const coming = page.waitForEvent('download', SOON);
  await click(page, selector);
  const download = await coming;
  return { name: download.suggestedFilename(), path: await download.path() };
}

for (const [name, viewport] of Object.entries({ phone: PHONE, desktop: DESKTOP })) {
  test(`a photo is the newest picture in the camera’s full size (${name})`, async (t) => {
    const program = await start(t, { config: CONFIG });
    const page = await open(t, program.url, viewport, { acceptDownloads: true });
    await page.addInitScript(() => {
      // The board's digest, to compare: the page has no use for it.
      const { send } = RTCDataChannel.prototype;
      RTCDataChannel.prototype.send = function (text) {
        if (!this.heard) this.addEventListener('message', ({ data }) => {
          if (typeof data === 'string' && data.includes('sha256')) globalThis.announced = JSON.parse(data).result;
        });
        this.heard = true;
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
    assert.ok(code.frame >= before.frame, `picture ${code.frame} after ${before.frame}`);
    const announced = await page.evaluate(() => globalThis.announced);
    const bytes = readFileSync(path);
    assert.equal(bytes.length, announced.bytes);
    assert.equal(createHash('sha256').update(bytes).digest('hex'), announced.sha256);
    await page.waitForSelector(`.toast:has-text("${name}")`, SOON);
    await page.waitForSelector('#photo:enabled', SOON);
    assert.deepEqual(page.errors, []);
  });
}

test('a photo that the board cannot make is told, and the picture goes on', async (t) => {
  const program = await start(t, { config: '[[camera]]\ndevice = "/dev/porthole-no-such-camera"\n[audio]\ndevice = "off"\n' });
  const page = await open(t, program.url);
  await page.waitForFunction(() => globalThis.porthole?.state === 'live' && document.querySelector('#photo').disabled === false, null, SOON);
  await click(page, '#photo');
  await page.waitForSelector('.toast.error:has-text("porthole-no-such-camera")', SOON);
  assert.equal(await page.evaluate(() => globalThis.porthole.state), 'live');
});

test('a recording holds the pictures of its time, with sound though the page is silent', async (t) => {
  const program = await start(t, { config: CONFIG });
  const page = await open(t, `${program.url}?camera=garden`, PHONE, { acceptDownloads: true });
  await playing(page);
  const before = await shown(page);
  await click(page, '#record');
  await page.waitForFunction(() => /^Stop 0:0[3-9]$/.test(document.querySelector('#record span').textContent), null, SOON);
  const { name, path } = await file(page, '#record');
  assert.match(name, /^garden-.*\.(mp4|webm)$/);
  assert.deepEqual(streams(path).map(({ kind }) => kind).sort(), ['audio', 'video']);
  const { width, height } = streams(path).find(({ kind }) => kind === 'video');
  assert.deepEqual([width, height], [640, 360]);
  const found = codes(path).filter(Boolean);
  assert.ok(found.length > 30, `${found.length} pictures of about 90 can be read`);
  assert.ok(found.every((code) => code.camera === before.camera));
  assert.ok(found.every((code, at) => at === 0 || code.frame > found[at - 1].frame), 'each picture is newer than the one before');
  assert.ok(found.at(-1).captured - found[0].captured > 2_000);
  await page.waitForFunction(() => document.querySelector('#record span').textContent === 'Record', null, SOON);
});

test('a recording goes on over a change to a camera of another size', async (t) => {
  const program = await start(t, { config: CONFIG });
  const page = await open(t, `${program.url}?camera=garden`, DESKTOP, { acceptDownloads: true });
  await playing(page);
  await page.waitForFunction(() => !document.querySelector('#photo').disabled, null, SOON);
  const garden = (await shown(page)).camera;
  await click(page, '#record');
  await page.waitForFunction(() => /^Stop 0:0[2-9]$/.test(document.querySelector('#record span').textContent), null, SOON);
  await page.selectOption('#camera', 'door');
  await page.waitForFunction(() => document.querySelector('video').videoWidth === 1920, null, SOON);
  const door = (await shown(page)).camera;
  await page.waitForFunction(() => /^Stop 0:0[6-9]$/.test(document.querySelector('#record span').textContent), null, SOON);
  const { path } = await file(page, '#record');
  const cameras = codes(path).filter(Boolean).map(({ camera }) => camera);
  const turn = cameras.indexOf(door);
  assert.ok(turn > 10 && cameras.length - turn > 10, `${turn} pictures of garden, ${cameras.length - turn} of door`);
  assert.ok(cameras.slice(0, turn).every((camera) => camera === garden) && cameras.slice(turn).every((camera) => camera === door));
});

test('a recording is saved when the board goes away', async (t) => {
  const program = await start(t, { config: CONFIG });
  const page = await open(t, `${program.url}?camera=garden`, DESKTOP, { acceptDownloads: true });
  await playing(page);
  await click(page, '#record');
  await page.waitForFunction(() => /^Stop 0:0[2-9]$/.test(document.querySelector('#record span').textContent), null, SOON);
  const coming = page.waitForEvent('download', SOON);
  await program.end('SIGTERM');
  const path = await (await coming).path();
  assert.ok(codes(path).filter(Boolean).length > 10);
});
