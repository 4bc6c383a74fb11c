/**
 * The HTTP side of a WHEP session (draft-ietf-wish-whep): offer, candidates, ICE restart and goodbye as requests, their
 * answers as values, and what goes wrong as a WhepError. The peer connection does not belong here.
 */

import { iceServers } from './link-header.js';

/** @import { Evidence } from './ice-diagnostics.js' */

/** How long the board may take to answer the offer. It asks STUN servers meanwhile, which takes well below 1 s. */
const ANSWER_TIMEOUT_MS = 10_000;

/**
 * How long an ICE restart may take. It is one round trip, and where the path has changed the browser's kept connection
 * leads nowhere: only after giving it up another one is made.
 */
const RESTART_TIMEOUT_MS = 1_500;

const FRAGMENT = 'application/trickle-ice-sdpfrag';

/**
 * @typedef {'unreachable' | 'timeout' | 'refused' | 'browser' | 'no-path' | 'lost' | 'gone' | 'ended' | 'closed'} Failure
 * - `unreachable`: no answer to the HTTP request
 * - `timeout`: the HTTP request was taken, but not answered in time
 * - `refused`: an HTTP error; `status`, `detail` and `retryAfter` say more
 * - `browser`: this browser cannot do what is needed
 * - `no-path`: the answer came, the media connection did not; `evidence` says more
 * - `lost`: the media connection broke
 * - `gone`: the media connection broke, and the board knows the session no more
 * - `ended`: the board ended the session
 * - `closed`: `close()` was called
 */

/** Why a session did not come about, or ended. */
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
    /** The HTTP status, 0 when there was none. */
    this.status = more.status ?? 0;
    /** What the board said about it, in words; may be empty. */
    this.detail = more.detail ?? '';
    /** After how many milliseconds the board wants to be asked again, 0 when it did not say. */
    this.retryAfter = more.retryAfter ?? 0;
    /** What was tried for the media connection. @type {Evidence | null} */
    this.evidence = more.evidence ?? null;
    /** Why the board ended the session, in a word of the control protocol (`kicked`, `stopping`); may be empty. */
    this.reason = more.reason ?? '';
  }
}

/** The requests of one session. */
export class Signalling {
  /** @type {URL | null} */
  #location = null;
  /** Of the present ICE session: it changes with each restart. */
  #etag = '';

  /**
   * @param {URL} endpoint
   * @param {Record<string, string>} [headers] More headers for each request.
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

  /** Whether the board takes candidates. */
  get supportsTrickle() {
    return this.#location !== null && this.#etag !== '';
  }

  /**
   * Late candidates of this browser. The board can do without them (it learns the address from the first packet), so
   * an answer other than success only ends the sending.
   * @param {string} fragment
   * @returns {Promise<boolean>} Whether the board took them.
   */
  async trickle(fragment) {
    if (!this.#location) return false;
    try {
      const { response } = await this.#patch(this.#location, fragment, this.#etag, ANSWER_TIMEOUT_MS);
      return response.ok;
    } catch {
      return false;
    }
  }

  /**
   * Asks for new ICE credentials of the board; its session lives on with the old ones when that fails.
   * @param {string} fragment This browser's new credentials.
   * @returns {Promise<string>} The board's; rejects with a WhepError.
   */
  async restart(fragment) {
    if (!this.#location) throw new WhepError('gone', 'the board has given no address of the session');
    const { response, text } = await this.#patch(this.#location, fragment, '*', RESTART_TIMEOUT_MS);
    if (response.status !== 200) throw httpError(response, text);
    this.#etag = response.headers.get('ETag') ?? '';
    return text;
  }

  /** The board has ended the session: it needs to be told nothing more. */
  forget() {
    this.#location = null;
  }

  /** @returns {Promise<void>} Resolves when the board has been told, or could not be told. */
  async end() {
    const location = this.#location;
    this.#location = null;
    if (!location) return;
    try {
      // keepalive: the request outlives the page that is being left.
      await fetch(location, { method: 'DELETE', headers: { ...this.headers }, keepalive: true });
    } catch {
      // The board is away or has ended the session itself; it notices a silent viewer without this request.
    }
  }

  /**
   * @param {URL} location
   * @param {string} fragment
   * @param {string} etag
   * @param {number} timeout
   */
  #patch(location, fragment, etag, timeout) {
    const headers = { 'Content-Type': FRAGMENT, 'If-Match': etag };
    return this.#request(location, 'PATCH', timeout, { headers, body: fragment });
  }

  /**
   * @param {URL} url
   * @param {string} method
   * @param {number} timeout In milliseconds.
   * @param {{headers: Record<string, string>, body: string}} content
   * @returns {Promise<{response: Response, text: string}>}
   */
  async #request(url, method, timeout, { headers, body }) {
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), timeout);
    try {
      const init = { method, headers: { ...this.headers, ...headers }, body, signal: abort.signal };
      const response = await fetch(url, init);
      return { response, text: await response.text() };
    } catch (cause) {
      if (abort.signal.aborted) throw new WhepError('timeout', `no answer within ${timeout / 1000} s`);
      throw new WhepError('unreachable', `${method} ${url}: ${cause instanceof Error ? cause.message : cause}`);
    } finally {
      clearTimeout(timer);
    }
  }
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
 * What a board says about an error (RFC 9457), empty where it says nothing.
 * @param {Response} response
 * @param {string} text Its body.
 */
export function problemDetail(response, text) {
  if (!/json/.test(response.headers.get('Content-Type') ?? '')) return '';
  try {
    const problem = JSON.parse(text);
    return String(problem.detail ?? problem.title ?? '');
  } catch {
    // A body that is not what its type says has nothing to tell.
    return '';
  }
}

/**
 * The Retry-After header (RFC 9110 section 10.2.3) as a span in milliseconds, 0 where there is none.
 * @param {Response} response
 */
export function retryAfter(response) {
  const header = response.headers.get('Retry-After');
  if (!header) return 0;
  const seconds = Number(header);
  const delay = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(header) - Date.now();
  return Math.max(0, delay || 0);
}
