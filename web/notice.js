/**
 * The notice in the middle of the page when there is no video: what is wrong, what to do, what was tried. Writes a message into
 * the elements of index.html; which message is decided in `messages.js`.
 */

import { write } from './elements.js';

/** @import { Message } from './messages.js' */

export class Notice {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    const part = (/** @type {string} */ name) => /** @type {HTMLElement} */ (root.querySelector(`[data-part=${name}]`));
    this.title = part('title');
    this.text = part('text');
    this.advice = part('advice');
    this.steps = part('steps');
    this.more = part('more');
    this.tried = part('tried');
    this.countdown = part('countdown');
  }

  /**
   * @param {Message | null} message Null while there is video.
   * @param {string} countdown The line above the button: the time to the next attempt.
   */
  show(message, countdown) {
    this.root.hidden = message === null;
    if (!message) return;
    write(this.title, message.title);
    write(this.text, message.text);
    write(this.countdown, countdown);
    fill(this.advice, this.steps, message.steps ?? []);
    fill(this.more, this.tried, message.tried ?? []);
  }
}

/**
 * Writes a list, and hides its box if it is empty. An unchanged list is left alone: the user may be reading or copying it.
 * @param {HTMLElement} box
 * @param {HTMLElement} list
 * @param {string[]} entries
 */
function fill(box, list, entries) {
  box.hidden = entries.length === 0;
  if ([...list.children].map(({ textContent }) => textContent).join('\n') === entries.join('\n')) return;
  list.replaceChildren(...entries.map((entry) => {
    const line = document.createElement('li');
    line.textContent = entry;
    return line;
  }));
}
