/** Short messages over the picture, which go by themselves. */

import { make } from './elements.js';

/** Long enough to read two lines. */
const SHOWN_MS = 6_000;

/** More would hide the picture. */
const MOST = 3;

export class Toasts {
  /** @param {HTMLElement} root A live region. */
  constructor(root) {
    this.root = root;
  }

  /**
   * @param {string} text
   * @param {boolean} [bad] Whether something did not work.
   */
  say(text, bad = false) {
    const toast = make('p', { class: bad ? 'toast bad' : 'toast' }, text);
    this.root.append(toast);
    while (this.root.children.length > MOST) this.root.firstElementChild?.remove();
    setTimeout(() => toast.remove(), SHOWN_MS);
  }

  /** What they said is seen elsewhere now. */
  clear() {
    this.root.replaceChildren();
  }
}
