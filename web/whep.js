/**
 * A WHEP viewer: one live session with a camera, signalled over HTTP (draft-ietf-wish-whep).
 *
 * Stands alone with the modules that it imports, so that other pages can use it: it touches no document. What a page
 * shows, when it tries again and what goes over the data channel do not belong here.
 *
 *     const session = new WhepSession('https://board.example/whep');
 *     session.addEventListener('end', ({ error }) => console.log(error.message));
 *     video.srcObject = session.stream;
 *     await session.connect();
 */

import { PathWatch } from './ice-diagnostics.js';
import { hold, wantExtensions, withExtensions } from './receiver-hints.js';
import { fragment, offered, restarted } from './sdp.js';
import { Signalling, WhepError } from './signalling.js';
import { Candidates } from './trickle.js';

export { WhepError };

/** How long ICE and DTLS may take once the answer is here. Lost first packets are repeated several times within it. */
const CONNECT_TIMEOUT_MS = 10_000;

/** After this many silent looks (0.5 s each) the board is asked for a sign of life: neither sound nor pictures need to flow. */
const ASK_AFTER_LOOKS = 1;

/** After this many silent looks the connection counts as interrupted, and another path is looked for. */
const INTERRUPTED_AFTER_LOOKS = 3;

/**
 * How long an interrupted connection may take to heal, by itself or by ICE restarts. The board gives a silent viewer up after
 * 15 s; its session is good for nothing then.
 */
const HEAL_TIMEOUT_MS = 13_000;

/** Pause after an ICE restart, in which its checks find a path or find none. */
const RESTART_PAUSE_MS = 2_000;

/** Answers to an ICE restart that another one will not change: the board does not know what is asked. */
const NO_RESTART_STATUS = [400, 405, 415, 501];

/** A request that every board answers and that changes nothing: its answer is the sign of life. */
const SIGN_OF_LIFE = JSON.stringify({ id: 0, method: 'time.sync', params: {} });

/**
 * How long the media connection outlives a hang-up at most. Were it closed at once, the board would often see that first,
 * end the session, and answer the DELETE with "not found".
 */
const GOODBYE_MS = 1_000;

/**
 * @typedef {'new' | 'connecting' | 'connected' | 'interrupted' | 'closed'} SessionState
 * `interrupted`: nothing comes at the moment; it heals within seconds or the session ends.
 *
 * @typedef {object} Options
 * @property {Record<string, string>} [headers] More headers for each request, such as Authorization.
 * @property {RTCIceServer[]} [iceServers] STUN and TURN servers, beside those that the board names.
 *
 * @typedef {object} Timing Moments of `performance.now()`, null until they have passed.
 * @property {number | null} posted The offer was sent.
 * @property {number | null} answered The answer has come.
 * @property {number | null} connected Media can flow.
 */

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
  /** @type {Signalling} */
  #signalling;
  /** @type {Options} */
  #options;
  /** @type {RTCPeerConnection | null} */
  #peer = null;
  /** @type {RTCDataChannel | null} */
  #channel = null;
  /** @type {PathWatch | null} */
  #watch = null;
  /** @type {Candidates | null} */
  #candidates = null;
  /** The board's first answer; later ones differ in ICE only. */
  #answer = '';
  /** @type {Timing} */
  #timing = { posted: null, answered: null, connected: null };
  /** The ICE restart under way. @type {Promise<void> | null} */
  #restarting = null;
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
    const url = new URL(endpoint, globalThis.document?.baseURI ?? globalThis.location?.href);
    this.#signalling = new Signalling(url, options.headers);
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

  /**
   * How long pictures and sound are held before they are shown, where the browser can be told: more is smoother. 0 from the
   * beginning.
   * @param {number} milliseconds
   */
  hold(milliseconds) {
    for (const receiver of this.#peer?.getReceivers() ?? []) hold(receiver, milliseconds);
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
   * Looks for another path to the board by an ICE restart: the network has changed. What flows goes on meanwhile.
   * @returns {Promise<void>} Resolves when the board has answered, or was not reached.
   */
  async restart() {
    if (this.#state !== 'connected' && this.#state !== 'interrupted') return;
    this.#restarting ??= this.#restart().finally(() => (this.#restarting = null));
    await this.#restarting.catch(() => {
      // The old path may still be good; where it is not, the looks at it find out.
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

  /**
   * Offer out, answer in. Nothing is awaited before the POST that is not needed for it: the wait for the picture begins
   * here. Addresses are gathered from `setLocalDescription` on, by then with the STUN and TURN servers of the answer.
   */
  async #signal() {
    const peer = this.#openPeer();
    const offer = withExtensions(await peer.createOffer());
    if (this.#over) return;
    this.#timing.posted = performance.now();
    const { answer, iceServers } = await this.#signalling.offer(offer.sdp ?? '');
    if (this.#over) {
      // Hung up while the offer was under way: the board must not keep what nobody watches.
      await this.#signalling.end();
      return;
    }
    this.#timing.answered = performance.now();
    this.#answer = answer;
    this.#timer = setTimeout(() => this.#noPath(), CONNECT_TIMEOUT_MS);
    if (iceServers.length > 0) addServers(peer, iceServers);
    await this.#describe(peer, offer, answer);
    this.#watch?.start();
    // From DTLS's own goodbye a clean end is known at once, also when the data channel never opened.
    peer.sctp?.transport.addEventListener('statechange', () => {
      if (peer.sctp?.transport.state === 'closed') this.#end(new WhepError('ended', 'the board ended the session'));
    });
  }

  /**
   * Both descriptions, and this browser's candidates on their way as they are found.
   * @param {RTCPeerConnection} peer
   * @param {RTCSessionDescriptionInit} offer
   * @param {string} answer
   */
  async #describe(peer, offer, answer) {
    this.#candidates?.stop();
    this.#candidates = new Candidates(peer, async (text) => !this.#over && this.#signalling.trickle(text));
    if (!this.#signalling.trickles) this.#candidates.stop();
    await peer.setLocalDescription(offer);
    await peer.setRemoteDescription({ type: 'answer', sdp: answer });
  }

  /** @returns {RTCPeerConnection} */
  #openPeer() {
    const peer = new RTCPeerConnection({ iceServers: this.#options.iceServers ?? [] });
    this.#peer = peer;
    this.#watch = new PathWatch(peer, () => this.#looked());
    for (const kind of ['video', 'audio']) {
      const { receiver } = wantExtensions(peer.addTransceiver(kind, { direction: 'recvonly' }));
      hold(receiver, 0);
    }
    this.#channel = peer.createDataChannel('control', { ordered: true });
    this.#channel.addEventListener('message', ({ data }) => {
      const reason = goodbye(data);
      if (reason !== null) this.#end(new WhepError('ended', 'the board ended the session', { reason }));
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
    if (state === 'connected' && this.#connecting) {
      clearTimeout(this.#timer);
      this.#timing.connected ??= performance.now();
      this.#become('connected');
      this.#connecting?.resolve();
      this.#connecting = null;
    } else if (state === 'disconnected' || state === 'failed') {
      if (!this.#connecting) this.#interrupted();
      else if (state === 'failed') this.#noPath();
    }
  }

  #looked() {
    const silent = this.#watch?.silent ?? 0;
    if (this.#state === 'interrupted' && silent === 0) {
      clearTimeout(this.#timer);
      this.#become('connected');
    } else if (this.#state === 'connected') {
      if (silent >= INTERRUPTED_AFTER_LOOKS) this.#interrupted();
      else if (silent >= ASK_AFTER_LOOKS && this.#channel?.readyState === 'open') this.#channel.send(SIGN_OF_LIFE);
    }
  }

  /** Nothing comes any more: one ICE restart after another until something does, or the time is over. */
  async #interrupted() {
    if (this.#state !== 'connected') return;
    this.#become('interrupted');
    this.#timer = setTimeout(() => this.#end(new WhepError('lost', 'the connection broke')), HEAL_TIMEOUT_MS);
    while (this.state === 'interrupted') {
      try {
        this.#restarting ??= this.#restart().finally(() => (this.#restarting = null));
        await this.#restarting;
      } catch (error) {
        const status = error instanceof WhepError ? error.status : 0;
        if (NO_RESTART_STATUS.includes(status)) return;
      }
      await new Promise((resolve) => setTimeout(resolve, RESTART_PAUSE_MS));
    }
  }

  /** New credentials there and back. Until the board has agreed, nothing changes here: the old path may yet be good. */
  async #restart() {
    const peer = this.#peer;
    if (!peer) return;
    const offer = withExtensions(await peer.createOffer({ iceRestart: true }));
    let news;
    try {
      news = await this.#signalling.restart(fragment(offer.sdp ?? ''));
    } catch (error) {
      if (!(error instanceof WhepError)) throw error;
      if (error.status === 404) this.#end(new WhepError('gone', 'the board knows the session no more', error));
      else if (error.status === 401) this.#end(error);
      throw error;
    }
    const answer = restarted(this.#answer, news);
    if (answer === null) throw new WhepError('browser', 'the board answered the ICE restart without credentials');
    if (!this.#over) await this.#describe(peer, offer, answer);
  }

  async #noPath() {
    const evidence = await this.#watch?.evidence(offered(this.#answer));
    if (this.#connecting) this.#end(new WhepError('no-path', 'no media connection came about', { evidence }));
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
    this.#watch?.stop();
    this.#candidates?.stop();
    // What the board has ended itself needs no DELETE.
    if (error.failure === 'ended' || error.failure === 'gone') this.#signalling.forget();
    const told = this.#signalling.end();
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
 * Adds STUN and TURN servers, but for those that this browser does not take, which must not cost the others.
 * @param {RTCPeerConnection} peer
 * @param {RTCIceServer[]} servers
 */
function addServers(peer, servers) {
  const configuration = peer.getConfiguration();
  const taken = servers.filter((server) => {
    try {
      new RTCPeerConnection({ iceServers: [server] }).close();
      return true;
    } catch {
      return false;
    }
  });
  peer.setConfiguration({ ...configuration, iceServers: [...(configuration.iceServers ?? []), ...taken] });
}

/**
 * Why the board ends the session, if that is what a message on the control channel says: the `code` of `session.end`, empty where
 * there is none.
 * @param {unknown} data
 */
function goodbye(data) {
  // Every message passes here, pictures too: only the one that it may be is taken apart.
  if (typeof data !== 'string' || !data.includes('session.end')) return null;
  try {
    const { method, params } = JSON.parse(data);
    return method === 'session.end' ? String(params?.code ?? '') : null;
  } catch {
    return null;
  }
}
