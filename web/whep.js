/**
 * A WHEP viewer: one live session with a camera, signalled over HTTP (draft-ietf-wish-whep).
 *
 * Stands alone with `trickle.js` and `receive.js`, so that other pages can use it: it touches no document. What a page
 * shows, when it tries again and what goes over the data channel do not belong here.
 *
 *     const session = new WhepSession('https://board.example/whep');
 *     session.addEventListener('end', ({ error }) => console.log(error.message));
 *     video.srcObject = session.stream;
 *     await session.connect();
 */

import { playAtOnce, wantExtensions, withExtensions } from './receive.js';
import { Candidates } from './trickle.js';

/** How long the board may take to answer the offer. It gathers its addresses meanwhile, which takes well below 1 s. */
const ANSWER_TIMEOUT_MS = 10_000;

/** How long ICE and DTLS may take once the answer is here. Lost first packets are repeated several times within it. */
const CONNECT_TIMEOUT_MS = 10_000;

/**
 * How long a broken connection may take to heal itself. Browsers say "disconnected" after some 5 s without a sign of
 * life and "failed" much later (up to 30 s); a new session is there sooner than that.
 */
const HEAL_TIMEOUT_MS = 3_000;

/**
 * How long the media connection outlives a hang-up at most. Were it closed at once, the board would often see that first,
 * end the session, and answer the DELETE with "not found".
 */
const GOODBYE_MS = 1_000;

/**
 * @typedef {'new' | 'connecting' | 'connected' | 'interrupted' | 'closed'} SessionState
 * `interrupted`: nothing comes at the moment; it heals within seconds or the session ends.
 *
 * @typedef {'unreachable' | 'timeout' | 'refused' | 'browser' | 'no-path' | 'lost' | 'ended' | 'closed'} Failure
 * - `unreachable`: no answer to the HTTP request
 * - `timeout`: the HTTP request was taken, but not answered in time
 * - `refused`: an HTTP error; `status`, `detail` and `retryAfter` say more
 * - `browser`: this browser cannot do what is needed
 * - `no-path`: the answer came, the media connection did not
 * - `lost`: the media connection broke
 * - `ended`: the board ended the session
 * - `closed`: `close()` was called
 *
 * @typedef {object} Options
 * @property {Record<string, string>} [headers] More headers for each request, such as Authorization.
 * @property {RTCIceServer[]} [iceServers] STUN and TURN servers; none are needed in a local network.
 *
 * @typedef {object} Timing Moments of `performance.now()`, null until they have passed.
 * @property {number | null} posted The offer was sent.
 * @property {number | null} answered The answer has come.
 * @property {number | null} connected Media can flow.
 */

/** Why a session did not come about, or ended. */
export class WhepError extends Error {
  /**
   * @param {Failure} failure
   * @param {string} message
   * @param {{status?: number, detail?: string, retryAfter?: number, addresses?: string[]}} [more]
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
    /** The media addresses that the board had offered. @type {string[]} */
    this.addresses = more.addresses ?? [];
  }
}

/** The end of a session that had been connected. It comes once, and not after `close()`. */
export class EndEvent extends Event {
  /** @param {WhepError} error */
  constructor(error) {
    super('end');
    this.error = error;
  }
}

/**
 * One session, from the offer to the end; to connect again, make a new one.
 *
 * Events: `state` when `state` has changed, `track` when `stream` has got another track, `end` (an EndEvent) when a
 * connected session ended by itself.
 */
export class WhepSession extends EventTarget {
  /** @type {SessionState} */
  #state = 'new';
  /** @type {URL} */
  #endpoint;
  /** @type {Options} */
  #options;
  /** @type {RTCPeerConnection | null} */
  #peer = null;
  /** @type {RTCDataChannel | null} */
  #channel = null;
  /** @type {URL | null} */
  #location = null;
  #etag = '';
  /** @type {Candidates | null} */
  #candidates = null;
  /** @type {Timing} */
  #timing = { posted: null, answered: null, connected: null };
  /** @type {string[]} */
  #addresses = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {{resolve: () => void, reject: (error: WhepError) => void} | null} */
  #connecting = null;

  /** Video and audio of the board, in one stream, filled as the tracks arrive. */
  stream = new MediaStream();

  /**
   * @param {string | URL} endpoint Where to POST the offer; absolute, or relative to this page.
   * @param {Options} [options]
   */
  constructor(endpoint, options = {}) {
    super();
    this.#endpoint = new URL(endpoint, globalThis.document?.baseURI ?? globalThis.location?.href);
    this.#options = options;
  }

  get state() {
    return this.#state;
  }

  /** The peer connection, for statistics. Null before `connect()`. */
  get peer() {
    return this.#peer;
  }

  /** The data channel `control`, ordered and reliable. Null before `connect()`. */
  get channel() {
    return this.#channel;
  }

  /** @returns {Readonly<Timing>} */
  get timing() {
    return this.#timing;
  }

  /**
   * Resolves when media can flow.
   * @returns {Promise<void>} Rejects with a WhepError.
   */
  connect() {
    if (this.#state !== 'new') {
      return Promise.reject(new WhepError('closed', 'this session was used before; make a new one'));
    }
    return new Promise((resolve, reject) => {
      this.#connecting = { resolve, reject };
      this.#become('connecting');
      this.#signal().catch((error) => {
        this.#end(error instanceof WhepError ? error : new WhepError('browser', String(error?.message ?? error)));
      });
    });
  }

  /**
   * Ends the session here and on the board. May be called at any time.
   * @param {{leaving?: boolean}} [how] `leaving`: the page goes away in this moment, so nothing can be waited for.
   * @returns {Promise<void>} Resolves when the board has been told, or could not be told.
   */
  close({ leaving = false } = {}) {
    return this.#end(new WhepError('closed', 'closed by the viewer'), leaving ? 0 : GOODBYE_MS);
  }

  get #over() {
    return this.#state === 'closed';
  }

  /** Offer out, answer in. Nothing is awaited before the POST that is not needed for it: the wait for the picture begins here. */
  async #signal() {
    const peer = this.#openPeer();
    const candidates = new Candidates(peer, (fragment) => this.#trickle(fragment));
    this.#candidates = candidates;
    await peer.setLocalDescription(withExtensions(await peer.createOffer()));
    const offer = peer.localDescription?.sdp ?? '';
    if (this.#over) return;

    const response = await this.#post(offer);
    const answer = await response.text();
    this.#etag = response.headers.get('ETag') ?? '';
    const location = response.headers.get('Location');
    if (location) this.#location = new URL(location, response.url || this.#endpoint);
    if (this.#over) {
      // Hung up while the offer was under way: the board must not keep what nobody watches.
      await this.#delete();
      return;
    }
    this.#timing.answered = performance.now();
    this.#addresses = addressesOf(answer);
    this.#timer = setTimeout(() => this.#end(this.#noPath()), CONNECT_TIMEOUT_MS);
    await peer.setRemoteDescription({ type: 'answer', sdp: answer });
    // From DTLS's own goodbye a clean end is known at once, also when the data channel never opened.
    peer.sctp?.transport.addEventListener('statechange', () => {
      if (peer.sctp?.transport.state === 'closed') this.#end(new WhepError('ended', 'the board ended the session'));
    });
    if (this.#location && this.#etag) candidates.start(offer);
  }

  /** @returns {RTCPeerConnection} */
  #openPeer() {
    const peer = new RTCPeerConnection({ iceServers: this.#options.iceServers ?? [] });
    this.#peer = peer;
    for (const kind of ['video', 'audio']) {
      const { receiver } = wantExtensions(peer.addTransceiver(kind, { direction: 'recvonly' }));
      playAtOnce(receiver);
    }
    this.#channel = peer.createDataChannel('control', { ordered: true });
    this.#channel.addEventListener('message', ({ data }) => {
      if (isGoodbye(data)) this.#end(new WhepError('ended', 'the board ended the session'));
    });
    this.#channel.addEventListener('close', () => this.#end(new WhepError('ended', 'the board ended the session')));
    peer.addEventListener('track', ({ track }) => {
      this.stream.addTrack(track);
      this.dispatchEvent(new Event('track'));
    });
    peer.addEventListener('connectionstatechange', () => this.#follow(peer.connectionState));
    return peer;
  }

  /** @param {RTCPeerConnectionState} state */
  #follow(state) {
    if (state === 'connected') {
      clearTimeout(this.#timer);
      this.#timing.connected ??= performance.now();
      this.#become('connected');
      this.#connecting?.resolve();
      this.#connecting = null;
    } else if (state === 'disconnected' && this.#state === 'connected') {
      this.#become('interrupted');
      this.#timer = setTimeout(() => this.#end(new WhepError('lost', 'the connection broke')), HEAL_TIMEOUT_MS);
    } else if (state === 'failed') {
      this.#end(this.#connecting ? this.#noPath() : new WhepError('lost', 'the connection broke'));
    }
  }

  #noPath() {
    return new WhepError('no-path', 'no media connection came about', { addresses: this.#addresses });
  }

  /**
   * @param {string} offer
   * @returns {Promise<Response>}
   */
  async #post(offer) {
    this.#timing.posted = performance.now();
    const late = new AbortController();
    this.#timer = setTimeout(() => late.abort(), ANSWER_TIMEOUT_MS);
    let response;
    try {
      response = await fetch(this.#endpoint, {
        method: 'POST',
        headers: { ...this.#options.headers, 'Content-Type': 'application/sdp' },
        body: offer,
        signal: late.signal,
      });
    } catch (cause) {
      if (late.signal.aborted) throw new WhepError('timeout', `no answer within ${ANSWER_TIMEOUT_MS / 1000} s`);
      throw new WhepError('unreachable', `POST ${this.#endpoint}: ${cause instanceof Error ? cause.message : cause}`);
    } finally {
      clearTimeout(this.#timer);
    }
    if (response.status !== 201) throw await refusal(response);
    return response;
  }

  /**
   * Late candidates of this browser. The board can do without them (it learns the address from the first packet), so
   * an answer other than success only ends the sending.
   * @param {string} fragment
   * @returns {Promise<boolean>} Whether to go on.
   */
  async #trickle(fragment) {
    if (!this.#location || this.#over) return false;
    try {
      const response = await fetch(this.#location, {
        method: 'PATCH',
        headers: {
          ...this.#options.headers,
          'Content-Type': 'application/trickle-ice-sdpfrag',
          'If-Match': this.#etag,
        },
        body: fragment,
      });
      return response.ok;
    } catch {
      return false;
    }
  }

  async #delete() {
    const location = this.#location;
    this.#location = null;
    if (!location) return;
    try {
      // keepalive: the request outlives the page that is being left.
      await fetch(location, { method: 'DELETE', headers: { ...this.#options.headers }, keepalive: true });
    } catch {
      // The board is away or has ended the session itself; it notices a silent viewer without this request.
    }
  }

  /**
   * @param {WhepError} error
   * @param {number} [goodbye] For how many milliseconds the peer connection waits for the board's answer to the DELETE.
   * @returns {Promise<void>} Resolves when the board has been told.
   */
  #end(error, goodbye = 0) {
    if (this.#over) return Promise.resolve();
    const connecting = this.#connecting;
    this.#connecting = null;
    clearTimeout(this.#timer);
    this.#become('closed');
    this.#candidates?.stop();
    // What the board has ended itself needs no DELETE.
    if (error.failure === 'ended') this.#location = null;
    const told = this.#delete();
    const peer = this.#peer;
    if (goodbye === 0) peer?.close();
    else Promise.race([told, new Promise((resolve) => setTimeout(resolve, goodbye))]).then(() => peer?.close());
    if (connecting) connecting.reject(error);
    else if (error.failure !== 'closed') this.dispatchEvent(new EndEvent(error));
    return told;
  }

  /** @param {SessionState} state */
  #become(state) {
    if (this.#state === state) return;
    this.#state = state;
    this.dispatchEvent(new Event('state'));
  }
}

/**
 * The addresses in an answer, as `udp 192.0.2.1:5000`.
 * @param {string} sdp
 */
function addressesOf(sdp) {
  const found = [...sdp.matchAll(/^a=candidate:\S+ 1 (\S+) \d+ (\S+) (\d+) typ/gm)];
  const texts = found.map(([, protocol, address, port]) =>
    `${protocol.toLowerCase()} ${address.includes(':') ? `[${address}]` : address}:${port}`);
  return [...new Set(texts)];
}

/**
 * Whether a message on the control channel says that the board ends the session.
 * @param {unknown} data
 */
function isGoodbye(data) {
  try {
    return JSON.parse(String(data)).method === 'session.end';
  } catch {
    return false;
  }
}

/**
 * @param {Response} response
 * @returns {Promise<WhepError>}
 */
async function refusal(response) {
  const text = (await response.text().catch(() => '')).trim();
  let detail = '';
  if (/json/.test(response.headers.get('Content-Type') ?? '')) {
    try {
      const problem = JSON.parse(text);
      detail = String(problem.detail ?? problem.title ?? '');
    } catch {
      // A body that is not what its type says has nothing to tell.
    }
  }
  const retryAfter = milliseconds(response.headers.get('Retry-After'));
  return new WhepError('refused', `${response.status} ${response.statusText}: ${detail}`, {
    status: response.status,
    detail,
    retryAfter,
  });
}

/**
 * The Retry-After header (RFC 9110 section 10.2.3) as a span.
 * @param {string | null} header
 */
function milliseconds(header) {
  if (!header) return 0;
  const seconds = Number(header);
  const span = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(header) - Date.now();
  return Math.max(0, span || 0);
}
