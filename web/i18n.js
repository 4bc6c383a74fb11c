/**
 * The language that the page speaks: the one that was chosen here, otherwise the first of the browser's that there is. Writes
 * the words that index.html has places for; all other words ask `text()` when they are said.
 */

import english from './locales/en.js';
import korean from './locales/ko.js';

/** @import { Text } from './locales/en.js' */

/** @type {Text[]} */
const TEXTS = [english, korean];

/** Where the choice is kept. */
const KEPT = 'language';

/** Dispatches `change` when another language is spoken. */
export const language = new EventTarget();

let current = first(kept()) ?? first(...(globalThis.navigator?.languages ?? [])) ?? english;

/** The words of the present language. */
export function text() {
  return current;
}

/** The tag with which numbers and times are written: the browser's own spelling of the language where it has one. */
export function locale() {
  return globalThis.navigator?.languages?.find((tag) => tag.toLowerCase().split('-')[0] === current.tag) ?? current.tag;
}

/** Tags and names of the languages that there are, each in its own words. */
export function languages() {
  return TEXTS.map(({ tag, name }) => ({ tag, name }));
}

/**
 * Speaks another language from now on, here and when the page is opened again.
 * @param {string} tag
 */
export function speak(tag) {
  const chosen = first(tag);
  if (!chosen) return;
  try {
    localStorage.setItem(KEPT, chosen.tag);
  } catch {
    // A browser that keeps nothing asks its own languages again next time.
  }
  if (chosen === current) return;
  current = chosen;
  language.dispatchEvent(new Event('change'));
}

/**
 * Writes the words of the present language into elements with `data-text` (content), `data-label` (aria-label) and `data-hint`
 * (title); each names its text by its place in `locales/en.js`.
 * @param {Document} page
 */
export function translate(page) {
  page.documentElement.lang = current.tag;
  for (const element of /** @type {NodeListOf<HTMLElement>} */ (page.querySelectorAll('[data-text], [data-label], [data-hint]'))) {
    const { text, label, hint } = element.dataset;
    if (text) element.textContent = lookUp(text);
    if (label) element.setAttribute('aria-label', lookUp(label));
    if (hint) element.title = lookUp(hint);
  }
}

/**
 * @param {string} place Such as `page.close`.
 * @param {Text} [words]
 * @returns {string}
 */
export function lookUp(place, words = current) {
  const found = place.split('.').reduce((part, name) => /** @type {any} */ (part)?.[name], /** @type {unknown} */ (words));
  if (typeof found !== 'string') throw new Error(`locales/${words.tag}.js has no text ${place}`);
  return found;
}

/** @param {(string | null)[]} wanted Language tags (RFC 5646), the best first. */
function first(...wanted) {
  for (const tag of wanted) {
    const found = TEXTS.find((words) => tag?.toLowerCase().split('-')[0] === words.tag);
    if (found) return found;
  }
  return null;
}

function kept() {
  try {
    return globalThis.localStorage?.getItem(KEPT) ?? null;
  } catch {
    return null;
  }
}
