/**
 * Shows the camera as MJPEG where WebRTC cannot work: in a browser without WebRTC or without H.264, and where every path is
 * blocked. Attempts to connect go on meanwhile. What the page says about it is in `messages.js`.
 */

import { PartReader } from './mjpeg-parts.js';
import { pause } from './connection.js';

/** @import { ConnectionState } from './connection.js' */
/** @import { WhepError } from './whep.js' */

/** Frames a second: smooth enough to follow what happens, at half of the data of 30. */
const FPS = 15;

/** Up to this width of the page the small size is enough, in CSS pixels. */
const NARROW = 700;

/** The widths that are asked for. There are only two, because each costs the board an encoder, shared by all who ask for it. */
const [SMALL, LARGE] = [640, 1280];

/** Without data for this long the stream is over; the board sends something twice a second. */
const STALL_MS = 10_000;

/** Event: `change` when `showing` changed. */
export class Fallback extends EventTarget {
  /** Why WebRTC does not work; null while it does, or is still being tried. @type {WhepError | null} */
  reason = null;
  /** Whether frames are being shown. */
  showing = false;
  #url = '';
  /** @type {AbortController | null} */
  #running = null;

  /** @param {HTMLImageElement} image */
  constructor(image) {
    super();
    this.image = image;
  }

  /**
   * Begins or ends with the state of the connection.
   * @param {{state: ConnectionState, error: WhepError | null}} connection
   * @param {string | null} camera Null for the first.
   * @param {boolean} wanted Whether anybody may watch, and does.
   */
  update({ state, error }, camera, wanted) {
    if (state === 'live' || state === 'stopped') this.reason = null;
    else if (error && cannotWork(error)) this.reason = error;
    if (!this.reason || !wanted) {
      this.#stop();
      return;
    }
    const url = new URL('stream.mjpg', document.baseURI);
    if (camera !== null) url.searchParams.set('camera', camera);
    url.searchParams.set('width', String(document.body.clientWidth <= NARROW ? SMALL : LARGE));
    url.searchParams.set('fps', String(FPS));
    if (this.#url === url.href) return;
    this.#stop();
    this.#url = url.href;
    this.#running = new AbortController();
    this.#run(url, this.#running.signal);
  }

  #stop() {
    this.#running?.abort();
    this.#running = null;
    this.#url = '';
    this.#setShowing(false);
  }

  /**
   * Reads one stream after another.
   * @param {URL} url
   * @param {AbortSignal} stopped
   */
  async #run(url, stopped) {
    for (let failures = 0; !stopped.aborted; failures++) {
      try {
        await this.#read(url, stopped, () => (failures = 0));
      } catch {
        // The notice says what is wrong with the board; here it is only tried again.
      }
      if (stopped.aborted) return;
      this.#setShowing(false);
      await new Promise((resolve) => setTimeout(resolve, pause(failures)));
    }
  }

  /**
   * Shows the frames of a stream until it ends.
   * @param {URL} url
   * @param {AbortSignal} stopped
   * @param {() => void} onFrame
   */
  async #read(url, stopped, onFrame) {
    const ended = new AbortController();
    const end = () => ended.abort();
    stopped.addEventListener('abort', end);
    let timer = setTimeout(end, STALL_MS);
    try {
      const response = await fetch(url, { signal: ended.signal, cache: 'no-store' });
      if (!response.ok || !response.body) throw new Error(`the board answered ${response.status}`);
      const reader = response.body.getReader();
      const parts = new PartReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(timer);
        timer = setTimeout(end, STALL_MS);
        // Of several the newest: those before it are late.
        const jpeg = parts.push(value).at(-1);
        if (!jpeg) continue;
        await this.#show(jpeg);
        if (stopped.aborted) return;
        onFrame();
        this.#setShowing(true);
      }
    } finally {
      clearTimeout(timer);
      stopped.removeEventListener('abort', end);
      end();
    }
  }

  /** @param {Uint8Array<ArrayBuffer>} jpeg */
  async #show(jpeg) {
    const url = URL.createObjectURL(new Blob([jpeg], { type: 'image/jpeg' }));
    try {
      this.image.src = url;
      // The next one is read when this one is on the screen, so that a slow browser gets fewer.
      await this.image.decode();
    } finally {
      URL.revokeObjectURL(url);
    }
  }

  /** @param {boolean} showing */
  #setShowing(showing) {
    this.image.hidden = !showing;
    if (showing === this.showing) return;
    this.showing = showing;
    this.dispatchEvent(new Event('change'));
  }
}

/**
 * Whether another attempt would fail for the same reason, while the board can be reached over HTTP.
 * @param {WhepError} error
 */
export function cannotWork({ failure, status }) {
  return failure === 'browser' || failure === 'no-path' || (failure === 'refused' && status === 406);
}
