/**
 * A WHEP viewer: one live session with a camera, signalled over HTTP (draft-ietf-wish-whep).
 *
 * Depends only on the modules that it imports and touches no document, so that other pages can use it. What a page shows,
 * reconnecting, and the contents of the data channel are elsewhere.
 *
 *     const session = new WhepSession('https://board.example/whep');
 *     session.addEventListener('end', ({ error }) => console.log(error.message));
 *     video.srcObject = session.stream;
 *     await session.connect();
 */

import { agreedSender, offerCamera } from './camera-sender.js';
import { EndEvent, endCode } from './end-code.js';
import { IceMonitor } from './ice-diagnostics.js';
import { addServers } from './ice-servers.js';
import { setJitterBufferTarget, enableHeaderExtensions, addHeaderExtensions, askForStereo } from './receiver-hints.js';
import { applyIceRestart, remoteCandidates, sdpFragment } from './sdp.js';
import { Signalling, WhepError } from './signalling.js';
import { CandidateSender } from './trickle.js';

export { EndEvent, WhepError };

/** How long ICE and DTLS may take after the answer. Lost packets are retransmitted several times within it. */
const CONNECT_TIMEOUT_MS = 10_000;

/** After this many samples (0.5 s each) without traffic the board is probed: neither audio nor video need be flowing. */
const PROBE_AFTER_SAMPLES = 1;

/**
 * How long an interrupted connection may take to recover, by itself or through ICE restarts. The board drops a silent viewer after
 * 15 s; the session is useless then.
 */
const HEAL_TIMEOUT_MS = 13_000;

/** Pause after an ICE restart, in which its checks find a path or fail. */
const RESTART_PAUSE_MS = 2_000;

/** HTTP statuses of an ICE restart that will not change: the board does not support it. */
const NO_RESTART_STATUS = [400, 405, 415, 501];

/** A request that every board answers and that changes nothing: the response is a sign of life. */
const PROBE = JSON.stringify({ id: 0, method: 'time.sync', params: {} });

/**
 * How long the media connection may outlive a hang-up. If it were closed at once, the board would often notice that first, end the
 * session, and answer the DELETE with "not found".
 */
const LINGER_MS = 1_000;

/**
 * @typedef {'new' | 'connecting' | 'connected' | 'interrupted' | 'closed'} SessionState
 * `interrupted`: nothing arrives at the moment; it recovers within seconds or the session ends.
 *
 * @typedef {object} Options
 * @property {Record<string, string>} [headers] Additional headers for each request, such as Authorization.
 * @property {RTCIceServer[]} [iceServers] STUN and TURN servers, in addition to those from the board.
 * @property {boolean} [talk] Whether to offer to send audio too. The board's answer decides; see `talkSender`.
 * @property {boolean} [show] Whether to offer to send a camera's picture too; see `cameraSender`.
 *
 * @typedef {object} Timing Times from `performance.now()`, null until reached.
 * @property {number | null} posted The offer was sent.
 * @property {number | null} answered The answer arrived.
 * @property {number | null} connected Media can flow.
 */

/**
 * One session, from the offer to its end; create a new one to reconnect.
 *
 * Events: `state` when `state` changed, `track` when a track was added to `stream`, `end` (an EndEvent) when a connected session
 * ended without `close()`.
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
  /** What may send. @type {{audio?: RTCRtpTransceiver, camera?: RTCRtpTransceiver}} */
  #sending = {};
  /** @type {IceMonitor | null} */
  #monitor = null;
  /** @type {CandidateSender | null} */
  #candidateSender = null;
  /** The board's first answer; later ones differ only in ICE. */
  #answer = '';
  /** @type {Timing} */
  #timing = { posted: null, answered: null, connected: null };
  /** The ICE restart in progress. @type {Promise<void> | null} */
  #restarting = null;
  /** The offer of an ICE restart that the board has not answered yet. @type {RTCSessionDescriptionInit | null} */
  #restartOffer = null;
  /** Whether ICE is being restarted until something arrives again. */
  #healing = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {{resolve: () => void, reject: (error: WhepError) => void} | null} */
  #connecting = null;

  /** Video and audio from the board in one stream; tracks are added as they arrive. */
  stream = new MediaStream();

  /**
   * @param {string | URL} endpoint Where to POST the offer; absolute, or relative to the page.
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
   * Sends audio to the board once it has a track. Null if the session was not created with `talk`, and if the board takes none.
   * @returns {RTCRtpSender | null}
   */
  get talkSender() {
    return agreedSender(this.#sending.audio);
  }

  /** Sends the picture of a camera likewise. Null if not created with `show`, and if the board takes none. */
  get cameraSender() {
    return agreedSender(this.#sending.camera);
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
      return Promise.reject(new WhepError('closed', 'this session has already been used; create a new one'));
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
   * Checks the path to the board, for when the network may have changed. If nothing arrives ICE is restarted, sooner than it would
   * be without a hint; a path that works is left alone.
   */
  checkPath() {
    if (this.#state !== 'connected') return;
    this.#monitor?.suspect();
    this.#probe();
  }

  /**
   * Looks for another path to the board through an ICE restart, for when the network has changed for certain: some packets are lost.
   * @returns {Promise<void>} Resolves when the board has answered, or was not reached.
   */
  async restart() {
    if (this.#state !== 'connected' && this.#state !== 'interrupted') return;
    this.#restarting ??= this.#restart().finally(() => (this.#restarting = null));
    await this.#restarting.catch(() => {
      // The old path may still work; if not, sampling will notice.
    });
  }

  /**
   * Ends the session here and on the board. May be called at any time.
   * @param {{leaving?: boolean}} [how] `leaving`: the page is being unloaded, so nothing can be waited for.
   * @returns {Promise<void>} Resolves when the board has been notified, or could not be.
   */
  close({ leaving = false } = {}) {
    return this.#end(new WhepError('closed', 'closed by the viewer'), leaving ? 0 : LINGER_MS);
  }

  get #closed() {
    return this.#state === 'closed';
  }

  /**
   * Sends the offer and applies the answer. Nothing delays the POST that it does not need: the wait for video starts here.
   * Candidates are gathered from `setLocalDescription` on, by then with the STUN and TURN servers of the answer.
   */
  async #signal() {
    const peer = this.#createPeer();
    const offer = askForStereo(addHeaderExtensions(await peer.createOffer()));
    if (this.#closed) return;
    this.#timing.posted = performance.now();
    const { answer, iceServers } = await this.#signalling.offer(offer.sdp ?? '');
    if (this.#closed) {
      // Hung up while the offer was in flight: the board must not keep a session that nobody watches.
      await this.#signalling.end();
      return;
    }
    this.#timing.answered = performance.now();
    this.#answer = answer;
    this.#timer = setTimeout(() => this.#noPath(), CONNECT_TIMEOUT_MS);
    if (iceServers.length > 0) addServers(peer, iceServers);
    await this.#applyDescriptions(peer, offer, answer);
    this.#monitor?.start();
    // DTLS's close alert reports a clean end at once, even if the data channel never opened.
    peer.sctp?.transport.addEventListener('statechange', () => {
      if (peer.sctp?.transport.state === 'closed') this.#end(new WhepError('ended', 'the board ended the session'));
    });
  }

  /**
   * Applies both descriptions, and sends this browser's candidates as they are gathered.
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
    if (typeof RTCPeerConnection === 'undefined') {
      throw new WhepError('browser', 'this browser has no WebRTC, or a setting or an extension has turned it off', { reason: 'no-webrtc' });
    }
    const peer = new RTCPeerConnection({ iceServers: this.#options.iceServers ?? [] });
    this.#peer = peer;
    this.#monitor = new IceMonitor(peer, () => this.#onSample());
    const video = peer.addTransceiver('video', { direction: 'recvonly' });
    const audio = peer.addTransceiver('audio', { direction: this.#options.talk ? 'sendrecv' : 'recvonly' });
    this.#sending = { audio, camera: this.#options.show ? offerCamera(peer) : undefined };
    for (const transceiver of [video, audio]) setJitterBufferTarget(enableHeaderExtensions(transceiver).receiver, 0);
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
      if (this.#monitor?.isInterrupted) this.#interrupt();
      else if (silentSamples >= PROBE_AFTER_SAMPLES) this.#probe();
    }
  }

  #probe() {
    if (this.#channel?.readyState === 'open') this.#channel.send(PROBE);
  }

  /** Nothing arrives any more: restarts ICE until something does, or time is up. */
  async #interrupt() {
    if (this.#state !== 'connected') return;
    this.#setState('interrupted');
    this.#timer = setTimeout(() => this.#end(new WhepError('lost', 'the connection was lost')), HEAL_TIMEOUT_MS);
    // A session that flaps is interrupted again while the loop of the last interruption still pauses; that one goes on.
    if (this.#healing) return;
    this.#healing = true;
    try {
      while (this.state === 'interrupted') {
        this.#restarting ??= this.#restart().finally(() => (this.#restarting = null));
        await this.#restarting.catch((error) => {
          if (error instanceof WhepError && NO_RESTART_STATUS.includes(error.status)) throw error;
        });
        await new Promise((resolve) => setTimeout(resolve, RESTART_PAUSE_MS));
      }
    } catch {
      // The board does not support it: the old path recovers, or time is up.
    }
    this.#healing = false;
  }

  /** Exchanges credentials. Nothing changes here until the board has agreed: the old path may still work. */
  async #restart() {
    const peer = this.#peer;
    if (!peer) return;
    // The board may have taken credentials whose answer was lost; others would make it start over, and drop the path again.
    const offer = (this.#restartOffer ??= askForStereo(addHeaderExtensions(await peer.createOffer({ iceRestart: true }))));
    let fragment;
    try {
      fragment = await this.#signalling.restart(sdpFragment(offer.sdp ?? ''));
    } catch (error) {
      if (!(error instanceof WhepError)) throw error;
      if (error.status === 404) this.#end(new WhepError('gone', 'the board no longer knows the session', error));
      else if (error.status === 401) this.#end(error);
      throw error;
    }
    this.#restartOffer = null;
    const answer = applyIceRestart(this.#answer, fragment);
    if (answer === null) throw new WhepError('browser', 'the board answered the ICE restart without credentials');
    if (!this.#closed) await this.#applyDescriptions(peer, offer, answer);
  }

  async #noPath() {
    const evidence = await this.#monitor?.evidence(remoteCandidates(this.#answer));
    if (this.#connecting) this.#end(new WhepError('no-path', 'no media connection was established', { evidence }));
  }

  /**
   * @param {WhepError} error
   * @param {number} [linger] How many milliseconds the peer connection waits for the response to the DELETE.
   * @returns {Promise<void>} Resolves when the board has been notified.
   */
  #end(error, linger = 0) {
    if (this.#closed) return Promise.resolve();
    const connecting = this.#connecting;
    this.#connecting = null;
    clearTimeout(this.#timer);
    this.#setState('closed');
    this.#monitor?.stop();
    this.#candidateSender?.stop();
    // A session that the board has ended needs no DELETE.
    if (error.failure === 'ended' || error.failure === 'gone') this.#signalling.forget();
    const ended = this.#signalling.end();
    const peer = this.#peer;
    if (linger === 0) peer?.close();
    else Promise.race([ended, new Promise((resolve) => setTimeout(resolve, linger))]).then(() => peer?.close());
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
