/**
 * The failure notice in a real browser: why there is no video, what was tried, what to change on the board. The program is
 * real; where the network has to fail, the answer's candidates are replaced by a socket that never replies, as behind a
 * firewall, or the browser is started without UDP.
 */

import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { test } from 'node:test';

import { launch } from './browser.mjs';
import { CONFIG, LATER, PHONE, announced, becomes, click, expand, open, playing, start } from './page.mjs';

/** The port of a UDP socket that never replies. */
async function silentPort(t) {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  t.after(() => socket.close());
  await once(socket, 'listening');
  return socket.address().port;
}

/**
 * Replaces candidates in the answer.
 * @param {(candidate: string) => boolean} keep
 * @param {string[]} more
 */
async function candidates(page, keep, more) {
  await page.route('**/whep', async (route) => {
    const response = await route.fetch();
    const lines = (await response.text()).split('\r\n').filter((line) => !line.startsWith('a=candidate:') || keep(line));
    const second = lines.findIndex((line, at) => line.startsWith('m=') && lines.findIndex((line) => line.startsWith('m=')) < at);
    lines.splice(second, 0, ...more.map((candidate, at) => `a=candidate:${at} 1 ${candidate}`));
    await route.fulfill({ status: response.status(), headers: response.headers(), body: lines.join('\r\n') });
  });
}

/** The texts of the notice, which is brief while MJPEG is shown: where the board has that for this page. */
async function panel(page, { mjpeg = true } = {}) {
  if (mjpeg) await expand(page);
  const texts = async (selector) => (await page.locator(selector).allTextContents()).map((text) => text.trim());
  return {
    title: await page.textContent('#notice-title'),
    text: await page.textContent('#notice-text'),
    steps: await texts('#notice-advice li:visible'),
    tried: await texts('#notice-more li'),
  };
}

test('blocked UDP: the notice says so, what was tried and what to change', async (t) => {
  const program = await start(t);
  const port = await silentPort(t);
  const page = await open(t, 'about:blank', PHONE);
  await candidates(page, () => false, [`udp 2130706431 127.0.0.1 ${port} typ host`]);
  await page.goto(program.url);
  await announced(page, /UDP seems to be blocked/, LATER);
  const { text, steps, tried } = await panel(page);
  assert.match(text, new RegExp(`nothing comes back from 127\\.0\\.0\\.1:${port}`));
  assert.match(steps[0], new RegExp(`UDP port ${port} through the firewall`));
  assert.match(steps[1], /tcp = true/);
  assert.match(steps[2], /ice_servers/);
  assert.match(tried[0], new RegExp(`^UDP to 127\\.0\\.0\\.1:${port}: \\d+ checks sent, no response$`));

  // What was tried is collapsed, and can be expanded with the keyboard.
  assert.equal(await page.isVisible('#notice-more li'), false);
  await page.focus('#notice-more summary');
  await page.keyboard.press('Enter');
  assert.equal(await page.isVisible('#notice-more li'), true);
  const { width } = await page.locator('#notice-more').boundingBox();
  assert.ok(width <= PHONE.width, `${width} px wide`);
  assert.deepEqual(await page.getByRole('heading').allTextContents(), ['Live video', 'UDP seems to be blocked', 'What you can try']);

  // The notice stays during further attempts, until the network works again.
  // Answers that are on their way are passed on first.
  await page.unrouteAll({ behavior: 'wait' });
  await playing(page, LATER);
  assert.equal(await page.isVisible('#notice'), false);
});

test('a browser that may not use UDP is not mistaken for a blocked network', async (t) => {
  const program = await start(t, { config: `${CONFIG}\n[rtc]\ntcp = false\n` });
  const browser = await launch(['--webrtc-ip-handling-policy=disable_non_proxied_udp']);
  t.after(() => browser.close());
  const page = await open(t, program.url, undefined, { browser });
  await announced(page, /This browser does not use UDP/, LATER);
  const { steps, tried } = await panel(page);
  assert.match(steps[0], /Allow WebRTC over UDP in this browser/);
  assert.match(steps[1], /tcp = true/);
  assert.ok(tried.length > 0 && tried.every((line) => /^UDP to .*: not tried$/.test(line)), `${tried}`);
});

test('a board at its viewer limit is reported with the limit', async (t) => {
  const program = await start(t, { config: `${CONFIG}\n[rtc]\nmax_viewers = 1\n` });
  const first = await open(t, program.url);
  await playing(first);
  const page = await open(t, program.url);
  await announced(page, /viewer limit\. It allows one viewer at a time/);
  assert.match((await panel(page, { mjpeg: false })).steps[0], /raise max_viewers in the \[rtc\] section/);
  await page.waitForFunction(() => /^Trying again in \d s$/.test(document.querySelector('#notice-countdown').textContent), null, LATER);
  await click(first, '#hang-up');
  await playing(page, LATER);
});

test('a missing camera is reported while its viewers stay connected', async (t) => {
  const device = '/dev/porthole-no-such-camera';
  const program = await start(t, { config: `[[camera]]\ndevice = "${device}"\n[audio]\ndevice = "tone"\n` });
  const page = await open(t, program.url);
  await announced(page, /No video from the camera/);
  const { text, steps } = await panel(page, { mjpeg: false });
  assert.ok(text.includes(device), text);
  assert.match(steps[0], /plugged in; the video resumes on its own/);
  assert.match(steps[1], /porthole devices/);
  assert.equal(await page.textContent('#state'), 'No camera');
  await becomes(page, 'live');
  assert.equal(await page.isVisible('#notice-action'), false, 'there is nothing to try again');
});
