/**
 * A camera that is published to a real SFU, Janus, and watched from there in a real browser. What porthole does about refusals
 * and redirects is tested in `tests/publish.rs`.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Janus, ROOM, watch } from './janus.mjs';
import { CONFIG, DESKTOP, SOON, eventually, open, start } from './page.mjs';

/** How soon a server that is started again has the picture. */
const BACK_MS = 10_000;

const TOKEN = 'verysecret';

/** A page that shows what comes from Janus, at an address of Janus: browsers keep other pages from local networks. */
async function viewer(t, janus) {
  const page = await open(t, `${janus.url}/info`, DESKTOP);
  await page.evaluate(() => (document.body.innerHTML = '<video muted autoplay playsinline></video>'));
  await page.evaluate(watch, { port: janus.websocket, room: ROOM });
  return page;
}

/** Waits until the video shows the board's pattern and goes on. */
async function shown(page, deadline = SOON) {
  await page.waitForFunction(() => blockCode.read(document.querySelector('video')) !== null, null, deadline);
  const first = await page.evaluate(() => blockCode.read(document.querySelector('video')).frame);
  await page.waitForFunction((first) => blockCode.read(document.querySelector('video'))?.frame > first + 10, first, deadline);
}

const published = (program, state) =>
  eventually(() => program.status(), ({ publish }) => publish[0].state === state, `the publication is ${state}`, { timeout: 30_000 });

test('a browser that watches from Janus sees the camera, also after Janus was killed and started again', async (t) => {
  const janus = await Janus.start(t, { token: TOKEN });
  const publish = `[[publish]]\nurl = "${janus.endpoint}"\ntoken = "${TOKEN}"\n`;
  const program = await start(t, { config: `${CONFIG}${publish}` });
  await published(program, 'live');
  const page = await viewer(t, janus);
  await shown(page);
  assert.equal((await program.status()).cameras[0].watched, 1, 'the server alone watches the board');

  await janus.kill();
  await published(program, 'fault');
  await janus.run();
  const started = performance.now();
  const again = await viewer(t, janus);
  await shown(again, { timeout: BACK_MS });
  t.diagnostic(`the picture was back ${Math.round(performance.now() - started)} ms after Janus`);
  assert.ok(!program.log.includes(TOKEN), program.log);

  const { code } = await program.end('SIGTERM');
  assert.equal(code, 0);
  assert.equal(janus.sessions.size, 0, 'the session on the server has ended');
});
