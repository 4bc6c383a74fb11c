/**
 * The offset between the board's stream clock and this page's clock, measured over the data channel as in NTP (RFC 5905
 * section 8): four timestamps a sample, and the sample with the shortest round trip counts.
 */

/** @import { Control } from './control.js' */

/** Samples taken at once at the start, so that one slow round trip does not spoil the first values. */
const FIRST_SAMPLES = 5;

/** Pause between later samples. */
const PAUSE_MS = 3_000;

/** How many samples are kept. They span one minute, in which two quartz clocks (each up to 50 ppm off) drift by at most 6 ms. */
const MAX_SAMPLES = 20;

/**
 * @typedef {object} Sample
 * @property {number} offset Board's clock (milliseconds since the Unix epoch) minus `performance.now()`.
 * @property {number} roundTrip Milliseconds; the error of the offset is at most half of it.
 *
 * @typedef {object} CaptureReference A capture time with its RTP timestamp.
 * @property {number} capture Milliseconds since the Unix epoch, on the board's clock.
 * @property {number} rtp
 */

/** Keeps the offset up to date while the control channel is open, until `stop()`. */
export class BoardClock {
  /** @type {Sample[]} */
  #samples = [];
  #stopped = false;
  /** For video, from the latest sample; null if the board does not report it. @type {CaptureReference | null} */
  video = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {Control} control */
  constructor(control) {
    this.control = control;
    if (control.open) this.#sample();
    else control.channel.addEventListener('open', () => this.#sample(), { once: true });
  }

  /** The sample with the shortest round trip; null before the first. @returns {Sample | null} */
  get best() {
    if (this.#samples.length === 0) return null;
    return this.#samples.reduce((best, sample) => (sample.roundTrip < best.roundTrip ? sample : best));
  }

  /** Round trip of the latest sample in milliseconds; null before the first. */
  get roundTrip() {
    return this.#samples.at(-1)?.roundTrip ?? null;
  }

  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  async #sample(left = FIRST_SAMPLES) {
    while (left-- > 0 && !this.#stopped) {
      try {
        const sample = await this.#measure();
        if (sample) this.#samples = [...this.#samples, sample].slice(-MAX_SAMPLES);
      } catch {
        // The board does not support the request, or has just gone away: latency stays unknown.
        break;
      }
    }
    if (!this.#stopped && this.control.open) this.#timer = setTimeout(() => this.#sample(1), PAUSE_MS);
  }

  async #measure() {
    const requestSent = performance.now();
    const { received, sent, video } = await this.control.request('time.sync');
    if (typeof video === 'number') this.video = { capture: sent, rtp: video };
    return sampleFrom(requestSent, received, sent, performance.now());
  }
}

/**
 * @param {number} requestSent When the request was sent, on this page's clock.
 * @param {number} received When the request was received, on the board's clock.
 * @param {number} sent When the response was sent, on the board's clock.
 * @param {number} responseReceived When the response was received, on this page's clock.
 * @returns {Sample | null} Null if the numbers are not plausible.
 */
export function sampleFrom(requestSent, received, sent, responseReceived) {
  const offset = (received - requestSent + (sent - responseReceived)) / 2;
  const roundTrip = responseReceived - requestSent - (sent - received);
  return Number.isFinite(offset) && roundTrip >= 0 ? { offset, roundTrip } : null;
}
