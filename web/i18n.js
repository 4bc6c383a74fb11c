/**
 * The page's language: the one chosen here, otherwise the first supported one of the browser's. Fills the texts of index.html; all
 * other texts are looked up with `t()` when they are needed.
 */

import english from './locales/en.js';
import korean from './locales/ko.js';

/** @import { Messages } from './locales/en.js' */

/** @type {Messages[]} */
const LOCALES = [english, korean];

/** The localStorage key of the choice. */
const STORAGE_KEY = 'language';

/** Dispatches `change` when another language was chosen. */
export const i18n = new EventTarget();

let current = firstSupported(storedLocale()) ?? firstSupported(...(globalThis.navigator?.languages ?? [])) ?? english;

/** The messages in the current language. */
export function t() {
  return current;
}

/** The locale for numbers and times: the browser's own tag for the language if it has one. */
export function locale() {
  return globalThis.navigator?.languages?.find((tag) => tag.toLowerCase().split('-')[0] === current.tag) ?? current.tag;
}

/** Tags and names of the supported languages, each name in its own language. */
export function languages() {
  return LOCALES.map(({ tag, name }) => ({ tag, name }));
}

/**
 * Switches to another language and remembers it.
 * @param {string} tag
 */
export function setLocale(tag) {
  const chosen = firstSupported(tag);
  if (!chosen) return;
  try {
    localStorage.setItem(STORAGE_KEY, chosen.tag);
  } catch {
    // Without storage, the browser's languages decide again next time.
  }
  if (chosen === current) return;
  current = chosen;
  i18n.dispatchEvent(new Event('change'));
}

/**
 * Writes the current messages into elements with `data-text` (content), `data-label` (aria-label) and `data-hint` (title); each
 * value is a key of `locales/en.js`.
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

/** @param {(string | null)[]} wanted Language tags (RFC 5646), the preferred one first. */
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
