/** Resolution, frame rate and bitrate of a camera, for everyone: menus of what it supports, and the board's `video.set`. */

import { choices } from './elements.js';

/** @import { Camera } from './status.js' */
/** @import { BoardClient } from './board-client.js' */

/** Offered if the camera does not list its own. */
const SIZES = ['1920x1080', '1280x720', '960x540', '640x360', '320x180'];

/** Frames per second. */
const RATES = [60, 30, 25, 20, 15, 10, 5];

/** In bit/s: from a slow DSL line to more than 1080p needs. */
const BITRATES = [250_000, 500_000, 1_000_000, 2_000_000, 3_000_000, 4_000_000, 6_000_000, 8_000_000];

/** More entries make no better menu; cameras list up to 30 or so. */
const MAX_SIZES = 16;

/** Events: `rejected` (a RejectedEvent) when the board rejected a value. */
export class EncoderSettings extends EventTarget {
  /** @type {Camera | null} */
  #camera = null;
  /** The last bitrate that the board confirmed, if the status has none. */
  #bitrate = 0;
  /** Resolutions by camera, from the board's list of devices. @type {Map<string, string[]>} */
  #sizes = new Map();
  #busy = false;

  /**
   * @param {HTMLFieldSetElement} root Contains menus named `size`, `fps` and `bitrate`.
   * @param {BoardClient} client
   */
  constructor(root, client) {
    super();
    this.root = root;
    this.client = client;
    const menu = (/** @type {string} */ name) => /** @type {HTMLSelectElement} */ (root.querySelector(`[name=${name}]`));
    this.menus = { size: menu('size'), fps: menu('fps'), bitrate: menu('bitrate') };
    this.menus.size.addEventListener('change', () => {
      const [width, height] = this.menus.size.value.split('x').map(Number);
      this.#set({ width, height });
    });
    this.menus.fps.addEventListener('change', () => this.#set({ fps: Number(this.menus.fps.value) }));
    this.menus.bitrate.addEventListener('change', () => this.#set({ bitrate: Number(this.menus.bitrate.value) }));
    client.addEventListener('devices.changed', () => this.loadSizes());
  }

  /** Loads the cameras' resolutions. */
  async loadSizes() {
    if (!this.client.isOperator) return;
    try {
      const { cameras } = await this.client.request('devices.list');
      for (const { identity, formats } of cameras) this.#sizes.set(identity, sizesOf(formats));
      this.#render();
    } catch {
      // The usual resolutions are offered then, and the board rejects those it cannot deliver.
    }
  }

  /** @param {Camera | null} camera */
  show(camera) {
    if (camera?.name !== this.#camera?.name) this.#bitrate = 0;
    this.#camera = camera;
    this.root.disabled = !this.client.isOperator || camera === null;
    this.root.setAttribute('aria-busy', String(this.#busy));
    if (!this.#busy) this.#render();
  }

  #render() {
    const camera = this.#camera;
    if (!camera) return;
    const size = camera.width && camera.height ? `${camera.width}x${camera.height}` : '';
    const fps = camera.fps ? Math.round(camera.fps) : 0;
    const bitrate = camera.bitrate ?? this.#bitrate;
    const sizes = this.#sizes.get(camera.identity ?? '') ?? SIZES;
    choices(this.menus.size, entries(sizes, size, (size) => size.replace('x', ' × ')), size);
    choices(this.menus.fps, entries(RATES.map(String), fps ? String(fps) : '', (fps) => `${fps} fps`), fps ? String(fps) : '');
    choices(this.menus.bitrate, entries(BITRATES.map(String), bitrate ? String(bitrate) : '', megabits), bitrate ? String(bitrate) : '');
  }

  /** @param {{width?: number, height?: number, fps?: number, bitrate?: number}} change */
  async #set(change) {
    const camera = this.#camera?.name;
    this.#busy = true;
    try {
      const set = await this.client.request('video.set', { camera, ...change });
      if (change.bitrate !== undefined && camera === this.#camera?.name) this.#bitrate = set.bitrate;
    } catch (error) {
      this.dispatchEvent(new RejectedEvent(/** @type {Error} */ (error).message));
    }
    this.#busy = false;
    this.show(this.#camera);
  }
}

/** The board rejected a change. */
export class RejectedEvent extends Event {
  /** @param {string} reason */
  constructor(reason) {
    super('rejected');
    this.reason = reason;
  }
}

/**
 * The entries of a menu, plus the current value if it is not among them.
 * @param {string[]} values
 * @param {string} current Empty if unknown.
 * @param {(value: string) => string} format
 */
function entries(values, current, format) {
  const all = values.includes(current) ? values : [current, ...values];
  return all.map((value) => ({ value, text: value === '' ? '–' : format(value) }));
}

/** @param {string} bits */
function megabits(bits) {
  return `${Number(bits) / 1e6} Mbit/s`;
}

/**
 * The exact resolutions of a camera's usable formats, the largest first.
 * @param {{usable: string | null, sizes: {width: {min: number, max: number}, height: {min: number, max: number}}[]}[]} formats
 */
function sizesOf(formats) {
  const exact = formats
    .filter(({ usable }) => usable)
    .flatMap(({ sizes }) => sizes)
    .filter(({ width, height }) => width.min === width.max && height.min === height.max)
    .map(({ width, height }) => ({ width: width.max, height: height.max }))
    .sort((a, b) => b.width * b.height - a.width * a.height);
  const named = [...new Set(exact.map(({ width, height }) => `${width}x${height}`))].slice(0, MAX_SIZES);
  return named.length > 0 ? named : SIZES;
}
