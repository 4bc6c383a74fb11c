/** Statistics of one session: the board's clock, the browser's statistics, latency, and their recent history. */

import { BoardClock } from './clock.js';
import { LatencyMeter } from './latency.js';
import { StatsReader } from './stats.js';
import { TimeSeries } from './time-series.js';

/** @import { Control } from './control.js' */
/** @import { WhepSession } from './whep.js' */

/** Collected from the construction to `stop()`. */
export class SessionStats {
  /** @type {import('./stats.js').Stats | null} */
  stats = null;
  /** @type {LatencyMeter | null} */
  latency = null;
  timeSeries = new TimeSeries();

  /**
   * @param {WhepSession} session
   * @param {RTCPeerConnection} peer The peer connection of the session.
   * @param {Control} control
   */
  constructor(session, peer, control) {
    this.session = session;
    this.peer = peer;
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

  async read() {
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

  stop() {
    this.clock.stop();
    this.latency?.stop();
  }
}
