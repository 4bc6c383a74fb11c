/** examples/embed.html in a browser: another site's page that plays the camera with a token. The other examples are programs, which tests/examples.rs runs. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';

import { SOON, eventually, open, start } from './page.mjs';

const HTML = readFileSync(new URL('../../examples/embed.html', import.meta.url), 'utf8');

/** A site of another origin, and a camera that lets its pages in with a token. */
async function embed(t, token) {
  let html = '';
  const site = createServer((_, response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end(html));
  site.listen(0, '127.0.0.1');
  await once(site, 'listening');
  t.after(() => site.close());
  const origin = `http://127.0.0.1:${site.address().port}`;
  const program = await start(t, {
    config: `[[camera]]\ndevice = "pattern"\nwidth = 640\nheight = 360\n[audio]\ndevice = "tone"\n[http]\norigins = ["${origin}"]\n[auth]\nmode = "password"\n`,
  });
  const env = { ...process.env, STATE_DIRECTORY: join(program.directory, 'state') };
  const valid = execFileSync(process.env.PORTHOLE_BIN, ['token', 'add', 'website', '--role', 'viewer'], { env, encoding: 'utf8' }).trim();
  html = HTML.replaceAll('http://porthole.local:8080/', program.url).replace("TOKEN = ''", `TOKEN = '${token ?? valid}'`);
  assert.ok(html.includes(`TOKEN = '${token ?? valid}'`) && html.includes(`${program.url}whep.js`), 'the page has the places that its comment names');
  const page = await open(t, `${origin}/embed.html`);
  return { page, program, headers: { Authorization: `Bearer ${valid}` } };
}

test('the embedded camera plays in another site’s page, counts viewers and takes a snapshot', async (t) => {
  const { page, program, headers } = await embed(t);
  await page.waitForFunction(() => document.querySelector('video').videoWidth === 640 && document.querySelector('video').currentTime > 0.5, null, SOON);
  await page.waitForFunction(() => document.querySelector('#state').value === 'connected', null, SOON);
  await page.waitForFunction(() => document.querySelector('#viewers').value === '1 watching', null, SOON);
  assert.deepEqual(await page.evaluate(() => document.querySelector('video').srcObject.getTracks().map(({ kind }) => kind).sort()), ['audio', 'video']);
  await page.click('#snapshot', SOON);
  await page.waitForFunction(() => document.querySelector('#image').naturalWidth === 640, null, SOON);
  // Leaving the page ends the session.
  await page.goto('about:blank');
  await eventually(() => program.status(headers), ({ viewers }) => viewers === 0, 'the page has ended its session');
});

test('a session that the server ends is followed by a new one', async (t) => {
  const { page, program, headers } = await embed(t);
  await page.waitForFunction(() => document.querySelector('#state').value === 'connected', null, SOON);
  const env = { ...process.env, STATE_DIRECTORY: join(program.directory, 'state') };
  const operator = execFileSync(process.env.PORTHOLE_BIN, ['token', 'add', 'owner', '--role', 'operator'], { env, encoding: 'utf8' }).trim();
  const command = async (method, params = {}) => {
    const response = await fetch(`${program.url}api/command`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${operator}` },
      body: JSON.stringify({ id: 1, method, params }),
    });
    return (await response.json()).result;
  };
  const [{ session }] = (await command('session.list')).sessions;
  await command('session.kick', { session });
  const others = async () => (await command('session.list')).sessions.filter((other) => other.session !== session);
  await eventually(others, ({ length }) => length === 1, 'the page has connected again');
  await page.waitForFunction(() => document.querySelector('#state').value === 'connected', null, SOON);
  assert.equal((await program.status(headers)).viewers, 1);
});

test('a page with a wrong token says so', async (t) => {
  const { page } = await embed(t, 'pht_wrong');
  await page.waitForFunction(() => !['connecting', 'connected'].includes(document.querySelector('#state').value), null, SOON);
  assert.match(await page.evaluate(() => document.querySelector('#state').value), /^401 Unauthorized/);
});
