/** English and Korean in a real browser: the initial language, and choosing another one. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CONFIG, DESKTOP, PHONE, SOON, announced, click, open, playing, start } from './page.mjs';

/** All visible or accessible texts, except the board's own and the names of languages. */
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

test('a Korean browser gets the whole page in Korean', async (t) => {
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

test('other browsers get English, and a choice is remembered', async (t) => {
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

test('the sign-in form is in the browser’s language and offers others', async (t) => {
  const program = await start(t, { config: `${CONFIG}\n[auth]\nmode = "password"\n`, passwords: { viewer: 'six old boats drift' } });
  const page = await open(t, program.url, PHONE, { locale: 'ko' });
  await page.waitForSelector('#sign-in', SOON);
  assert.equal(await page.textContent('#sign-in-title'), '로그인하여 보기');
  assert.equal(await page.textContent('#sign-in [name=enter]'), '로그인');
  await page.selectOption('#sign-in [data-languages]', 'en');
  assert.equal(await page.textContent('#sign-in-title'), 'Sign in to watch');
  assert.equal(await page.textContent('#sign-in [name=enter]'), 'Sign in');
});
