/** Statistics of one session: the board's clock, the browser's statistics, latency, and their recent history. */

import { BoardClock } from './clock.js';
import { LatencyMeter } from './latency.js';
import { StatsReader } from './stats.js';
import { TimeSeries } from './time-series.js';

/** @import { Control } from './control.js' */
/** @import { WhepSession } from './whep.js' */

/** How often the board is asked what it knows of the connection, in milliseconds: its estimate changes slowly. */
const OWN_INTERVAL_MS = 2_000;

/** How often the board is told how late the picture is, in milliseconds: it cuts a delay that stays grown for 2 s. */
const REPORT_INTERVAL_MS = 2_000;

/**
 * @typedef {object} OwnSession What the board sends, and knows of the connection.
 * @property {'main' | 'small'} rendition
 * @property {'all' | 'base'} [layers] Which frames of it.
 * @property {number | null} estimate What the network carries, in bit/s.
 * @property {number} [skips] How often it was skipped to the live edge.
 * @property {number} [left_out] Frames that were left out for the network.
 */

/** Collected from the construction to `stop()`. */
export class SessionStats {
  /** @type {import('./stats.js').Stats | null} */
  stats = null;
  /** @type {LatencyMeter | null} */
  latency = null;
  timeSeries = new TimeSeries();
  /** @type {OwnSession | null} */
  own = null;
  #ownAskedAt = -Infinity;
  #reportedAt = -Infinity;
  /** @type {number | undefined} */
  #reported;

  /**
   * @param {WhepSession} session
   * @param {RTCPeerConnection} peer The peer connection of the session.
   * @param {Control} control
   */
  constructor(session, peer, control) {
    this.session = session;
    this.peer = peer;
    this.control = control;
    this.clock = new BoardClock(control);
    this.reader = new StatsReader(peer);
  }

  /**
   * Media has started to arrive.
   * @param {HTMLVideoElement} video
   */
  watch(video) {
    const receiver = this.peer.getReceivers().find(({ track }) => track.kind === 'video');
    if (receiver) this.latency ??= new LatencyMeter(video, receiver, this.clock);
  }

  /** @param {boolean} detailed Whether to ask the board, too, what it knows of the connection. */
  async read(detailed) {
    if (detailed) this.#readOwn();
    this.#report(this.latency?.read()?.median);
    this.stats = await this.reader.read();
    const { video, roundTrip } = this.stats;
    this.timeSeries.push({
      latency: this.latency?.read()?.median,
      fps: video?.fps,
      'video-bitrate': video?.bitrate,
      'round-trip': roundTrip ?? this.clock.roundTrip,
      loss: video?.lossPercent,
      'jitter-buffer': video?.jitterBuffer,
    });
  }

  /** Asks the board what it knows of the connection, if that was some time ago. */
  async #readOwn() {
    const now = performance.now();
    if (now - this.#ownAskedAt < OWN_INTERVAL_MS) return;
    this.#ownAskedAt = now;
    // An older board does not know the request, and another one may be gone.
    this.own = await this.control.request('session.status').catch(() => null);
  }

  /**
   * Tells the board how late the picture is, now and then, and when that is no longer known.
   * @param {number} [latency] Milliseconds.
   */
  #report(latency) {
    const now = performance.now();
    const isKnown = latency !== undefined;
    if (now - this.#reportedAt < REPORT_INTERVAL_MS || (!isKnown && this.#reported === undefined) || !this.control.open) return;
    this.#reportedAt = now;
    this.#reported = latency;
    // An older board does not know the request, and another one may be gone.
    this.control.request('session.report', isKnown ? { delay: Math.round(latency) } : {}).catch(() => {});
  }

  stop() {
    this.clock.stop();
    this.latency?.stop();
  }
}

/**
 * How long a session took to start, in milliseconds since the offer was sent; null for what has not happened.
 * @param {Readonly<import('./whep.js').Timing> | undefined} timing Undefined without a session.
 * @param {number | null} firstFrameAt
 */
export function setupTimes(timing, firstFrameAt) {
  const { posted, answered, connected } = timing ?? { posted: null, answered: null, connected: null };
  const since = (/** @type {number | null} */ at) => (at === null || posted === null ? null : at - posted);
  return { answered: since(answered), connected: since(connected), firstFrame: since(firstFrameAt) };
}
