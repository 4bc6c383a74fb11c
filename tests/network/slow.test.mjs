/**
 * A slow network: what a viewer asks for beside the live picture does not stop it.
 */

import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';

import { HTTP, scenario } from './scenario.mjs';

const SLOW_VIEWER = fileURLToPath(new URL('slow_viewer.py', import.meta.url));

/** A link of 1 Mbit/s that holds what it cannot pass on at once for half a second, as a bad mobile network does. */
const SLOW = ['root', 'tbf', 'rate', '1mbit', 'burst', '16kb', 'latency', '500ms'];

/** How long the live picture may stand still, in seconds: a person sees a hitch, and no stop. */
const STILL = 0.5;

scenario('single pictures over 1 Mbit/s', async (lab) => {
  const lan = lab.network();
  const board = lab.host('board').plug(lan, '192.168.1.10/24');
  const home = lab.host('home').plug(lan, '192.168.1.20/24');
  board.run('tc', 'qdisc', 'add', 'dev', 'eth0', ...SLOW);
  await lab.board(board, { bitrate: 400_000 });

  const printed = await home.complete('/usr/bin/python3', SLOW_VIEWER, `http://192.168.1.10:${HTTP}/`);
  const { before, meanwhile, took, bytes } = JSON.parse(printed.trim().split('\n').at(-1));
  console.log(`${bytes} bytes in ${took.toFixed(1)} s; still for ${before.toFixed(2)} s before, ${meanwhile.toFixed(2)} s meanwhile`);
  assert.ok(meanwhile < STILL, `the live picture stood still for ${meanwhile.toFixed(2)} s`);
});
