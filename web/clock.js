/**
 * How far the board's stream clock is from this page's clock, measured over the data channel as NTP does it (RFC 5905
 * section 8): four timestamps, and of many samples the one with the shortest round trip is believed.
 */

/** @import { Control } from './control.js' */

/** Samples at once in the beginning, so that one slow round trip does not spoil the first figures. */
const FIRST_SAMPLES = 5;

/** Pause between samples after that. */
const PAUSE_MS = 3_000;

/** Samples that are looked at. One minute: two quartz clocks (each up to 50 ppm off) part by at most 6 ms in it. */
const MAX_SAMPLES = 20;

/**
 * @typedef {object} Sample
 * @property {number} offset Board's clock (milliseconds since the Unix epoch) minus `performance.now()`.
 * @property {number} roundTrip Milliseconds; the offset is wrong by at most half of it.
 */

/** Keeps the offset up to date from the opening of a control channel to `stop()`. */
export class BoardClock {
  /** @type {Sample[]} */
  #samples = [];
  #stopped = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {Control} control */
  constructor(control) {
    this.control = control;
    if (control.open) this.#sample();
    else control.channel.addEventListener('open', () => this.#sample(), { once: true });
  }

  /** The sample of least round trip, null while there is none. @returns {Sample | null} */
  get best() {
    if (this.#samples.length === 0) return null;
    return this.#samples.reduce((best, sample) => (sample.roundTrip < best.roundTrip ? sample : best));
  }

  /** Round trip of the newest sample in milliseconds, null while there is none. */
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
        // A board without this request, or one that has just gone away: the latency stays unknown.
        break;
      }
    }
    if (!this.#stopped && this.control.open) this.#timer = setTimeout(() => this.#sample(1), PAUSE_MS);
  }

  async #measure() {
    const requestSent = performance.now();
    const { received, sent } = await this.control.request('time.sync');
    return sampleFrom(requestSent, received, sent, performance.now());
  }
}

/**
 * @param {number} requestSent Here, request out.
 * @param {number} received There, request in.
 * @param {number} sent There, reply out.
 * @param {number} responseReceived Here, reply in.
 * @returns {Sample | null} Null when the figures are no figures.
 */
export function sampleFrom(requestSent, received, sent, responseReceived) {
  const offset = (received - requestSent + (sent - responseReceived)) / 2;
  const roundTrip = responseReceived - requestSent - (sent - received);
  return Number.isFinite(offset) && roundTrip >= 0 ? { offset, roundTrip } : null;
}
