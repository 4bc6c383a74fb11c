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
    // Timers may fire in another order than they were set; what is due first in each direction is done first.
    const direction = () => {
      const waiting = [];
      return (at, what) => {
        waiting.push(what);
        setTimeout(() => waiting.shift()(), at + ROUND_TRIP_MS / 2 - performance.now());
      };
    };
    const [toBoard, toPage] = [direction(), direction()];
    near.on('data', (data) => toBoard(Math.max(performance.now(), ready), () => far.write(data)));
    far.on('data', (data) => {
      for (let at = 0; at < data.length; at += SEGMENT) {
        const segment = data.subarray(at, at + SEGMENT);
        free = Math.max(performance.now(), free) + segment.length / BYTES_PER_MS;
        toPage(free, () => near.write(segment));
      }
    });
    for (const [socket, other, onward] of [[near, far, toBoard], [far, near, toPage]]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => onward(Math.max(performance.now(), free), () => other.destroy()));
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

/** What 1 Mbit/s carries in 1.5 s less four round trips: two of the connection and the page, two of what it loads. */
const MOST_BYTES = (1_500 - 4 * ROUND_TRIP_MS) * BYTES_PER_MS;

test('the page is small enough to load over 1 Mbit/s with 100 ms in 1.5 s, and comes from the cache the second time', async (t) => {
  const program = await start(t);
  const url = `http://127.0.0.1:${await slowLink(t, program.port)}/`;
  const page = await open(t, url);
  await playing(page);
  const first = await measure(page);
  // The time itself depends on what else the machine does.
  t.diagnostic(`loaded after ${first.loaded} ms, offer after ${first.offered} ms`);
  const bytes = Object.values(first.files).reduce((sum, size) => sum + size, first.page);
  assert.ok(bytes > 10_000 && bytes < MOST_BYTES, `${bytes} bytes: ${JSON.stringify(first)}`);

  await page.reload();
  await playing(page);
  const second = await measure(page);
  for (const [name, bytes] of Object.entries(second.files)) {
    if (/\.[0-9a-f]{16}\./.test(name)) assert.equal(bytes, 0, name);
  }
  assert.ok(second.page < 1_000, `${second.page} bytes: the page was sent again`);
  assert.deepEqual(page.errors, []);
});
