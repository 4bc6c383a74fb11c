/**
 * Being seen: a real browser with a made-up camera talks to a real program, whose screen is a program that keeps what it is given, as
 * H.264 and as VP8.
 */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { violations } from './axe.mjs';
import { launch } from './browser.mjs';
import { CONFIG, DESKTOP, LANDSCAPE, PHONE, SOON, click, eventually, movePointer, open, playing, start } from './page.mjs';

const PASSWORD = 'six old boats drift';
const SCREENSHOTS = fileURLToPath(new URL('screenshots/', import.meta.url));

const folder = mkdtempSync(join(tmpdir(), 'porthole-screen-'));
after(() => rmSync(folder, { recursive: true }));

/** A browser with a camera and a microphone, for all tests; the user allows a page what its context is granted. */
const browser = launch(['--use-fake-device-for-media-stream', '--host-resolver-rules=MAP board.example 127.0.0.1']);
after(async () => (await browser).close());

let boards = 0;

/** A program with a speaker and a screen, and what its screen was given: a file for each talk. */
async function board(t, { config = '', screen = true, ...options } = {}) {
  const shown = join(folder, String(++boards));
  mkdirSync(shown);
  const exec = screen ? `[screen]\nexec = '''cat > "${shown}/$$.$PORTHOLE_CODEC"'''` : '';
  const program = await start(t, { config: `${CONFIG}\n[speaker]\ndevice = "null"\n${exec}\n${config}`, ...options });
  const frames = async () => Number(/^porthole_screen_frames_total (\d+)/m.exec(await (await fetch(`${program.url}metrics`)).text())[1]);
  const state = async () => (await program.status()).screen.state;
  return { program, frames, state, files: () => readdirSync(shown).map((name) => join(shown, name)) };
}

const visit = async (t, url, viewport, { permissions = ['microphone', 'camera'], ...options } = {}) =>
  open(t, url, viewport, { browser: await browser, permissions, ...options });

/** The Enter key can't hold: it talks until it is pressed again. */
async function toggleTalk(page, state) {
  await page.waitForSelector('#talk', SOON);
  await page.focus('#talk');
  await page.keyboard.press('Enter');
  await page.waitForSelector(`#talk[aria-pressed=${state}]`, SOON);
}

const selfView = (page) => page.waitForFunction(() => document.querySelector('#self-view').videoWidth > 0, null, SOON);

/** What ffprobe decodes of a file. */
function decoded(file) {
  const entries = 'stream=codec_name,width,height,nb_read_frames';
  const text = execFileSync('ffprobe', ['-v', 'error', '-count_frames', '-show_entries', entries, '-of', 'json', file], { encoding: 'utf8' });
  const [{ codec_name: codec, width, height, nb_read_frames: count }] = JSON.parse(text).streams;
  return { codec, width, height, count: Number(count) };
}

for (const codec of ['h264', 'vp8']) {
  test(`the camera is on the board while its user talks, and only then (${codec})`, async (t) => {
    const { program, frames, state, files } = await board(t);
    const page = await visit(t, 'about:blank', DESKTOP);
    if (codec === 'vp8') {
      await page.addInitScript(() => {
        const all = RTCRtpReceiver.getCapabilities.bind(RTCRtpReceiver);
        RTCRtpReceiver.getCapabilities = (kind) => ({ ...all(kind), codecs: all(kind).codecs.filter(({ mimeType }) => !/h264/i.test(mimeType)) });
      });
    }
    await page.addInitScript(() => {
      const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
      globalThis.asked = [];
      navigator.mediaDevices.getUserMedia = (constraints) => (asked.push(...Object.keys(constraints)), open(constraints));
    });
    await page.goto(program.url);
    await playing(page);
    await page.waitForSelector('#show-camera', SOON);
    await toggleTalk(page, true);
    assert.equal(await page.isVisible('#self-view'), false);
    await toggleTalk(page, false);
    assert.deepEqual(await page.evaluate(() => asked), ['audio'], 'nobody wants to be seen');

    await click(page, '#show-camera');
    await selfView(page);
    assert.equal(await page.getAttribute('#show-camera', 'aria-pressed'), 'true');
    assert.equal(await state(), 'idle', 'nobody talks');
    await toggleTalk(page, true);
    await eventually(frames, (count) => count >= 20, 'the picture should be passed on');
    assert.equal(await state(), 'live');
    await toggleTalk(page, false);
    await eventually(state, (state) => state === 'idle', 'the program should end');
    const [file] = files();
    const seen = decoded(file);
    assert.equal(seen.codec, codec);
    assert.equal(seen.count, await frames());
    assert.ok(seen.width >= 160 && seen.height >= 120, JSON.stringify(seen));

    // The next talk begins with a key frame, which the browser is asked for.
    const before = await frames();
    await toggleTalk(page, true);
    await eventually(frames, (count) => count >= before + 10, 'the picture should be passed on again');
    // Another press turns the camera off, and talking goes on.
    await click(page, '#show-camera');
    await page.waitForSelector('#self-view', { ...SOON, state: 'hidden' });
    assert.equal(await page.evaluate(() => document.querySelector('#self-view').srcObject), null);
    assert.equal(await page.getAttribute('#talk', 'aria-pressed'), 'true');
    await toggleTalk(page, false);
    await eventually(state, (state) => state === 'idle', 'the program should end');
    assert.equal(files().length, 2);
    for (const file of files()) assert.ok(decoded(file).count >= 10, file);
    assert.deepEqual(await page.evaluate(() => asked), ['audio', 'video']);
    assert.deepEqual(page.errors, []);
  });
}

test('the privacy switch takes the picture from the board, and the buttons from the page', async (t) => {
  const { program, frames, state } = await board(t);
  const page = await visit(t, program.url, PHONE);
  await playing(page);
  await page.waitForSelector('#show-camera', SOON);
  await click(page, '#show-camera');
  await selfView(page);
  await toggleTalk(page, true);
  await eventually(frames, (count) => count > 0, 'the picture should be passed on');
  await program.command('privacy.set', { on: true });
  await page.waitForSelector('#show-camera', { ...SOON, state: 'hidden' });
  await page.waitForSelector('#self-view', { ...SOON, state: 'hidden' });
  await eventually(state, (state) => state === 'idle', 'the program should end');
  assert.deepEqual(page.errors, []);
});

test('a user who does not allow the camera is told what to do, and is heard all the same', async (t) => {
  const { program, state } = await board(t);
  const page = await visit(t, program.url, DESKTOP, { permissions: ['microphone'] });
  await playing(page);
  await page.waitForSelector('#show-camera', SOON);
  await click(page, '#show-camera');
  await page.waitForFunction(() => /may not use the camera/.test(document.querySelector('.toast.error')?.textContent), null, SOON);
  assert.equal(await page.getAttribute('#show-camera', 'aria-pressed'), 'false');
  await toggleTalk(page, true);
  assert.equal(await state(), 'idle');
});

test('there is no button without a screen, for whoever may not talk, and over plain HTTP', async (t) => {
  const config = '[http]\nhosts = ["board.example"]\n[auth]\nmode = "password"\n';
  const passwords = { viewer: PASSWORD, operator: `${PASSWORD} off` };
  const { program } = await board(t, { config, passwords });
  const signedIn = async (url, password) => {
    const page = await visit(t, url, PHONE);
    await page.fill('#password', password, SOON);
    await page.keyboard.press('Enter');
    await playing(page);
    return page;
  };
  const viewer = await signedIn(program.url, PASSWORD);
  const plain = await signedIn(program.url.replace('127.0.0.1', 'board.example'), `${PASSWORD} off`);
  await plain.waitForSelector('#talk', SOON);
  const { program: without } = await board(t, { screen: false });
  const talks = await visit(t, without.url, PHONE);
  await playing(talks);
  await talks.waitForSelector('#talk', SOON);
  for (const page of [viewer, plain, talks]) assert.equal(await page.isVisible('#show-camera'), false);
});

for (const [name, viewport] of Object.entries({ phone: PHONE, landscape: LANDSCAPE, desktop: DESKTOP, narrow: { width: 320, height: 640 } })) {
  for (const [locale, text] of [['en-GB', 'Show my camera while I talk'], ['ko-KR', '말하는 동안 내 카메라 보여 주기']]) {
    test(`the camera’s button lies on no other (${name}, ${locale})`, async (t) => {
      const { program } = await board(t);
      const page = await visit(t, program.url, viewport, { locale, reducedMotion: 'reduce' });
      await playing(page);
      await movePointer(page);
      await page.waitForSelector('#show-camera', SOON);
      assert.equal(await page.getAttribute('#show-camera', 'aria-label'), text);
      assert.equal(await page.getAttribute('#show-camera', 'title'), text);
      const box = (selector) => page.locator(selector).boundingBox(SOON);
      const apart = (a, b) => a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y || b.y + b.height <= a.y;
      const check = async (selector) => {
        const own = await box(selector);
        const { width, height } = viewport;
        assert.ok(own.x >= 0 && own.x + own.width <= width && own.y >= 0 && own.y + own.height <= height, JSON.stringify(own));
        for (const other of [page.locator('#talk'), ...await page.locator('.control:visible').all()]) {
          const theirs = await other.boundingBox();
          assert.ok(apart(own, theirs), JSON.stringify({ selector, own, theirs }));
        }
        return own;
      };
      const button = await check('#show-camera');
      assert.ok(button.width >= 44 && button.height >= 44, JSON.stringify(button));
      await click(page, '#show-camera');
      await selfView(page);
      await toggleTalk(page, true);
      await check('#show-camera');
      await check('#self-view');
      assert.deepEqual(await violations(page), []);
      mkdirSync(SCREENSHOTS, { recursive: true });
      await page.screenshot({ path: `${SCREENSHOTS}screen-${name}-${locale}.png` });
      assert.deepEqual(page.errors, []);
    });
  }
}
