/** The recordings on the board of one camera, read in parts from the newest on, and what operators do with them. */

import { problemDetail } from './signalling.js';

/** How many are read at once: some screens, in about 50 kB. */
const PART = 200;

/**
 * @typedef {object} Recording As listed by the board.
 * @property {number} id Counts all recordings.
 * @property {string} camera
 * @property {number} start Seconds since the Unix epoch.
 * @property {number | null} length Seconds; null while it is being written.
 * @property {string} cause `always`, `manual`, `motion` or `timelapse`.
 * @property {number} bytes
 * @property {boolean} protected
 * @property {boolean} running
 * @property {string} file
 * @property {string} picture
 */

/** Events: `change` when the list changed, or could not be read; `unauthorized` when nobody is signed in. */
export class BoardRecordings extends EventTarget {
  /** The newest first. @type {Recording[]} */
  list = [];
  /** Whether there are older ones that were not read. */
  hasOlder = false;
  /** Whether the list was read. */
  loaded = false;
  /** Whether the last attempt to read it failed. */
  failed = false;
  /** @type {string | null} */
  #camera = null;
  /** Counts the cameras shown: an answer about another one is of no use. */
  #turn = 0;
  /** @type {Promise<void> | null} */
  #refreshing = null;
  #isStale = false;

  /** @param {URL} base The address of the page. */
  constructor(base) {
    super();
    this.base = base;
  }

  /**
   * Shows the recordings of this camera.
   * @param {string} camera
   */
  select(camera) {
    if (camera === this.#camera) return;
    this.clear();
    this.#camera = camera;
    this.refresh();
  }

  /** Forgets everything: it was for signed-in users. */
  clear() {
    this.#turn++;
    this.#camera = null;
    this.#refreshing = null;
    Object.assign(this, { list: [], hasOlder: false, loaded: false, failed: false });
    this.dispatchEvent(new Event('change'));
  }

  /**
   * The recording with this ID, as it was listed last.
   * @param {number} id
   */
  find(id) {
    return this.list.find((recording) => recording.id === id) ?? null;
  }

  /** Reads the newest part; what was asked for meanwhile is read once more. */
  async refresh() {
    this.#isStale = this.#refreshing !== null;
    this.#refreshing ??= this.#refresh();
    await this.#refreshing;
  }

  async #refresh() {
    const turn = this.#turn;
    const part = await this.#read(null);
    if (turn !== this.#turn) return;
    if (part) {
      const isAll = part.length < PART;
      // Those before the part are as they were: only the oldest are ever deleted without anybody asking for it.
      const older = isAll || !this.loaded ? [] : this.list.filter(({ id }) => id < part[0].id);
      if (isAll || !this.loaded) this.hasOlder = !isAll;
      this.list = sorted([...older, ...part]);
    }
    this.#refreshing = null;
    this.#done(part !== null);
    if (this.#isStale) await this.refresh();
  }

  /** Reads what is before the oldest one. */
  async readOlder() {
    const turn = this.#turn;
    const oldest = Math.min(...this.list.map(({ id }) => id));
    const part = await this.#read(oldest);
    if (turn !== this.#turn) return;
    if (part) {
      const known = new Set(this.list.map(({ id }) => id));
      this.list = sorted([...this.list, ...part.filter(({ id }) => !known.has(id))]);
      this.hasOlder = part.length === PART;
    }
    this.#done(part !== null);
  }

  /**
   * The address of a recording's file or picture.
   * @param {string} path As listed.
   */
  url(path) {
    // The board may be behind a proxy, below another path.
    return new URL(path.replace(/^\//, ''), this.base).href;
  }

  /**
   * Deletes a recording.
   * @param {number} id
   */
  async remove(id) {
    await this.#send('DELETE', `api/recordings/${id}`);
    this.list = this.list.filter((recording) => recording.id !== id);
    this.dispatchEvent(new Event('change'));
  }

  /**
   * Protects a recording from being deleted, or no longer.
   * @param {number} id
   * @param {boolean} on
   */
  async protect(id, on) {
    await this.#send(on ? 'PUT' : 'DELETE', `api/recordings/${id}/protected`);
    this.list = this.list.map((recording) => (recording.id === id ? { ...recording, protected: on } : recording));
    this.dispatchEvent(new Event('change'));
  }

  /** @param {boolean} read Whether it could be read. */
  #done(read) {
    this.loaded ||= read;
    this.failed = !read;
    this.dispatchEvent(new Event('change'));
  }

  /**
   * @param {number | null} before
   * @returns {Promise<Recording[] | null>}
   */
  async #read(before) {
    const url = new URL('api/recordings', this.base);
    url.search = new URLSearchParams({
      camera: this.#camera ?? '',
      limit: String(PART),
      ...(before === null ? {} : { before: String(before) }),
    }).toString();
    try {
      const response = await fetch(url, { cache: 'no-store' });
      if (response.status === 401) this.dispatchEvent(new Event('unauthorized'));
      return response.ok ? (await response.json()).recordings : null;
    } catch {
      return null;
    }
  }

  /**
   * @param {string} method
   * @param {string} path
   * @returns {Promise<void>} Rejects with the board's reason.
   */
  async #send(method, path) {
    const response = await fetch(new URL(path, this.base), { method }).catch(() => null);
    if (!response) throw new Error('the board is not responding');
    if (response.ok) return;
    if (response.status === 401) this.dispatchEvent(new Event('unauthorized'));
    // Somebody else may have done something with it.
    this.refresh();
    throw new Error(problemDetail(response, await response.text()) || `the board answered ${response.status}`);
  }
}

/**
 * The newest first. Numbers decide between those of a second, and where the board's clock was behind, times do.
 * @param {Recording[]} recordings
 */
function sorted(recordings) {
  return recordings.sort((one, other) => other.start - one.start || other.id - one.id);
}
