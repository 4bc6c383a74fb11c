/**
 * A camera's controls as sliders, switches, menus and buttons, built from what the board lists. Changes are sent one request at a
 * time; changes by others and by the camera itself are shown at once.
 */

import { make, write } from './elements.js';
import { RejectedEvent } from './encoder-settings.js';
import { i18n, t } from './i18n.js';

/** @import { BoardEvent } from './control.js' */
/** @import { BoardClient } from './board-client.js' */

/** Controls with more steps are typed: a slider is too coarse. */
const MAX_SLIDER_STEPS = 100_000;

/** Flags of controls that cannot be set. */
const READ_ONLY_FLAGS = ['disabled', 'grabbed', 'read-only', 'inactive'];

/**
 * @typedef {boolean | number | string} Value
 *
 * @typedef {object} CameraControl A control, as listed by the board.
 * @property {string} name
 * @property {string} title
 * @property {string} class
 * @property {'integer' | 'boolean' | 'menu' | 'integer-menu' | 'button' | 'integer64' | 'string' | 'bitmask' | 'compound'} type
 * @property {number} min
 * @property {number} max
 * @property {number} step
 * @property {Value | null} default
 * @property {Value | null} value
 * @property {string[]} flags
 * @property {{index: number, name: string}[]} menu
 */

/** Events: `rejected` (a RejectedEvent) when the board rejected a value. */
export class ControlForm extends EventTarget {
  /** @type {string | null} */
  #camera = null;
  /** @type {CameraControl[]} */
  #controls = [];
  /** Rows by the control's name. @type {Map<string, {row: HTMLElement, input: HTMLInputElement | HTMLSelectElement | HTMLButtonElement}>} */
  #rows = new Map();
  /** Values to be sent, the newest of each control. @type {Map<string, Value>} */
  #pending = new Map();
  #sending = false;

  /**
   * @param {HTMLFieldSetElement} root
   * @param {BoardClient} client
   */
  constructor(root, client) {
    super();
    this.root = root;
    this.client = client;
    client.addEventListener('control.changed', (event) => {
      const { camera, controls } = /** @type {BoardEvent} */ (event).params;
      if (camera === this.#camera) this.#update(controls);
    });
    // A replaced camera has other controls.
    client.addEventListener('camera.changed', (event) => {
      const { camera, state } = /** @type {BoardEvent} */ (event).params;
      if (camera === this.#camera && state === 'live') this.#load();
    });
    i18n.addEventListener('change', () => this.#build());
  }

  /** @param {string | null} camera Whose controls are shown; null for none. */
  show(camera) {
    this.root.disabled = !this.client.isOperator;
    if (camera === this.#camera) return;
    this.#camera = camera;
    this.#pending.clear();
    this.#controls = [];
    this.#build();
    this.#load();
  }

  async #load() {
    const camera = this.#camera;
    if (camera === null) return;
    try {
      const { controls } = await this.client.request('controls.list', { camera });
      if (camera !== this.#camera) return;
      this.#controls = controls.filter((/** @type {CameraControl} */ { type }) => type !== 'compound');
      this.#build();
    } catch {
      // Keep what is shown; the board reports changes.
    }
  }

  /** @param {CameraControl[]} changed */
  #update(changed) {
    for (const control of changed) {
      const at = this.#controls.findIndex(({ name }) => name === control.name);
      if (at < 0) continue;
      this.#controls[at] = control;
      this.#render(control);
    }
  }

  #build() {
    this.#rows.clear();
    const texts = t().settings;
    if (this.#controls.length === 0) {
      this.root.replaceChildren(make('p', { class: 'secondary' }, texts.noControls));
      return;
    }
    const classes = [...new Set(this.#controls.map((control) => control.class))];
    const parts = classes.flatMap((name) => [
      make('h4', {}, t().controlClasses[name] ?? name),
      ...this.#controls.filter((control) => control.class === name).map((control) => this.#row(control)),
    ]);
    const all = make('button', { type: 'button', class: 'wide', 'data-reset': 'all' }, texts.resetAll);
    all.addEventListener('click', () => this.#reset());
    this.root.replaceChildren(...parts, all);
    for (const control of this.#controls) this.#render(control);
  }

  /** @param {CameraControl} control */
  #row(control) {
    const id = `control-${control.name}`;
    const name = t().controlNames[control.name] ?? control.title;
    const input = createInput(control, id);
    if (input instanceof HTMLButtonElement) {
      input.addEventListener('click', () => this.#queue(control.name, true));
    } else {
      input.addEventListener(control.type === 'string' ? 'change' : 'input', () => {
        const value = valueOf(control, input);
        if (value !== null) this.#queue(control.name, value);
      });
    }
    const reset = make('button', { type: 'button', class: 'reset', 'aria-label': t().settings.resetOf(name), title: t().settings.reset });
    reset.innerHTML = '<svg aria-hidden="true"><use href="#icon-reset"/></svg>';
    reset.addEventListener('click', () => this.#reset(control.name));
    const kind = input instanceof HTMLInputElement && input.type === 'range' ? 'slider' : control.type;
    const row = make('div', { class: `camera-control ${kind}`, 'data-control': control.name },
      make('label', { for: id }, name), reset, make('output', { for: id }), input);
    this.#rows.set(control.name, { row, input });
    return row;
  }

  /** @param {string} name */
  #control(name) {
    return /** @type {CameraControl} */ (this.#controls.find((control) => control.name === name));
  }

  /** @param {CameraControl} control */
  #render(control) {
    const { row, input } = this.#rows.get(control.name) ?? {};
    if (!row || !input) return;
    input.disabled = READ_ONLY_FLAGS.some((flag) => control.flags.includes(flag));
    // A slider that is being moved stays under the finger until the board has confirmed the last value.
    const value = this.#pending.get(control.name) ?? control.value;
    if (input instanceof HTMLInputElement && input.type === 'checkbox') input.checked = value === true;
    else if (!(input instanceof HTMLButtonElement)) input.value = value === null ? '' : String(value);
    const shown = control.type === 'integer' || control.type === 'integer64' || control.type === 'bitmask';
    write(row.querySelector('output'), shown && value !== null ? String(value) : '');
    const reset = /** @type {HTMLButtonElement} */ (row.querySelector('.reset'));
    reset.hidden = control.default === null;
    reset.disabled = input.disabled || value === control.default;
  }

  /**
   * @param {string} name
   * @param {Value} value
   */
  #queue(name, value) {
    this.#pending.set(name, value);
    this.#render(this.#control(name));
    this.#flush();
  }

  /** @param {string} [name] All controls if omitted. */
  #reset(name) {
    // Pending values are older than the reset and must not be sent after it.
    if (name === undefined) this.#pending.clear();
    else this.#pending.delete(name);
    this.#send('controls.reset', name === undefined ? {} : { names: [name] });
  }

  async #flush() {
    if (this.#sending) return;
    this.#sending = true;
    while (this.#pending.size > 0) {
      const values = Object.fromEntries(this.#pending);
      await this.#send('controls.set', { values });
      // Values that changed during the request go with the next one.
      for (const [name, value] of Object.entries(values)) {
        if (this.#pending.get(name) === value) this.#pending.delete(name);
      }
      for (const name of Object.keys(values)) if (this.#rows.has(name)) this.#render(this.#control(name));
    }
    this.#sending = false;
  }

  /**
   * @param {string} method
   * @param {object} params
   */
  async #send(method, params) {
    const camera = this.#camera;
    try {
      const { controls } = await this.client.request(method, { camera, ...params });
      if (camera === this.#camera) this.#update(controls);
    } catch (error) {
      this.dispatchEvent(new RejectedEvent(/** @type {Error} */ (error).message));
    }
  }
}

/**
 * The form element of a control.
 * @param {CameraControl} control
 * @param {string} id
 */
function createInput(control, id) {
  const [min, max, step] = [String(control.min), String(control.max), String(Math.max(1, control.step))];
  switch (control.type) {
    case 'boolean':
      return make('input', { id, type: 'checkbox', role: 'switch' });
    case 'menu':
    case 'integer-menu':
      return make('select', { id }, ...control.menu.map(({ index, name }) => new Option(name, String(index))));
    case 'button':
      return make('button', { id, type: 'button', class: 'wide' }, t().settings.run);
    case 'string':
      return make('input', { id, type: 'text', maxlength: max });
    default: {
      const isSlider = control.type === 'integer' && (control.max - control.min) / Math.max(1, control.step) <= MAX_SLIDER_STEPS;
      return make('input', { id, type: isSlider ? 'range' : 'number', min, max, step, inputmode: isSlider ? false : 'numeric' });
    }
  }
}

/**
 * @param {CameraControl} control
 * @param {HTMLInputElement | HTMLSelectElement} input
 * @returns {Value | null} Null if it is not a valid value.
 */
function valueOf(control, input) {
  if (control.type === 'string') return input.value;
  if (input instanceof HTMLInputElement && input.type === 'checkbox') return input.checked;
  return input.value === '' || !input.checkValidity() ? null : Number(input.value);
}
