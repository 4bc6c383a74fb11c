/**
 * What the browser's statistics tell about a session's way through the network: which pairs of addresses were tried, and
 * whether anything still comes. What is made of it (an ICE restart, words for a person) does not belong here.
 */

/** @import { RemoteCandidate } from './sdp.js' */

/**
 * How often the statistics are read. Three silentSamples looks are an interrupted connection: a picture comes 30 times and sound
 * 50 times a second, and the browser itself says so only after some 5 s.
 */
const SAMPLE_INTERVAL_MS = 500;

/**
 * @typedef {object} IceEndpoint One side of a pair.
 * @property {string} type `host`, `srflx`, `prflx` or `relay`.
 * @property {string} protocol `udp` or `tcp`.
 * @property {string} address Empty where the browser keeps it to itself.
 * @property {number} port
 * @property {string} [relayProtocol] How the relay is reached: `udp`, `tcp` or `tls`.
 * @property {string} [url] The server that it was found through.
 *
 * @typedef {object} Pair
 * @property {IceEndpoint} local
 * @property {IceEndpoint} remote
 * @property {string} state `frozen`, `waiting`, `in-progress`, `failed` or `succeeded`.
 * @property {number} sent Connectivity checks sent.
 * @property {number} answered Connectivity checks answered by the board.
 *
 * @typedef {object} ServerError
 * @property {string} url Of the STUN or TURN server.
 * @property {number} code As in STUN (RFC 8489 section 14.8); 701: not reached.
 * @property {string} text
 *
 * @typedef {object} Evidence What was tried for a media connection.
 * @property {RemoteCandidate[]} offered The board's candidates.
 * @property {IceEndpoint[]} locals This browser's candidates.
 * @property {Pair[]} pairs
 * @property {string[]} servers URLs of STUN and TURN servers in use.
 * @property {ServerError[]} errors Of these servers.
 */

/** Looks at one peer connection from `start` to `stop`. */
export class IceMonitor {
  /** How many looks in a row saw nothing arrive. */
  silentSamples = 0;
  #lastReceived = -1;
  /** Pairs by their id: browsers forget those that failed. @type {Map<string, Pair>} */
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
   * @param {() => void} onSample Called after each look.
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
    // A pair that the browser forgets makes it fewer, which is no sign of life.
    this.silentSamples = now > this.#lastReceived ? 0 : this.silentSamples + 1;
    this.#lastReceived = now;
  }
}

/**
 * Everything that has arrived so far, counted in packets and messages; only whether it grows means anything.
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
 * The pairs of a report by their ids.
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
