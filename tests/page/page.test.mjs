/**
 * The viewer page in a real browser against the real program: what the user sees, hears and does.
 *
 * PORTHOLE_BIN names the program. Every wait has a condition and a deadline.
 */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, request as httpRequest } from 'node:http';
import { test } from 'node:test';

import { CONFIG, DESKTOP, LATER, PHONE, SOON, announced, click, eventually, open, playing, start, stats, viewers } from './page.mjs';

test('video autoplays at the camera’s frame rate, and a tap unmutes audio', async (t) => {
  const program = await start(t);
  const page = await open(t, program.url);
  await playing(page);
  assert.equal(await page.evaluate(() => document.querySelector('video').muted), true);

  const advance = async () => {
    const { frames, unread } = await page.evaluate(() => blockCode.collect(document.querySelector('video'), 3_000));
    const [first, last] = [frames[0], frames.at(-1)];
    return { rate: ((last?.frame - first?.frame) / (last?.shown - first?.shown)) * 1000, readable: frames.length, unread };
  };
  const steady = ({ rate, readable, unread }) => Math.abs(rate - 30) < 3 && unread <= readable / 20;
  await eventually(advance, steady, '30 readable frames per second', LATER);

  await click(page, '#mute');
  assert.equal(await page.evaluate(() => document.querySelector('video').muted), false);
  const before = await page.evaluate(() => globalThis.porthole.stats().audio?.energy ?? 0);
  await page.waitForFunction((before) => globalThis.porthole.stats().audio?.energy > before, before, SOON);
  const { audio, video } = await stats(page, () => {
    const current = globalThis.porthole.stats();
    return current.audio?.level > 0.01 && current.video?.bitrate > 0 && current;
  });
  assert.equal(video.codec, 'H264');
  assert.equal(audio.codec, 'opus');
  assert.equal(await page.evaluate(() => document.querySelector('video').srcObject.getTracks().length), 2);

  assert.deepEqual(page.errors, []);
  assert.deepEqual(page.requests.filter((url) => !url.startsWith(program.url)), [], 'no other host is contacted');
});

/**
 * The page's latency is that of the frames of the same two seconds, which carry their capture time. Board and browser share a
 * machine, but the board reads its clock only once at the start, so the page's measured offset is used here too.
 */
async function latencyOfTheFrames(page) {
  const latencies = async () => {
    const { frames } = await page.evaluate(() => blockCode.collect(document.querySelector('video'), 2_000));
    const { clock, latency, origin } = await page.evaluate(
      () => ({ ...globalThis.porthole.stats(), origin: performance.timeOrigin }));
    const carried = frames.map(({ shown, captured }) => shown - origin + clock?.offset - captured).sort((a, b) => a - b);
    return { page: latency?.median, frames: carried[carried.length >> 1] };
  };
  await eventually(latencies, ({ page, frames }) => Math.abs(page - frames) < 25, 'the latency computed from the frames', LATER);
}

test('the details pane shows plausible statistics', async (t) => {
  const program = await start(t);
  const page = await open(t, program.url);
  await playing(page);
  await click(page, '#details');
  assert.equal(await page.getAttribute('#details', 'aria-expanded'), 'true');
  await page.waitForFunction(() => document.querySelector('[data-stat=audio-bitrate]').textContent === 'Muted', null, SOON);
  await click(page, '#mute');

  const seen = await stats(page, () => {
    const current = globalThis.porthole.stats();
    const { audio, latency, roundTrip, video } = current;
    const there = latency !== null && roundTrip !== null && audio?.bitrate > 0 && video?.bitrate > 0;
    const plausible = there && video.fps > 20 && video.fps < 40 && latency.median > 0 && latency.median < 1000
      && video.lossPercent >= 0 && video.lossPercent < 5 && roundTrip >= 0 && roundTrip < 500;
    return plausible && video.width === 640 && video.height === 360
      && video.jitterBuffer !== null && audio.jitterBuffer !== null && current;
  }, LATER);
  assert.ok(seen.setup.firstFrame > 0 && seen.setup.firstFrame < 10_000, `first frame after ${seen.setup.firstFrame} ms`);

  await latencyOfTheFrames(page);

  const figures = {
    latency: /^\d+ ms$/,
    setup: /^\d+ ms$/,
    resolution: /^640 × 360$/,
    fps: /^\d+ fps$/,
    'video-bitrate': /bit\/s$/,
    'audio-bitrate': /bit\/s$/,
    'video-codec': /^H\.264/,
    'audio-codec': /^Opus$/,
    'round-trip': / ms$/,
    loss: / % \(\d+ lost\)$/,
    'jitter-buffer': / ms, audio .* ms$/,
    viewers: /^1\b/,
  };
  // All at once: each second has figures of its own.
  const texts = () => page.evaluate(
    (names) => Object.fromEntries(names.map((name) => [name, document.querySelector(`[data-stat="${name}"]`).textContent])), Object.keys(figures));
  await eventually(texts, (seen) => Object.entries(figures).every(([name, form]) => form.test(seen[name])), 'the figures', LATER);
});

test('hanging up ends the session on the board, and starting again works', async (t) => {
  const program = await start(t);
  const page = await open(t, program.url);
  await playing(page);
  await viewers(page, program, 1);

  await click(page, '#hang-up');
  await announced(page, /^Stopped/);
  await viewers(page, program, 0);
  assert.equal(await page.textContent('#hang-up span'), 'Start');

  await page.click('#notice-action');
  await playing(page);
  await viewers(page, program, 1);
  assert.deepEqual(page.errors, []);
});

test('video that arrives before the page is loaded loses nothing', async (t) => {
  const program = await start(t);
  const page = await open(t, 'about:blank');
  let ready;
  const held = new Promise((resolve) => (ready = resolve));
  await page.route(/\/viewer\.\w+\.js$/, async (route) => {
    await held;
    await route.continue();
  });
  await page.goto(program.url, { waitUntil: 'commit' });
  const arrived = () => page.evaluate(async () => {
    const script = document.querySelector('script[src^="bootstrap."]');
    if (!script) return false;
    const { connection, client } = await import(script.src);
    return connection.state === 'live' && client.viewers !== null && client.status !== null;
  });
  await eventually(arrived, (arrived) => arrived, 'the video and the status should arrive');
  ready();
  await playing(page);
  assert.equal(await page.textContent('#camera-name'), 'camera');
  await click(page, '#people');
  assert.match(await page.textContent('#viewer-count'), /^1 viewer/);
});

test('leaving the page ends the session on the board', async (t) => {
  const program = await start(t);
  const page = await open(t, program.url);
  await playing(page);
  await page.goto(`${program.url}api/status`);
  await viewers(page, program, 0);
});

test('the page reconnects to a program that was killed and restarted', async (t) => {
  const program = await start(t);
  const page = await open(t, program.url);
  await playing(page);
  assert.equal((await program.end('SIGKILL')).signal, 'SIGKILL');
  await announced(page, /can’t reach the board|connection lost/, LATER);

  await start(t, { config: CONFIG, port: program.port });
  await playing(page, LATER);
  await announced(page, /^Live/);
});

test('a program that shuts down notifies the page, which reconnects after the restart', async (t) => {
  const program = await start(t);
  const page = await open(t, program.url);
  await playing(page);
  const { code, took } = await program.end('SIGTERM');
  assert.equal(code, 0, program.log);
  assert.ok(took < 2_000, `ended after ${took} ms`);
  await announced(page, /board (ended the stream|has shut down)/);
  await announced(page, /board has shut down/);
  assert.equal(await page.isVisible('#notice-title'), true);

  await start(t, { config: CONFIG, port: program.port });
  await playing(page, LATER);
});

test('a camera fault is shown as the board reports it', async (t) => {
  const device = '/dev/porthole-no-such-camera';
  const program = await start(t, { config: `[[camera]]\nname = "door"\ndevice = "${device}"\n[audio]\ndevice = "tone"\n` });
  const page = await open(t, program.url);
  await announced(page, new RegExp(device));
  const { cameras } = await program.status();
  assert.equal(cameras[0].state, 'fault');
  assert.match(cameras[0].fault, new RegExp(device));
  const visible = await page.locator('#warning:visible, #notice-text:visible').allTextContents();
  assert.ok(visible.some((text) => text.includes(device)), `seen: ${visible}`);

  // The session is live and shows the placeholder: bright letters on a dark background, at the configured size.
  await page.waitForFunction(() => {
    const { levels, size } = frame();
    return globalThis.porthole.state === 'live' && size === '1280x720' && levels.mean < 50 && levels.max > 180;
  }, null, SOON);
});

test('a camera’s own H.264 plays as it is, and resumes in the same session after each interruption', async (t) => {
  // High profile: the offer must contain a matching format. The program exits after 4 s, over and over.
  const ffmpeg = 'exec ffmpeg -nostdin -loglevel error -re -t 4 -f lavfi -i color=c=gray:s=320x180:r=15 ' +
    '-c:v libx264 -profile:v high -tune zerolatency -pix_fmt yuv420p -g 15 -f h264 -';
  const program = await start(t, {
    config: `[[camera]]\ndevice = "exec:${ffmpeg}"\nwidth = 320\nheight = 180\n[audio]\ndevice = "off"\n`,
  });
  const page = await open(t, program.url);
  const shows = (what) => page.waitForFunction((what) => {
    const { levels } = frame();
    return what === 'camera' ? levels.min > 100 && levels.max < 156 : levels.mean < 50 && levels.max > 120;
  }, what, SOON);
  await shows('camera');
  for (let times = 0; times < 2; times++) {
    await shows('placeholder');
    await shows('camera');
  }
  assert.equal(page.requests.filter((url) => url.endsWith('/whep')).length, 1, 'another session was needed');
  assert.equal((await program.status()).cameras[0].encoder, 'camera');
});

test('an unknown camera is reported with the available ones, which can be selected', async (t) => {
  const camera = (name) => `[[camera]]\nname = "${name}"\ndevice = "pattern"\nwidth = 320\nheight = 180\n`;
  const program = await start(t, { config: `${camera('door')}${camera('garden')}[audio]\ndevice = "off"\n` });
  const page = await open(t, `${program.url}?camera=attic`);
  await announced(page, /no camera “attic”.* door and garden/);
  assert.equal(await page.evaluate(() => globalThis.porthole.state), 'failed');

  await page.selectOption('#camera', 'garden');
  await playing(page);
  assert.equal(new URL(page.url()).searchParams.get('camera'), 'garden');
  await page.waitForFunction(() => document.querySelector('#mute').disabled, null, SOON);
  const garden = await page.evaluate(() => blockCode.read(document.querySelector('video')).camera);
  await page.selectOption('#camera', 'door');
  await page.waitForFunction(
    (garden) => (blockCode.read(document.querySelector('video'))?.camera ?? garden) !== garden, garden, SOON);
});

test('HTTP errors are explained, and only temporary ones are retried', async (t) => {
  const program = await start(t);
  const page = await open(t, 'about:blank');
  // Without the fallback, whose notice is brief.
  await page.route('**/stream.mjpg*', (route) => route.abort('connectionrefused'));
  const cases = [
    { status: 503, detail: 'all 3 places are taken', retry: '40', state: 'waiting', words: /viewer limit\. All 3 places/ },
    { status: 409, detail: 'camera door: busy', retry: '40', state: 'waiting', words: /No video from the camera\. Camera door: busy\./ },
    { status: 406, detail: 'the camera sends High Profile', state: 'failed', words: /rejected the connection.*High Profile/ },
    { status: 406, detail: 'the offer has no H.264', state: 'failed', words: /no H\.264 video/ },
    { status: 403, detail: 'a token is needed', state: 'failed', words: /denied access\. A token is needed/ },
    { status: 500, detail: 'out of threads', state: 'waiting', words: /reported an error\. Out of threads/ },
  ];
  // One route for all: a request may be on its way when the next case begins.
  let answer;
  await page.route('**/whep', (route) => answer(route));
  for (const { status, detail, retry, state, words } of cases) {
    answer = (route) => route.fulfill({
      status,
      contentType: 'application/problem+json',
      headers: retry ? { 'Retry-After': retry } : {},
      body: JSON.stringify({ type: 'about:blank', title: 'refused', status, detail }),
    });
    await page.goto(program.url);
    await announced(page, words);
    const action = state === 'failed' ? 'Try again' : 'Try now';
    const count = retry ? '^Trying again in (40|[23]\\d) s$' : '';
    await page.waitForFunction(([state, action, count]) => globalThis.porthole.state === state
      && document.querySelector('#notice-action').textContent === action
      && new RegExp(count).test(document.querySelector('#notice-countdown').textContent), [state, action, count], SOON);
  }
  answer = (route) => route.abort('connectionrefused');
  await page.goto(program.url);
  await announced(page, /can’t reach the board\. Nothing answers at 127\.0\.0\.1:/);
  answer = (route) => route.continue();
  await playing(page, LATER);
});

/** As in Firefox, which does not know the header extension with the capture time. */
const withoutCaptureTimes = (page) => page.addInitScript(() => {
  const { getSynchronizationSources } = RTCRtpReceiver.prototype;
  RTCRtpReceiver.prototype.getSynchronizationSources = function () {
    return getSynchronizationSources.call(this).map(({ captureTimestamp, ...source }) => source);
  };
});

test('in a browser without capture times the board says them, and the latency is that of the frames', async (t) => {
  const program = await start(t);
  const page = await open(t, 'about:blank');
  await withoutCaptureTimes(page);
  await page.goto(program.url);
  await playing(page);
  await latencyOfTheFrames(page);
});

test('a browser that reports no timestamps shows no latency rather than a wrong one', async (t) => {
  const program = await start(t);
  const page = await open(t, 'about:blank');
  await withoutCaptureTimes(page);
  await page.addInitScript(() => {
    const { requestVideoFrameCallback } = HTMLVideoElement.prototype;
    HTMLVideoElement.prototype.requestVideoFrameCallback = function (callback) {
      return requestVideoFrameCallback.call(this, (now, { rtpTimestamp, ...frame }) => callback(now, frame));
    };
  });
  await page.goto(program.url);
  await playing(page);
  await click(page, '#details');
  const { latency, clock } = await stats(page, () => {
    const current = globalThis.porthole.stats();
    return current.clock !== null && current.video?.bitrate > 0 && current;
  });
  assert.equal(latency, null);
  assert.ok(clock.roundTrip >= 0);
  assert.equal(await page.textContent('[data-stat=latency]'), 'unknown');
});

test('if even muted autoplay is blocked, a tap plays', async (t) => {
  const program = await start(t);
  const page = await open(t, 'about:blank');
  // As on a phone in power saving mode: nothing plays without a tap.
  await page.addInitScript(() => {
    const { play } = HTMLMediaElement.prototype;
    let tapped = false;
    // Not navigator.userActivation: whatever the test evaluates in the page counts as activation.
    addEventListener('click', (event) => (tapped ||= event.isTrusted), { capture: true });
    HTMLMediaElement.prototype.play = function () {
      if (tapped) return play.call(this);
      return Promise.reject(new DOMException('not allowed without a tap', 'NotAllowedError'));
    };
    // The attribute is blocked too; the document is interactive before its modules run.
    document.addEventListener('readystatechange', () => document.querySelector('video').removeAttribute('autoplay'), { once: true });
  });
  await page.goto(program.url);
  await page.click('#play', SOON);
  await page.waitForSelector('#play', { state: 'hidden', ...SOON });
  await playing(page);
});

test('everything works behind a proxy that adds a path prefix, including hanging up', async (t) => {
  const program = await start(t);
  const proxy = createServer((request, response) => {
    const url = new URL(request.url.replace(/^\/boards\/one\//, ''), program.url);
    const passed = httpRequest(url, { method: request.method, headers: request.headers }, (answer) => {
      response.writeHead(request.url.startsWith('/boards/one/') ? answer.statusCode : 404, answer.headers);
      answer.pipe(response);
    });
    passed.on('error', () => response.destroy());
    request.pipe(passed);
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  t.after(() => proxy.close());

  const page = await open(t, `http://127.0.0.1:${proxy.address().port}/boards/one/`);
  await playing(page);
  const ended = page.waitForResponse((response) => response.request().method() === 'DELETE', SOON);
  await click(page, '#hang-up');
  // The end of the connection may arrive first, and ends the session.
  assert.ok([200, 404].includes((await ended).status()));
  assert.equal((await program.status()).viewers, 0);
  assert.deepEqual(page.errors.filter((error) => !/status of 404/.test(error)), []);
});

test('everything can be reached and used with the keyboard', async (t) => {
  const program = await start(t);
  const page = await open(t, program.url);
  await playing(page);
  await page.waitForFunction(() => !document.querySelector('#photo').disabled, null, SOON);
  const focused = () => page.evaluate(() => {
    const { id } = document.activeElement;
    return { id, ring: document.activeElement.matches(':focus-visible') && getComputedStyle(document.activeElement).outlineStyle };
  });
  for (const id of ['mute', 'photo', 'record', 'hang-up', 'settings', 'people', 'details', 'pip', 'full-screen']) {
    await page.keyboard.press('Tab');
    assert.deepEqual(await focused(), { id, ring: 'solid' });
  }

  await page.keyboard.press('m');
  assert.equal(await page.evaluate(() => document.querySelector('video').muted), false);
  await page.keyboard.press('m');
  assert.equal(await page.evaluate(() => document.querySelector('video').muted), true);

  await page.focus('#details');
  await page.keyboard.press('Enter');
  assert.equal(await page.isVisible('#panel'), true);
  assert.equal((await focused()).id, 'panel-title');
  await page.keyboard.press('Tab');
  assert.equal((await focused()).id, 'panel-close');
  await page.keyboard.press('Escape');
  assert.equal(await page.isVisible('#panel'), false);
  assert.equal((await focused()).id, 'details');
  await page.keyboard.press('i');
  assert.equal(await page.isVisible('#panel'), true);
  await page.keyboard.press('i');
  assert.equal(await page.isVisible('#panel'), false);

  await page.focus('#hang-up');
  await page.keyboard.press('Enter');
  await announced(page, /^Stopped/);
  await page.focus('#notice-action');
  await page.keyboard.press('Space');
  await playing(page);
  assert.notEqual((await focused()).id, '', 'the focus is not lost when the button goes away');
});

test('buttons have names and are large enough for touch', async (t) => {
  const program = await start(t);
  const page = await open(t, program.url, PHONE);
  await playing(page);
  await click(page, '#details');
  for (const button of await page.getByRole('button').all()) {
    const { width, height } = await button.boundingBox();
    const name = (await button.getAttribute('aria-label')) ?? (await button.textContent()).trim();
    assert.ok(name.length > 0, await button.evaluate((element) => element.id));
    assert.ok(width >= 44 && height >= 44, `${name}: ${width} x ${height}`);
  }
});
