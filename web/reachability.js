/**
 * Finds out when a board that could not be reached answers again.
 *
 * One HTTP request that waits is of no use for that: its packets are repeated after pauses that double, so it hears of the
 * network's return seconds later. Short requests one after another do not miss it.
 */

/** From one request to the next on average, in milliseconds. */
const INTERVAL_MS = 500;

/** Random share of it, so that the viewers of a restarted board do not all ask at the same moment. */
const JITTER = 0.3;

/** How long each waits for an answer, in milliseconds. With the interval, two of a browser's six connections to a host are left. */
const TIMEOUT_MS = 2_000;

/** How long a board is looked for, in milliseconds: one that is off for hours is not asked twice a second. */
const MAX_MS = 120_000;

/** Asks until anything answers. */
export class Search {
  #requests = new Set();
  #until = performance.now() + MAX_MS;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {string | URL} url
   * @param {() => void} onAnswer Called once, with whatever answer. Not called after `stop()`, or if none came for too long.
   */
  constructor(url, onAnswer) {
    this.url = url;
    this.onAnswer = onAnswer;
    this.#ask();
  }

  stop() {
    clearTimeout(this.#timer);
    this.#until = 0;
    for (const request of this.#requests) request.abort();
  }

  async #ask() {
    if (performance.now() > this.#until) return;
    this.#timer = setTimeout(() => this.#ask(), INTERVAL_MS * (1 + JITTER * (2 * Math.random() - 1)));
    const request = new AbortController();
    this.#requests.add(request);
    const timer = setTimeout(() => request.abort(), TIMEOUT_MS);
    try {
      // Without cookies, and whether this page may read the answer or not.
      await fetch(this.url, { method: 'HEAD', mode: 'no-cors', cache: 'no-store', credentials: 'omit', signal: request.signal });
    } catch {
      return;
    } finally {
      clearTimeout(timer);
      this.#requests.delete(request);
    }
    if (performance.now() > this.#until) return;
    this.stop();
    this.onAnswer();
  }
}
