/**
 * What the board says about itself: told over the data channel while there is a session, otherwise asked at `api/status` again and
 * again while the page is seen.
 */

/** Pause between two questions. */
const PAUSE_MS = 4_000;

/** Pause while a camera is away: within this time after its return the page lets the picture be seen. */
const AWAY_PAUSE_MS = 1_000;

/** A status that takes longer than this is of no use any more. */
const TIMEOUT_MS = 4_000;

/**
 * @typedef {object} Camera
 * @property {string} name
 * @property {string | null} device As configured: `auto`, `pattern`, a path.
 * @property {string | null} source What was found.
 * @property {string | null} [identity] What it is followed by, whatever its path.
 * @property {boolean} pattern Whether the picture is the built-in test pattern.
 * @property {'idle' | 'starting' | 'live' | 'fault'} state
 * @property {number | null} width
 * @property {number | null} height
 * @property {number | null} fps
 * @property {string | null} format
 * @property {string | null} encoder
 * @property {number | null} [bitrate] Bits a second, as wished.
 * @property {number | null} watched
 * @property {string | null} fault
 * @property {number | null} since Since when it is in fault, in seconds since the Unix epoch.
 *
 * @typedef {object} Audio
 * @property {string | null} device
 * @property {string | null} source
 * @property {'off' | 'idle' | 'starting' | 'live' | 'fault'} state
 * @property {string | null} fault
 *
 * @typedef {object} Status
 * @property {string} version
 * @property {number | null} uptime_seconds
 * @property {Camera[]} cameras
 * @property {Audio | null} audio
 * @property {boolean} [privacy] Whether the privacy switch keeps cameras and microphone closed.
 * @property {number | null} viewers
 * @property {number | null} max_viewers
 */

/** Events: `change` when a new answer is there, or none came; `refused` when nobody is signed in. */
export class BoardStatus extends EventTarget {
  /** The newest answer; null while there is none and after a question that got none. @type {Status | null} */
  value = null;
  #asking = false;
  #stopped = false;
  #told = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {URL} url */
  constructor(url) {
    super();
    this.url = url;
  }

  /**
   * The board tells it by itself, from now on until `alone`.
   * @param {Status} value
   */
  take(value) {
    if (this.#stopped) return;
    clearTimeout(this.#timer);
    this.#told = true;
    this.value = value;
    this.dispatchEvent(new Event('change'));
  }

  /** Nobody tells it any more. */
  alone() {
    if (!this.#told) return;
    this.#told = false;
    if (!this.#stopped) this.refresh();
  }

  /** Asks now, and from then on while the page is visible, unless it is told. */
  async refresh() {
    this.#stopped = false;
    if (this.#asking || this.#told) return;
    this.#asking = true;
    clearTimeout(this.#timer);
    const value = await this.#ask();
    this.#asking = false;
    if (this.#stopped || this.#told) return;
    this.value = value;
    this.dispatchEvent(new Event('change'));
    const pause = value?.cameras.some(({ state }) => state === 'fault') ? AWAY_PAUSE_MS : PAUSE_MS;
    this.#timer = setTimeout(() => document.visibilityState === 'visible' && this.refresh(), pause);
  }

  /** Asks no more until the next `refresh`, and forgets what was told: it was for those who are signed in. */
  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#told = false;
    this.value = null;
  }

  /**
   * The camera of this name, or the first where no name is given.
   * @param {string | null} name
   */
  camera(name) {
    const cameras = this.value?.cameras ?? [];
    return (name === null ? cameras[0] : cameras.find((camera) => camera.name === name)) ?? null;
  }

  /** @returns {Promise<Status | null>} */
  async #ask() {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), TIMEOUT_MS);
    try {
      const response = await fetch(this.url, { signal: late.signal, cache: 'no-store' });
      if (response.status === 401) this.dispatchEvent(new Event('refused'));
      return response.ok ? await response.json() : null;
    } catch {
      return null;
    } finally {
      clearTimeout(timer);
    }
  }
}
