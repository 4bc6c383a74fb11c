/**
 * What the browser's statistics say about a session's network path: which candidate pairs were tried, and whether anything still
 * arrives. What follows from it (an ICE restart, a message to the user) is decided elsewhere.
 */

/** @import { RemoteCandidate } from './sdp.js' */

/**
 * How often the statistics are sampled. Frames arrive 30 times and audio packets 50 times a second, and browsers take about 5 s to
 * notice by themselves that they don't.
 */
const SAMPLE_INTERVAL_MS = 500;

/** After this many samples without traffic the connection counts as interrupted. */
const INTERRUPTED_AFTER_SAMPLES = 3;

/** The same while the path is suspected: if the board is asked for a sign of life, it is one sample late at most. */
const SUSPECT_AFTER_SAMPLES = 2;

/** How long the path stays suspected. */
const SUSPECT_MS = 3_000;

/**
 * @typedef {object} IceEndpoint One side of a candidate pair.
 * @property {string} type `host`, `srflx`, `prflx` or `relay`.
 * @property {string} protocol `udp` or `tcp`.
 * @property {string} address Empty if the browser hides it.
 * @property {number} port
 * @property {string} [relayProtocol] How the relay is reached: `udp`, `tcp` or `tls`.
 * @property {string} [url] The STUN or TURN server that it was obtained from.
 *
 * @typedef {object} Pair
 * @property {IceEndpoint} local
 * @property {IceEndpoint} remote
 * @property {string} state `frozen`, `waiting`, `in-progress`, `failed` or `succeeded`.
 * @property {number} sent Connectivity checks sent.
 * @property {number} answered Connectivity checks that the board answered.
 *
 * @typedef {object} ServerError
 * @property {string} url The URL of the STUN or TURN server.
 * @property {number} code As in STUN (RFC 8489 section 14.8); 701: not reached.
 * @property {string} text
 *
 * @typedef {object} Evidence What was tried to establish a media connection.
 * @property {RemoteCandidate[]} offered The board's candidates.
 * @property {IceEndpoint[]} locals This browser's candidates.
 * @property {Pair[]} pairs
 * @property {string[]} servers URLs of STUN and TURN servers in use.
 * @property {ServerError[]} errors Errors of these servers.
 */

/** Samples one peer connection from `start()` to `stop()`. */
export class IceMonitor {
  /** How many samples in a row saw nothing arrive. */
  silentSamples = 0;
  #lastReceived = -1;
  /** In `performance.now()` time. */
  #suspectUntil = 0;
  /** Pairs by id: browsers drop failed ones. @type {Map<string, Pair>} */
  #pairs = new Map();
  /** @type {Map<string, IceEndpoint>} */
  #locals = new Map();
  /** @type {Map<string, ServerError>} */
  #errors = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #stopped = false;

  /**
   * @param {RTCPeerConnection} peer
   * @param {() => void} onSample Called after each sample.
   */
  constructor(peer, onSample) {
    this.peer = peer;
    this.onSample = onSample;
    peer.addEventListener('icecandidateerror', ({ url, errorCode, errorText }) => {
      this.#errors.set(`${url} ${errorCode}`, { url, code: errorCode, text: errorText });
    });
  }

  start() {
    this.#timer = setTimeout(async () => {
      await this.#sample();
      if (this.#stopped) return;
      this.onSample();
      if (!this.#stopped) this.start();
    }, SAMPLE_INTERVAL_MS);
  }

  /** Something hints at a change of network: silence counts sooner for a while. */
  suspect() {
    this.#suspectUntil = performance.now() + SUSPECT_MS;
  }

  /** Whether nothing has arrived for too long. */
  get isInterrupted() {
    const suspected = performance.now() < this.#suspectUntil;
    return this.silentSamples >= (suspected ? SUSPECT_AFTER_SAMPLES : INTERRUPTED_AFTER_SAMPLES);
  }

  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /**
   * @param {RemoteCandidate[]} offered
   * @returns {Promise<Evidence>}
   */
  async evidence(offered) {
    await this.#sample();
    const servers = this.peer.getConfiguration().iceServers?.flatMap(({ urls }) => urls) ?? [];
    const [pairs, locals, errors] = [this.#pairs, this.#locals, this.#errors].map((map) => [...map.values()]);
    return /** @type {Evidence} */ ({ offered, locals, pairs, servers, errors });
  }

  async #sample() {
    const report = /** @type {Map<string, any>} */ (/** @type {unknown} */ (await this.peer.getStats()));
    for (const [id, pair] of candidatePairs(report)) this.#pairs.set(id, pair);
    for (const stat of report.values()) if (stat.type === 'local-candidate') this.#locals.set(stat.id, endpoint(stat));
    const now = receivedCount(report);
    // The count drops when the browser drops a pair, which is no traffic.
    this.silentSamples = now > this.#lastReceived ? 0 : this.silentSamples + 1;
    this.#lastReceived = now;
  }
}

/**
 * Packets and messages received so far; only its growth is meaningful.
 * @param {Map<string, any>} report
 */
export function receivedCount(report) {
  let sum = 0;
  for (const stat of report.values()) {
    if (stat.type === 'inbound-rtp') sum += stat.packetsReceived ?? 0;
    else if (stat.type === 'data-channel') sum += stat.messagesReceived ?? 0;
    else if (stat.type === 'candidate-pair') sum += stat.responsesReceived ?? 0;
  }
  return sum;
}

/**
 * The candidate pairs of a report by id.
 * @param {Map<string, any>} report
 * @returns {Map<string, Pair>}
 */
export function candidatePairs(report) {
  const found = new Map();
  for (const stat of report.values()) {
    if (stat.type !== 'candidate-pair') continue;
    const [local, remote] = [report.get(stat.localCandidateId), report.get(stat.remoteCandidateId)];
    if (!local || !remote) continue;
    found.set(stat.id, {
      local: endpoint(local),
      remote: endpoint(remote),
      state: stat.state ?? '',
      sent: stat.requestsSent ?? 0,
      answered: stat.responsesReceived ?? 0,
    });
  }
  return found;
}

/** @param {any} stat @returns {IceEndpoint} */
function endpoint({ candidateType, protocol, address, ip, port, relayProtocol, url }) {
  return { type: candidateType, protocol, address: address ?? ip ?? '', port: port ?? 0, relayProtocol, url };
}
