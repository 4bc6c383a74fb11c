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

import { IceMonitor } from './ice-diagnostics.js';
import { setJitterBufferTarget, enableHeaderExtensions, addHeaderExtensions } from './receiver-hints.js';
import { applyIceRestart, remoteCandidates, sdpFragment } from './sdp.js';
import { Signalling, WhepError } from './signalling.js';
import { CandidateSender } from './trickle.js';

export { WhepError };

/** How long ICE and DTLS may take once the answer is here. Lost first packets are repeated several times within it. */
const CONNECT_TIMEOUT_MS = 10_000;

/** After this many silentSamples looks (0.5 s each) the board is asked for a sign of life: neither sound nor pictures need to flow. */
const PROBE_AFTER_SAMPLES = 1;

/** After this many silentSamples looks the connection counts as interrupted, and another path is looked for. */
const INTERRUPTED_AFTER_SAMPLES = 3;

/**
 * How long an interrupted connection may take to heal, by itself or by ICE restarts. The board gives a silentSamples viewer up after
 * 15 s; its session is good for nothing then.
 */
const HEAL_TIMEOUT_MS = 13_000;

/** Pause after an ICE restart, in which its checks find a path or find none. */
const RESTART_PAUSE_MS = 2_000;

/** Answers to an ICE restart that another one will not change: the board does not know what is asked. */
const NO_RESTART_STATUS = [400, 405, 415, 501];

/** A request that every board answers and that changes nothing: its answer is the sign of life. */
const PROBE = JSON.stringify({ id: 0, method: 'time.sync', params: {} });

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
  /** @type {IceMonitor | null} */
  #monitor = null;
  /** @type {CandidateSender | null} */
  #candidateSender = null;
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
   * How long received media is buffered before it is played, where the browser allows it: more is smoother. Starts at 0.
   * @param {number} milliseconds
   */
  setJitterBufferTarget(milliseconds) {
    for (const receiver of this.#peer?.getReceivers() ?? []) setJitterBufferTarget(receiver, milliseconds);
  }

  /**
   * The former name of `setJitterBufferTarget`.
   * @deprecated
   * @param {number} milliseconds
   */
  hold(milliseconds) {
    this.setJitterBufferTarget(milliseconds);
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
      this.#setState('connecting');
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

  get #closed() {
    return this.#state === 'closed';
  }

  /**
   * Offer out, answer in. Nothing is awaited before the POST that is not needed for it: the wait for the picture begins
   * here. Addresses are gathered from `setLocalDescription` on, by then with the STUN and TURN servers of the answer.
   */
  async #signal() {
    const peer = this.#createPeer();
    const offer = addHeaderExtensions(await peer.createOffer());
    if (this.#closed) return;
    this.#timing.posted = performance.now();
    const { answer, iceServers } = await this.#signalling.offer(offer.sdp ?? '');
    if (this.#closed) {
      // Hung up while the offer was under way: the board must not keep what nobody watches.
      await this.#signalling.end();
      return;
    }
    this.#timing.answered = performance.now();
    this.#answer = answer;
    this.#timer = setTimeout(() => this.#noPath(), CONNECT_TIMEOUT_MS);
    if (iceServers.length > 0) addServers(peer, iceServers);
    await this.#applyDescriptions(peer, offer, answer);
    this.#monitor?.start();
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
  async #applyDescriptions(peer, offer, answer) {
    this.#candidateSender?.stop();
    this.#candidateSender = new CandidateSender(peer, async (text) => !this.#closed && this.#signalling.trickle(text));
    if (!this.#signalling.supportsTrickle) this.#candidateSender.stop();
    await peer.setLocalDescription(offer);
    await peer.setRemoteDescription({ type: 'answer', sdp: answer });
  }

  /** @returns {RTCPeerConnection} */
  #createPeer() {
    const peer = new RTCPeerConnection({ iceServers: this.#options.iceServers ?? [] });
    this.#peer = peer;
    this.#monitor = new IceMonitor(peer, () => this.#onSample());
    for (const kind of ['video', 'audio']) {
      const { receiver } = enableHeaderExtensions(peer.addTransceiver(kind, { direction: 'recvonly' }));
      setJitterBufferTarget(receiver, 0);
    }
    this.#channel = peer.createDataChannel('control', { ordered: true });
    this.#channel.addEventListener('message', ({ data }) => {
      const reason = endCode(data);
      if (reason !== null) this.#end(new WhepError('ended', 'the board ended the session', { reason }));
    });
    this.#channel.addEventListener('close', () => this.#end(new WhepError('ended', 'the board ended the session')));
    peer.addEventListener('track', ({ track }) => {
      this.stream.addTrack(track);
      this.dispatchEvent(new Event('track'));
    });
    peer.addEventListener('connectionstatechange', () => this.#onConnectionState(peer.connectionState));
    return peer;
  }

  /** @param {RTCPeerConnectionState} state */
  #onConnectionState(state) {
    if (state === 'connected' && this.#connecting) {
      clearTimeout(this.#timer);
      this.#timing.connected ??= performance.now();
      this.#setState('connected');
      this.#connecting?.resolve();
      this.#connecting = null;
    } else if (state === 'disconnected' || state === 'failed') {
      if (!this.#connecting) this.#interrupt();
      else if (state === 'failed') this.#noPath();
    }
  }

  #onSample() {
    const silentSamples = this.#monitor?.silentSamples ?? 0;
    if (this.#state === 'interrupted' && silentSamples === 0) {
      clearTimeout(this.#timer);
      this.#setState('connected');
    } else if (this.#state === 'connected') {
      if (silentSamples >= INTERRUPTED_AFTER_SAMPLES) this.#interrupt();
      else if (silentSamples >= PROBE_AFTER_SAMPLES && this.#channel?.readyState === 'open') this.#channel.send(PROBE);
    }
  }

  /** Nothing comes any more: one ICE restart after another until something does, or the time is over. */
  async #interrupt() {
    if (this.#state !== 'connected') return;
    this.#setState('interrupted');
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
    const offer = addHeaderExtensions(await peer.createOffer({ iceRestart: true }));
    let fragment;
    try {
      fragment = await this.#signalling.restart(sdpFragment(offer.sdp ?? ''));
    } catch (error) {
      if (!(error instanceof WhepError)) throw error;
      if (error.status === 404) this.#end(new WhepError('gone', 'the board knows the session no more', error));
      else if (error.status === 401) this.#end(error);
      throw error;
    }
    const answer = applyIceRestart(this.#answer, fragment);
    if (answer === null) throw new WhepError('browser', 'the board answered the ICE restart without credentials');
    if (!this.#closed) await this.#applyDescriptions(peer, offer, answer);
  }

  async #noPath() {
    const evidence = await this.#monitor?.evidence(remoteCandidates(this.#answer));
    if (this.#connecting) this.#end(new WhepError('no-path', 'no media connection came about', { evidence }));
  }

  /**
   * @param {WhepError} error
   * @param {number} [goodbye] For how many milliseconds the peer connection waits for the board's answer to the DELETE.
   * @returns {Promise<void>} Resolves when the board has been told.
   */
  #end(error, goodbye = 0) {
    if (this.#closed) return Promise.resolve();
    const connecting = this.#connecting;
    this.#connecting = null;
    clearTimeout(this.#timer);
    this.#setState('closed');
    this.#monitor?.stop();
    this.#candidateSender?.stop();
    // What the board has ended itself needs no DELETE.
    if (error.failure === 'ended' || error.failure === 'gone') this.#signalling.forget();
    const ended = this.#signalling.end();
    const peer = this.#peer;
    if (goodbye === 0) peer?.close();
    else Promise.race([ended, new Promise((resolve) => setTimeout(resolve, goodbye))]).then(() => peer?.close());
    if (connecting) connecting.reject(error);
    else if (error.failure !== 'closed') this.dispatchEvent(new EndEvent(error));
    return ended;
  }

  /** @param {SessionState} state */
  #setState(state) {
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
  const accepted = servers.filter((server) => {
    try {
      new RTCPeerConnection({ iceServers: [server] }).close();
      return true;
    } catch {
      return false;
    }
  });
  peer.setConfiguration({ ...configuration, iceServers: [...(configuration.iceServers ?? []), ...accepted] });
}

/**
 * Why the board ends the session, if that is what a message on the control channel says: the `code` of `session.end`, empty where
 * there is none.
 * @param {unknown} data
 */
function endCode(data) {
  // Every message passes here, pictures too: only the one that it may be is taken apart.
  if (typeof data !== 'string' || !data.includes('session.end')) return null;
  try {
    const { method, params } = JSON.parse(data);
    return method === 'session.end' ? String(params?.code ?? '') : null;
  } catch {
    return null;
  }
}
