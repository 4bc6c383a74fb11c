/** What the page says to whom: no device paths or configuration for viewers, no words of the browser's, notices in each language. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CONFIG, DESKTOP, PHONE, SOON, announced, click, expand, open, playing, start } from './page.mjs';

const PASSWORD = 'six old boats drift';

/** What only those who run the board understand. */
const BOARD_WORDS = /\/dev\/|\[\[?\w+\]|porthole devices|max_viewers|ice_servers|device =|hw:/;

/** All text of the page, with what is folded. */
const words = (page) => page.evaluate(() => [document.body.textContent, ...[...document.querySelectorAll('option')].map(({ value }) => value)].join(' '));

test('viewers read no device paths and no configuration keys, operators do', async (t) => {
  const device = '/dev/porthole-no-such-camera';
  const program = await start(t, {
    config: `[[camera]]\ndevice = "${device}"\n[audio]\ndevice = "tone"\n[auth]\nmode = "password"\n[rtc]\nmax_viewers = 2\n`,
    passwords: { viewer: PASSWORD, operator: `${PASSWORD} off` },
  });
  const signIn = async (page, password) => {
    await page.getByLabel('Password', { exact: true }).fill(password, SOON);
    await page.keyboard.press('Enter');
    await announced(page, /^No video from the camera/);
    await page.waitForFunction(() => !document.querySelector('#people').disabled && document.querySelector('#viewer-count').textContent !== '', null, SOON);
  };
  const viewer = await open(t, program.url, PHONE);
  await signIn(viewer, PASSWORD);
  for (const pane of ['settings', 'details']) {
    await click(viewer, `#${pane}`);
    await viewer.waitForSelector(`#${pane}-pane`, SOON);
    assert.doesNotMatch(await words(viewer), BOARD_WORDS, pane);
    await viewer.keyboard.press('Escape');
  }
  const operator = await open(t, program.url, DESKTOP);
  await signIn(operator, `${PASSWORD} off`);
  await operator.waitForFunction((device) => document.querySelector('#notice-text').textContent.includes(device), device, SOON);
  assert.match(await words(operator), BOARD_WORDS);
  // A third one is told what viewers can do about it.
  const third = await open(t, 'about:blank', PHONE, { storageState: await viewer.context().storageState() });
  await third.goto(program.url);
  await announced(third, /viewer limit/);
  await third.waitForFunction(() => document.querySelector('#notice-advice li')?.textContent === 'Close the page where nobody is watching', null, SOON);
  assert.doesNotMatch(await words(third), BOARD_WORDS);
});

test('a browser without WebRTC is told so in words for people', async (t) => {
  const program = await start(t);
  const page = await open(t, 'about:blank', PHONE);
  await page.addInitScript(() => delete globalThis.RTCPeerConnection);
  await page.goto(program.url);
  await announced(page, /^This browser can’t play the stream\. It does not support WebRTC, or WebRTC is turned off/);
  assert.doesNotMatch(await words(page), /RTCPeerConnection/);
  await expand(page);
  assert.ok((await page.locator('#notice-advice li:visible').count()) > 0);
});

test('the board’s notices are in the language of the page', async (t) => {
  const program = await start(t, { config: CONFIG });
  for (const [locale, words] of [['ko-KR', /camera 카메라의 영상 설정을 바꿨습니다/], ['en-GB', /has changed the video settings of camera\.$/]]) {
    const page = await open(t, program.url, DESKTOP, { locale });
    await playing(page);
    await page.waitForFunction(() => !document.querySelector('#photo').disabled, null, SOON);
    await program.command('video.set', { bitrate: 1_000_000 });
    await page.waitForSelector('.toast', SOON);
    assert.match(await page.textContent('.toast'), words);
    await page.close();
  }
});
