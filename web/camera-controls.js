/**
 * The controls of a camera as sliders, switches, menus and buttons, made from what the board enumerates. Their changes go to the
 * board, at most one request at a time; changes by others, and by the camera itself, show at once.
 */

import { make, write } from './elements.js';
import { language, text } from './i18n.js';
import { RefusedEvent } from './encoder-settings.js';

/** @import { BoardEvent } from './control.js' */
/** @import { Viewing } from './board-client.js' */

/** More steps than this no finger finds on a slider: they are typed. */
const MOST_STEPS = 100_000;

/** Flags with which a control cannot be set. */
const FIXED = ['disabled', 'grabbed', 'read-only', 'inactive'];

/**
 * @typedef {boolean | number | string} Value
 *
 * @typedef {object} Dial A control, as the board tells it.
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

/** Events: `refused` (a RefusedEvent) when the board did not take a value. */
export class DialForm extends EventTarget {
  /** @type {string | null} */
  #camera = null;
  /** @type {Dial[]} */
  #dials = [];
  /** Rows by the control's name. @type {Map<string, {row: HTMLElement, input: HTMLInputElement | HTMLSelectElement | HTMLButtonElement}>} */
  #rows = new Map();
  /** What is still to be sent: of each control the newest. @type {Map<string, Value>} */
  #wanted = new Map();
  #sending = false;

  /**
   * @param {HTMLFieldSetElement} root
   * @param {Viewing} viewing
   */
  constructor(root, viewing) {
    super();
    this.root = root;
    this.viewing = viewing;
    viewing.addEventListener('control.changed', (event) => {
      const { camera, controls } = /** @type {BoardEvent} */ (event).params;
      if (camera === this.#camera) this.#take(controls);
    });
    // Another camera in the same place has other controls.
    viewing.addEventListener('camera.changed', (event) => {
      const { camera, state } = /** @type {BoardEvent} */ (event).params;
      if (camera === this.#camera && state === 'live') this.#ask();
    });
    language.addEventListener('change', () => this.#build());
  }

  /** @param {string | null} camera Whose controls are shown; null: of none. */
  show(camera) {
    this.root.disabled = !this.viewing.operates;
    if (camera === this.#camera) return;
    this.#camera = camera;
    this.#wanted.clear();
    this.#dials = [];
    this.#build();
    this.#ask();
  }

  async #ask() {
    const camera = this.#camera;
    if (camera === null) return;
    try {
      const { controls } = await this.viewing.ask('controls.list', { camera });
      if (camera !== this.#camera) return;
      this.#dials = controls.filter((/** @type {Dial} */ { type }) => type !== 'compound');
      this.#build();
    } catch {
      // What is shown stays; the board tells of changes.
    }
  }

  /** @param {Dial[]} changed */
  #take(changed) {
    for (const dial of changed) {
      const at = this.#dials.findIndex(({ name }) => name === dial.name);
      if (at < 0) continue;
      this.#dials[at] = dial;
      this.#render(dial);
    }
  }

  #build() {
    this.#rows.clear();
    const words = text().settings;
    if (this.#dials.length === 0) {
      this.root.replaceChildren(make('p', { class: 'quiet-text' }, words.noControls));
      return;
    }
    const classes = [...new Set(this.#dials.map((dial) => dial.class))];
    const parts = classes.flatMap((name) => [
      make('h4', {}, text().controlClasses[name] ?? name),
      ...this.#dials.filter((dial) => dial.class === name).map((dial) => this.#row(dial)),
    ]);
    const all = make('button', { type: 'button', class: 'wide', 'data-reset': 'all' }, words.resetAll);
    all.addEventListener('click', () => this.#reset());
    this.root.replaceChildren(...parts, all);
    for (const dial of this.#dials) this.#render(dial);
  }

  /** @param {Dial} dial */
  #row(dial) {
    const id = `control-${dial.name}`;
    const name = text().controlNames[dial.name] ?? dial.title;
    const input = field(dial, id);
    if (input instanceof HTMLButtonElement) {
      input.addEventListener('click', () => this.#want(dial.name, true));
    } else {
      input.addEventListener(dial.type === 'string' ? 'change' : 'input', () => {
        const value = valueOf(dial, input);
        if (value !== null) this.#want(dial.name, value);
      });
    }
    const reset = make('button', { type: 'button', class: 'reset', 'aria-label': text().settings.resetOf(name), title: text().settings.reset });
    reset.innerHTML = '<svg aria-hidden="true"><use href="#icon-reset"/></svg>';
    reset.addEventListener('click', () => this.#reset(dial.name));
    const row = make('div', { class: `dial ${dial.type}`, 'data-control': dial.name },
      make('label', { for: id }, name), make('output', { for: id }), input, reset);
    this.#rows.set(dial.name, { row, input });
    return row;
  }

  /** @param {string} name */
  #dial(name) {
    return /** @type {Dial} */ (this.#dials.find((dial) => dial.name === name));
  }

  /** @param {Dial} dial */
  #render(dial) {
    const { row, input } = this.#rows.get(dial.name) ?? {};
    if (!row || !input) return;
    input.disabled = FIXED.some((flag) => dial.flags.includes(flag));
    // What somebody moves is where their finger is, until the board has answered the last of it.
    const value = this.#wanted.get(dial.name) ?? dial.value;
    if (input instanceof HTMLInputElement && input.type === 'checkbox') input.checked = value === true;
    else if (!(input instanceof HTMLButtonElement)) input.value = value === null ? '' : String(value);
    const shown = dial.type === 'integer' || dial.type === 'integer64' || dial.type === 'bitmask';
    write(row.querySelector('output'), shown && value !== null ? String(value) : '');
    const reset = /** @type {HTMLButtonElement} */ (row.querySelector('.reset'));
    reset.hidden = dial.default === null;
    reset.disabled = input.disabled || value === dial.default;
  }

  /**
   * @param {string} name
   * @param {Value} value
   */
  #want(name, value) {
    this.#wanted.set(name, value);
    this.#render(this.#dial(name));
    this.#send();
  }

  /** @param {string} [name] Otherwise all of them. */
  #reset(name) {
    // What still waits to be sent was wished before, and must not come after.
    if (name === undefined) this.#wanted.clear();
    else this.#wanted.delete(name);
    this.#request('controls.reset', name === undefined ? {} : { names: [name] });
  }

  async #send() {
    if (this.#sending) return;
    this.#sending = true;
    while (this.#wanted.size > 0) {
      const values = Object.fromEntries(this.#wanted);
      await this.#request('controls.set', { values });
      // What was moved on meanwhile goes with the next request.
      for (const [name, value] of Object.entries(values)) {
        if (this.#wanted.get(name) === value) this.#wanted.delete(name);
      }
      for (const name of Object.keys(values)) if (this.#rows.has(name)) this.#render(this.#dial(name));
    }
    this.#sending = false;
  }

  /**
   * @param {string} method
   * @param {object} params
   */
  async #request(method, params) {
    const camera = this.#camera;
    try {
      const { controls } = await this.viewing.ask(method, { camera, ...params });
      if (camera === this.#camera) this.#take(controls);
    } catch (error) {
      this.dispatchEvent(new RefusedEvent(/** @type {Error} */ (error).message));
    }
  }
}

/**
 * What a control is set with.
 * @param {Dial} dial
 * @param {string} id
 */
function field(dial, id) {
  const [min, max, step] = [String(dial.min), String(dial.max), String(Math.max(1, dial.step))];
  switch (dial.type) {
    case 'boolean':
      return make('input', { id, type: 'checkbox', role: 'switch' });
    case 'menu':
    case 'integer-menu':
      return make('select', { id }, ...dial.menu.map(({ index, name }) => new Option(name, String(index))));
    case 'button':
      return make('button', { id, type: 'button', class: 'wide' }, text().settings.carryOut);
    case 'string':
      return make('input', { id, type: 'text', maxlength: max });
    default: {
      const slides = dial.type === 'integer' && (dial.max - dial.min) / Math.max(1, dial.step) <= MOST_STEPS;
      return make('input', { id, type: slides ? 'range' : 'number', min, max, step, inputmode: slides ? false : 'numeric' });
    }
  }
}

/**
 * @param {Dial} dial
 * @param {HTMLInputElement | HTMLSelectElement} input
 * @returns {Value | null} Null: nothing that could be sent.
 */
function valueOf(dial, input) {
  if (dial.type === 'string') return input.value;
  if (input instanceof HTMLInputElement && input.type === 'checkbox') return input.checked;
  return input.value === '' || !input.checkValidity() ? null : Number(input.value);
}
