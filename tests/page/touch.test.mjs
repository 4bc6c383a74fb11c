/**
 * The page on phones and desktops: controls that hide, zoom, full screen, picture in picture and the wake lock. The board's
 * part is tested elsewhere.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { DESKTOP, LANDSCAPE, PHONE, SOON, announced, becomes, click, movePointer, open, playing, start } from './page.mjs';

const phone = { hasTouch: true, isMobile: true };

/** The video's rectangle on the screen. */
const box = (page) => page.locator('#video').boundingBox();

/** Moves fingers along paths. @param {[number, number][][]} paths One a finger. */
async function fingers(page, paths) {
  const cdp = await page.context().newCDPSession(page);
  const points = (step) => paths.map((path, id) => ({ x: path[step][0], y: path[step][1], id }));
  await cdp.send('Input.dispatchTouchEvent', { type: 'touchStart', touchPoints: points(0) });
  for (let step = 1; step < paths[0].length; step++) {
    await cdp.send('Input.dispatchTouchEvent', { type: 'touchMove', touchPoints: points(step) });
  }
  await cdp.send('Input.dispatchTouchEvent', { type: 'touchEnd', touchPoints: [] });
}

/** Taps twice, a tenth of a second apart by the time of the events, however long the machine takes to send them. */
async function doubleTap(page, x, y) {
  const cdp = await page.context().newCDPSession(page);
  const now = Date.now() / 1000;
  for (const after of [0, 0.1]) {
    await cdp.send('Input.dispatchTouchEvent', { type: 'touchStart', touchPoints: [{ x, y }], timestamp: now + after });
    await cdp.send('Input.dispatchTouchEvent', { type: 'touchEnd', touchPoints: [], timestamp: now + after + 0.05 });
  }
}

/** Points on a straight line. */
function path([x, y], [toX, toY], steps = 8) {
  return Array.from({ length: steps + 1 }, (_, at) => [x + ((toX - x) * at) / steps, y + ((toY - y) * at) / steps]);
}

test('on a phone the controls hide after 3 s, return on touch, and stay while a pane is open', async (t) => {
  const program = await start(t);
  const page = await open(t, program.url, PHONE, phone);
  await playing(page);
  await page.evaluate(() => {
    let touched = null;
    const opaque = () => Number(getComputedStyle(document.getElementById('hang-up')).opacity) > 0.99;
    const look = () => (globalThis.appeared = opaque()) || requestAnimationFrame(look);
    addEventListener('pointerdown', () => {
      touched = performance.now();
      look();
    }, { once: true });
    new MutationObserver(() => {
      const hidden = document.body.classList.contains('controls-hidden');
      if (touched !== null && hidden) globalThis.hiddenAfter ??= performance.now() - touched;
    }).observe(document.body, { attributeFilter: ['class'] });
  });
  await page.touchscreen.tap(200, 300);
  await page.waitForFunction(() => globalThis.hiddenAfter && globalThis.appeared, null, SOON);
  const span = await page.evaluate(() => globalThis.hiddenAfter);
  assert.ok(span > 2_900, `hidden after ${span} ms`);
  await page.waitForFunction(() => getComputedStyle(document.getElementById('hang-up')).opacity === '0', null, SOON);
  // A hidden control cannot be tapped by mistake.
  const { x, y } = await page.locator('#hang-up').boundingBox();
  await page.touchscreen.tap(x + 30, y + 30);
  await page.waitForSelector('body:not(.controls-hidden)', SOON);
  await becomes(page, 'live');

  await page.tap('#details', SOON);
  await page.waitForSelector('#panel', SOON);
  const stays = await page.evaluate(() => new Promise((resolve) => setTimeout(() => resolve(!document.body.classList.contains('controls-hidden')), 4_000)));
  assert.equal(stays, true);
  assert.deepEqual(page.errors, []);
});

test('with a mouse the controls stay while it rests on one of them, and hide when it rests on the video', async (t) => {
  const program = await start(t);
  const page = await open(t, program.url, DESKTOP);
  await playing(page);
  const { x, y, width, height } = await page.locator('#photo').boundingBox();
  await page.mouse.move(x + width / 2, y + height / 2);
  const stayed = await page.evaluate(() => new Promise((resolve) => setTimeout(() => resolve(!document.body.classList.contains('controls-hidden')), 4_000)));
  assert.equal(stayed, true);
  await page.mouse.move(640, 300);
  await page.waitForSelector('body.controls-hidden', SOON);
});

test('every control is large enough for touch and on the screen, in portrait, in landscape and on a desktop', async (t) => {
  const second = '\n[[camera]]\nname = "garden"\ndevice = "pattern"\nwidth = 320\nheight = 180\n';
  const program = await start(t, { config: `[[camera]]\nname = "door"\ndevice = "pattern"\nwidth = 640\nheight = 360\n${second}[audio]\ndevice = "tone"\n` });
  for (const viewport of [PHONE, { width: 320, height: 568 }, LANDSCAPE, { width: 667, height: 375 }, DESKTOP]) {
    const page = await open(t, program.url, viewport);
    await playing(page);
    for (const pane of [null, 'settings', 'people', 'details']) {
      if (pane) await click(page, `#${pane}`);
      else await movePointer(page);
      const where = `${viewport.width}x${viewport.height} ${pane ?? ''}`;
      await page.evaluate(() => {
        const finite = document.getAnimations().filter((animation) => animation.effect.getComputedTiming().endTime < Infinity);
        return Promise.allSettled(finite.map((animation) => animation.finished));
      });
      const boxes = await page.locator('.control:visible, .close:visible, #camera:visible').evaluateAll((controls) => controls.map((control) => {
        const { x, y, width, height } = control.getBoundingClientRect();
        return { id: control.id, x, y, width, height };
      }));
      for (const [index, { id, x, y, width, height }] of boxes.entries()) {
        assert.ok(width >= 44 && height >= 44, `${where}: ${id} is ${width} x ${height}`);
        const inside = x >= 0 && y >= 0 && x + width <= viewport.width && y + height <= viewport.height;
        assert.ok(inside, `${where}: ${id} is at ${x}, ${y}`);
        for (const other of boxes.slice(0, index)) {
          const apart = x >= other.x + other.width - 1 || other.x >= x + width - 1 || y >= other.y + other.height - 1 || other.y >= y + height - 1;
          assert.ok(apart, `${where}: ${id} lies on ${other.id}`);
        }
      }
      assert.ok(boxes.length >= 9, `${where}: ${boxes.length} controls`);
      if (pane) await page.keyboard.press('Escape');
    }
    await page.close();
  }
});

test('pinching zooms, dragging pans, and the video always covers the screen', async (t) => {
  const program = await start(t);
  const page = await open(t, program.url, PHONE, phone);
  await playing(page);
  const whole = await box(page);
  await fingers(page, [path([180, 400], [80, 400]), path([210, 400], [310, 400])]);
  await page.waitForSelector('#reset-zoom', SOON);
  const near = await box(page);
  assert.ok(near.width > 3 * whole.width, `${near.width} of ${whole.width}`);
  assert.match(await page.textContent('#reset-zoom'), /^\d\.\d×$/);

  await fingers(page, [path([100, 400], [200, 430])]);
  const dragged = await box(page);
  assert.ok(Math.abs(dragged.x - near.x - 100) < 15, `from ${near.x} to ${dragged.x}`);
  for (let times = 0; times < 9; times++) await fingers(page, [path([20, 400], [370, 400])]);
  const edge = await box(page);
  assert.equal(Math.round(edge.x), 0);

  await page.tap('#reset-zoom', SOON);
  await page.waitForSelector('#reset-zoom', { state: 'hidden', ...SOON });
  assert.deepEqual(await box(page), whole);
  await doubleTap(page, 200, 400);
  await page.waitForFunction((width) => document.querySelector('video').getBoundingClientRect().width > 2 * width, whole.width, SOON);
});

test('the wheel and keys zoom, the mouse and arrow keys pan', async (t) => {
  const program = await start(t);
  const page = await open(t, program.url, DESKTOP);
  await playing(page);
  await page.mouse.move(640, 400);
  await page.mouse.wheel(0, -300);
  await page.waitForSelector('#reset-zoom', SOON);
  const near = await box(page);
  assert.ok(near.width > 1.9 * DESKTOP.width, `${near.width}`);
  await page.mouse.down();
  await page.mouse.move(700, 440, { steps: 4 });
  await page.mouse.up();
  const dragged = await box(page);
  assert.deepEqual([Math.round(dragged.x - near.x), Math.round(dragged.y - near.y)], [60, 40]);
  await page.keyboard.press('ArrowRight');
  assert.ok((await box(page)).x < dragged.x - 100);
  await page.keyboard.press('0');
  assert.equal((await box(page)).width, DESKTOP.width);
  await page.keyboard.press('+');
  assert.ok((await box(page)).width > DESKTOP.width);
});

test('full screen and picture in picture', async (t) => {
  const program = await start(t);
  const page = await open(t, program.url, DESKTOP);
  await playing(page);
  await click(page, '#full-screen');
  await page.waitForFunction(() => document.fullscreenElement !== null && document.querySelector('#full-screen').ariaPressed === 'true', null, SOON);
  await page.keyboard.press('f');
  await page.waitForFunction(() => document.fullscreenElement === null && document.querySelector('#full-screen').ariaPressed === 'false', null, SOON);

  await click(page, '#pip');
  await page.waitForFunction(() => document.pictureInPictureElement?.id === 'video' && document.querySelector('#pip').ariaPressed === 'true', null, SOON);
  await page.keyboard.press('w');
  await page.waitForFunction(() => document.pictureInPictureElement === null, null, SOON);
});

test('the wake lock is held only while there is video', async (t) => {
  const program = await start(t);
  const page = await open(t, 'about:blank', PHONE);
  await page.addInitScript(() => {
    const { request } = WakeLock.prototype;
    globalThis.locks = [];
    WakeLock.prototype.request = async function (kind) {
      const lock = await request.call(this, kind);
      globalThis.locks.push(lock);
      return lock;
    };
  });
  await page.goto(program.url);
  await playing(page);
  await page.waitForFunction(() => globalThis.locks.length === 1 && !globalThis.locks[0].released, null, SOON);
  await click(page, '#hang-up');
  await announced(page, /^Stopped/);
  await page.waitForFunction(() => globalThis.locks.every(({ released }) => released), null, SOON);
  await page.click('#notice-action');
  await playing(page);
  await page.waitForFunction(() => globalThis.locks.some(({ released }) => !released), null, SOON);
});
