/**
 * The notice in the middle of the page, where there is no picture: what is the matter, what can be done about it, what was
 * tried. Writes words into the places that index.html has for them; which words does not belong here.
 */

import { write } from './elements.js';

/** @import { Words } from './messages.js' */

export class Notice {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    const place = (/** @type {string} */ part) => /** @type {HTMLElement} */ (root.querySelector(`[data-part=${part}]`));
    this.title = place('title');
    this.text = place('text');
    this.advice = place('advice');
    this.steps = place('steps');
    this.more = place('more');
    this.tried = place('tried');
    this.count = place('count');
  }

  /**
   * @param {Words | null} words Null: there is a picture.
   * @param {string} count What stands above the button: the time to the next attempt.
   */
  show(words, count) {
    this.root.hidden = words === null;
    if (!words) return;
    write(this.title, words.title);
    write(this.text, words.text);
    write(this.count, count);
    fill(this.advice, this.steps, words.steps ?? []);
    fill(this.more, this.tried, words.tried ?? []);
  }
}

/**
 * Writes a list, and hides its box where there is none. What is written already stays: somebody may be reading or copying it.
 * @param {HTMLElement} box
 * @param {HTMLElement} place
 * @param {string[]} entries
 */
function fill(box, place, entries) {
  box.hidden = entries.length === 0;
  if ([...place.children].map(({ textContent }) => textContent).join('\n') === entries.join('\n')) return;
  place.replaceChildren(...entries.map((entry) => {
    const line = document.createElement('li');
    line.textContent = entry;
    return line;
  }));
}
