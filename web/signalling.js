/**
 * The HTTP side of a WHEP session (draft-ietf-wish-whep): offer, trickled candidates, ICE restart and DELETE as requests, results
 * as values, failures as a WhepError. The peer connection is elsewhere.
 */

import { iceServers } from './link-header.js';

/** @import { Evidence } from './ice-diagnostics.js' */

/** How long the board may take to answer the offer. It queries STUN servers meanwhile, which takes well below 1 s. */
const ANSWER_TIMEOUT_MS = 10_000;

/**
 * After this long an ICE restart is sent again. It is one round trip; if the path has changed, the browser's kept-alive connection
 * is dead, and a second request goes over a new one. The first may still be answered: a slow path needs longer than this.
 */
const RESTART_REPEAT_MS = 1_500;

/** How often an ICE restart is sent before its failure is reported. Browsers open at most six connections to a host. */
const RESTART_ATTEMPTS = 4;

const FRAGMENT = 'application/trickle-ice-sdpfrag';

/**
 * @typedef {'unreachable' | 'timeout' | 'refused' | 'browser' | 'no-path' | 'lost' | 'gone' | 'ended' | 'closed'} Failure
 * - `unreachable`: no answer to the HTTP request
 * - `timeout`: the board accepted the HTTP request but did not answer in time
 * - `refused`: an HTTP error; see `status`, `detail` and `retryAfter`
 * - `browser`: this browser lacks something that is needed
 * - `no-path`: the answer arrived, but no media connection was established; see `evidence`
 * - `lost`: the media connection failed
 * - `gone`: the media connection failed, and the board no longer knows the session
 * - `ended`: the board ended the session
 * - `closed`: `close()` was called
 */

/** Why a session failed or ended. */
export class WhepError extends Error {
  /**
   * @param {Failure} failure
   * @param {string} message
   * @param {{status?: number, detail?: string, retryAfter?: number, evidence?: Evidence | null, reason?: string}} [more]
   */
  constructor(failure, message, more = {}) {
    super(message);
    this.name = 'WhepError';
    /** @type {Failure} */
    this.failure = failure;
    /** The HTTP status; 0 if there was none. */
    this.status = more.status ?? 0;
    /** What the board said about it; may be empty. */
    this.detail = more.detail ?? '';
    /** How many milliseconds to wait before asking again; 0 if the board did not say. */
    this.retryAfter = more.retryAfter ?? 0;
    /** What was tried to establish the media connection. @type {Evidence | null} */
    this.evidence = more.evidence ?? null;
    /** Why the board ended the session, as a code of the control protocol (`kicked`, `stopping`), or `no-webrtc`; may be empty. */
    this.reason = more.reason ?? '';
  }
}

/** The requests of one session. */
export class Signalling {
  /** @type {URL | null} */
  #location = null;
  /** The ETag of the current ICE session: it changes with each restart. */
  #etag = '';
  /** Ends what is still asked when the session ends. */
  #ended = new AbortController();

  /**
   * @param {URL} endpoint
   * @param {Record<string, string>} [headers] Additional headers for each request.
   */
  constructor(endpoint, headers = {}) {
    this.endpoint = endpoint;
    this.headers = headers;
  }

  /**
   * @param {string} sdp
   * @returns {Promise<{answer: string, iceServers: RTCIceServer[]}>} Rejects with a WhepError.
   */
  async offer(sdp) {
    const { response, text } = await this.#request(this.endpoint, 'POST', ANSWER_TIMEOUT_MS, {
      headers: { 'Content-Type': 'application/sdp' },
      body: sdp,
    });
    if (response.status !== 201) throw httpError(response, text);
    this.#etag = response.headers.get('ETag') ?? '';
    const location = response.headers.get('Location');
    if (location) this.#location = new URL(location, response.url || this.endpoint);
    return { answer: text, iceServers: iceServers(response.headers.get('Link')) };
  }

  /** Whether the board accepts trickled candidates. */
  get supportsTrickle() {
    return this.#location !== null && this.#etag !== '';
  }

  /**
   * Sends more candidates of this browser. The board can do without them (it learns the address from the first packet), so any
   * failure only stops the sending.
   * @param {string} fragment
   * @returns {Promise<boolean>} Whether the board accepted them.
   */
  async trickle(fragment) {
    if (!this.#location) return false;
    try {
      const { response } = await this.#patch(this.#location, fragment, this.#etag, this.#ended.signal);
      return response.ok;
    } catch {
      return false;
    }
  }

  /**
   * Exchanges ICE credentials; if that fails the session continues with the old ones. The fragment is sent several times until it
   * is answered. The board repeats its answer to the same credentials, so it does not matter which request it answers.
   * @param {string} fragment This browser's new credentials; after a failure, the same ones have to be used again.
   * @returns {Promise<string>} The board's fragment; rejects with a WhepError.
   */
  async restart(fragment) {
    const location = this.#location;
    if (!location) throw new WhepError('gone', 'the board sent no Location for the session');
    const done = new AbortController();
    const { signal } = done;
    const stop = () => done.abort();
    this.#ended.signal.addEventListener('abort', stop);
    /** @type {Promise<{response: Response, text: string}>[]} */
    const requests = [];
    try {
      /** @type {{response: Response, text: string} | null} */
      let answer = null;
      while (!answer && requests.length < RESTART_ATTEMPTS && !signal.aborted) {
        requests.push(this.#patch(location, fragment, '*', signal));
        const pause = delay(RESTART_REPEAT_MS, signal);
        answer = await Promise.race([Promise.any(requests).catch(() => pause), pause]);
      }
      answer ??= await Promise.any(requests).catch(() => null);
      if (!answer) throw new WhepError('unreachable', `the board did not answer ${requests.length} requests for an ICE restart`);
      const { response, text } = answer;
      if (response.status !== 200) throw httpError(response, text);
      this.#etag = response.headers.get('ETag') ?? '';
      return text;
    } finally {
      this.#ended.signal.removeEventListener('abort', stop);
      done.abort();
    }
  }

  /** The board has ended the session: no DELETE is needed. */
  forget() {
    this.#location = null;
    this.#ended.abort();
  }

  /** @returns {Promise<void>} Resolves when the board has been notified, or could not be. */
  async end() {
    const location = this.#location;
    this.#location = null;
    this.#ended.abort();
    if (!location) return;
    try {
      // keepalive: the request outlives the page.
      await fetch(location, { method: 'DELETE', headers: { ...this.headers }, keepalive: true });
    } catch {
      // The board is away or has ended the session itself; it drops silent viewers without this request.
    }
  }

  /**
   * @param {URL} location
   * @param {string} fragment
   * @param {string} etag
   * @param {AbortSignal} signal Gives the request up.
   */
  #patch(location, fragment, etag, signal) {
    const headers = { 'Content-Type': FRAGMENT, 'If-Match': etag };
    return this.#request(location, 'PATCH', ANSWER_TIMEOUT_MS, { headers, body: fragment }, signal);
  }

  /**
   * @param {URL} url
   * @param {string} method
   * @param {number} timeout In milliseconds.
   * @param {{headers: Record<string, string>, body: string}} content
   * @param {AbortSignal} [signal] Gives the request up.
   * @returns {Promise<{response: Response, text: string}>}
   */
  async #request(url, method, timeout, { headers, body }, signal) {
    const abort = new AbortController();
    const giveUp = () => abort.abort();
    const timer = setTimeout(giveUp, timeout);
    signal?.addEventListener('abort', giveUp);
    try {
      const init = { method, headers: { ...this.headers, ...headers }, body, signal: abort.signal };
      const response = await fetch(url, init);
      return { response, text: await response.text() };
    } catch (cause) {
      if (signal?.aborted) throw new WhepError('closed', 'the request is no longer needed');
      if (abort.signal.aborted) throw new WhepError('timeout', `no answer within ${timeout / 1000} s`);
      throw new WhepError('unreachable', `${method} ${url}: ${cause instanceof Error ? cause.message : cause}`);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', giveUp);
    }
  }
}

/**
 * Resolves to null after a while, or as soon as it is given up.
 * @param {number} milliseconds
 * @param {AbortSignal} signal
 * @returns {Promise<null>}
 */
function delay(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(null), milliseconds);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve(null);
    }, { once: true });
  });
}

/**
 * @param {Response} response
 * @param {string} text
 */
function httpError(response, text) {
  const detail = problemDetail(response, text);
  return new WhepError('refused', `${response.status} ${response.statusText}: ${detail}`, {
    status: response.status,
    detail,
    retryAfter: retryAfter(response),
  });
}

/**
 * The detail of a problem response (RFC 9457), or an empty string.
 * @param {Response} response
 * @param {string} text The response body.
 */
export function problemDetail(response, text) {
  if (!/json/.test(response.headers.get('Content-Type') ?? '')) return '';
  try {
    const problem = JSON.parse(text);
    return String(problem.detail ?? problem.title ?? '');
  } catch {
    // The body is not what its type says.
    return '';
  }
}

/**
 * The Retry-After header (RFC 9110 section 10.2.3) in milliseconds; 0 if there is none.
 * @param {Response} response
 */
export function retryAfter(response) {
  const header = response.headers.get('Retry-After');
  if (!header) return 0;
  const seconds = Number(header);
  const delay = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(header) - Date.now();
  return Math.max(0, delay || 0);
}
