/**
 * Keeps a picture coming: one session after another until somebody hangs up, with growing pauses between attempts.
 * What a page shows meanwhile does not belong here.
 */

import { WhepError, WhepSession } from './whep.js';

/** The first pause. A board's program is back within a second of being restarted. */
const FIRST_PAUSE_MS = 500;

/** Pauses double up to this: a board that was off for hours is seen again within seconds, and is not flooded. */
const LONGEST_PAUSE_MS = 15_000;

/** Pauses vary by this share, so that the viewers of a restarted board do not come back in the same moment. */
const JITTER = 0.3;

/** A session that lived this long was a good one: after it the pauses begin anew. */
const GOOD_SESSION_MS = 10_000;

/**
 * Refusals that another attempt will not change: the offer cannot be answered, access is denied, there is no such
 * camera.
 */
const FINAL_STATUS = [400, 401, 403, 404, 405, 406, 413, 415];

/**
 * @typedef {'stopped' | 'connecting' | 'live' | 'interrupted' | 'waiting' | 'failed'} ConnectionState
 * - `stopped`: hung up, or not started
 * - `live`: media flows
 * - `interrupted`: nothing comes at the moment; it may heal
 * - `waiting`: the next attempt is at `due`
 * - `failed`: another attempt makes no sense unless a person asks for it
 */

/** Events: `change` when `state`, `error` or `due` changed; `session` when there is a new `session`. */
export class Connection extends EventTarget {
  /** @type {ConnectionState} */
  state = 'stopped';
  /** Why the last session did not come about or ended; null once one is live. @type {WhepError | null} */
  error = null;
  /** Whether the board said goodbye and has not been seen since. */
  saidGoodbye = false;
  /** When the next attempt is made, in `performance.now()` time; only while `waiting`. */
  due = 0;
  /** @type {WhepSession | null} */
  session = null;

  #failures = 0;
  #notBefore = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {string | URL} endpoint */
  constructor(endpoint) {
    super();
    this.endpoint = endpoint;
  }

  /** Connects, now, unless it is connected. */
  start() {
    if (this.session) return;
    clearTimeout(this.#timer);
    const session = new WhepSession(this.endpoint);
    this.session = session;
    this.#become('connecting');
    session.addEventListener('state', () => this.#follow(session));
    session.addEventListener('end', (event) => this.#lost(session, /** @type {import('./whep.js').EndEvent} */ (event).error));
    const connected = session.connect();
    this.dispatchEvent(new Event('session'));
    connected.catch((error) => this.#lost(session, error));
  }

  /**
   * Ends the session and makes no further attempt.
   * @param {{leaving?: boolean}} [how] `leaving`: the page goes away in this moment.
   * @returns {Promise<void>} Resolves when the board has been told.
   */
  stop(how) {
    clearTimeout(this.#timer);
    const session = this.session;
    this.session = null;
    this.#failures = 0;
    this.error = null;
    this.saidGoodbye = false;
    this.#become('stopped');
    return session?.close(how) ?? Promise.resolve();
  }

  /**
   * Changes over to another camera, or connects again.
   * @param {string | URL} endpoint
   */
  restart(endpoint) {
    this.stop();
    this.endpoint = endpoint;
    this.start();
  }

  /** The network has changed: what is connected looks for a better path, what waits tries at once. */
  reroute() {
    this.session?.restart();
    this.wake();
  }

  /** Ends the pause: the network is back, or somebody looks at the page again. A pause that the board asked for is kept. */
  wake() {
    if (this.state === 'waiting' && performance.now() >= this.#notBefore) this.start();
  }

  /** @param {WhepSession} session */
  #follow(session) {
    if (session !== this.session) return;
    if (session.state === 'connected') {
      this.error = null;
      this.saidGoodbye = false;
      this.#become('live');
    } else if (session.state === 'interrupted') {
      this.#become('interrupted');
    }
  }

  /**
   * @param {WhepSession} session
   * @param {WhepError} error
   */
  #lost(session, error) {
    if (session !== this.session) return;
    this.session = null;
    this.error = error;
    if (error.failure === 'ended') this.saidGoodbye = true;
    // A board that is stopping may refuse (503) for a moment before it is gone.
    else if (error.failure === 'refused' && error.status !== 503) this.saidGoodbye = false;
    const { connected } = session.timing;
    if (connected !== null && performance.now() - connected > GOOD_SESSION_MS) this.#failures = 0;
    // A board that knows the session no more was started again: it is there, so no pause.
    const gone = error.failure === 'gone';
    // Who was sent away comes back when they want to, not by themselves.
    const final = error.failure === 'browser' || error.reason === 'kicked' || (!gone && FINAL_STATUS.includes(error.status));
    if (final) {
      this.#become('failed');
      return;
    }
    const span = gone ? 0 : Math.max(pause(this.#failures++), error.retryAfter);
    this.#notBefore = performance.now() + error.retryAfter;
    this.due = performance.now() + span;
    this.#timer = setTimeout(() => this.start(), span);
    this.#become('waiting');
  }

  /** @param {ConnectionState} state */
  #become(state) {
    this.state = state;
    this.dispatchEvent(new Event('change'));
  }
}

/**
 * The pause after so many failures in a row, in milliseconds.
 * @param {number} failures
 * @param {() => number} [random] From 0 to 1.
 */
export function pause(failures, random = Math.random) {
  const span = Math.min(FIRST_PAUSE_MS * 2 ** failures, LONGEST_PAUSE_MS);
  return span * (1 + JITTER * (2 * random() - 1));
}
