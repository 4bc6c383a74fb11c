/**
 * A link that carries almost nothing for a while: what waits for it is not shown late, before or after.
 */

import assert from 'node:assert/strict';

import { HTTP, scenario } from './scenario.mjs';

const [BOARD, HOME] = ['10.0.0.1', '10.0.0.2'];

/** From when to when the link is slow, in seconds. */
const SLOW = [12, 22];

/** Two seconds of buffer, like a bad mobile network. */
const SCHEDULE = `0 rate=3000000 queue=2\n${SLOW[0]} rate=60000\n${SLOW[1]} rate=3000000`;

/** How long the picture may be late after that, in milliseconds. */
const MAX_LATE = 5_000;

/** What counts as late beside what it was before, in milliseconds: at 3 Mbit/s nothing waits. */
const LATE = 250;

/** Runs inside the page: how often porthole has skipped this viewer, by its status and its metrics. */
async function skips() {
  const [status, metrics] = await Promise.all(['api/status', 'metrics'].map((path) => fetch(path)));
  const { sessions: [{ skips }] } = await status.json();
  const counted = [...(await metrics.text()).matchAll(/^porthole_live_edge_skips_total\{.*\} (\d+)$/gm)];
  return [skips, counted.reduce((sum, [, count]) => sum + Number(count), 0)];
}

scenario('a link that carries almost nothing for ten seconds', async (lab) => {
  const { hosts: [board, home], emulator } = await lab.link(SCHEDULE, [BOARD, HOME]);
  await lab.board(board);
  const viewer = await lab.viewer(home, `http://${BOARD}:${HTTP}/`);
  await viewer.watches();
  const [before] = await viewer.page.evaluate(skips);
  await viewer.page.keyboard.press('i');
  const known = await viewer.page.waitForFunction(() => globalThis.porthole.stats().latency?.median, null, { timeout: 15_000 });
  // What counts as late: a busy machine takes its time at any rate.
  const late = await known.jsonValue() + LATE;

  const second = () => Number([...emulator.log.matchAll(/^([\d.]+) s:/gm)].at(-1)?.[1] ?? 0);
  await viewer.until(async () => second() > SLOW[1], 'the link to be good again');
  const good = performance.now();
  await viewer.page.waitForFunction((late) => {
    const { latency, video } = globalThis.porthole.stats();
    return video?.fps > 5 && latency?.median < late;
  }, late, { timeout: MAX_LATE, polling: 50 });
  const [skipped, counted] = await viewer.page.evaluate(skips);
  console.log(`skipped ${skipped} times; in time ${Math.round(performance.now() - good)} ms after the link was good again`);
  assert.ok(skipped > before && counted === skipped, `${skipped} skips in the status, ${counted} in the metrics`);
  await viewer.page.waitForFunction(
    () => /skipped ahead/.test(document.querySelector('[data-stat=latency-note]').textContent), null, { timeout: 30_000 });
});
