/** Short messages over the video that disappear on their own. */

import { make } from './elements.js';

/** Long enough to read two lines. */
const SHOWN_MS = 6_000;

/** More would cover the video. */
const MAX_TOASTS = 3;

export class Toasts {
  /** @param {HTMLElement} root A live region. */
  constructor(root) {
    this.root = root;
  }

  /**
   * @param {string} text
   * @param {boolean} [isError] Whether it reports a failure.
   */
  show(text, isError = false) {
    const toast = make('p', { class: isError ? 'toast error' : 'toast' }, text);
    this.root.append(toast);
    while (this.root.children.length > MAX_TOASTS) this.root.firstElementChild?.remove();
    setTimeout(() => toast.remove(), SHOWN_MS);
  }

  /** Clears messages that are shown elsewhere now. */
  clear() {
    this.root.replaceChildren();
  }
}
