/**
 * Requests to the board over the session's data channel, and their replies: JSON, one message each. Which requests
 * there are, and what they are good for, does not belong here.
 */

/** How long a reply may take before it counts as lost; a reply needs one round trip. */
const REPLY_TIMEOUT_MS = 5_000;

/** Sends `{"id", "method", "params"}` and waits for `{"id", "result"}` or `{"id", "error"}`. */
export class Control {
  #next = 1;
  /** @type {Map<number, {resolve: (result: any) => void, reject: (error: Error) => void, timer: ReturnType<typeof setTimeout>}>} */
  #waiting = new Map();

  /** @param {RTCDataChannel} channel */
  constructor(channel) {
    this.channel = channel;
    channel.addEventListener('message', ({ data }) => this.#receive(data));
    channel.addEventListener('close', () => this.#drop());
  }

  /** Whether requests can be sent. */
  get open() {
    return this.channel.readyState === 'open';
  }

  /**
   * @param {string} method
   * @param {object} [params]
   * @returns {Promise<any>} The result; rejects when the board answers with an error, not in time, or goes away.
   */
  request(method, params = {}) {
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new Error(`${method}: no reply within ${REPLY_TIMEOUT_MS / 1000} s`));
      }, REPLY_TIMEOUT_MS);
      this.#waiting.set(id, { resolve, reject, timer });
      try {
        this.channel.send(JSON.stringify({ id, method, params }));
      } catch (error) {
        this.#take(id)?.reject(error instanceof Error ? error : new Error(String(error)));
      }
    });
  }

  /** @param {unknown} data */
  #receive(data) {
    if (typeof data !== 'string') return;
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    const waiting = this.#take(message?.id);
    if (!waiting) return;
    if ('error' in message) waiting.reject(new Error(String(message.error?.message ?? message.error)));
    else waiting.resolve(message.result);
  }

  #drop() {
    for (const id of [...this.#waiting.keys()]) this.#take(id)?.reject(new Error('the board closed the channel'));
  }

  /** @param {number} id */
  #take(id) {
    const waiting = this.#waiting.get(id);
    if (waiting) clearTimeout(waiting.timer);
    this.#waiting.delete(id);
    return waiting;
  }
}
