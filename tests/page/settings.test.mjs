/** The settings pane in a real browser, checked by its effect: cameras, audio, quality, latency and camera controls. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { DEVICE, fakeCamera } from './fake-camera.mjs';
import { DESKTOP, PHONE, SOON, announced, click, open, playing, start, stats } from './page.mjs';

const camera = (name, width, height) => `[[camera]]\nname = "${name}"\ndevice = "pattern"\nwidth = ${width}\nheight = ${height}\n`;
const TWO = `${camera('door', 640, 360)}${camera('garden', 480, 270)}[audio]\ndevice = "tone"\n`;

const sizes = { phone: PHONE, desktop: DESKTOP };

/** Opens the pane of a page that plays and has its control channel. */
async function settings(page) {
  await playing(page);
  await click(page, '#settings');
  await page.waitForFunction(() => !document.querySelector('#photo').disabled, null, SOON);
}

/** No audio arrives, or none ever did: muting at once can reach the board before its first audio packet is sent. */
const silent = () => {
  const { audio } = globalThis.porthole.stats();
  return audio === null || (audio?.bitrate ?? Infinity) < 1_000;
};

const audible = () => globalThis.porthole.stats().audio?.bitrate > 10_000;

/** How many audio packets the board has encoded. */
async function encoded(program) {
  const text = await (await fetch(new URL('metrics', program.url))).text();
  return Number(/^porthole_audio_packets_total (\d+)$/m.exec(text)[1]);
}

/** Waits until the board's status meets a condition. @param {(status: any, argument: any) => boolean} condition Runs inside the page. */
function board(page, condition, argument) {
  const source = `async (argument) => (${condition})(await (await fetch('api/status')).json(), argument)`;
  return page.waitForFunction(`(${source})(${JSON.stringify(argument ?? null)})`, null, { ...SOON, polling: 100 });
}

for (const [name, viewport] of Object.entries(sizes)) {
  test(`another camera can be selected in the same session, from either menu (${name})`, async (t) => {
    const program = await start(t, { config: TWO });
    const page = await open(t, program.url, viewport);
    await settings(page);
    const shown = () => page.evaluate(() => blockCode.read(document.querySelector('video'))?.camera ?? null);
    const door = await shown();
    const other = (than) => page.waitForFunction((than) => {
      const code = blockCode.read(document.querySelector('video'));
      return code !== null && code.camera !== than;
    }, than, SOON);
    await page.selectOption('#source-camera', 'garden');
    await other(door);
    assert.equal(await page.evaluate(() => document.querySelector('video').videoWidth), 480);
    assert.equal(new URL(page.url()).searchParams.get('camera'), 'garden');
    await board(page, ({ cameras }) => cameras[0].watched === 0 && cameras[1].watched === 1);
    const garden = await shown();
    await page.selectOption('#camera', 'door');
    await other(garden);
    assert.equal(await shown(), door);
    assert.equal(await page.inputValue('#source-camera'), 'door');
    assert.equal(page.requests.filter((url) => url === `${program.url}whep` || url.startsWith(`${program.url}whep/garden`)).length, 1, 'one offer');
    assert.deepEqual(page.errors, []);
  });
}

test('audio that nobody hears is neither encoded nor sent, and a tap is heard at once', async (t) => {
  const program = await start(t, { config: TWO });
  const page = await open(t, 'about:blank', PHONE);
  await page.addInitScript(() => {
    globalThis.RTCPeerConnection = class extends RTCPeerConnection {
      constructor(...configuration) {
        super(...configuration);
        globalThis.peer = this;
      }
    };
    globalThis.heard = async () => [...(await globalThis.peer.getStats()).values()].find(({ kind, type }) => type === 'inbound-rtp' && kind === 'audio');
  });
  await page.goto(program.url);
  await settings(page);
  await board(page, ({ audio }) => !audio.encoding && audio.state === 'idle');
  const [packets, received] = [await encoded(program), await page.evaluate(async () => (await heard())?.packetsReceived ?? 0)];
  // Two seconds of the camera's time.
  await page.evaluate(() => blockCode.collect(document.querySelector('video'), 2_000));
  assert.equal(await encoded(program), packets, 'encoded for nobody');
  assert.equal(await page.evaluate(async () => (await heard())?.packetsReceived ?? 0), received, 'sent to a muted page');
  assert.equal(await page.evaluate(() => document.querySelector('video').muted), true);

  await page.evaluate(() => {
    document.querySelector('#mute').addEventListener('click', async () => {
      const tapped = performance.now();
      const { packetsReceived, totalAudioEnergy } = (await heard()) ?? { packetsReceived: 0, totalAudioEnergy: 0 };
      const passed = { packet: null, heard: null };
      while (passed.heard === null) {
        const now = (await heard()) ?? { packetsReceived: 0, totalAudioEnergy: 0 };
        if (now.packetsReceived > packetsReceived) passed.packet ??= Math.round(performance.now() - tapped);
        if (now.totalAudioEnergy > totalAudioEnergy) passed.heard = Math.round(performance.now() - tapped);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      globalThis.tap = passed;
    }, { once: true });
  });
  await page.click('#mute');
  const tap = await (await page.waitForFunction(() => globalThis.tap, null, SOON)).jsonValue();
  t.diagnostic(`after the tap the first packet came in ${tap.packet} ms and was heard in ${tap.heard} ms`);
  await board(page, ({ audio }) => audio.encoding && audio.state === 'live');
  await page.click('#mute');
  await stats(page, silent);
  await board(page, ({ audio }) => !audio.encoding);
  assert.deepEqual(page.errors, []);
});

test('the microphone is chosen in the settings, and by the browser’s own controls', async (t) => {
  const program = await start(t, { config: TWO });
  const page = await open(t, program.url, PHONE);
  await settings(page);
  await page.selectOption('#microphone', { index: 0 });
  assert.equal(await page.evaluate(() => document.querySelector('video').muted), false);
  await page.selectOption('#microphone', { label: 'Muted' });
  await stats(page, silent);
  assert.equal(await page.textContent('#mute span'), 'Unmute');
  await page.click('#mute');
  await stats(page, audible);
  await page.click('#mute');
  await stats(page, silent);
  await page.evaluate(() => (document.querySelector('video').muted = false));
  await stats(page, audible);
});

for (const [name, viewport] of Object.entries(sizes)) {
  test(`an operator sets resolution, frame rate and bitrate for everyone (${name})`, async (t) => {
    const program = await start(t, { config: TWO });
    const page = await open(t, program.url, viewport);
    const other = await open(t, program.url, DESKTOP);
    await playing(other);
    await settings(page);
    await page.waitForFunction(() => document.querySelector('[name=size]').value === '640x360', null, SOON);
    await page.selectOption('[name=size]', '320x180');
    for (const viewer of [page, other]) {
      await viewer.waitForFunction(() => document.querySelector('video').videoWidth === 320, null, SOON);
    }
    await board(page, ({ cameras }) => cameras[0].width === 320 && cameras[0].height === 180);
    await page.selectOption('[name=fps]', '10');
    await board(page, ({ cameras }) => cameras[0].fps === 10);
    await stats(page, () => globalThis.porthole.stats().video?.fps < 14);
    await page.selectOption('[name=size]', '1280x720');
    await page.waitForFunction(() => document.querySelector('video').videoWidth === 1280, null, SOON);
    await page.selectOption('[name=bitrate]', '250000');
    await board(page, ({ cameras }) => cameras[0].bitrate === 250_000);
    await stats(page, () => globalThis.porthole.stats().video?.bitrate < 400_000);
    for (const viewer of [page, other]) {
      await viewer.waitForFunction(() => document.querySelector('[name=bitrate]').value === '250000', null, SOON);
    }
  });
}

test('smooth buffers frames and low shows them at once', async (t) => {
  const program = await start(t, { config: TWO });
  const page = await open(t, program.url, PHONE);
  await settings(page);
  await stats(page, () => globalThis.porthole.stats().video?.jitterBuffer < 100);
  await page.check('[name=latency][value=smooth]');
  await stats(page, () => globalThis.porthole.stats().video?.jitterBuffer > 150);
  await page.check('[name=latency][value=low]');
  await stats(page, () => globalThis.porthole.stats().video?.jitterBuffer < 100);
});

test('the data saver gets half of the width and height within the session, and is remembered', async (t) => {
  const program = await start(t, { config: camera('hall', 1280, 720) });
  const page = await open(t, program.url, PHONE);
  await settings(page);
  const width = (wanted) => page.waitForFunction((wanted) => document.querySelector('video').videoWidth === wanted, wanted, SOON);
  await width(1280);
  assert.equal(await page.isChecked('#data-saver'), false, 'off by default');
  await page.check('#data-saver');
  await width(640);
  await board(page, ({ sessions }) => sessions[0].rendition === 'small');
  await click(page, '#details');
  await page.waitForFunction(() => document.querySelector('[data-stat=resolution]').textContent === '640 × 360, half size', null, SOON);
  await page.waitForFunction(() => /^[0-9.]+ [kM]bit\/s$/.test(document.querySelector('[data-stat=capacity]').textContent), null, SOON);
  assert.equal(page.requests.filter((url) => url === `${program.url}whep`).length, 1, 'one offer');

  await page.reload();
  await settings(page);
  assert.equal(await page.isChecked('#data-saver'), true);
  await width(640);
  await page.uncheck('#data-saver');
  await width(1280);
  await page.reload();
  await playing(page);
  assert.equal(await page.isChecked('#data-saver'), false);
  assert.deepEqual(page.errors, []);
});

test('preferences apply to the next session too', async (t) => {
  const program = await start(t, { config: TWO });
  const page = await open(t, program.url, PHONE);
  await settings(page);
  await page.selectOption('#source-camera', 'garden');
  await page.check('[name=latency][value=smooth]');
  await page.click('#mute');
  await stats(page, () => globalThis.porthole.stats().video?.jitterBuffer > 150);
  const again = async () => {
    await page.click('#hang-up');
    await announced(page, /^Stopped/);
    await page.click('#notice-action');
    await playing(page);
  };
  await again();
  await board(page, ({ cameras }) => cameras[1].watched === 1);
  await stats(page, () => globalThis.porthole.stats().video?.jitterBuffer > 150);
  await stats(page, audible);
  await page.click('#mute');
  await again();
  await stats(page, silent);
  await board(page, ({ audio }) => !audio.encoding);
});

// Numbers as in the kernel: the control, its type (1 integer, 2 boolean, 3 menu, 4 button), its range and flags.
const FAKE = `card Fake camera
format YUYV 640x360@30 320x180@30
control 9963776 1 0 255 1 128 0 Brightness
control 9963777 1 -10 10 5 0 0 Contrast
control 9963788 2 0 1 1 1 0 White Balance, Automatic
control 9963800 3 0 2 1 1 0 Power Line Frequency
control 9963802 1 0 100 1 50 0x10 White Balance Temperature
`;

const value = ({ cameras }, [name, wanted]) => cameras[0].controls.find((control) => control.name === name)?.value === wanted;

/** A board whose camera has these controls. */
const controlled = (t, more = {}) => start(t, {
  config: `[[camera]]\nname = "fake"\ndevice = "${DEVICE}"\nwidth = 640\nheight = 360\nformat = "YUYV"\n[audio]\ndevice = "off"\n${more.config ?? ''}`,
  environment: fakeCamera(t, FAKE),
  passwords: more.passwords,
});

/** Moves a slider to a value, with the event that a finger causes. */
const slide = (page, name, to) => page.locator(`#control-${name}`).evaluate((input, to) => {
  input.value = to;
  input.dispatchEvent(new Event('input', { bubbles: true }));
}, String(to));

for (const [name, viewport] of Object.entries(sizes)) {
  test(`camera controls are sliders, switches and menus that set the camera (${name})`, async (t) => {
    const program = await controlled(t);
    const page = await open(t, program.url, viewport);
    await page.waitForFunction(() => globalThis.porthole?.state === 'live' && !document.querySelector('#photo').disabled, null, SOON);
    await click(page, '#settings');
    await page.waitForSelector('#control-brightness', SOON);
    assert.deepEqual(await page.locator('#control-brightness').evaluate(({ type, min, max, step, value }) => ({ type, min, max, step, value })),
      { type: 'range', min: '0', max: '255', step: '1', value: '128' });
    assert.equal(await page.isDisabled('#control-white_balance_temperature'), true, 'inactive');

    await slide(page, 'brightness', 200);
    await board(page, value, ['brightness', 200]);
    await page.uncheck('#control-white_balance_automatic');
    await board(page, value, ['white_balance_automatic', false]);
    await page.selectOption('#control-power_line_frequency', '2');
    await board(page, value, ['power_line_frequency', 2]);
    // Many events at once, as from a finger: the last value wins.
    for (let to = 0; to <= 40; to++) await slide(page, 'brightness', to);
    await board(page, value, ['brightness', 40]);
    await page.waitForFunction(() => document.querySelector('[data-control=brightness] output').textContent === '40', null, SOON);

    await page.click('[data-control=brightness] .reset');
    await board(page, value, ['brightness', 128]);
    await page.waitForFunction(() => document.querySelector('#control-brightness').value === '128', null, SOON);
    // A reset wins even while values are pending.
    await page.locator('#camera-controls').evaluate((form) => {
      const slider = form.querySelector('#control-brightness');
      for (let to = 0; to <= 40; to++) {
        slider.value = String(to);
        slider.dispatchEvent(new Event('input', { bubbles: true }));
      }
      form.querySelector('[data-control=brightness] .reset').click();
    });
    await page.waitForFunction(() => document.querySelector('#control-brightness').value === '128', null, SOON);
    await board(page, value, ['brightness', 128]);
    await page.click('[data-reset=all]');
    await board(page, value, ['power_line_frequency', 1]);
    await board(page, value, ['white_balance_automatic', true]);
    assert.deepEqual(page.errors, []);
  });
}

test('changes by others show at once', async (t) => {
  const program = await controlled(t);
  const page = await open(t, program.url, PHONE);
  await page.waitForFunction(() => globalThis.porthole?.state === 'live' && !document.querySelector('#photo').disabled, null, SOON);
  await click(page, '#settings');
  await page.waitForSelector('#control-contrast', SOON);
  const before = page.requests.length;
  await program.command('controls.set', { values: { contrast: 5, white_balance_automatic: false } });
  await page.waitForFunction(() => document.querySelector('#control-contrast').value === '5' && !document.querySelector('#control-white_balance_automatic').checked, null, SOON);
  assert.deepEqual(page.requests.slice(before).filter((url) => !url.includes('/whep/session/')), [], 'the change was pushed, not polled');
});

test('a viewer sees all settings but cannot change those that affect everyone', async (t) => {
  const password = 'six old boats drift';
  const program = await controlled(t, { config: '[auth]\nmode = "password"\n', passwords: { viewer: password, operator: `${password} off` } });
  const page = await open(t, program.url, PHONE);
  await page.getByLabel('Password', { exact: true }).fill(password, SOON);
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => globalThis.porthole?.state === 'live' && !document.querySelector('#photo').disabled, null, SOON);
  await click(page, '#settings');
  await page.waitForSelector('#control-brightness', SOON);
  assert.match(await page.textContent('#viewer-note'), /Only operators/);
  assert.equal(await page.isVisible('#viewer-note'), true);
  for (const control of ['#control-brightness', '#control-white_balance_automatic', '[data-reset=all]', '[name=size]', '[name=fps]', '[name=bitrate]']) {
    assert.equal(await page.isDisabled(control), true, control);
  }
  for (const control of ['#source-camera', '[name=latency][value=smooth]']) assert.equal(await page.isEnabled(control), true, control);
  await click(page, '#people');
  await page.waitForFunction(() => document.querySelectorAll('#sessions li').length === 1, null, SOON);
  assert.equal(await page.locator('#sessions button').count(), 0);
});
