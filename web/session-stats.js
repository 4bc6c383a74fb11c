/** What measures one session: the board's clock, the browser's statistics, the pictures' latency, and how they were of late. */

import { BoardClock } from './clock.js';
import { TimeSeries } from './time-series.js';
import { LatencyMeter } from './latency.js';
import { StatsReader } from './stats.js';

/** @import { Control } from './control.js' */
/** @import { WhepSession } from './whep.js' */

/** From the making of a session to `stop()`. */
export class SessionStats {
  /** @type {import('./stats.js').Stats | null} */
  stats = null;
  /** @type {LatencyMeter | null} */
  latency = null;
  timeSeries = new TimeSeries();

  /**
   * @param {WhepSession} session
   * @param {RTCPeerConnection} peer The session's.
   * @param {Control} control
   */
  constructor(session, peer, control) {
    this.session = session;
    this.peer = peer;
    this.clock = new BoardClock(control);
    this.reader = new StatsReader(peer);
  }

  /**
   * Pictures have begun to come.
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
