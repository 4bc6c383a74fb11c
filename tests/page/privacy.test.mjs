/** The privacy switch in a real browser: who may set it, and what viewers see and hear. */

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { CONFIG, DESKTOP, PHONE, SOON, announced, click, open, playing, start, stats } from './page.mjs';

/** Waits for the board's status. */
const board = (page, on) => page.waitForFunction(
  async (on) => {
    const { privacy, cameras, audio } = await (await fetch('api/status')).json();
    const closed = cameras[0].state === 'idle' && audio.state === 'idle';
    return privacy === on && closed === on;
  },
  on, { ...SOON, polling: 100 });

for (const [name, viewport] of Object.entries({ phone: PHONE, desktop: DESKTOP })) {
  test(`an operator turns camera and microphone off and on for everyone (${name})`, async (t) => {
    const program = await start(t);
    const [page, other] = [await open(t, program.url, viewport), await open(t, program.url, DESKTOP)];
    await playing(page);
    await playing(other);
    await click(other, '#mute');
    await stats(other, () => globalThis.porthole.stats().audio?.bitrate > 10_000);
    await click(page, '#settings');
    await page.waitForSelector('#privacy:enabled', SOON);
    await page.check('#privacy');
    await board(page, true);
    for (const viewer of [page, other]) await announced(viewer, /^Camera and microphone are turned off\. An operator/);
    assert.equal(await other.textContent('#state'), 'Camera off');
    // The session is live, and the board sends its placeholder.
    await other.waitForFunction(() => globalThis.porthole.state === 'live' && blockCode.read(document.querySelector('video')) === null, null, SOON);
    assert.equal(await page.isChecked('#privacy'), true);

    // A new viewer sees the same and, as an operator, can turn them back on.
    const late = await open(t, program.url, viewport);
    await announced(late, /^Camera and microphone are turned off/);
    await click(late, '#settings');
    await late.waitForSelector('#privacy:enabled:checked', SOON);
    await late.uncheck('#privacy');
    await board(late, false);
    for (const viewer of [page, other, late]) {
      await playing(viewer);
      await announced(viewer, /^Live/);
    }
    await page.waitForSelector('#privacy:not(:checked)', SOON);
    assert.deepEqual([...page.errors, ...other.errors, ...late.errors], []);
  });
}

test('a privacy switch that the board cannot store is shown as not saved until it is', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'porthole-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const obstacle = path.join(folder, 'a');
  const program = await start(t, { config: `${CONFIG}\n[state]\ndirectory = "${obstacle}/state"\n` });
  const page = await open(t, program.url, DESKTOP);
  await playing(page);
  await click(page, '#settings');
  await page.waitForSelector('#privacy:enabled', SOON);
  assert.equal(await page.isVisible('#privacy-note'), false);
  // A file in the place of the directory: nothing can be written.
  await rm(obstacle, { recursive: true, force: true });
  await writeFile(obstacle, '');
  await page.check('#privacy');
  await announced(page, /^Camera and microphone are turned off\. But the board could not store this/);
  await page.waitForSelector('#privacy-note', { ...SOON, state: 'visible' });
  assert.match(await page.textContent('#privacy-note'), /^Not saved/);
  await rm(obstacle);
  await announced(page, /^Camera and microphone are turned off\. An operator/);
  await page.waitForSelector('#privacy-note', { ...SOON, state: 'hidden' });
  assert.deepEqual(page.errors, []);
});

test('a viewer sees the privacy switch but cannot set it', async (t) => {
  const password = 'six old boats drift';
  const config = `${CONFIG}\n[auth]\nmode = "password"\n[privacy]\non = true\n`;
  const program = await start(t, { config, passwords: { viewer: password, operator: `${password} off` } });
  const page = await open(t, program.url, PHONE);
  await page.getByLabel('Password', { exact: true }).fill(password, SOON);
  await page.keyboard.press('Enter');
  await announced(page, /^Camera and microphone are turned off/);
  await click(page, '#settings');
  await page.waitForSelector('#privacy:checked', SOON);
  assert.equal(await page.isDisabled('#privacy'), true);
});
