/** The privacy switch in a real browser: who throws it, and what each viewer sees and hears then. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CONFIG, DESKTOP, PHONE, SOON, announced, click, open, playing, start, stats } from './page.mjs';

/** Waits until the board's status says so. */
const board = (page, cut) => page.waitForFunction(
  async (cut) => {
    const { privacy, cameras, audio } = await (await fetch('api/status')).json();
    const closed = cameras[0].state === 'idle' && audio.state === 'idle';
    return privacy === cut && closed === cut;
  },
  cut, { ...SOON, polling: 100 });

for (const [name, viewport] of Object.entries({ phone: PHONE, desktop: DESKTOP })) {
  test(`an operator switches camera and microphone off and on, and everybody sees it (${name})`, async (t) => {
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
    for (const viewer of [page, other]) await announced(viewer, /^Camera and microphone are switched off\. An operator/);
    assert.equal(await other.textContent('#state'), 'Switched off');
    // The session stands, and its picture is the board's word for it.
    await other.waitForFunction(() => globalThis.porthole.state === 'live' && blockCode.read(document.querySelector('video')) === null, null, SOON);
    assert.equal(await page.isChecked('#privacy'), true);

    // Who comes now sees the same, and may bring it back.
    const late = await open(t, program.url, viewport);
    await announced(late, /^Camera and microphone are switched off/);
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

test('who may only watch sees that it is thrown, and cannot throw it', async (t) => {
  const password = 'six old boats drift';
  const config = `${CONFIG}\n[auth]\nmode = "password"\n[privacy]\non = true\n`;
  const program = await start(t, { config, passwords: { viewer: password, operator: `${password} off` } });
  const page = await open(t, program.url, PHONE);
  await page.getByLabel('Password', { exact: true }).fill(password, SOON);
  await page.keyboard.press('Enter');
  await announced(page, /^Camera and microphone are switched off/);
  await click(page, '#settings');
  await page.waitForSelector('#privacy:checked', SOON);
  assert.equal(await page.isDisabled('#privacy'), true);
});
