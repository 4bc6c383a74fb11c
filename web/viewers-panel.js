/** The people pane: who is watching, and the chat. */

import { make, write } from './elements.js';
import { locale, t } from './i18n.js';
import { sentence } from './messages.js';

/** @import { BoardClient } from './board-client.js' */

/** The localStorage key of the user's chat name. */
const STORAGE_KEY = 'name';

/** How often operators' list is read anew while it is seen, in milliseconds: as often as pages report their delay. */
const FOLLOW_MS = 2_000;

/**
 * @typedef {object} Session As listed by the board for operators.
 * @property {string} session
 * @property {string} name
 * @property {string} role
 * @property {string | null} camera
 * @property {number} since Seconds since the Unix epoch.
 * @property {boolean} [you]
 * @property {number | null} [delay] From capture to display, in milliseconds.
 */

export class ViewersPanel {
  /** Messages that arrived while the pane was closed. */
  unread = 0;
  #loading = false;
  #reload = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {HTMLElement} root
   * @param {BoardClient} client
   */
  constructor(root, client) {
    this.root = root;
    this.client = client;
    const find = (/** @type {string} */ selector) => /** @type {HTMLElement} */ (root.querySelector(selector));
    this.count = find('#viewer-count');
    this.list = find('#sessions');
    this.log = find('#messages');
    this.error = find('[role=alert]');
    this.form = /** @type {HTMLFormElement} */ (find('form'));
    const field = (/** @type {string} */ name) => /** @type {HTMLInputElement} */ (this.form.elements.namedItem(name));
    this.name = field('name');
    this.text = field('text');
    this.name.value = storedName();
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#send();
    });
    client.addEventListener('change', () => this.show());
    client.addEventListener('message', () => {
      if (this.root.hidden) this.unread++;
      this.#listMessages();
    });
  }

  /** Updates the pane; also to be called when it opens. */
  show() {
    const { client } = this;
    const viewers = client.viewers;
    this.name.placeholder = client.you?.name ?? '';
    write(this.count, viewers ? t().people.count(viewers.count, viewers.operators) : '');
    for (const control of this.form.querySelectorAll('button, [name=text]')) {
      /** @type {HTMLButtonElement | HTMLInputElement} */ (control).disabled = !client.connected;
    }
    if (this.root.hidden) return;
    this.unread = 0;
    this.#listMessages();
    if (client.isOperator) this.#load();
    else this.#listNames(viewers?.names ?? []);
  }

  async #load() {
    this.#reload = this.#loading;
    if (this.#loading) return;
    this.#loading = true;
    clearTimeout(this.#timer);
    try {
      const { sessions } = await this.client.request('session.list');
      this.#listSessions(sessions);
    } catch {
      this.#listNames(this.client.viewers?.names ?? []);
    }
    this.#loading = false;
    if (this.#reload) this.show();
    else this.#timer = setTimeout(() => this.#follow(), FOLLOW_MS);
  }

  /** Reads the list anew as long as somebody sees it. */
  #follow() {
    if (this.root.hidden || !this.client.isOperator) return;
    if (document.hidden) this.#timer = setTimeout(() => this.#follow(), FOLLOW_MS);
    else this.#load();
  }

  /** @param {string[]} names */
  #listNames(names) {
    this.list.replaceChildren(...names.map((name) => make('li', {}, make('span', { class: 'viewer-name' }, name || t().people.unnamed))));
  }

  /** @param {Session[]} sessions */
  #listSessions(sessions) {
    const shown = /** @type {HTMLElement[]} */ ([...this.list.children]);
    const known = new Map(shown.map((line) => [line.dataset.session, line]));
    const lines = sessions.map((session) => {
      // A line is kept while its viewer stays: a screen reader or the keyboard may be at its button.
      const line = known.get(session.session) ?? this.#sessionLine(session);
      writeSession(line, session);
      return line;
    });
    if (lines.length !== shown.length || lines.some((line, at) => line !== shown[at])) this.list.replaceChildren(...lines);
  }

  /** @param {Session} session */
  #sessionLine({ session, you }) {
    const line = make('li', { 'data-session': session }, make('span', { class: 'viewer-name' }), make('span', { class: 'secondary' }));
    if (!you) {
      const kick = make('button', { type: 'button' }, t().people.kick);
      kick.addEventListener('click', () => this.#attempt(() => this.client.request('session.kick', { session })));
      line.append(kick);
    }
    return line;
  }

  #listMessages() {
    const { messages } = this.client;
    const texts = t().people;
    if (messages.length === 0) {
      this.log.replaceChildren(make('p', { class: 'secondary' }, texts.noMessages));
      return;
    }
    this.log.replaceChildren(...messages.map(({ from, text: body, time, you }) => {
      const when = new Date(time);
      const shown = when.toLocaleTimeString(locale(), { hour: '2-digit', minute: '2-digit' });
      return make('div', { class: you ? 'message mine' : 'message' },
        make('span', { class: 'viewer-name' }, from || texts.unnamed),
        make('time', { datetime: when.toISOString() }, shown),
        make('p', {}, body));
    }));
    this.log.scrollTop = this.log.scrollHeight;
  }

  #send() {
    const body = this.text.value.trim();
    const name = this.name.value.trim();
    if (body === '') return;
    storeName(name);
    return this.#attempt(async () => {
      await this.client.request('chat.send', name ? { text: body, name } : { text: body });
      // The user may have started to type the next one.
      if (this.text.value.trim() === body) this.text.value = '';
    });
  }

  /** @param {() => Promise<void>} action */
  async #attempt(action) {
    let reason = '';
    try {
      await action();
    } catch (error) {
      reason = sentence(/** @type {Error} */ (error).message);
    }
    write(this.error, reason);
  }
}

/**
 * Writes what is known of a session to its line.
 * @param {HTMLElement} line
 * @param {Session} session
 */
function writeSession(line, { name, role, camera, since, you, delay }) {
  const texts = t().people;
  const shownName = name || texts.unnamed;
  const time = new Date(since * 1000).toLocaleTimeString(locale(), { hour: '2-digit', minute: '2-digit' });
  const facts = [you && texts.you, role === 'operator' ? texts.operator : texts.viewer, texts.watches(camera ?? '–', time), typeof delay === 'number' && texts.delay(delay)];
  const [nameLabel, factsLabel, kick] = /** @type {HTMLElement[]} */ ([...line.children]);
  write(nameLabel, shownName);
  write(factsLabel, facts.filter(Boolean).join(' · '));
  if (!kick) return;
  write(kick, texts.kick);
  kick.setAttribute('aria-label', texts.kickOf(shownName));
}

/** The stored name, or an empty string. */
function storedName() {
  try {
    return localStorage.getItem(STORAGE_KEY) ?? '';
  } catch {
    return '';
  }
}

/** @param {string} name */
function storeName(name) {
  try {
    if (name) localStorage.setItem(STORAGE_KEY, name);
    else localStorage.removeItem(STORAGE_KEY);
  } catch {
    // Without storage, the name has to be entered again.
  }
}
