/**
 * Keeps a stream running: one session after another until the user hangs up, with growing pauses between attempts. What the page
 * shows meanwhile is decided elsewhere.
 */

import { Search } from './reachability.js';
import { WhepError, WhepSession } from './whep.js';

/** The first pause. The board's program restarts within a second. */
const FIRST_PAUSE_MS = 500;

/** Pauses double up to this: a board that was off for hours is found within seconds and is not flooded. */
const MAX_PAUSE_MS = 15_000;

/** Random share of each pause, so that the viewers of a restarted board do not all reconnect at the same moment. */
const JITTER = 0.3;

/** A session that lasted this long was a good one: the pauses start over. */
const GOOD_SESSION_MS = 10_000;

/**
 * HTTP statuses that another attempt will not change: the offer cannot be answered, access is denied, there is no such
 * camera.
 */
const FINAL_STATUS = [400, 401, 403, 404, 405, 406, 413, 415];

/** Failures of a network that is away, or of a board: it is looked for until it answers. @type {import('./signalling.js').Failure[]} */
const AWAY = ['lost', 'unreachable', 'timeout'];

/** How old an attempt is when an answer to another request shows that its own request was lost, in milliseconds. */
const STALE_MS = 1_000;

/**
 * @typedef {'stopped' | 'connecting' | 'live' | 'interrupted' | 'waiting' | 'failed'} ConnectionState
 * - `stopped`: hung up, or not started
 * - `live`: media flows
 * - `interrupted`: nothing arrives at the moment; it may recover
 * - `waiting`: the next attempt is at `retryAt`
 * - `failed`: another attempt would fail too, unless the user asks for it
 */

/** Events: `change` when `state`, `error` or `retryAt` changed; `session` when there is a new `session`. */
export class Connection extends EventTarget {
  /** @type {ConnectionState} */
  state = 'stopped';
  /** Why the last session failed or ended; null once one is live. @type {WhepError | null} */
  error = null;
  /** Whether the board ended the stream and has not been reached since. */
  endedByBoard = false;
  /** When the next attempt starts, in `performance.now()` time; only while `waiting`. */
  retryAt = 0;
  /** When `state` changed last, in `performance.now()` time. */
  since = 0;
  /** @type {WhepSession | null} */
  session = null;

  #failedAttempts = 0;
  #notBefore = 0;
  /** Runs while the board is away. @type {Search | null} */
  #search = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {string | URL} endpoint
   * @param {import('./whep.js').Options} [options] Of each session.
   */
  constructor(endpoint, options) {
    super();
    this.endpoint = endpoint;
    this.options = options;
  }

  /** Connects now, unless already connected. */
  start() {
    if (this.session) return;
    clearTimeout(this.#timer);
    const session = new WhepSession(this.endpoint, this.options);
    this.session = session;
    this.#setState('connecting');
    session.addEventListener('state', () => this.#onSessionState(session));
    session.addEventListener('end', (event) => this.#onSessionEnd(session, /** @type {import('./whep.js').EndEvent} */ (event).error));
    const connected = session.connect();
    this.dispatchEvent(new Event('session'));
    connected.catch((error) => this.#onSessionEnd(session, error));
  }

  /**
   * Ends the session and stops trying.
   * @param {{leaving?: boolean}} [how] `leaving`: the page is being unloaded.
   * @returns {Promise<void>} Resolves when the board has been notified.
   */
  stop(how) {
    clearTimeout(this.#timer);
    this.#endSearch();
    const session = this.session;
    this.session = null;
    this.#failedAttempts = 0;
    this.error = null;
    this.endedByBoard = false;
    this.#setState('stopped');
    return session?.close(how) ?? Promise.resolve();
  }

  /**
   * Connects again, possibly to another camera.
   * @param {string | URL} endpoint
   */
  restart(endpoint) {
    this.stop();
    this.endpoint = endpoint;
    this.start();
  }

  /**
   * The network has changed or is back: a pending attempt starts at once.
   * @param {boolean} moved Whether this device is on another network, so that a session needs another path. Otherwise its path is
   *   only checked: a restart that is not needed costs packets.
   */
  onNetworkChange(moved) {
    if (moved) this.session?.restart();
    else this.session?.checkPath();
    this.retryNow();
  }

  /** Ends the pause, unless the board asked for it: the network is back, or the page is visible again. */
  retryNow() {
    if (this.state === 'waiting' && performance.now() >= this.#notBefore) this.start();
  }

  /** @param {WhepSession} session */
  #onSessionState(session) {
    if (session !== this.session) return;
    if (session.state === 'connected') {
      this.#endSearch();
      this.error = null;
      this.endedByBoard = false;
      this.#setState('live');
    } else if (session.state === 'interrupted') {
      this.#setState('interrupted');
    }
  }

  /**
   * @param {WhepSession} session
   * @param {WhepError} error
   */
  #onSessionEnd(session, error) {
    if (session !== this.session) return;
    this.session = null;
    this.error = error;
    if (error.failure === 'ended') this.endedByBoard = true;
    // A board that is shutting down may answer 503 for a moment before it is gone.
    else if (error.failure === 'refused' && error.status !== 503) this.endedByBoard = false;
    const { connected } = session.timing;
    if (connected !== null && performance.now() - connected > GOOD_SESSION_MS) this.#failedAttempts = 0;
    // A board that does not know the session was restarted: it is up, so no pause.
    const gone = error.failure === 'gone';
    // A viewer who was removed decides alone when to come back.
    const final = error.failure === 'browser' || error.reason === 'kicked' || (!gone && FINAL_STATUS.includes(error.status));
    if (final) {
      this.#setState('failed');
      return;
    }
    const delay = gone ? 0 : Math.max(pause(this.#failedAttempts++), error.retryAfter);
    this.#notBefore = performance.now() + error.retryAfter;
    this.retryAt = performance.now() + delay;
    this.#timer = setTimeout(() => this.start(), delay);
    if (AWAY.includes(error.failure)) this.#search ??= new Search(this.endpoint, () => this.#onAnswer());
    else this.#endSearch();
    this.#setState('waiting');
  }

  /** The board answers again: an attempt that began before it did may wait for its answer in vain. */
  #onAnswer() {
    const { session } = this;
    const { posted, answered } = session?.timing ?? { posted: null, answered: null };
    if (session && posted !== null && answered === null && performance.now() - posted > STALE_MS) {
      this.session = null;
      session.close();
      this.start();
    } else {
      this.retryNow();
    }
  }

  #endSearch() {
    this.#search?.stop();
    this.#search = null;
  }

  /** @param {ConnectionState} state */
  #setState(state) {
    if (state !== this.state) this.since = performance.now();
    this.state = state;
    this.dispatchEvent(new Event('change'));
  }
}

/**
 * The pause after this many failures in a row, in milliseconds.
 * @param {number} failures
 * @param {() => number} [random] A number from 0 to 1.
 */
export function pause(failures, random = Math.random) {
  const delay = Math.min(FIRST_PAUSE_MS * 2 ** failures, MAX_PAUSE_MS);
  return delay * (1 + JITTER * (2 * random() - 1));
}
