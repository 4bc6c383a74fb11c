/** Statistics of a session, computed from the browser's reports. Numbers only; formatting is elsewhere. */

/** The window for packet loss: long enough that one lost packet is a small share, short enough to describe the present. */
const LOSS_WINDOW_MS = 10_000;

/**
 * @typedef {object} MediaStats Null where the browser does not report a value.
 * @property {string | null} codec Such as `H264` or `opus`.
 * @property {number | null} bitrate Bits per second.
 * @property {number | null} packetsLost Since the session started.
 * @property {number | null} lossPercent Over the last 10 s.
 * @property {number | null} jitterBuffer Mean time that media waited before decoding, in milliseconds.
 *
 * @typedef {object} VideoStats
 * @property {number | null} width
 * @property {number | null} height
 * @property {number | null} fps Decoded frames per second.
 * @property {number | null} framesDecoded
 * @property {number | null} framesDropped
 * @property {number | null} keyFramesDecoded
 *
 * @typedef {object} AudioStats
 * @property {number | null} level At the moment, 0 to 1.
 * @property {number | null} energy Sum since the session started.
 *
 * @typedef {object} Stats
 * @property {MediaStats & VideoStats | null} video
 * @property {MediaStats & AudioStats | null} audio
 * @property {number | null} roundTrip Milliseconds.
 * @property {string | null} path Protocol, remote address and candidate type of the media connection.
 * @property {string | null} local The same for this device; for `relay`, with the transport to the relay.
 */

/** Reads one peer connection; rates cover the time since the previous reading. */
export class StatsReader {
  /** @type {{at: number, report: Map<string, any>}[]} */
  #reports = [];

  /** @param {RTCPeerConnection} peer */
  constructor(peer) {
    this.peer = peer;
  }

  /** @returns {Promise<Stats>} */
  async read() {
    const report = /** @type {Map<string, any>} */ (/** @type {unknown} */ (await this.peer.getStats()));
    const now = { at: performance.now(), report };
    const last = this.#reports.at(-1);
    this.#reports = this.#reports.filter(({ at }) => now.at - at <= LOSS_WINDOW_MS);
    const window = this.#reports.map(({ report }) => report);
    this.#reports.push(now);
    return summarize(report, last?.report, window);
  }
}

/**
 * @param {Map<string, any>} now
 * @param {Map<string, any>} [last] The previous report.
 * @param {Map<string, any>[]} [window] The reports in the window for packet loss, the oldest first.
 * @returns {Stats}
 */
export function summarize(now, last, window = []) {
  const all = [...now.values()];
  const inbound = (/** @type {string} */ kind) => all.find((s) => s.type === 'inbound-rtp' && s.kind === kind);
  const [video, audio] = [inbound('video'), inbound('audio')];
  const pair = selectedPair(now, all);
  const [remote, local] = [now.get(pair?.remoteCandidateId), now.get(pair?.localCandidateId)];
  return {
    video: video ? {
      ...media(video, now, last, window),
      width: video.frameWidth ?? null,
      height: video.frameHeight ?? null,
      fps: rate(video, last, 'framesDecoded'),
      framesDecoded: video.framesDecoded ?? null,
      framesDropped: video.framesDropped ?? null,
      keyFramesDecoded: video.keyFramesDecoded ?? null,
    } : null,
    audio: audio ? {
      ...media(audio, now, last, window),
      level: audio.audioLevel ?? null,
      energy: audio.totalAudioEnergy ?? null,
    } : null,
    roundTrip: pair?.currentRoundTripTime === undefined ? null : pair.currentRoundTripTime * 1000,
    path: endpoint(remote),
    local: endpoint(local),
  };
}

/** @param {any} candidate */
function endpoint(candidate) {
  if (!candidate) return null;
  const { protocol, address, port, candidateType, relayProtocol } = candidate;
  // Browsers hide their own address unless the page may use the microphone.
  const socket = address ? `${address.includes(':') ? `[${address}]` : address}:${port}` : '';
  return [protocol, socket, candidateType, relayProtocol && `(${relayProtocol})`].filter(Boolean).join(' ');
}

/**
 * @param {any} inbound
 * @param {Map<string, any>} now
 * @param {Map<string, any> | undefined} last
 * @param {Map<string, any>[]} window
 * @returns {MediaStats}
 */
function media(inbound, now, last, window) {
  // The first reports may be older than the stream, which has no entry in them.
  const oldest = window.find((report) => report.has(inbound.id));
  const bytes = rate(inbound, last, 'bytesReceived');
  const lost = difference(inbound, oldest, 'packetsLost') ?? 0;
  const received = difference(inbound, oldest, 'packetsReceived');
  const emitted = difference(inbound, last, 'jitterBufferEmittedCount');
  const delay = difference(inbound, last, 'jitterBufferDelay');
  return {
    codec: now.get(inbound.codecId)?.mimeType?.split('/')[1] ?? null,
    bitrate: bytes === null ? null : bytes * 8,
    packetsLost: inbound.packetsLost ?? null,
    // Reordered packets can make the difference negative for a moment.
    lossPercent: received === null || received + lost <= 0 ? null : (Math.max(0, lost) / (received + lost)) * 100,
    jitterBuffer: emitted && delay !== null ? (delay / emitted) * 1000 : null,
  };
}

/**
 * @param {any} stat
 * @param {Map<string, any> | undefined} before
 * @param {string} key
 */
function difference(stat, before, key) {
  const old = before?.get(stat.id)?.[key];
  return old === undefined || stat[key] === undefined ? null : stat[key] - old;
}

/**
 * The change per second.
 * @param {any} stat
 * @param {Map<string, any> | undefined} before
 * @param {string} key
 */
function rate(stat, before, key) {
  const span = difference(stat, before, 'timestamp');
  const amount = difference(stat, before, key);
  return span && amount !== null ? (amount / span) * 1000 : null;
}

/**
 * The selected candidate pair. Firefox has no transport statistics and marks the pair itself.
 * @param {Map<string, any>} report
 * @param {any[]} all
 */
function selectedPair(report, all) {
  const transport = all.find((s) => s.type === 'transport' && s.selectedCandidatePairId);
  return transport ? report.get(transport.selectedCandidatePairId) : all.find((s) => s.type === 'candidate-pair' && s.selected);
}
