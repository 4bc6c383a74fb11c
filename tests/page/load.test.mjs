/** How fast the page loads over a slow link, a forwarder with 1 Mbit/s and 100 ms: first load, and again. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';

import { open, playing, start } from './page.mjs';

const BYTES_PER_MS = 1_000_000 / 8 / 1_000;
const ROUND_TRIP_MS = 100;
const SEGMENT = 1_460;

/**
 * A TCP forwarder to a port over a slow link, which all connections share.
 * @returns {Promise<number>} Its port.
 */
async function slowLink(t, port) {
  let free = 0;
  const sockets = new Set();
  const server = createServer({ noDelay: true }, (near) => {
    const far = connect({ port, host: '127.0.0.1', noDelay: true });
    // The handshake takes a round trip before the first request is on its way.
    const ready = performance.now() + ROUND_TRIP_MS;
    const later = (at, what) => setTimeout(what, at + ROUND_TRIP_MS / 2 - performance.now());
    near.on('data', (data) => later(Math.max(performance.now(), ready), () => far.write(data)));
    far.on('data', (data) => {
      for (let at = 0; at < data.length; at += SEGMENT) {
        const segment = data.subarray(at, at + SEGMENT);
        free = Math.max(performance.now(), free) + segment.length / BYTES_PER_MS;
        later(free, () => near.write(segment));
      }
    });
    for (const [socket, other] of [[near, far], [far, near]]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => later(Math.max(performance.now(), free), () => other.destroy()));
    }
  });
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return server.address().port;
}

/** When all modules of the page had run, in milliseconds since the navigation, and how much was transferred for what. */
const measure = (page) => page.evaluate(() => {
  const [navigation] = performance.getEntriesByType('navigation');
  const files = performance.getEntriesByType('resource').filter(({ initiatorType }) => ['script', 'link', 'other'].includes(initiatorType));
  return {
    loaded: Math.round(navigation.domContentLoadedEventEnd),
    offered: Math.round(performance.getEntriesByType('resource').find(({ name }) => name.endsWith('/whep')).startTime),
    page: navigation.transferSize,
    files: Object.fromEntries(files.map(({ name, transferSize }) => [new URL(name).pathname, transferSize])),
  };
});

test('the page loads over 1 Mbit/s with 100 ms within 1.5 s, and the second time from the cache', async (t) => {
  const program = await start(t);
  const url = `http://127.0.0.1:${await slowLink(t, program.port)}/`;
  // The fastest of three: the time that the machine spends on other tests is no property of the page.
  const loads = [];
  let page;
  for (let times = 0; times < 3; times++) {
    page = await open(t, 'about:blank');
    await page.goto(url);
    await playing(page);
    loads.push(await measure(page));
    if (times < 2) await page.close();
  }
  t.diagnostic(loads.map(({ loaded, offered }) => `loaded after ${loaded} ms, offer after ${offered} ms`).join('; '));
  const first = loads.reduce((best, load) => (load.loaded < best.loaded ? load : best));
  assert.ok(first.loaded < 1_500, JSON.stringify(first));

  await page.reload();
  await playing(page);
  const second = await measure(page);
  for (const [name, bytes] of Object.entries(second.files)) {
    if (/\.[0-9a-f]{16}\./.test(name)) assert.equal(bytes, 0, name);
  }
  assert.ok(second.page < 1_000, `${second.page} bytes: the page was sent again`);
  assert.deepEqual(page.errors, []);
});
