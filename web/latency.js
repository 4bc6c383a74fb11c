/**
 * The time from the board taking a frame to this screen showing it, measured on the pictures themselves.
 *
 * Two things are needed: when a frame was taken (the `abs-capture-time` header extension, as the receiver's
 * synchronization source tells it, in the board's stream clock), and when it is shown (`requestVideoFrameCallback`).
 * A browser that has only one of them gets no figure instead of a wrong one.
 */

/** @import { BoardClock } from './clock.js' */

/** Ticks of the video RTP clock in a millisecond (RFC 6184 section 8.2.1: 90 kHz). */
const TICKS_PER_MS = 90;

/** How often the capture time is read from the receiver; between two readings the RTP timestamps tell it exactly. */
const READ_EVERY_MS = 500;

/** Pictures that a figure is made of: about 2 s. */
const MAX_FRAMES = 60;

/** A figure this old says nothing about now: the page was hidden or no frame came. */
const STALE_MS = 3_000;

/** Beyond this the clocks do not belong together; a connection this late would have broken long before. */
const MAX_PLAUSIBLE_MS = 10_000;

/** NTP's epoch (1900) in milliseconds of the Unix epoch's clock, and the space in which a time counts as one of the NTP era. */
const NTP_TO_UNIX_MS = 2_208_988_800_000;

/**
 * @typedef {object} Latency
 * @property {number} median Milliseconds, of the last two seconds.
 * @property {number} worst Milliseconds, of the last two seconds.
 * @property {number} error How wrong the figures may be because of the clocks: plus or minus so many milliseconds.
 */

/** Follows a video element from its making to `stop()`. */
export class LatencyMeter {
  /** @type {number[]} */
  #latencies = [];
  #measuredAt = -Infinity;
  #readAt = -Infinity;
  /** @type {{capture: number, rtp: number} | null} */
  #reference = null;
  #stopped = false;

  /**
   * @param {HTMLVideoElement} video
   * @param {RTCRtpReceiver} receiver The video's.
   * @param {BoardClock} clock
   */
  constructor(video, receiver, clock) {
    this.video = video;
    this.receiver = receiver;
    this.clock = clock;
    this.#next();
  }

  /** @returns {Latency | null} Null when this browser or board does not tell it, or no frame came of late. */
  read() {
    const clock = this.clock.best;
    if (!clock || this.#latencies.length === 0 || performance.now() - this.#measuredAt > STALE_MS) return null;
    const sorted = [...this.#latencies].sort((a, b) => a - b);
    return { median: sorted[sorted.length >> 1], worst: sorted[sorted.length - 1], error: clock.roundTrip / 2 };
  }

  stop() {
    this.#stopped = true;
  }

  #next() {
    this.video.requestVideoFrameCallback?.((now, frame) => {
      if (this.#stopped) return;
      this.#measure(now, frame);
      this.#next();
    });
  }

  /**
   * @param {number} now
   * @param {VideoFrameCallbackMetadata} frame
   */
  #measure(now, frame) {
    if (frame.rtpTimestamp === undefined) return;
    if (now - this.#readAt >= READ_EVERY_MS) {
      this.#readAt = now;
      this.#reference = captureTime(this.receiver.getSynchronizationSources()[0]);
    }
    const clock = this.clock.best;
    if (!clock || !this.#reference) return;
    const captured = this.#reference.capture + ticks(frame.rtpTimestamp, this.#reference.rtp) / TICKS_PER_MS;
    const latency = frame.expectedDisplayTime + clock.offset - captured;
    if (latency < -clock.roundTrip || latency > MAX_PLAUSIBLE_MS) return;
    this.#latencies = [...this.#latencies, Math.max(0, latency)].slice(-MAX_FRAMES);
    this.#measuredAt = now;
  }
}

/**
 * The capture time of a source in milliseconds since the Unix epoch, with the RTP timestamp that it belongs to.
 * @param {(RTCRtpSynchronizationSource & {captureTimestamp?: number}) | undefined} source
 */
function captureTime(source) {
  if (!source?.captureTimestamp) return null;
  const ntp = source.captureTimestamp > NTP_TO_UNIX_MS;
  return { capture: source.captureTimestamp - (ntp ? NTP_TO_UNIX_MS : 0), rtp: source.rtpTimestamp };
}

/**
 * From `b` to `a`, both 32-bit counters that wrap.
 * @param {number} a
 * @param {number} b
 */
function ticks(a, b) {
  return (a - b) | 0;
}
