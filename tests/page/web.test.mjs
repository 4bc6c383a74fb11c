/** The page's files as a whole: every module is used, texts exist in each language, and no other host is named. */

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';

import { start } from './page.mjs';
import { module } from './web.mjs';

const folder = new URL('../../web/', import.meta.url);
const files = readdirSync(folder, { recursive: true }).filter((name) => /\.(js|css|html)$/.test(name));
const read = (name) => readFileSync(new URL(name, folder), 'utf8');
const html = read('index.html');

const { default: english } = await module('locales/en.js');
const { default: korean } = await module('locales/ko.js');
const { lookUp } = await module('i18n.js');

test('the page uses every module and every style sheet, joined into files that never change', async (t) => {
  const { url } = await start(t);
  const used = (text, pattern) => [...text.matchAll(pattern)].map(([, name]) => name);
  const reached = new Set(used(html, /<script[^>]* src="([^"]+)"/g));
  for (const name of reached) {
    for (const other of used(read(name), /^(?:import|export) .* from '([^']+)'/gm)) {
      reached.add(new URL(other, new URL(name, 'https://board.example/')).pathname.slice(1));
    }
  }
  const sheets = used(html, /<link rel="stylesheet" href="([^"]+)"/g);
  assert.deepEqual([...reached, ...sheets].sort(), files.filter((name) => name !== 'index.html').sort());

  const served = await (await fetch(url)).text();
  const loaded = used(served, /(?:href|src)="([^"#]+\.(?:js|css))"/g);
  assert.equal(loaded.length, 3, `${loaded}`);
  for (const name of loaded) {
    const { status, headers } = await fetch(new URL(name, url));
    assert.equal(status, 200, name);
    assert.match(headers.get('cache-control'), /immutable/, name);
    assert.equal(headers.get('content-encoding'), 'gzip', name);
  }
});

test('no file has more than 400 lines', () => {
  for (const name of files) assert.ok(read(name).split('\n').length <= 400, name);
});

test('no file names another host', () => {
  for (const name of files) {
    const hosts = [...read(name).matchAll(/\b(?:https?|wss?):\/\/([\w.-]+)/g)].map(([, host]) => host);
    const named = hosts.filter((host) => !['www.w3.org', 'www.webrtc.org'].includes(host) && !host.endsWith('.example'));
    assert.deepEqual(named, [], name);
  }
});

test('every text that index.html refers to exists in both languages', () => {
  const places = [...html.matchAll(/data-(?:text|label|hint)="([^"]+)"/g)].map(([, place]) => place);
  assert.ok(places.length > 40, `${places.length} places`);
  for (const words of [english, korean]) for (const place of places) assert.ok(lookUp(place, words).length > 0, place);
  for (const [, place, written] of html.matchAll(/data-text="([^"]+)"[^>]*>([^<]+)</g)) {
    assert.equal(written, lookUp(place, english), 'the text in index.html before translation');
  }
});

/** All texts by key; functions with sample arguments. */
function texts(words, place = '') {
  if (typeof words === 'function') return [[place, words('QX', 2, 3)]];
  if (typeof words !== 'object') return [[place, words]];
  return Object.entries(words).flatMap(([name, part]) => texts(part, `${place}.${name}`));
}

test('Korean texts are in Korean and contain their arguments', () => {
  const [ours, theirs] = [new Map(texts(english)), new Map(texts(korean))];
  // Texts made of values only, and words that both languages share.
  const same = /^\.(tag|people\.chatLine|warnings\.(failed|camera)|page\.zoomed|diagnosis\.(and|end|noTcpEither)|diagnosis\.tried\.path)$/;
  for (const [place, text] of ours) {
    const translated = theirs.get(place);
    assert.ok(translated !== undefined, `${place} is missing`);
    if (!same.test(place)) assert.match(translated, /[가-힣]/, place);
    if (text.includes('QX')) assert.match(translated, /QX/, place);
  }
});
