/**
 * A slow network: snapshots do not stop the live video.
 */

import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';

import { HTTP, scenario } from './scenario.mjs';

const SLOW_VIEWER = fileURLToPath(new URL('slow_viewer.py', import.meta.url));

/** A link of 1 Mbit/s with half a second of buffer, like a bad mobile network. */
const SLOW = ['root', 'tbf', 'rate', '1mbit', 'burst', '16kb', 'latency', '500ms'];

/** How long the live video may freeze, in seconds: a hitch, not a stop. */
const MAX_FREEZE = 0.5;

scenario('snapshots over 1 Mbit/s', async (lab) => {
  const lan = lab.network();
  const board = lab.host('board').plug(lan, '192.168.1.10/24');
  const home = lab.host('home').plug(lan, '192.168.1.20/24');
  board.run('tc', 'qdisc', 'add', 'dev', 'eth0', ...SLOW);
  await lab.board(board, { bitrate: 400_000 });

  const printed = await home.complete('/usr/bin/python3', SLOW_VIEWER, `http://192.168.1.10:${HTTP}/`);
  const { before, meanwhile, took, bytes } = JSON.parse(printed.trim().split('\n').at(-1));
  console.log(`${bytes} bytes in ${took.toFixed(1)} s; longest freeze ${before.toFixed(2)} s before, ${meanwhile.toFixed(2)} s meanwhile`);
  assert.ok(meanwhile < MAX_FREEZE, `the live video froze for ${meanwhile.toFixed(2)} s`);
});
