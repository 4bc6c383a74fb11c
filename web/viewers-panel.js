/** Who watches, and what they say to each other. */

import { make, write } from './elements.js';
import { locale, text } from './i18n.js';
import { sentence } from './messages.js';

/** @import { Viewing } from './board-client.js' */

/** Where the name that somebody gave themselves is kept. */
const KEPT = 'name';

/**
 * @typedef {object} Session As the board lists it for operators.
 * @property {string} session
 * @property {string} name
 * @property {string} role
 * @property {string | null} camera
 * @property {number} since Seconds since the Unix epoch.
 * @property {boolean} [you]
 */

export class People {
  /** Messages that nobody has seen here. */
  unread = 0;
  #asking = false;
  #again = false;

  /**
   * @param {HTMLElement} root
   * @param {Viewing} viewing
   */
  constructor(root, viewing) {
    this.root = root;
    this.viewing = viewing;
    const place = (/** @type {string} */ selector) => /** @type {HTMLElement} */ (root.querySelector(selector));
    this.count = place('#watching');
    this.list = place('#sessions');
    this.log = place('#messages');
    this.told = place('[role=alert]');
    this.form = /** @type {HTMLFormElement} */ (place('form'));
    const field = (/** @type {string} */ name) => /** @type {HTMLInputElement} */ (this.form.elements.namedItem(name));
    this.name = field('name');
    this.text = field('text');
    this.name.value = kept();
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#say();
    });
    viewing.addEventListener('change', () => this.show());
    viewing.addEventListener('message', () => {
      if (this.root.hidden) this.unread++;
      this.#listMessages();
    });
  }

  /** Writes all anew; to be called when the pane opens, too. */
  show() {
    const { viewing } = this;
    const viewers = viewing.viewers;
    this.name.placeholder = viewing.you?.name ?? '';
    write(this.count, viewers ? text().people.count(viewers.count, viewers.operators) : '');
    for (const control of this.form.querySelectorAll('button, [name=text]')) {
      /** @type {HTMLButtonElement | HTMLInputElement} */ (control).disabled = !viewing.present;
    }
    if (this.root.hidden) return;
    this.unread = 0;
    this.#listMessages();
    if (viewing.operates) this.#ask();
    else this.#listNames(viewers?.names ?? []);
  }

  async #ask() {
    this.#again = this.#asking;
    if (this.#asking) return;
    this.#asking = true;
    try {
      const { sessions } = await this.viewing.ask('session.list');
      this.#listSessions(sessions);
    } catch {
      this.#listNames(this.viewing.viewers?.names ?? []);
    }
    this.#asking = false;
    if (this.#again) this.show();
  }

  /** @param {string[]} names */
  #listNames(names) {
    this.list.replaceChildren(...names.map((name) => make('li', {}, make('span', { class: 'who' }, name || text().people.unnamed))));
  }

  /** @param {Session[]} sessions */
  #listSessions(sessions) {
    const words = text().people;
    this.list.replaceChildren(...sessions.map(({ session, name, role, camera, since, you }) => {
      const who = name || words.unnamed;
      const time = new Date(since * 1000).toLocaleTimeString(locale(), { hour: '2-digit', minute: '2-digit' });
      const facts = [you && words.you, role === 'operator' ? words.operator : words.viewer, words.watches(camera ?? '–', time)];
      const line = make('li', { 'data-session': session },
        make('span', { class: 'who' }, who), make('span', { class: 'quiet-text' }, facts.filter(Boolean).join(' · ')));
      if (!you) {
        const kick = make('button', { type: 'button', 'aria-label': words.kickOf(who) }, words.kick);
        kick.addEventListener('click', () => this.#attempt(() => this.viewing.ask('session.kick', { session })));
        line.append(kick);
      }
      return line;
    }));
  }

  #listMessages() {
    const { messages } = this.viewing;
    const words = text().people;
    if (messages.length === 0) {
      this.log.replaceChildren(make('p', { class: 'quiet-text' }, words.silent));
      return;
    }
    this.log.replaceChildren(...messages.map(({ from, text: said, time, you }) => {
      const when = new Date(time);
      const shown = when.toLocaleTimeString(locale(), { hour: '2-digit', minute: '2-digit' });
      return make('div', { class: you ? 'message mine' : 'message' },
        make('span', { class: 'who' }, from || words.unnamed),
        make('time', { datetime: when.toISOString() }, shown),
        make('p', {}, said));
    }));
    this.log.scrollTop = this.log.scrollHeight;
  }

  #say() {
    const said = this.text.value.trim();
    const name = this.name.value.trim();
    if (said === '') return;
    keep(name);
    return this.#attempt(async () => {
      await this.viewing.ask('chat.send', name ? { text: said, name } : { text: said });
      // The next one may have been begun meanwhile.
      if (this.text.value.trim() === said) this.text.value = '';
    });
  }

  /** @param {() => Promise<void>} action */
  async #attempt(action) {
    let why = '';
    try {
      await action();
    } catch (error) {
      why = sentence(/** @type {Error} */ (error).message);
    }
    write(this.told, why);
  }
}

/** The name as it was given before, empty where none was. */
function kept() {
  try {
    return localStorage.getItem(KEPT) ?? '';
  } catch {
    return '';
  }
}

/** @param {string} name */
function keep(name) {
  try {
    if (name) localStorage.setItem(KEPT, name);
    else localStorage.removeItem(KEPT);
  } catch {
    // A browser that keeps nothing asks for it again.
  }
}
