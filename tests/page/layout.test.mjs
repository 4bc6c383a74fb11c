/** Where things are on the page: nothing lies on anything else, and what belongs together lines up. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { DEVICE, fakeCamera } from './fake-camera.mjs';
import { CONFIG, DESKTOP, LANDSCAPE, PHONE, SOON, announced, click, open, playing, start, stats } from './page.mjs';

const SIZES = { phone: PHONE, landscape: LANDSCAPE, desktop: DESKTOP };
const touch = { hasTouch: true, isMobile: true };

/** The visible rectangles of a selector. */
const boxes = async (page, selector) => Promise.all((await page.locator(`${selector}:visible`).all()).map((one) => one.boundingBox()));

/** Whether two rectangles have no point in common. */
const apart = (a, b) => a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y || b.y + b.height <= a.y;

for (const [name, viewport] of Object.entries(SIZES)) {
  test(`a toast does not lie on the notice while the settings are open (${name})`, async (t) => {
    const program = await start(t);
    const page = await open(t, program.url, viewport);
    await playing(page);
    await click(page, '#settings');
    await page.waitForSelector('#privacy:enabled', SOON);
    await page.check('#privacy');
    await page.waitForSelector('.toast', SOON);
    await announced(page, /^Camera and microphone are turned off/);
    const [title] = await boxes(page, '#notice-title');
    const [stage] = await boxes(page, '#notice');
    for (const toast of await boxes(page, '.toast')) assert.ok(apart(toast, title), JSON.stringify({ toast, title }));
    assert.ok(title.y >= stage.y && title.y + title.height <= stage.y + stage.height, JSON.stringify({ title, stage }));
  });

  test(`beside an open panel no button lies on the picture (${name})`, async (t) => {
    const program = await start(t);
    const page = await open(t, program.url, viewport);
    await playing(page);
    await click(page, '#settings');
    await page.waitForSelector('#settings-pane', SOON);
    const picture = await page.evaluate(() => {
      const video = document.querySelector('video');
      const { x, y, width } = video.getBoundingClientRect();
      const height = video.clientHeight - Number.parseFloat(getComputedStyle(video).paddingBottom);
      const scale = Math.min(width / video.videoWidth, height / video.videoHeight);
      const [shownWidth, shownHeight] = [video.videoWidth * scale, video.videoHeight * scale];
      return { x: x + (width - shownWidth) / 2, y: y + (height - shownHeight) / 2, width: shownWidth, height: shownHeight };
    });
    assert.ok(picture.height > 150, JSON.stringify(picture));
    for (const button of await boxes(page, '.control')) assert.ok(apart(picture, button), JSON.stringify({ picture, button }));
  });
}

test('the controls of the settings end at one line, and no menu is wider than the pane', async (t) => {
  const script = `card Camera
format YUYV 640x360@30
control 9963776 1 0 255 1 128 0 Brightness
control 9963788 2 0 1 1 1 0 White Balance, Automatic
control 9963800 3 0 2 1 1 0 Power Line Frequency
control 9963802 1 2800 6500 1 4600 0 White Balance Temperature
`;
  const program = await start(t, { config: `[[camera]]\ndevice = "${DEVICE}"\n[audio]\ndevice = "tone"\n`, environment: fakeCamera(t, script) });
  for (const viewport of Object.values(SIZES)) {
    const page = await open(t, program.url, viewport);
    await playing(page);
    await click(page, '#settings');
    await page.waitForSelector('#control-brightness', SOON);
    const selector = '#settings-pane :is(select, [role=switch], [type=range], output:not(:empty))';
    const places = await boxes(page, selector);
    assert.ok(places.length >= 11, `${places.length} controls`);
    const ends = places.map(({ x, width }) => Math.round(x + width));
    assert.equal(Math.max(...ends) - Math.min(...ends), 0, `${ends}`);
    const clipped = await page.evaluate(() => [...document.querySelectorAll('#settings-pane select')]
      .filter((menu) => menu.scrollWidth > menu.clientWidth).map((menu) => menu.value));
    assert.deepEqual(clipped, []);
    await page.close();
  }
});

test('what stays when the controls hide keeps its place in a corner, and a tapped button does not stay', async (t) => {
  const program = await start(t);
  const page = await open(t, program.url, PHONE, touch);
  await playing(page);
  await page.waitForSelector('#pattern', SOON);
  const [pattern] = await boxes(page, '#pattern');
  const others = [...await boxes(page, '#camera-name'), ...await boxes(page, '.top-bar .chip:not(#pattern)')];
  assert.ok(others.length > 0 && others.every(({ x, y }) => x > pattern.x && Math.abs(y - pattern.y) < 20), JSON.stringify({ pattern, others }));

  await page.touchscreen.tap(200, 300);
  await page.waitForSelector('body:not(.controls-hidden)', SOON);
  await page.tap('#hang-up', SOON);
  await announced(page, /^Stopped/);
  await page.tap('#hang-up', SOON);
  await playing(page);
  assert.equal(await page.evaluate(() => document.activeElement.id), 'hang-up');
  await page.waitForSelector('body.controls-hidden', SOON);
  await page.waitForFunction(() => getComputedStyle(document.getElementById('hang-up')).opacity === '0', null, SOON);
});

test('a muted microphone is called muted, and chosen it is heard', async (t) => {
  const program = await start(t, { config: CONFIG });
  const page = await open(t, program.url);
  await playing(page);
  await click(page, '#settings');
  const chosen = () => page.evaluate(() => document.querySelector('#microphone').selectedOptions[0]?.textContent);
  await page.waitForFunction(() => document.querySelector('#microphone').options.length === 2, null, SOON);
  assert.equal(await chosen(), 'Muted');
  await page.selectOption('#microphone', { index: 0 });
  await stats(page, () => globalThis.porthole.stats().audio?.level > 0);
  assert.notEqual(await chosen(), 'Muted');
});
