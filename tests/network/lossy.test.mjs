/**
 * A link that loses packets: what people hear has few gaps.
 */

import assert from 'node:assert/strict';

import { HTTP, scenario } from './scenario.mjs';

const [BOARD, HOME] = ['10.0.0.1', '10.0.0.2'];

/** The share of packets that the link loses. */
const LOSS = 0.1;

/** The share of the audio that the browser may have to make up; without redundancy it is that of the packets lost. */
const MAX_CONCEALED = LOSS / 2;

/** Runs inside the page: audio packets that were sent once more. */
async function redundant() {
  const text = await (await fetch('metrics')).text();
  return Number(/^porthole_redundant_audio_packets_total (\d+)$/m.exec(text)?.[1]);
}

scenario('audio over a link that loses a tenth of all packets', async (lab) => {
  const { hosts: [board, home] } = await lab.link(`0 rate=20000000 loss=${LOSS}`, [BOARD, HOME]);
  await lab.board(board);
  const viewer = await lab.viewer(home, `http://${BOARD}:${HTTP}/`);
  await viewer.watches();
  await viewer.unmute();
  // The loss has to be reported first.
  await viewer.until(async () => (await viewer.page.evaluate(redundant)) > 0, 'redundant audio');

  const before = await viewer.audio();
  await viewer.hears(10);
  const after = await viewer.audio();
  const [received, lost, concealed, samples] = ['received', 'lost', 'concealed', 'samples'].map((key) => after[key] - before[key]);
  console.log(`${lost} of ${received + lost} packets lost, ${((concealed / samples) * 100).toFixed(1)} % of the audio made up`);
  assert.ok(lost > (received + lost) * LOSS / 3, `only ${lost} packets lost`);
  assert.ok(concealed < samples * MAX_CONCEALED, `${concealed} of ${samples} samples were made up`);
});
