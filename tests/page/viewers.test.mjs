/** The people pane, with several real pages at one board. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CONFIG, DESKTOP, PHONE, SOON, announced, click, eventually, open, playing, start, viewers } from './page.mjs';

/** Opens a page that plays, with its people pane open. */
async function people(t, program, viewport) {
  const page = await open(t, program.url, viewport);
  await playing(page);
  await click(page, '#people');
  await page.waitForFunction(() => document.querySelector('#sessions').children.length > 0, null, SOON);
  return page;
}

/** Waits for a text in a list. */
const listed = (page, list, source) => page.waitForFunction(
  ({ list, source }) => [...document.querySelector(list).children].some(({ innerText }) => new RegExp(source, 's').test(innerText)),
  { list, source }, SOON);

async function say(page, text, name) {
  if (name !== undefined) await page.fill('#chat-form [name=name]', name);
  await page.fill('#message', text);
  await page.keyboard.press('Enter');
}

test('viewers who come and go are listed', async (t) => {
  const program = await start(t);
  const page = await people(t, program, PHONE);
  await page.waitForFunction(() => document.querySelector('#viewer-count').textContent === '1 viewer, including 1 operator', null, SOON);
  await listed(page, '#sessions', 'you · operator · camera, since');
  assert.equal(await page.locator('#sessions button').count(), 0, 'viewers cannot remove themselves');

  const other = await people(t, program, DESKTOP);
  for (const viewer of [page, other]) {
    await viewer.waitForFunction(() => /^2 viewers/.test(document.querySelector('#viewer-count').textContent), null, SOON);
    await viewer.waitForFunction(() => document.querySelectorAll('#sessions li').length === 2, null, SOON);
  }
  await other.close();
  await page.waitForFunction(() => /^1 viewer,/.test(document.querySelector('#viewer-count').textContent), null, SOON);
  await page.waitForFunction(() => document.querySelectorAll('#sessions li').length === 1, null, SOON);
});

test('operators see how late the picture is for each viewer, as it changes', async (t) => {
  const program = await start(t);
  const page = await people(t, program, DESKTOP);
  await page.waitForSelector('#sessions [data-session]', SOON);
  await page.evaluate(() => (document.querySelector('#sessions li').dataset.kept = 'yes'));
  const reported = async () => (await (await page.request.get(`${program.url}api/status`)).json()).sessions[0]?.delay;
  await eventually(reported, (delay) => typeof delay === 'number', 'the page should report its delay');
  const shown = async () => Number(/you · operator · .* · (\d+) ms behind/.exec(await page.locator('#sessions').innerText())?.[1]);
  const before = await eventually(shown, Number.isInteger, 'the list should show the delay');
  // From now on the browser holds each frame back for 200 ms at least, which comes on top of what a busy machine takes.
  await page.evaluate(async () => {
    const { client } = await import(document.querySelector('script[src^="bootstrap."]').src);
    await client.setPreferences({ latency: 'smooth' });
  });
  await eventually(shown, (delay) => delay >= 200 && delay !== before, `the list should follow the delay of ${before} ms`);
  assert.equal(await page.locator('#sessions [data-kept]').count(), 1, 'a line stays the same, so that its button keeps the focus');
});

test('chat messages reach everyone with the sender’s name, as a toast where the pane is closed', async (t) => {
  const program = await start(t);
  const ann = await people(t, program, PHONE);
  const ben = await open(t, program.url, DESKTOP);
  await playing(ben);
  await ben.waitForFunction(() => !document.querySelector('#photo').disabled, null, SOON);

  await say(ann, 'is that the <b>heron</b>?', 'Ann');
  await listed(ann, '#messages', 'Ann.*is that the <b>heron</b>\\?');
  await ann.waitForFunction(() => document.querySelector('#message').value === '', null, SOON);
  assert.equal(await ann.locator('#messages .mine').count(), 1);
  await ben.waitForSelector('.toast:has-text("Ann: is that the <b>heron</b>?")', SOON);
  await ben.waitForFunction(() => document.querySelector('#people').dataset.unread === '1', null, SOON);
  await click(ben, '#people');
  await listed(ben, '#messages', 'Ann.*heron');
  assert.equal(await ben.locator('#messages .mine').count(), 0);
  await ben.waitForFunction(() => document.querySelector('#people').dataset.unread === '', null, SOON);
  await listed(ben, '#sessions', 'Ann');

  await say(ben, '왜가리 맞아요', '벤');
  await listed(ann, '#messages', '벤.*왜가리 맞아요');
  await listed(ann, '#sessions', '벤');
  await ann.reload();
  await playing(ann);
  assert.equal(await ann.inputValue('#chat-form [name=name]'), 'Ann', 'the name is remembered');
  assert.deepEqual([...ann.errors, ...ben.errors], []);
});

test('a message that the board rejects shows an error next to the input', async (t) => {
  const program = await start(t);
  const page = await people(t, program, PHONE);
  // Faster than anybody types, however slow the machine.
  await page.locator('#chat-form').evaluate((form) => {
    for (let times = 0; times < 8; times++) {
      form.querySelector('#message').value = `word ${times}`;
      form.requestSubmit();
    }
  });
  await page.waitForSelector('#chat-form [role=alert]:not(:empty)', SOON);
  await listed(page, '#messages', 'word 4');
  assert.equal(await page.inputValue('#message'), 'word 7', 'a rejected message is not lost');
});

test('an operator ends a viewer’s session, which stays ended until the viewer reconnects', async (t) => {
  const program = await start(t);
  const operator = await people(t, program, DESKTOP);
  const guest = await open(t, program.url, PHONE);
  await playing(guest);
  await operator.waitForSelector('#sessions button', SOON);
  await operator.click('#sessions button');
  await announced(guest, /An operator ended your session/);
  await viewers(operator, program, 1);
  assert.equal(await guest.evaluate(() => globalThis.porthole.state), 'failed');
  await guest.click('#notice-action');
  await playing(guest);
  await viewers(operator, program, 2);
});

test('during a session the board pushes its status and is not polled', async (t) => {
  const program = await start(t, { config: CONFIG });
  const page = await open(t, program.url, DESKTOP);
  await playing(page);
  await click(page, '#details');
  await page.waitForFunction(() => !document.querySelector('#photo').disabled, null, SOON);
  const before = page.requests.length;
  const other = await open(t, program.url, PHONE);
  await playing(other);
  await page.waitForFunction(() => /^2 of/.test(document.querySelector('[data-stat=viewers]').textContent), null, SOON);
  await other.close();
  await page.waitForFunction(() => /^1 of/.test(document.querySelector('[data-stat=viewers]').textContent), null, SOON);
  assert.deepEqual(page.requests.slice(before).filter((url) => !url.includes('/whep/session/')), []);
});
