/**
 * The failure panel in a real browser: why there is no picture, what was tried, what to change on the board. The program is
 * the real one; where the network has to fail, the answer on its way is led to a socket that hears everything and
 * answers nothing, as a firewall does it, or the browser is started without UDP.
 */

import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { test } from 'node:test';

import { launch } from './browser.mjs';
import { CONFIG, LATER, PHONE, announced, click, open, playing, start } from './page.mjs';

/** A UDP socket that never answers: its port. */
async function silentPort(t) {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  t.after(() => socket.close());
  await once(socket, 'listening');
  return socket.address().port;
}

/**
 * Puts other candidates into the answer.
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

/** What a person reads in the panel. */
async function panel(page) {
  const texts = async (selector) => (await page.locator(selector).allTextContents()).map((text) => text.trim());
  return {
    title: await page.textContent('#notice-title'),
    text: await page.textContent('#notice-text'),
    steps: await texts('#notice-advice li:visible'),
    tried: await texts('#notice-more li'),
  };
}

test('where UDP is blocked the panel says so, what was tried, and what to change', async (t) => {
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
  assert.match(tried[0], new RegExp(`^UDP to 127\\.0\\.0\\.1:${port}: asked \\d+ times, no answer$`));

  // What was tried is folded away, and comes by the keyboard too.
  assert.equal(await page.isVisible('#notice-more li'), false);
  await page.focus('#notice-more summary');
  await page.keyboard.press('Enter');
  assert.equal(await page.isVisible('#notice-more li'), true);
  const { width } = await page.locator('#notice-more').boundingBox();
  assert.ok(width <= PHONE.width, `${width} px wide`);
  assert.deepEqual(await page.getByRole('heading').allTextContents(), ['Live picture', 'UDP seems to be blocked', 'What helps']);

  // It stays to be read while the next attempts go on, also while one connects; then the network is mended.
  await page.unroute('**/whep');
  await playing(page, LATER);
  assert.equal(await page.isVisible('#notice'), false);
});

test('a browser that may not use UDP is told from a blocked network', async (t) => {
  const program = await start(t, { config: `${CONFIG}\n[rtc]\ntcp = false\n` });
  const browser = await launch(['--webrtc-ip-handling-policy=disable_non_proxied_udp']);
  t.after(() => browser.close());
  const page = await open(t, program.url, undefined, { browser });
  await announced(page, /This browser uses no UDP/, LATER);
  const { steps, tried } = await panel(page);
  assert.match(steps[0], /Allow WebRTC over UDP in this browser/);
  assert.match(steps[1], /tcp = true/);
  assert.ok(tried.length > 0 && tried.every((line) => /^UDP to .*: not tried$/.test(line)), `${tried}`);
});

test('a full house is told with the number of its places', async (t) => {
  const program = await start(t, { config: `${CONFIG}\n[rtc]\nmax_viewers = 1\n` });
  const first = await open(t, program.url);
  await playing(first);
  const page = await open(t, program.url);
  await announced(page, /no more viewers\. The only place is taken/);
  assert.match((await panel(page)).steps[0], /raise max_viewers in the section \[rtc\]/);
  await page.waitForFunction(() => /^Next attempt in \d s$/.test(document.querySelector('#notice-countdown').textContent), null, LATER);
  await click(first, '#hang-up');
  await playing(page, LATER);
});

test('a camera that is away is told while its viewers stay connected', async (t) => {
  const device = '/dev/porthole-no-such-camera';
  const program = await start(t, { config: `[[camera]]\ndevice = "${device}"\n[audio]\ndevice = "tone"\n` });
  const page = await open(t, program.url);
  await announced(page, /The camera has no picture/);
  const { text, steps } = await panel(page);
  assert.ok(text.includes(device), text);
  assert.match(steps[0], /plugged in; the picture comes back by itself/);
  assert.match(steps[1], /porthole devices/);
  assert.equal(await page.textContent('#state'), 'No camera');
  assert.equal(await page.evaluate(() => globalThis.porthole.state), 'live');
  assert.equal(await page.isVisible('#notice-action'), false, 'there is nothing to try again');
});
