/** whep.js and control.js in a page that is not ours: what others build on, and the example in docs/embedding.md. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { test } from 'node:test';

import { SOON, open, start, viewers } from './page.mjs';

test('whep.js works on its own in another page', async (t) => {
  const program = await start(t);
  const page = await open(t, `${program.url}api/status`, undefined, { bypassCSP: true });
  const { kinds, states, reused } = await page.evaluate(async (base) => {
    const { WhepSession } = await import(`${base}whep.js`);
    const session = new WhepSession(`${base}whep`);
    const states = [];
    session.addEventListener('state', () => states.push(session.state));
    await session.connect();
    const kinds = session.stream.getTracks().map(({ kind }) => kind).sort();
    await session.close();
    const reused = await session.connect().catch((error) => error.failure);
    return { kinds, states, reused };
  }, program.url);
  assert.deepEqual(kinds, ['audio', 'video']);
  assert.deepEqual(states, ['connecting', 'connected', 'closed']);
  assert.equal(reused, 'closed');
  await viewers(page, program, 0);
});

/** The example page of docs/embedding.md. */
function example() {
  const text = readFileSync(new URL('../../docs/embedding.md', import.meta.url), 'utf8');
  const [, found] = text.match(/```html\n([^]*?control\.js[^]*?)```/) ?? [];
  assert.ok(found, 'docs/embedding.md has an example with control.js');
  return found;
}

test('the documented example plays in another site’s page and takes a snapshot', async (t) => {
  let html = '';
  const site = createServer((_, response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end(html));
  site.listen(0, '127.0.0.1');
  await once(site, 'listening');
  t.after(() => site.close());
  const origin = `http://127.0.0.1:${site.address().port}`;
  const program = await start(t, { config: `[[camera]]\ndevice = "pattern"\nwidth = 640\nheight = 360\n[http]\norigins = ["${origin}"]\n` });
  html = example().replaceAll('http://porthole.local:8080/', program.url);
  assert.ok(html.trim().split('\n').length <= 10, 'the example is short');
  const page = await open(t, origin);
  await page.waitForFunction(() => document.querySelector('video').videoWidth === 640, null, SOON);
  await viewers(page, program, 1);
  await page.waitForFunction(() => document.title === '1 watching', null, SOON);
  await page.click('button');
  await page.waitForFunction(() => document.querySelector('img')?.naturalWidth === 640, null, SOON);
});
