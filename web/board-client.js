/**
 * This viewer's standing with the board: who it is there, who else is, what was said, and what it wishes, which is told to each new
 * session. What is shown of it does not belong here.
 */

import { BoardEvent, Control, ControlError } from './control.js';

/** Messages that are kept: some screens full. */
const KEPT_MESSAGES = 100;

/** Events of the board that are passed on under their own names. */
const PASSED = ['status', 'camera.changed', 'control.changed', 'devices.changed', 'notice'];

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
 * @typedef {object} Wishes What this viewer wishes for itself, in this session and the next.
 * @property {boolean} muted
 * @property {'low' | 'smooth'} latency
 */

/** Events: `change` when one of the fields changed, `message` when somebody said something, and the board's own (BoardEvent). */
export class Viewing extends EventTarget {
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
  /** @type {Readonly<Wishes>} */
  wishes = { muted: false, latency: 'low' };
  /** For how many milliseconds at least the board has pictures held; null while no session tells it. @type {number | null} */
  held = null;

  /**
   * There is a new session.
   * @param {Control} control
   */
  join(control) {
    this.leave();
    this.control = control;
    for (const name of PASSED) control.addEventListener(name, (event) => this.#pass(control, /** @type {BoardEvent} */ (event)));
    control.addEventListener('viewers', (event) => {
      this.viewers = /** @type {BoardEvent} */ (event).params;
      this.#changed(control);
    });
    control.addEventListener('chat', (event) => {
      this.messages = [...this.messages, /** @type {BoardEvent} */ (event).params].slice(-KEPT_MESSAGES);
      this.dispatchEvent(new Event('message'));
    });
    control.addEventListener('close', () => control === this.control && this.leave());
    if (control.open) this.#arrive(control);
    else control.addEventListener('open', () => this.#arrive(control), { once: true });
  }

  /** The session is over; what was wished and said stays. */
  leave() {
    if (!this.control) return;
    this.control = null;
    this.you = this.status = this.viewers = this.selected = this.held = null;
    this.dispatchEvent(new Event('change'));
  }

  /** Whether the board can be asked now. */
  get present() {
    return this.control?.open === true;
  }

  /** Whether this viewer may change what everybody sees. */
  get operates() {
    return this.you?.role === 'operator';
  }

  /**
   * @param {string} method
   * @param {object} [params]
   * @returns {Promise<any>} Rejects with a ControlError.
   */
  ask(method, params) {
    return this.control?.request(method, params) ?? Promise.reject(new ControlError('there is no connection'));
  }

  /**
   * An answer has told something of the status.
   * @param {Partial<import('./status.js').Status>} part
   */
  learn(part) {
    if (this.control && this.status) this.#pass(this.control, new BoardEvent('status', { ...this.status, ...part }));
  }

  /**
   * Lets the picture come from another camera.
   * @param {string} camera
   */
  async select(camera) {
    await this.ask('camera.select', { camera });
    this.selected = camera;
    this.dispatchEvent(new Event('change'));
  }

  /**
   * Wishes something for this viewer alone. What the board does not take remains wished: the next session may.
   * @param {Partial<Wishes>} wishes
   */
  async wish(wishes) {
    this.wishes = { ...this.wishes, ...wishes };
    this.dispatchEvent(new Event('change'));
    if (this.control?.open) await this.#tell(this.control, wishes);
  }

  /**
   * @param {Control} control
   * @param {Partial<Wishes>} wishes
   */
  async #tell(control, { muted, latency }) {
    if (muted !== undefined) await control.request('audio.mute', { muted });
    if (latency === undefined) return;
    const { min } = await control.request('latency.set', { mode: latency });
    if (control === this.control) this.held = latency === 'low' ? 0 : min;
    this.#changed(control);
  }

  /** @param {Control} control */
  async #arrive(control) {
    try {
      const [{ you, ...status }, { selected }] = await Promise.all([control.request('status'), control.request('camera.list')]);
      if (control !== this.control) return;
      this.you = you;
      this.selected = selected;
      this.#pass(control, new BoardEvent('status', status));
      this.#changed(control);
      const { muted, latency } = this.wishes;
      // What a session begins with needs not be said.
      await this.#tell(control, { muted: muted || undefined, latency: latency === 'low' ? undefined : latency });
    } catch {
      // A board that does not know these shows its picture all the same; what cannot be asked is not offered.
    }
  }

  /**
   * @param {Control} control
   * @param {BoardEvent} event
   */
  #pass(control, { type, params }) {
    if (control !== this.control) return;
    if (type === 'status') this.status = params;
    this.dispatchEvent(new BoardEvent(type, params));
  }

  /** @param {Control} control */
  #changed(control) {
    if (control === this.control) this.dispatchEvent(new Event('change'));
  }
}
