/**
 * The page's side of the control protocol: who this viewer is, who else is watching, the chat, and this viewer's preferences,
 * which are sent to each new session. Rendering is elsewhere.
 */

import { BoardEvent, Control, ControlError } from './control.js';
import { storedDataSaver, storeDataSaver } from './data-saver.js';

/** How many chat messages are kept: a few screens. */
const MAX_MESSAGES = 100;

/** Board events that are forwarded under their own names. */
const FORWARDED = ['status', 'camera.changed', 'control.changed', 'devices.changed', 'notice', 'talk'];

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
 * @typedef {object} Preferences This viewer's own preferences, for this session and the next.
 * @property {boolean} muted Whether no audio is wanted: a page begins muted.
 * @property {'low' | 'smooth'} latency
 * @property {boolean} paused Whether no video is wanted at the moment.
 * @property {boolean} dataSaver Whether a smaller picture is wanted, which takes less data.
 */

/** Events: `change` when one of the fields changed, `message` when a chat message arrived, and those of the board (BoardEvent). */
export class BoardClient extends EventTarget {
  /** @type {Control | null} */
  control = null;
  /** Null without a session. @type {You | null} */
  you = null;
  /** The latest status; null without a session. @type {import('./status.js').Status | null} */
  status = null;
  /** The selected camera; null without a session. @type {string | null} */
  selected = null;
  /** @type {Viewers | null} */
  viewers = null;
  /** @type {Message[]} */
  messages = [];
  /** @type {Readonly<Preferences>} */
  preferences = { muted: true, latency: 'low', paused: false, dataSaver: storedDataSaver() };
  /** The jitter buffer delay that the board asks for, in milliseconds; null without a session. @type {number | null} */
  jitterBufferTarget = null;

  /**
   * Uses the control channel of a new session.
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
    control.addEventListener('talk', (event) => {
      const { name } = /** @type {BoardEvent} */ (event).params;
      if (this.status?.speaker) this.mergeStatus({ speaker: { ...this.status.speaker, talker: name } });
    });
    control.addEventListener('chat', (event) => {
      this.messages = [...this.messages, /** @type {BoardEvent} */ (event).params].slice(-MAX_MESSAGES);
      this.dispatchEvent(new Event('message'));
    });
    control.addEventListener('close', () => control === this.control && this.detach());
    if (control.open) this.#load(control);
    else control.addEventListener('open', () => this.#load(control), { once: true });
  }

  /** The session is over; preferences and messages are kept. */
  detach() {
    if (!this.control) return;
    this.control = null;
    this.you = this.status = this.viewers = this.selected = this.jitterBufferTarget = null;
    this.dispatchEvent(new Event('change'));
  }

  /** Whether requests can be sent. */
  get connected() {
    return this.control?.open === true;
  }

  /** Whether this viewer may change what affects everyone. */
  get isOperator() {
    return this.you?.role === 'operator';
  }

  /**
   * @param {string} method
   * @param {object} [params]
   * @returns {Promise<any>} Rejects with a ControlError.
   */
  request(method, params) {
    return this.control?.request(method, params) ?? Promise.reject(new ControlError('not connected to the board'));
  }

  /**
   * Applies a part of the status that a response contained.
   * @param {Partial<import('./status.js').Status>} part
   */
  mergeStatus(part) {
    if (this.control && this.status) this.#forward(this.control, new BoardEvent('status', { ...this.status, ...part }));
  }

  /**
   * Switches to another camera.
   * @param {string} camera
   */
  async selectCamera(camera) {
    await this.request('camera.select', { camera });
    this.selected = camera;
    this.dispatchEvent(new Event('change'));
  }

  /**
   * Sets preferences of this viewer alone. They are kept if the board rejects them: the next session may accept them.
   * @param {Partial<Preferences>} preferences
   */
  async setPreferences(preferences) {
    this.preferences = { ...this.preferences, ...preferences };
    storeDataSaver(this.preferences.dataSaver);
    this.dispatchEvent(new Event('change'));
    if (this.control?.open) await this.#sendPreferences(this.control, preferences);
  }

  /**
   * @param {Control} control
   * @param {Partial<Preferences>} preferences
   */
  async #sendPreferences(control, { muted, latency, paused, dataSaver }) {
    const [delay] = await Promise.all([
      latency === undefined ? null : control.request('latency.set', { mode: latency }),
      muted === undefined ? null : control.request('audio.mute', { muted }),
      paused === undefined ? null : control.request(paused ? 'video.pause' : 'video.resume'),
      dataSaver === undefined ? null : control.request('video.quality', { quality: dataSaver ? 'low' : 'auto' }),
    ]);
    if (delay === null) return;
    if (control === this.control) this.jitterBufferTarget = latency === 'low' ? 0 : delay.min;
    this.#notify(control);
  }

  /** @param {Control} control */
  async #load(control) {
    const { muted, latency, paused, dataSaver } = this.preferences;
    // Defaults of a session need not be sent. The others go first: until then the board encodes audio for a muted page.
    const changed = {
      muted: muted || undefined,
      latency: latency === 'low' ? undefined : latency,
      paused: paused || undefined,
      dataSaver: dataSaver || undefined,
    };
    // A board without these methods still sends video; what it does not support is not offered.
    this.#sendPreferences(control, changed).catch(() => {});
    try {
      const [{ you, ...status }, { selected }] = await Promise.all([control.request('status'), control.request('camera.list')]);
      if (control !== this.control) return;
      this.you = you;
      this.selected = selected;
      this.#forward(control, new BoardEvent('status', status));
      this.#notify(control);
    } catch {
      // The same.
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
