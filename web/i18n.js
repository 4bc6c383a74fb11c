/**
 * The language that the page speaks: the one that was chosen here, otherwise the firstSupported of the browser's that there is. Writes
 * the messages that index.html has places for; all other messages ask `t()` when they are said.
 */

import english from './locales/en.js';
import korean from './locales/ko.js';

/** @import { Messages } from './locales/en.js' */

/** @type {Messages[]} */
const LOCALES = [english, korean];

/** Where the choice is kept. */
const STORAGE_KEY = 'language';

/** Dispatches `change` when another language is spoken. */
export const i18n = new EventTarget();

let current = firstSupported(storedLocale()) ?? firstSupported(...(globalThis.navigator?.languages ?? [])) ?? english;

/** The messages of the present language. */
export function t() {
  return current;
}

/** The tag with which numbers and times are written: the browser's own spelling of the language where it has one. */
export function locale() {
  return globalThis.navigator?.languages?.find((tag) => tag.toLowerCase().split('-')[0] === current.tag) ?? current.tag;
}

/** Tags and names of the languages that there are, each in its own messages. */
export function languages() {
  return LOCALES.map(({ tag, name }) => ({ tag, name }));
}

/**
 * Speaks another language from now on, here and when the page is opened again.
 * @param {string} tag
 */
export function setLocale(tag) {
  const chosen = firstSupported(tag);
  if (!chosen) return;
  try {
    localStorage.setItem(STORAGE_KEY, chosen.tag);
  } catch {
    // A browser that keeps nothing asks its own languages again next time.
  }
  if (chosen === current) return;
  current = chosen;
  i18n.dispatchEvent(new Event('change'));
}

/**
 * Writes the messages of the present language into elements with `data-text` (content), `data-label` (aria-label) and `data-hint`
 * (title); each names its text by its key in `locales/en.js`.
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
 * @param {string} key Such as `page.close`.
 * @param {Messages} [messages]
 * @returns {string}
 */
export function lookUp(key, messages = current) {
  const found = key.split('.').reduce((part, name) => /** @type {any} */ (part)?.[name], /** @type {unknown} */ (messages));
  if (typeof found !== 'string') throw new Error(`locales/${messages.tag}.js has no text ${key}`);
  return found;
}

/** @param {(string | null)[]} wanted Language tags (RFC 5646), the best firstSupported. */
function firstSupported(...wanted) {
  for (const tag of wanted) {
    const found = LOCALES.find((messages) => tag?.toLowerCase().split('-')[0] === messages.tag);
    if (found) return found;
  }
  return null;
}

function storedLocale() {
  try {
    return globalThis.localStorage?.getItem(STORAGE_KEY) ?? null;
  } catch {
    return null;
  }
}
