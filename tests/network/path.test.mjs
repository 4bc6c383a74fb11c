/**
 * The path between viewer and board changes while somebody watches: the pictures go on within a second. Each scenario prints how
 * long they stood still.
 */

import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { HTTP, MEDIA, NO_UDP, scenario } from './scenario.mjs';

/** Debian's Python, for which Debian's packages are built. */
const MOVING_VIEWER = fileURLToPath(new URL('moving_viewer.py', import.meta.url));

/** How long pictures may stand still, in milliseconds. */
const MAX_GAP_MS = 1_000;

/** Without pictures for this long, in milliseconds, the path counts as cut. */
const CUT_MS = 300;

/** For a viewer on a busy machine, in milliseconds. */
const DEADLINE_MS = 30_000;

/** A home router: each mapping gets a port at random, and all are forgotten when its address goes. */
const NAT = `
table ip nat {
  chain postrouting {
    type nat hook postrouting priority srcnat;
    oifname eth1 masquerade fully-random
  }
}`;

/** Now, in milliseconds since the Unix epoch. */
const now = () => performance.timeOrigin + performance.now();

/** When a moving viewer did something, by its output. */
const times = ({ log }, what) => [...log.matchAll(new RegExp(`^${what} (\\d+)$`, 'gm'))].map(([, at]) => Number(at));

/** Waits for this many pictures after a time; returns when they came. */
async function pictures(viewer, count, since = 0) {
  const deadline = now() + DEADLINE_MS;
  for (;;) {
    const seen = times(viewer, 'picture').filter((at) => at > since);
    if (seen.length >= count) return seen;
    assert.ok(now() < deadline, `${seen.length} pictures of ${count}`);
    await pause(50);
  }
}

/** Waits until no picture has come for a while: the path is cut. */
async function standstill(viewer) {
  const cut = now();
  while (now() - Math.max(cut, times(viewer, 'picture').at(-1)) < CUT_MS) {
    assert.ok(now() < cut + DEADLINE_MS, 'the path is not cut');
    await pause(50);
  }
}

/** The longest time between two neighbours. */
const longest = (times) => Math.max(...times.slice(1).map((at, index) => at - times[index]));

scenario('another WebRTC stack, whose NAT maps another port and then another address', async (lab) => {
  const [inside, outside] = [lab.network(), lab.network()];
  const board = lab.host('board').plug(outside, '203.0.113.10/24');
  const router = lab.host('router').plug(inside, '192.168.1.1/24').plug(outside, '203.0.113.5/24').forward(NAT);
  const home = lab.host('home').plug(inside, '192.168.1.20/24').route('192.168.1.1');
  await lab.board(board);
  const viewer = await lab.service(home, ['/usr/bin/python3', MOVING_VIEWER, `http://203.0.113.10:${HTTP}/`], /^picture/m);
  let address = '203.0.113.5/24';
  for (const [what, next] of [['port', address], ['address', '203.0.113.6/24']]) {
    await pictures(viewer, 60, now());
    router.run('ip', 'address', 'delete', address, 'dev', 'eth1');
    await standstill(viewer);
    const before = times(viewer, 'picture').at(-1);
    router.run('ip', 'address', 'add', next, 'dev', 'eth1');
    const changed = now();
    address = next;
    await pictures(viewer, 60, changed);
    const seen = times(viewer, 'picture');
    const gap = longest(seen.filter((at) => at >= before));
    // aiortc reports what it receives every 0.5 to 1.5 s. The board hears of the new mapping no earlier.
    const told = times(viewer, 'sent').find((at) => at > changed);
    const waited = longest([told, ...seen.filter((at) => at > told)]);
    console.log(`another ${what}: the pictures stood still for ${gap} ms, ${waited} ms after the viewer had sent something`);
    assert.ok(gap > 100, 'the path was not cut');
    assert.ok(waited < MAX_GAP_MS, `the pictures stood still for ${waited} ms after the viewer had sent something`);
  }
});

scenario('a browser whose interface goes, and another one takes over', async (lab) => {
  const [near, far] = [lab.network(), lab.network()];
  const board = lab.host('board').plug(near, '192.168.1.10/24').route('192.168.1.1');
  lab.host('router').plug(near, '192.168.1.1/24').plug(far, '192.168.2.1/24').forward('');
  // As a laptop that is unplugged, with Wi-Fi.
  const home = lab.host('home').plug(near, '192.168.1.20/24').plug(far, '192.168.2.20/24');
  home.run('ip', 'route', 'add', 'default', 'via', '192.168.1.1', 'metric', '100');
  home.run('ip', 'route', 'add', 'default', 'via', '192.168.2.1', 'metric', '600');
  await lab.board(board);
  const viewer = await lab.viewer(home, `http://192.168.1.10:${HTTP}/`);
  await viewer.watches();
  const freeze = await viewer.longestFreeze(() => home.run('ip', 'link', 'set', 'eth0', 'down'));
  console.log(`another interface: the video stood still for ${freeze} ms`);
  assert.ok(freeze < MAX_GAP_MS, `${freeze} ms`);
  assert.equal(await viewer.sessions(), 1, 'the page started another session');
});

scenario('a session over TCP that finds UDP', async (lab) => {
  const [near, far] = [lab.network(), lab.network()];
  const board = lab.host('board').plug(near, '192.168.1.10/24').route('192.168.1.1');
  const router = lab.host('router').plug(near, '192.168.1.1/24').plug(far, '192.168.2.1/24').forward(NO_UDP);
  const office = lab.host('office').plug(far, '192.168.2.20/24').route('192.168.2.1');
  await lab.board(board);
  const viewer = await lab.viewer(office, `http://192.168.1.10:${HTTP}/`);
  await viewer.watches();
  assert.equal((await viewer.pair()).remote.protocol, 'tcp');
  const freeze = await viewer.longestFreeze(async () => {
    router.run('nft', 'flush', 'ruleset');
    await viewer.restart();
    const { remote } = await viewer.pairs(({ remote }) => remote.protocol === 'udp');
    assert.deepEqual([remote.address, remote.port], ['192.168.1.10', MEDIA]);
  });
  console.log(`from TCP to UDP: the video stood still for ${freeze} ms`);
  assert.ok(freeze < MAX_GAP_MS, `${freeze} ms`);
  assert.equal(await viewer.sessions(), 1, 'the page started another session');
});

scenario('an ICE restart on the same path', async (lab) => {
  const lan = lab.network();
  const board = lab.host('board').plug(lan, '192.168.1.10/24').route('192.168.1.1');
  const home = lab.host('home').plug(lan, '192.168.1.20/24').route('192.168.1.1');
  await lab.board(board);
  const viewer = await lab.viewer(home, `http://192.168.1.10:${HTTP}/`);
  await viewer.watches();
  const [{ id }, before] = [await viewer.pair(), await viewer.packets()];
  const freeze = await viewer.longestFreeze(async () => {
    await viewer.restart();
    await viewer.pairs((pair) => pair.id !== id);
  });
  const after = await viewer.packets();
  console.log(`a restart: the video stood still for ${freeze} ms; of ${after.received - before.received} packets ` +
    `${after.lost - before.lost} were lost and ${after.requested - before.requested} requests made for any`);
  assert.deepEqual([after.lost - before.lost, after.requested - before.requested], [0, 0]);
  assert.ok(freeze < MAX_GAP_MS, `${freeze} ms`);
  assert.equal(await viewer.sessions(), 1, 'the page started another session');
});
