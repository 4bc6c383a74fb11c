/** Screenshots of each state in each size, to be reviewed by eye; written to tests/page/screenshots. */

import { mkdirSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { DEVICE, fakeCamera } from './fake-camera.mjs';
import { DESKTOP, LANDSCAPE, LATER, PHONE, SOON, announced, click, movePointer, open, playing, start, stats } from './page.mjs';
import { Recorded, yesterday } from './recorded.mjs';

const SCREENSHOTS = fileURLToPath(new URL('screenshots/', import.meta.url));

const CONFIG = `[[camera]]\nname = "harbour"\ndevice = "pattern"\n[[camera]]\nname = "desk"\ndevice = "${DEVICE}"\n[audio]\ndevice = "tone"\n`;
const FAKE = `card Desk camera
format YUYV 640x360@30 320x180@30
control 9963776 1 0 255 1 128 0 Brightness
control 9963777 1 -10 10 5 0 0 Contrast
control 9963788 2 0 1 1 1 0 White Balance, Automatic
control 9963800 3 0 2 1 1 0 Power Line Frequency
control 9963802 1 2800 6500 1 4600 0x10 White Balance Temperature
`;

for (const [name, viewport] of Object.entries({ phone: PHONE, landscape: LANDSCAPE, desktop: DESKTOP })) {
  test(`screenshots on a ${name}`, async (t) => {
    mkdirSync(SCREENSHOTS, { recursive: true });
    const program = await start(t, { config: CONFIG, environment: fakeCamera(t, FAKE) });
    const locale = name === 'landscape' ? 'ko-KR' : 'en-GB';
    const page = await open(t, program.url, viewport, { locale, hasTouch: name !== 'desktop' });
    const take = (state) => page.screenshot({ path: `${SCREENSHOTS}${name}-${state}.png` });
    const pane = async (id) => {
      await click(page, `#${id}`);
      await page.waitForSelector(`#${id}-pane`, SOON);
    };
    await playing(page);
    await page.waitForFunction(() => !document.querySelector('#photo').disabled, null, SOON);
    await movePointer(page);
    await take('playing');
    await pane('details');
    await stats(page, () => globalThis.porthole.stats().video?.bitrate > 0);
    await page.waitForFunction(() => document.querySelector('[data-graph=fps] path')?.getAttribute('d')?.split('L').length > 8, null, LATER);
    await take('details');

    const guest = await open(t, program.url, DESKTOP);
    await playing(guest);
    await click(guest, '#people');
    await guest.fill('#chat-form [name=name]', 'Ann');
    await guest.fill('#message', 'Is that the heron again?');
    await guest.keyboard.press('Enter');
    await page.waitForSelector('.toast', SOON);
    await page.keyboard.press('Escape');
    await movePointer(page);
    await take('toast');
    await pane('people');
    await page.fill('#chat-form [name=name]', 'Ben');
    await page.fill('#message', 'It is. Third time this week.');
    await page.keyboard.press('Enter');
    await page.waitForSelector('.message.mine', SOON);
    await take('people');
    await guest.close();

    await pane('settings');
    await take('settings');
    await page.selectOption('#source-camera', 'desk');
    await page.waitForSelector('#control-brightness', SOON);
    await page.locator('#camera-controls').evaluate((controls) => controls.previousElementSibling.scrollIntoView());
    await take('controls');
    await page.selectOption('#source-camera', 'harbour');
    await playing(page);
    await page.keyboard.press('Escape');
    await click(page, '#record');
    await page.keyboard.press('+');
    await page.keyboard.press('+');
    await page.waitForFunction(() => /0:0[1-9]/.test(document.querySelector('#record span').textContent), null, SOON);
    // A focused control stays visible until the video is clicked.
    await page.mouse.click(30, 210);
    await take('recording');
    await page.waitForSelector('body.controls-hidden', SOON);
    await take('controls-hidden');
    await click(page, '#record');
    await pane('settings');
    await page.check('#privacy');
    await page.waitForFunction(() => document.body.dataset.state === 'privacy' && getComputedStyle(document.querySelector('video')).opacity === '0', null, SOON);
    await take('privacy');
    await page.uncheck('#privacy');
    await playing(page);
    await page.keyboard.press('Escape');
    await click(page, '#hang-up');
    await page.waitForFunction(() => globalThis.porthole.state === 'stopped', null, SOON);
    await take('stopped');
  });
}

for (const [name, viewport, locale] of [['phone', PHONE, 'en-GB'], ['phone-ko', PHONE, 'ko-KR'], ['landscape', LANDSCAPE, 'ko-KR'], ['desktop', DESKTOP, 'en-GB']]) {
  test(`screenshots of what was recorded on a ${name}`, async (t) => {
    mkdirSync(SCREENSHOTS, { recursive: true });
    const recorded = new Recorded(t);
    recorded.add({ at: yesterday(-20), seconds: 1_800, cause: 'always', camera: 'harbour' });
    recorded.add({ at: yesterday(7, 10), seconds: 2_400, cause: 'always', camera: 'harbour' });
    for (const [at, minute] of [0, 4, 11, 17, 24, 29, 41, 50].entries()) {
      recorded.add({ at: yesterday(18, minute), seconds: 20, camera: 'harbour', hue: at * 40, isProtected: at === 6 });
    }
    recorded.add({ at: yesterday(19, 24, 56), seconds: 61, camera: 'harbour', hue: 90, cause: 'manual' });
    const program = await start(t, { config: `${CONFIG.replace(DEVICE, 'pattern')}${recorded.lines}` });
    const page = await open(t, program.url, viewport, { locale, timezoneId: 'UTC', hasTouch: name !== 'desktop' });
    const take = (state) => page.screenshot({ path: `${SCREENSHOTS}${name}-history-${state}.png` });
    await playing(page);
    await movePointer(page);
    await page.waitForSelector('#history', SOON);
    await take('live');
    await click(page, '#history');
    await page.waitForFunction(() => [...document.querySelectorAll('.event img')].slice(0, 4).every((image) => image.naturalWidth > 0), null, SOON);
    await take('pane');
    await page.locator('.event').nth(2).click(SOON);
    await page.waitForFunction(() => document.querySelector('#recorded').currentTime > 1, null, SOON);
    await take('playing');
    await page.locator('.event').first().click(SOON);
    await page.waitForFunction(() => document.querySelector('#recorded').currentTime > 0.3 && document.querySelector('#recorded').readyState > 2, null, SOON);
    await page.locator('.history-hour').last().scrollIntoViewIfNeeded();
    await take('scrolled');
    await page.click('#recording-delete', SOON);
    await take('delete');
    await page.click('#delete-cancel', SOON);
    await page.click('#panel-close', SOON);
    await movePointer(page);
    await take('without-panel');
  });
}

test('screenshots without video and while signed out', async (t) => {
  const program = await start(t, { config: '[[camera]]\ndevice = "/dev/porthole-no-such-camera"\n[audio]\ndevice = "off"\n' });
  const page = await open(t, program.url, PHONE);
  await announced(page, /No video from the camera/);
  await page.screenshot({ path: `${SCREENSHOTS}phone-no-camera.png` });
  const locked = await start(t, { config: '[[camera]]\ndevice = "pattern"\n[auth]\nmode = "password"\n', passwords: { viewer: 'six old boats drift' } });
  await page.goto(locked.url);
  await announced(page, /Signed out/);
  await page.screenshot({ path: `${SCREENSHOTS}phone-signed-out.png` });
});

test('screenshots of MJPEG', async (t) => {
  const program = await start(t, { config: CONFIG.replace(DEVICE, 'pattern') });
  for (const [name, viewport, locale] of [['phone', PHONE, 'ko-KR'], ['landscape', LANDSCAPE, 'en-GB'], ['desktop', DESKTOP, 'en-GB']]) {
    const page = await open(t, 'about:blank', viewport, { locale });
    await page.addInitScript(() => delete globalThis.RTCPeerConnection);
    await page.goto(program.url);
    await page.waitForSelector('#mjpeg', SOON);
    await movePointer(page);
    await page.screenshot({ path: `${SCREENSHOTS}${name}-mjpeg.png` });
    await click(page, '#notice-expand');
    await page.screenshot({ path: `${SCREENSHOTS}${name}-mjpeg-why.png` });
    await page.close();
  }
});
