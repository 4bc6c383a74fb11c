/**
 * Glass-to-glass latency: the time from the capture of a frame on the board to its display here, measured on the frames themselves.
 *
 * It takes two values: the capture time (the `abs-capture-time` header extension, in the board's stream clock, as reported by
 * the receiver's synchronization source; in browsers without it, as the board reports it for an RTP timestamp) and the display
 * time (`requestVideoFrameCallback`). Without either there is no value rather than a wrong one.
 */

/** @import { BoardClock } from './clock.js' */

/** Ticks of the video RTP clock per millisecond (RFC 6184 section 8.2.1: 90 kHz). */
const TICKS_PER_MS = 90;

/** How often the capture time is read from the receiver; in between, RTP timestamps give it exactly. */
const READ_EVERY_MS = 500;

/** Frames that a value is computed from: about 2 s. */
const MAX_FRAMES = 60;

/** Older values say nothing about now: the page was hidden, or no frame arrived. */
const STALE_MS = 3_000;

/** Larger values mean that the clocks do not match; a connection this late would have failed long ago. */
const MAX_PLAUSIBLE_MS = 10_000;

/** The NTP epoch (1900) before the Unix epoch, in milliseconds; a larger timestamp counts from the NTP epoch. */
const NTP_TO_UNIX_MS = 2_208_988_800_000;

/**
 * @typedef {object} Latency
 * @property {number} median Milliseconds, of the last two seconds.
 * @property {number} worst Milliseconds, of the last two seconds.
 * @property {number} error The possible error from the clocks, plus or minus this many milliseconds.
 */

/** Measures a video element from its construction to `stop()`. */
export class LatencyMeter {
  /** @type {number[]} */
  #latencies = [];
  #measuredAt = -Infinity;
  #readAt = -Infinity;
  /** @type {import('./clock.js').CaptureReference | null} */
  #reference = null;
  #stopped = false;

  /**
   * @param {HTMLVideoElement} video
   * @param {RTCRtpReceiver} receiver The receiver of the video track.
   * @param {BoardClock} clock
   */
  constructor(video, receiver, clock) {
    this.video = video;
    this.receiver = receiver;
    this.clock = clock;
    this.#next();
  }

  /** @returns {Latency | null} Null if the browser or the board does not support it, or no frame arrived recently. */
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
      this.#reference = captureTime(this.receiver.getSynchronizationSources()[0]) ?? this.clock.video;
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
 * The capture time of a source in milliseconds since the Unix epoch, with its RTP timestamp.
 * @param {(RTCRtpSynchronizationSource & {captureTimestamp?: number}) | undefined} source
 */
function captureTime(source) {
  if (!source?.captureTimestamp) return null;
  const ntp = source.captureTimestamp > NTP_TO_UNIX_MS;
  return { capture: source.captureTimestamp - (ntp ? NTP_TO_UNIX_MS : 0), rtp: source.rtpTimestamp };
}

/**
 * The distance from `b` to `a`, two 32-bit counters that wrap.
 * @param {number} a
 * @param {number} b
 */
function ticks(a, b) {
  return (a - b) | 0;
}
