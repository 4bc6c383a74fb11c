/**
 * No network at all for a while, of which nobody is told: the router passes nothing on, and every interface stays up. The picture
 * is back with the network: within a second, on a machine with nothing else to do. Each scenario prints how long that took.
 */

import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';

import { HTTP, scenario } from './scenario.mjs';

/** How long the picture may take on a busy machine, in milliseconds; an attempt that waits for its answer takes up to 10 s. */
const MAX_MS = 3_000;

/** The board ends a session after 15 s without a sign of its viewer, the page one after 13 s. */
const LONG_MS = Number(process.env.OUTAGE_MS ?? 20_000);

const CUT = `
table ip firewall {
  chain forward {
    type filter hook forward priority filter; policy drop;
  }
}`;

/** Cuts the network for a while; returns how long the picture then took, in milliseconds, and how many sessions there were. */
async function outage(lab, duration) {
  const [near, far] = [lab.network(), lab.network()];
  const board = lab.host('board').plug(near, '192.168.1.10/24').route('192.168.1.1');
  const router = lab.host('router').plug(near, '192.168.1.1/24').plug(far, '192.168.2.1/24').forward('');
  const home = lab.host('home').plug(far, '192.168.2.20/24').route('192.168.2.1');
  await lab.board(board);
  const viewer = await lab.viewer(home, `http://192.168.1.10:${HTTP}/`);
  await viewer.watches();
  router.filter(CUT);
  await pause(duration);
  router.run('nft', 'flush', 'ruleset');
  const back = performance.timeOrigin + performance.now();
  const { shown } = await viewer.watches(back);
  const sessions = await viewer.sessions();
  console.log(`without network for ${duration / 1000} s: the picture was back after ${Math.round(shown - back)} ms, sessions: ${sessions}`);
  assert.ok(shown - back < MAX_MS, `${shown - back} ms`);
  return sessions;
}

scenario('five seconds without network', async (lab) => {
  assert.equal(await outage(lab, 5_000), 1, 'the page started another session');
});

scenario('so long without network that the session has ended', async (lab) => {
  assert.ok(await outage(lab, LONG_MS) > 1, 'the session did not end');
});
