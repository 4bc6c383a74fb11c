/**
 * This viewer's standing with the board: who it is there, who else is, what was said, and what it preferences, which is told to each new
 * session. What is shown of it does not belong here.
 */

import { BoardEvent, Control, ControlError } from './control.js';

/** Messages that are kept: some screens full. */
const MAX_MESSAGES = 100;

/** Events of the board that are passed on under their own names. */
const FORWARDED = ['status', 'camera.changed', 'control.changed', 'devices.changed', 'notice'];

/**
 * @typedef {import('./auth.js').Role} Role
 *
 * @typedef {object} You
 * @property {string | null} session
 * @property {Role} role
 * @property {string} name
 *
 * @typedef {object} Viewers
 * @property {number} count
 * @property {number} operators
 * @property {string[]} names
 *
 * @typedef {object} Message
 * @property {string} from
 * @property {string} text
 * @property {number} time Milliseconds since the Unix epoch.
 * @property {boolean} you
 *
 * @typedef {object} Preferences What this viewer preferences for itself, in this session and the next.
 * @property {boolean} muted
 * @property {'low' | 'smooth'} latency
 */

/** Events: `change` when one of the fields changed, `message` when somebody said something, and the board's own (BoardEvent). */
export class BoardClient extends EventTarget {
  /** @type {Control | null} */
  control = null;
  /** Null while no session tells it. @type {You | null} */
  you = null;
  /** The newest; null while no session tells it. @type {import('./status.js').Status | null} */
  status = null;
  /** The camera that is watched; null while no session tells it. @type {string | null} */
  selected = null;
  /** @type {Viewers | null} */
  viewers = null;
  /** @type {Message[]} */
  messages = [];
  /** @type {Readonly<Preferences>} */
  preferences = { muted: false, latency: 'low' };
  /** For how many milliseconds at least the board has pictures jitterBufferTarget; null while no session tells it. @type {number | null} */
  jitterBufferTarget = null;

  /**
   * There is a new session.
   * @param {Control} control
   */
  attach(control) {
    this.detach();
    this.control = control;
    for (const name of FORWARDED) control.addEventListener(name, (event) => this.#forward(control, /** @type {BoardEvent} */ (event)));
    control.addEventListener('viewers', (event) => {
      this.viewers = /** @type {BoardEvent} */ (event).params;
      this.#notify(control);
    });
    control.addEventListener('chat', (event) => {
      this.messages = [...this.messages, /** @type {BoardEvent} */ (event).params].slice(-MAX_MESSAGES);
      this.dispatchEvent(new Event('message'));
    });
    control.addEventListener('close', () => control === this.control && this.detach());
    if (control.open) this.#load(control);
    else control.addEventListener('open', () => this.#load(control), { once: true });
  }

  /** The session is over; what was wished and said stays. */
  detach() {
    if (!this.control) return;
    this.control = null;
    this.you = this.status = this.viewers = this.selected = this.jitterBufferTarget = null;
    this.dispatchEvent(new Event('change'));
  }

  /** Whether the board can be asked now. */
  get connected() {
    return this.control?.open === true;
  }

  /** Whether this viewer may change what everybody sees. */
  get isOperator() {
    return this.you?.role === 'operator';
  }

  /**
   * @param {string} method
   * @param {object} [params]
   * @returns {Promise<any>} Rejects with a ControlError.
   */
  request(method, params) {
    return this.control?.request(method, params) ?? Promise.reject(new ControlError('there is no connection'));
  }

  /**
   * An answer has told something of the status.
   * @param {Partial<import('./status.js').Status>} part
   */
  mergeStatus(part) {
    if (this.control && this.status) this.#forward(this.control, new BoardEvent('status', { ...this.status, ...part }));
  }

  /**
   * Lets the picture come from another camera.
   * @param {string} camera
   */
  async selectCamera(camera) {
    await this.request('camera.select', { camera });
    this.selected = camera;
    this.dispatchEvent(new Event('change'));
  }

  /**
   * Preferences something for this viewer alone. What the board does not take remains wished: the next session may.
   * @param {Partial<Preferences>} preferences
   */
  async setPreferences(preferences) {
    this.preferences = { ...this.preferences, ...preferences };
    this.dispatchEvent(new Event('change'));
    if (this.control?.open) await this.#sendPreferences(this.control, preferences);
  }

  /**
   * @param {Control} control
   * @param {Partial<Preferences>} preferences
   */
  async #sendPreferences(control, { muted, latency }) {
    if (muted !== undefined) await control.request('audio.mute', { muted });
    if (latency === undefined) return;
    const { min } = await control.request('latency.set', { mode: latency });
    if (control === this.control) this.jitterBufferTarget = latency === 'low' ? 0 : min;
    this.#notify(control);
  }

  /** @param {Control} control */
  async #load(control) {
    try {
      const [{ you, ...status }, { selected }] = await Promise.all([control.request('status'), control.request('camera.list')]);
      if (control !== this.control) return;
      this.you = you;
      this.selected = selected;
      this.#forward(control, new BoardEvent('status', status));
      this.#notify(control);
      const { muted, latency } = this.preferences;
      // What a session begins with needs not be said.
      await this.#sendPreferences(control, { muted: muted || undefined, latency: latency === 'low' ? undefined : latency });
    } catch {
      // A board that does not know these shows its picture all the same; what cannot be asked is not offered.
    }
  }

  /**
   * @param {Control} control
   * @param {BoardEvent} event
   */
  #forward(control, { type, params }) {
    if (control !== this.control) return;
    if (type === 'status') this.status = params;
    this.dispatchEvent(new BoardEvent(type, params));
  }

  /** @param {Control} control */
  #notify(control) {
    if (control === this.control) this.dispatchEvent(new Event('change'));
  }
}
