/**
 * Talking back in a real browser, whose microphone hears a file, to a real program, whose speaker is ALSA's plugin that plays into
 * a file.
 */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { launch } from './browser.mjs';
import { CONFIG, DESKTOP, LANDSCAPE, PHONE, SOON, announced, click, eventually, movePointer, open, playing, start } from './page.mjs';

const RATE = 48_000;
const PASSWORD = 'six old boats drift';
const SCREENSHOTS = fileURLToPath(new URL('screenshots/', import.meta.url));
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

const folder = mkdtempSync(join(tmpdir(), 'porthole-talk-'));
after(() => rmSync(folder, { recursive: true }));

/** What the microphone hears: a voice in syllables, which noise suppression takes for speech. The path of a WAV file. */
function speech() {
  const samples = new Int16Array(RATE * 4);
  let phase = 0;
  for (let at = 0; at < samples.length; at++) {
    const time = at / RATE;
    phase += (2 * Math.PI * (150 + 40 * Math.sin(4.4 * time))) / RATE;
    let voice = 0;
    for (let harmonic = 1; harmonic < 12; harmonic++) voice += Math.sin(phase * harmonic) / harmonic;
    samples[at] = 9_000 * voice * (0.55 + 0.45 * Math.sin(14 * time + 3 * Math.sin(2 * time)));
  }
  const head = Buffer.alloc(44);
  head.write('RIFF');
  head.writeUInt32LE(36 + samples.byteLength, 4);
  head.write('WAVEfmt ', 8);
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(1, 22);
  head.writeUInt32LE(RATE, 24);
  head.writeUInt32LE(RATE * 2, 28);
  head.writeUInt16LE(2, 32);
  head.writeUInt16LE(16, 34);
  head.write('data', 36);
  head.writeUInt32LE(samples.byteLength, 40);
  const file = join(folder, 'speech.wav');
  writeFileSync(file, Buffer.concat([head, Buffer.from(samples.buffer)]));
  return file;
}

/** A browser with that microphone, for all tests; the user allows a page what its context is granted. */
const browser = launch([
  '--use-fake-device-for-media-stream', `--use-file-for-fake-audio-capture=${speech()}`,
  '--host-resolver-rules=MAP board.example 127.0.0.1',
]);
after(async () => (await browser).close());

let boards = 0;

/** A program with a speaker, and what it has played: the loudest 20 ms. */
async function board(t, { speaker = '', config = '', ...options } = {}) {
  const file = join(folder, `${++boards}.raw`);
  const program = await start(t, { config: `${CONFIG}\n[speaker]\ndevice = "file:${file},raw"\n${speaker}\n${config}`, ...options });
  const loudest = () => {
    let bytes;
    try {
      bytes = readFileSync(file);
    } catch {
      return 0;
    }
    let loudest = 0;
    for (let at = 0; at + 1_920 <= bytes.length; at += 1_920) {
      let power = 0;
      for (let sample = at; sample < at + 1_920; sample += 2) power += bytes.readInt16LE(sample) ** 2;
      loudest = Math.max(loudest, Math.sqrt(power / 960));
    }
    return Math.round(loudest);
  };
  return { program, loudest };
}

/** A page that may use the microphone, unless it says otherwise. */
const talking = async (t, url, viewport, { permissions = ['microphone'], ...options } = {}) =>
  open(t, url, viewport, { browser: await browser, permissions, ...options });

const label = (page, text) => page.waitForFunction((text) => document.querySelector('#talk span').textContent === text, text, SOON);
const toast = (page, pattern) => page.waitForFunction(
  (source) => [...document.querySelectorAll('.toast')].some(({ textContent }) => new RegExp(source).test(textContent)), pattern.source, SOON);
const talker = async (program) => (await program.status()).speaker.talker;

/** Begins to talk until the next press, however slow the machine is: the Enter key can't hold. */
async function latch(page) {
  await page.waitForSelector('#talk', SOON);
  await page.focus('#talk');
  await page.keyboard.press('Enter');
}

/** The violations that axe finds. */
async function violations(page) {
  await page.evaluate(axe);
  return page.evaluate(async () => (await globalThis.axe.run(document, { resultTypes: ['violations'] })).violations
    .flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`)));
}

test('whoever holds the button is heard on the board until they release it, and others see who talks', async (t) => {
  const { program, loudest } = await board(t);
  const [page, other] = [await talking(t, program.url, DESKTOP), await talking(t, program.url, PHONE)];
  await playing(page);
  await playing(other);
  await click(page, '#people');
  await page.fill('#chat-form [name=name]', 'Ann');
  await page.fill('#message', 'I come down.');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.message.mine', SOON);
  await page.keyboard.press('Escape');
  assert.equal(loudest(), 0);

  await page.hover('#talk', SOON);
  await page.mouse.down();
  await label(page, 'Talking');
  await page.waitForFunction(() => Number(document.querySelector('#talk').style.getPropertyValue('--level')) > 0.3, null, SOON);
  await eventually(loudest, (level) => level > 1_000, 'the board should play the voice');
  await announced(page, /You are talking/);
  await announced(other, /Ann is talking/);
  assert.equal(await talker(program), 'Ann');
  assert.deepEqual(await violations(page), []);
  await page.mouse.up();
  await label(page, 'Hold to talk');
  await eventually(() => talker(program), (name) => name === null, 'nobody should talk');
  await other.waitForSelector('#talker', { ...SOON, state: 'hidden' });

  // The space bar does the same, whatever has the focus; not while somebody types.
  await page.mouse.move(600, 300);
  await page.mouse.click(600, 300);
  await page.keyboard.down('Space');
  await label(page, 'Talking');
  // Longer than a tap.
  const pressed = await page.evaluate(() => performance.now());
  await page.waitForFunction((pressed) => performance.now() > pressed + 400, pressed, SOON);
  await page.keyboard.up('Space');
  await label(page, 'Hold to talk');
  await click(page, '#people');
  await page.fill('#message', 'up');
  await page.focus('#message');
  await page.keyboard.press('Space');
  assert.equal(await page.inputValue('#message'), 'up ');
  await label(page, 'Hold to talk');
  assert.deepEqual([...page.errors, ...other.errors], []);
});

test('a tap goes on talking until the next one, on a phone', async (t) => {
  const { program, loudest } = await board(t);
  const page = await talking(t, program.url, PHONE, { hasTouch: true, isMobile: true });
  await playing(page);
  await page.touchscreen.tap(200, 300);
  await page.tap('#talk', SOON);
  await label(page, 'Talking: tap to stop');
  await eventually(loudest, (level) => level > 1_000, 'the board should play the voice');
  await page.tap('#talk', SOON);
  await label(page, 'Hold to talk');
  await eventually(() => talker(program), (name) => name === null, 'nobody should talk');
  // The Enter key can't hold either.
  await page.focus('#talk');
  await page.keyboard.press('Enter');
  await label(page, 'Talking: tap to stop');
  await page.keyboard.press('Enter');
  await label(page, 'Hold to talk');
  assert.deepEqual(page.errors, []);
});

test('one at a time: who comes second is told who talks, and an operator takes the floor from a viewer', async (t) => {
  const config = '[auth]\nmode = "password"\n';
  const passwords = { viewer: PASSWORD, operator: `${PASSWORD} off` };
  const { program } = await board(t, { speaker: 'allow = "viewer"', config, passwords });
  const enter = async (page, password) => {
    await page.getByLabel('Password', { exact: true }).fill(password, SOON);
    await page.keyboard.press('Enter');
    await playing(page);
  };
  const pages = [await talking(t, program.url, PHONE), await talking(t, program.url, PHONE), await talking(t, program.url, PHONE)];
  const [first, second, operator] = pages;
  await enter(first, PASSWORD);
  await enter(second, PASSWORD);
  await enter(operator, `${PASSWORD} off`);
  await latch(first);
  await label(first, 'Talking: tap to stop');
  await latch(second);
  await toast(second, /is talking, so you are not heard/);
  await label(second, 'Hold to talk');
  await latch(operator);
  await label(operator, 'Talking: tap to stop');
  await toast(first, /is talking, so you are not heard/);
  await label(first, 'Hold to talk');
  // The board plays nobody while the privacy switch is on, and the button is gone.
  await click(operator, '#settings');
  await operator.waitForSelector('#privacy:enabled', SOON);
  await operator.check('#privacy');
  for (const page of pages) await page.waitForSelector('#talk', { ...SOON, state: 'hidden' });
  // Each page asked once without a password.
  const errors = pages.flatMap(({ errors }) => errors).filter((error) => !/status of 401/.test(error));
  assert.deepEqual(errors, []);
});

test('a page whose voice begins too late is told that the board no longer listens', async (t) => {
  const { program } = await board(t);
  const page = await talking(t, program.url, DESKTOP);
  // The sender takes the microphone only when the board has given up on it.
  await page.evaluate(() => {
    const { replaceTrack } = RTCRtpSender.prototype;
    RTCRtpSender.prototype.replaceTrack = async function (track) {
      if (track) await new Promise((resolve) => { globalThis.goOn = resolve; });
      return replaceTrack.call(this, track);
    };
  });
  await playing(page);
  await latch(page);
  await page.waitForFunction(() => globalThis.goOn, null, SOON);
  await toast(page, /no longer plays what you say/);
  await page.evaluate(() => globalThis.goOn());
  await label(page, 'Hold to talk');
  assert.equal(await talker(program), null);
  // The next attempt is heard.
  await page.evaluate(() => { globalThis.goOn = undefined; });
  await latch(page);
  await page.waitForFunction(() => globalThis.goOn, null, SOON);
  await page.evaluate(() => globalThis.goOn());
  await label(page, 'Talking: tap to stop');
  assert.deepEqual(page.errors, []);
});

test('a user who does not allow the microphone is told what to do', async (t) => {
  const { program } = await board(t);
  const page = await talking(t, program.url, DESKTOP, { permissions: [] });
  await playing(page);
  await click(page, '#talk');
  await toast(page, /may not use the microphone/);
  await label(page, 'Hold to talk');
  assert.equal(await talker(program), null);
});

test('there is no button without a speaker, and none for viewers if only operators may talk', async (t) => {
  const config = '[auth]\nmode = "password"\n';
  const { program } = await board(t, { config, passwords: { viewer: PASSWORD, operator: `${PASSWORD} off` } });
  const viewer = await talking(t, program.url, PHONE);
  await viewer.getByLabel('Password', { exact: true }).fill(PASSWORD, SOON);
  await viewer.keyboard.press('Enter');
  const silent = await start(t, { config: CONFIG });
  const operator = await talking(t, silent.url, PHONE);
  for (const page of [viewer, operator]) {
    await playing(page);
    await page.waitForFunction(() => !document.querySelector('#photo').disabled, null, SOON);
    assert.equal(await page.isVisible('#talk'), false);
    await page.keyboard.press('Space');
    assert.equal(await page.isVisible('#talker'), false);
  }
});

for (const [locale, title, text] of [['en-GB', 'Talking needs HTTPS', 'Hold to talk'], ['ko-KR', '말하려면 HTTPS가 필요합니다', '누르고 말하기']]) {
  test(`over plain HTTP the button explains what is missing (${locale})`, async (t) => {
    const config = '[http]\nhosts = ["board.example"]\n[auth]\nmode = "password"\n';
    const passwords = { viewer: PASSWORD, operator: `${PASSWORD} off` };
    const { program } = await board(t, { speaker: 'allow = "viewer"', config, passwords });
    const url = program.url.replace('127.0.0.1', 'board.example');
    for (const [role, viewport] of [['viewer', PHONE], ['operator', DESKTOP]]) {
      const page = await talking(t, url, viewport, { permissions: [], locale });
      await page.fill('#password', passwords[role], SOON);
      await page.keyboard.press('Enter');
      await playing(page);
      await label(page, text);
      await click(page, '#talk');
      await page.waitForSelector('#talk-help[open]', SOON);
      assert.equal(await page.textContent('#talk-help-title'), title);
      const told = await page.evaluate(() => document.querySelector('#talk-help').innerText);
      assert.equal(told.includes('tls = "self-signed"'), role === 'operator', told);
      assert.equal(told.includes('[http]'), role === 'operator', told);
      assert.deepEqual(await violations(page), []);
      mkdirSync(SCREENSHOTS, { recursive: true });
      await page.screenshot({ path: `${SCREENSHOTS}talk-help-${role}-${locale}.png` });
      await page.click('#talk-help-close', SOON);
      assert.equal(await page.isVisible('#talk-help'), false);
      await page.close();
    }
  });
}

for (const [name, viewport] of Object.entries({ phone: PHONE, landscape: LANDSCAPE, desktop: DESKTOP })) {
  test(`the button to talk lies on no other, nor on the picture beside a panel (${name})`, async (t) => {
    const { program } = await board(t);
    const page = await talking(t, program.url, viewport, { locale: name === 'landscape' ? 'ko-KR' : 'en-GB' });
    mkdirSync(SCREENSHOTS, { recursive: true });
    const take = (state) => page.screenshot({ path: `${SCREENSHOTS}talk-${name}-${state}.png` });
    await playing(page);
    const box = (selector) => page.locator(selector).boundingBox(SOON);
    const apart = (a, b) => a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y || b.y + b.height <= a.y;
    const check = async () => {
      const talk = await box('#talk');
      const { width, height } = viewport;
      assert.ok(talk.x >= 0 && talk.x + talk.width <= width && talk.y >= 0 && talk.y + talk.height <= height, JSON.stringify(talk));
      assert.ok(talk.height >= 44, JSON.stringify(talk));
      const others = await Promise.all((await page.locator('.control:visible').all()).map((one) => one.boundingBox()));
      assert.ok(others.length > 6);
      for (const other of others) assert.ok(apart(talk, other), JSON.stringify({ talk, other }));
      return talk;
    };
    await movePointer(page);
    await check();
    await take('idle');
    await latch(page);
    await page.waitForSelector('#talk[aria-pressed=true]', SOON);
    await page.waitForFunction(() => Number(document.querySelector('#talk').style.getPropertyValue('--level')) > 0.3, null, SOON);
    await check();
    await take('talking');
    await click(page, '#settings');
    await page.waitForSelector('#settings-pane', SOON);
    const talk = await check();
    const bottom = await page.evaluate(() => {
      const video = document.querySelector('video');
      return video.getBoundingClientRect().y + video.clientHeight - Number.parseFloat(getComputedStyle(video).paddingBottom);
    });
    assert.ok(talk.y >= bottom - 1, JSON.stringify({ talk, bottom }));
    await take('settings');
  });
}
