/**
 * ICE in a real browser against the real program: the board's STUN and TURN servers reach the peer connection, and a session
 * whose path breaks continues over another one. The path is a UDP forwarder that the test can cut; changes of real addresses
 * are tested in network namespaces.
 */

import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { test } from 'node:test';

import { CONFIG, LATER, SOON, announced, becomes, eventually, open, playing, start, viewers } from './page.mjs';

/** A UDP forwarder from a port of its own to one of the board's, and back. */
class Forwarder {
  static async make(t, port) {
    const forwarder = new Forwarder();
    forwarder.front = createSocket('udp4').bind(0, '127.0.0.1');
    forwarder.cut = false;
    const backs = new Map();
    t.after(() => [forwarder.front, ...backs.values()].forEach((socket) => socket.close()));
    forwarder.front.on('message', (data, from) => {
      if (forwarder.cut) return;
      let back = backs.get(from.port);
      if (!back) {
        back = createSocket('udp4');
        back.on('message', (data) => forwarder.cut || forwarder.front.send(data, from.port, from.address));
        backs.set(from.port, back);
      }
      back.send(data, port, '127.0.0.1');
    });
    await once(forwarder.front, 'listening');
    forwarder.port = forwarder.front.address().port;
    return forwarder;
  }
}

/**
 * Makes the browser reach the board over forwarders only: one for each answer and each ICE restart.
 * @returns {Promise<{forwarders: Forwarder[], restarts: {status: number, ifMatch: string, etag: string}[]}>}
 */
async function forwardMedia(t, page) {
  const log = { forwarders: [], restarts: [] };
  const forwardAnswer = async (route, response) => {
    const lines = (await response.text()).split('\r\n');
    const offered = lines.map((line) => line.match(/^a=candidate:\S+ 1 udp \d+ 127\.0\.0\.1 (\d+) typ host/i)?.[1]).find(Boolean);
    const forwarder = await Forwarder.make(t, Number(offered));
    log.forwarders.push(forwarder);
    const kept = lines.filter((line) => !line.startsWith('a=candidate:'));
    const mid = kept.findIndex((line) => line.startsWith('a=mid:'));
    kept.splice(mid + 1, 0, `a=candidate:1 1 udp 2130706431 127.0.0.1 ${forwarder.port} typ host`);
    await route.fulfill({ status: response.status(), headers: response.headers(), body: kept.join('\r\n') });
  };
  await page.route('**/whep', async (route) => {
    const response = await route.fetch().catch(() => route.abort('connectionfailed'));
    if (response) await forwardAnswer(route, response);
  });
  await page.route('**/whep/session/*', async (route) => {
    const request = route.request();
    const ifMatch = (await request.allHeaders())['if-match'];
    if (request.method() !== 'PATCH' || ifMatch !== '*') return route.continue();
    const response = await route.fetch().catch(() => route.abort('connectionfailed'));
    if (!response) return;
    log.restarts.push({ status: response.status(), ifMatch, etag: response.headers().etag });
    return response.status() === 200 ? forwardAnswer(route, response) : route.fulfill({ response });
  });
  return log;
}

test('the board’s STUN and TURN servers reach the peer connection before gathering starts', async (t) => {
  const program = await start(t, {
    config: `${CONFIG}\n[rtc]\nice_servers = [{ urls = ["stun:127.0.0.1:9"] }, ` +
      '{ urls = ["turn:127.0.0.1:9?transport=udp", "turns:relay.invalid:5349?transport=tcp"], secret = "between us" }]\n',
  });
  const page = await open(t, `${program.url}healthz`, undefined, { bypassCSP: true });
  const { servers, state } = await page.evaluate(async (base) => {
    const { WhepSession } = await import(`${base}whep.js`);
    const session = new WhepSession(`${base}whep`, { iceServers: [{ urls: 'stun:127.0.0.1:7' }] });
    const configured = new Promise((resolve) => {
      const { setLocalDescription } = RTCPeerConnection.prototype;
      RTCPeerConnection.prototype.setLocalDescription = function (...description) {
        resolve(this.getConfiguration().iceServers);
        return setLocalDescription.apply(this, description);
      };
    });
    await session.connect();
    const { state } = session;
    await session.close();
    return { servers: await configured, state };
  }, program.url);
  assert.equal(state, 'connected');
  assert.deepEqual(servers.flatMap(({ urls }) => urls), [
    'stun:127.0.0.1:7', 'stun:127.0.0.1:9', 'turn:127.0.0.1:9?transport=udp', 'turns:relay.invalid:5349?transport=tcp',
  ]);
  for (const { username, credential } of servers.slice(2)) {
    // TURN REST: the user name is the time of expiry.
    assert.match(username, /^\d{10}:/);
    assert.ok(Number.parseInt(username, 10) * 1000 > Date.now());
    assert.equal(Buffer.from(credential, 'base64').length, 20);
    assert.notEqual(credential, 'between us');
  }
  assert.doesNotMatch(JSON.stringify(await program.status()), /between us/);
});

test('a session whose path breaks continues over another one within seconds', async (t) => {
  const program = await start(t);
  const page = await open(t, 'about:blank');
  const { forwarders, restarts } = await forwardMedia(t, page);
  await page.goto(program.url);
  await playing(page);
  forwarders[0].cut = true;
  const cut = performance.now();
  await announced(page, /Interrupted/);
  await playing(page, LATER);
  const took = Math.round(performance.now() - cut);
  t.diagnostic(`video resumed ${took} ms after the cut`);
  assert.ok(took < 5_000, `${took} ms`);
  // One that is answered late is sent again.
  assert.ok(restarts.length > 0 && restarts.every(({ status }) => status === 200), JSON.stringify(restarts));
  assert.equal(page.requests.filter((url) => url.endsWith('/whep')).length, 1, 'another session was needed');
  await viewers(page, program, 1);

  // The new ETag applies from now on, and so does that of the next restart.
  const { length } = restarts;
  for (const forwarder of forwarders) forwarder.cut = true;
  await announced(page, /Interrupted/);
  await playing(page, LATER);
  assert.ok(restarts.length > length);
  assert.notEqual(restarts.at(-1).etag, restarts[length - 1].etag);
});

test('a path that recovers is used again, and failed restarts did no harm', async (t) => {
  const program = await start(t);
  const page = await open(t, 'about:blank');
  const { forwarders } = await forwardMedia(t, page);
  await page.goto(program.url);
  await playing(page);
  await page.route('**/whep/session/*', (route) => route.abort('connectionfailed'));
  const asked = page.waitForRequest((request) => request.method() === 'PATCH', SOON);
  forwarders[0].cut = true;
  await asked;
  await announced(page, /Interrupted/);
  // What lasts longer than a hiccup is said in words.
  await announced(page, /^The connection is interrupted\. Nothing arrives from the board/);
  assert.equal(await page.textContent('#state'), 'Reconnecting');
  assert.equal(await page.isVisible('#notice-action'), false, 'there is nothing to do');
  forwarders[0].cut = false;
  await playing(page, LATER);
  assert.equal(forwarders.length, 1);
  assert.equal(page.requests.filter((url) => url.endsWith('/whep')).length, 1, 'another session was needed');
});

test('a session that the board no longer knows is replaced at once', async (t) => {
  const program = await start(t);
  const page = await open(t, 'about:blank');
  const { forwarders, restarts } = await forwardMedia(t, page);
  await page.goto(program.url);
  await playing(page);
  await program.end('SIGKILL');
  forwarders[0].cut = true;
  const again = page.waitForRequest((request) => request.url().endsWith('/whep'), LATER);
  await start(t, { config: CONFIG, port: program.port });
  await again;
  await playing(page, LATER);
  assert.ok(restarts.every(({ status }) => status === 404), JSON.stringify(restarts));
  assert.equal(page.requests.filter((url) => url.endsWith('/whep')).length, 2);
});

/** Replaces `navigator.connection`, whose type and events the test decides. */
async function fakeNetwork(page, type) {
  await page.addInitScript((type) => {
    const connection = Object.assign(new EventTarget(), { type });
    Object.defineProperty(navigator, 'connection', { value: connection });
    globalThis.changeNetwork = (type) => {
      connection.type = type;
      connection.dispatchEvent(new Event('change'));
    };
  }, type);
}

/** Waits for this many more frames. */
async function framesFollow(page, count) {
  const frame = await page.evaluate(() => blockCode.read(document.querySelector('video'))?.frame ?? 0);
  await page.waitForFunction((until) => blockCode.read(document.querySelector('video'))?.frame > until, frame + count, SOON);
}

test('a change to another kind of network triggers an ICE restart before anything breaks', async (t) => {
  const program = await start(t);
  const page = await open(t, 'about:blank');
  const { restarts } = await forwardMedia(t, page);
  await fakeNetwork(page, 'wifi');
  await page.goto(program.url);
  await playing(page);
  await page.evaluate(() => globalThis.changeNetwork('cellular'));
  // The new path is in use once the answer has arrived and frames follow it.
  await eventually(() => restarts.length, (asked) => asked > 0, 'an ICE restart');
  assert.ok(restarts.every(({ status }) => status === 200), JSON.stringify(restarts));
  await framesFollow(page, 30);
  await becomes(page, 'live');
});

test('new estimates of the network’s speed and its return leave a working path alone', async (t) => {
  const program = await start(t);
  for (const type of ['wifi', undefined]) {
    const page = await open(t, 'about:blank');
    const { forwarders, restarts } = await forwardMedia(t, page);
    await fakeNetwork(page, type);
    await page.goto(program.url);
    await playing(page);
    await page.evaluate((type) => {
      for (let times = 0; times < 5; times++) globalThis.changeNetwork(type);
      dispatchEvent(new Event('online'));
    }, type);
    // Longer than the path stays suspected: three seconds at 30 frames a second.
    await framesFollow(page, 120);
    assert.deepEqual(restarts, []);
    assert.equal(forwarders.length, 1, 'the path was left');
    await page.close();
  }
});

test('an ICE restart that is answered late is sent again as it was, and either answer counts', async (t) => {
  const program = await start(t);
  const page = await open(t, 'about:blank');
  const { forwarders } = await forwardMedia(t, page);
  await page.goto(program.url);
  await playing(page);
  const fragments = [];
  let release;
  const released = new Promise((resolve) => (release = resolve));
  await page.route('**/whep/session/*', async (route) => {
    // Late candidates come without an asterisk.
    if (route.request().method() !== 'PATCH' || (await route.request().allHeaders())['if-match'] !== '*') return route.continue();
    fragments.push(route.request().postData());
    if (fragments.length === 2) release();
    await released;
    await (fragments.length > 2 ? route.abort('connectionfailed') : route.fallback()).catch(() => {});
  });
  forwarders[0].cut = true;
  await announced(page, /Interrupted/);
  await eventually(() => fragments.length, (asked) => asked > 1, 'a second request');
  assert.equal(fragments[0], fragments[1]);
  assert.match(fragments[0], /a=ice-ufrag:\S+/);
  await playing(page, LATER);
  assert.equal(page.requests.filter((url) => url.endsWith('/whep')).length, 1, 'another session was needed');
});

test('a session that flaps restarts ICE no more often than one that is silent', async (t) => {
  const program = await start(t);
  const page = await open(t, 'about:blank');
  const { forwarders } = await forwardMedia(t, page);
  // By the clock of the page, which is the one that waits.
  await page.addInitScript(() => {
    const { fetch } = globalThis;
    globalThis.asked = [];
    globalThis.fetch = (url, options) => {
      if (options?.method === 'PATCH' && new Headers(options.headers).get('If-Match') === '*') globalThis.asked.push(performance.now());
      return fetch(url, options);
    };
  });
  await page.goto(program.url);
  await playing(page);
  const asked = () => page.evaluate(() => globalThis.asked);
  await page.route('**/whep/session/*', (route) => route.fulfill({ status: 503 }));
  for (let times = 0; times < 3; times++) {
    forwarders[0].cut = true;
    await announced(page, /Interrupted/);
    forwarders[0].cut = false;
    await announced(page, /^Live/);
  }
  const before = (await asked()).length;
  forwarders[0].cut = true;
  const times = await eventually(asked, ({ length }) => length >= before + 4, 'four more restarts', LATER);
  const gaps = times.slice(1).map((at, index) => Math.round(at - times[index]));
  // The pause between two restarts is 2 s, and one that is not answered within 1.5 s is sent again.
  assert.ok(gaps.every((gap) => gap > 1_400), `${gaps}`);
});
