/** English and Korean in a real browser: which is spoken first, what changes with the choice, and what stays of it. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CONFIG, DESKTOP, PHONE, SOON, announced, click, open, playing, start } from './page.mjs';

/** All that can be read or is read out, but for what the board says and languages' own names. */
const words = (page) => page.evaluate(() => {
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const parent = walker.currentNode.parentElement;
    if (parent.closest('noscript, [data-languages], [data-cameras], #camera-name, script, dd, #microphone, #quality, #sessions .viewer-name')) continue;
    const text = walker.currentNode.textContent.trim();
    if (text) found.push(text);
  }
  for (const element of document.querySelectorAll('[aria-label], [title]')) {
    found.push(...['aria-label', 'title'].map((name) => element.getAttribute(name)).filter(Boolean));
  }
  return found;
});

test('a Korean browser is spoken to in Korean, in full', async (t) => {
  const program = await start(t);
  const page = await open(t, program.url, PHONE, { locale: 'ko-KR' });
  await playing(page);
  assert.equal(await page.evaluate(() => document.documentElement.lang), 'ko');
  await announced(page, /실시간/);
  for (const pane of ['settings', 'people', 'details']) {
    await click(page, `#${pane}`);
    assert.match(await page.textContent('#panel-title'), /[가-힣]/);
    await page.keyboard.press('Escape');
  }
  const foreign = (await words(page)).filter((text) => !/[가-힣]/.test(text) && /[a-z]{2}/i.test(text));
  assert.deepEqual(foreign, ['porthole']);
});

test('a browser that speaks neither is spoken to in English, and the choice is kept', async (t) => {
  const program = await start(t);
  const page = await open(t, program.url, DESKTOP, { locale: 'fr-FR' });
  await playing(page);
  assert.equal(await page.evaluate(() => document.documentElement.lang), 'en');
  await click(page, '#settings');
  await page.selectOption('#settings-pane [data-languages]', 'ko');
  await announced(page, /실시간/);
  assert.equal(await page.textContent('#panel-title'), '설정');
  assert.equal(await page.textContent('#hang-up span'), '끊기');
  await page.reload();
  await playing(page);
  assert.equal(await page.evaluate(() => document.documentElement.lang), 'ko');
  await click(page, '#settings');
  await page.selectOption('#settings-pane [data-languages]', 'en');
  await announced(page, /^Live/);
});

test('who signs in is asked in their language, and can choose it there', async (t) => {
  const program = await start(t, { config: `${CONFIG}\n[auth]\nmode = "password"\n`, passwords: { viewer: 'six old boats drift' } });
  const page = await open(t, program.url, PHONE, { locale: 'ko' });
  await page.waitForSelector('#sign-in', SOON);
  assert.equal(await page.textContent('#sign-in-title'), '로그인하여 보기');
  assert.equal(await page.textContent('#sign-in [name=enter]'), '로그인');
  await page.selectOption('#sign-in [data-languages]', 'en');
  assert.equal(await page.textContent('#sign-in-title'), 'Sign in to watch');
  assert.equal(await page.textContent('#sign-in [name=enter]'), 'Sign in');
});
