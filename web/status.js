/**
 * The board's status: pushed over the data channel while there is a session, otherwise polled at `api/status` while the page is
 * visible.
 */

/** The polling interval. */
const PAUSE_MS = 4_000;

/** The polling interval while a camera is in fault, so that its return shows quickly. */
const FAULT_PAUSE_MS = 1_000;

/** A slower answer is of no use. */
const TIMEOUT_MS = 4_000;

/**
 * @typedef {object} Camera
 * @property {string} name
 * @property {string | null} device As configured: `auto`, `pattern`, a path.
 * @property {string | null} source What was found.
 * @property {string | null} [identity] Identifies the camera whatever its path.
 * @property {boolean} pattern Whether the source is the built-in test pattern.
 * @property {'idle' | 'starting' | 'live' | 'fault'} state
 * @property {number | null} width
 * @property {number | null} height
 * @property {number | null} fps
 * @property {string | null} format
 * @property {string | null} encoder
 * @property {number | null} [bitrate] The target, in bits per second.
 * @property {number | null} watched
 * @property {string | null} fault
 * @property {number | null} since When the fault began, in seconds since the Unix epoch.
 *
 * @typedef {object} Audio
 * @property {string | null} device
 * @property {string | null} source
 * @property {'off' | 'idle' | 'starting' | 'live' | 'fault'} state
 * @property {string | null} fault
 * @property {boolean} [encoding] Whether somebody hears it.
 *
 * @typedef {object} Speaker
 * @property {string} device
 * @property {string | null} source
 * @property {'off' | 'idle' | 'starting' | 'live' | 'fault'} state
 * @property {string | null} fault
 * @property {import('./auth.js').Role} allow The role that may talk.
 * @property {string | null} talker The name of who talks.
 *
 * @typedef {object} Screen
 * @property {'idle' | 'live' | 'fault'} state Live while somebody is shown.
 * @property {string | null} fault
 *
 * @typedef {object} CameraRecording
 * @property {string} camera
 * @property {boolean} recording
 * @property {number | null} id Of the recording that is being written.
 * @property {number | null} since When it starts, in seconds since the Unix epoch.
 *
 * @typedef {object} Status
 * @property {string} version
 * @property {number | null} uptime_seconds
 * @property {Camera[]} cameras
 * @property {Audio | null} audio
 * @property {Speaker} [speaker]
 * @property {Screen | null} [screen] What shows the picture of who talks; null where nothing does.
 * @property {{allow: import('./auth.js').Role, cameras: CameraRecording[]} | null} [recording] Null where nothing is or was recorded;
 *   `allow` is the role that may see recordings.
 * @property {boolean} [privacy] Whether the privacy switch keeps cameras and microphone closed.
 * @property {boolean} [privacy_kept] Whether the state of the privacy switch is stored, so that a restart does not change it.
 * @property {number | null} viewers
 * @property {number | null} max_viewers
 */

/** Events: `change` when a new answer arrived, or none did; `unauthorized` when nobody is signed in. */
export class BoardStatus extends EventTarget {
  /** The latest status; null before the first and after a failed request. @type {Status | null} */
  value = null;
  #fetching = false;
  #stopped = false;
  #pushed = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {URL} url */
  constructor(url) {
    super();
    this.url = url;
  }

  /**
   * Takes a status that the board pushed, which suspends polling until `resumePolling`.
   * @param {Status} value
   */
  push(value) {
    if (this.#stopped) return;
    clearTimeout(this.#timer);
    this.#pushed = true;
    this.value = value;
    this.dispatchEvent(new Event('change'));
  }

  /** The board no longer pushes its status. */
  resumePolling() {
    if (!this.#pushed) return;
    this.#pushed = false;
    if (!this.#stopped) this.refresh();
  }

  /** Polls now, and from then on while the page is visible, unless the status is pushed. */
  async refresh() {
    this.#stopped = false;
    if (this.#fetching || this.#pushed) return;
    this.#fetching = true;
    clearTimeout(this.#timer);
    const value = await this.#fetch();
    this.#fetching = false;
    if (this.#stopped || this.#pushed) return;
    this.value = value;
    this.dispatchEvent(new Event('change'));
    const pause = value?.cameras.some(({ state }) => state === 'fault') ? FAULT_PAUSE_MS : PAUSE_MS;
    this.#timer = setTimeout(() => document.visibilityState === 'visible' && this.refresh(), pause);
  }

  /** Stops polling until the next `refresh`, and forgets the status: it was for signed-in users. */
  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#pushed = false;
    this.value = null;
  }

  /**
   * The camera of this name, or the first if the name is null.
   * @param {string | null} name
   */
  camera(name) {
    const cameras = this.value?.cameras ?? [];
    return (name === null ? cameras[0] : cameras.find((camera) => camera.name === name)) ?? null;
  }

  /** @returns {Promise<Status | null>} */
  async #fetch() {
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), TIMEOUT_MS);
    try {
      const response = await fetch(this.url, { signal: abort.signal, cache: 'no-store' });
      if (response.status === 401) this.dispatchEvent(new Event('unauthorized'));
      return response.ok ? await response.json() : null;
    } catch {
      return null;
    } finally {
      clearTimeout(timer);
    }
  }
}
