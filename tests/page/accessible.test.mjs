/** Checks every state of the page with axe-core (WCAG 2.2 A and AA, and its best practices), on a phone and on a desktop. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { violations } from './axe.mjs';
import { CONFIG, DESKTOP, LANDSCAPE, PHONE, SOON, announced, click, movePointer, open, playing, start } from './page.mjs';

for (const [name, viewport] of Object.entries({ phone: PHONE, landscape: LANDSCAPE, desktop: DESKTOP })) {
  for (const locale of ['en-US', 'ko-KR']) {
    test(`axe-core finds nothing on a ${name} in ${locale}`, async (t) => {
      const second = '\n[[camera]]\nname = "garden"\ndevice = "pattern"\nwidth = 320\nheight = 180\n';
      const program = await start(t, { config: CONFIG + second });
      const page = await open(t, program.url, viewport, { locale, reducedMotion: 'reduce' });
      await playing(page);
      await movePointer(page);
      assert.deepEqual(await violations(page), [], 'playing');
      for (const pane of ['settings', 'people', 'details']) {
        await click(page, `#${pane}`);
        await page.waitForFunction((pane) => !document.querySelector(`#${pane}-pane`).hidden, pane, SOON);
        assert.deepEqual(await violations(page), [], pane);
        await page.keyboard.press('Escape');
      }
      await page.keyboard.press('+');
      await page.waitForSelector('#reset-zoom', SOON);
      assert.deepEqual(await violations(page), [], 'zoomed');
      await click(page, '#hang-up');
      await page.waitForFunction(() => globalThis.porthole.state === 'stopped', null, SOON);
      assert.deepEqual(await violations(page), [], 'stopped');
    });
  }
}

test('axe-core finds nothing without video and while signed out', async (t) => {
  const program = await start(t, { config: '[[camera]]\ndevice = "/dev/porthole-no-such-camera"\n[audio]\ndevice = "off"\n' });
  const page = await open(t, program.url, PHONE, { reducedMotion: 'reduce' });
  await announced(page, /No video from the camera/);
  assert.deepEqual(await violations(page), [], 'camera away');
  await page.goto(`${program.url}?camera=attic`);
  await announced(page, /no camera “attic”/);
  assert.deepEqual(await violations(page), [], 'no such camera');

  const locked = await start(t, { config: `${CONFIG}\n[auth]\nmode = "password"\n`, passwords: { viewer: 'six old boats drift' } });
  await page.goto(locked.url);
  await announced(page, /Signed out/);
  assert.deepEqual(await violations(page), [], 'signed out');
});
