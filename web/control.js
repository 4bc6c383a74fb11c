/**
 * The control channel of a session: requests to the board and their answers, its events, and the pictures that it sends. Stands
 * alone, so that other pages can use it. Which requests there are, and what they are good for, does not belong here.
 *
 *     session.connect().catch(console.error);
 *     const control = new Control(session.channel);
 *     control.addEventListener('viewers', ({ params }) => console.log(params.count));
 *     await control.request('camera.select', { camera: 'door' });
 *     const { blob } = await control.snapshot();
 */

/** How long an answer may take before it counts as lost; a camera that is opened for it takes seconds. */
const ANSWER_TIMEOUT_MS = 15_000;

/** How long the next piece of a picture may take. On 1 Mbit/s a piece takes 0.13 s, and video goes first. */
const CHUNK_TIMEOUT_MS = 15_000;

/** The header of a piece; what it holds stands in the protocol. */
const HEADER_BYTES = 12;

/** The version of that header. */
const HEADER_VERSION = 1;

/**
 * @typedef {object} Snapshot
 * @property {Blob} blob
 * @property {number} width
 * @property {number} height
 * @property {string} sha256 Of the content, in hexadecimal digits, as the board has computed it.
 *
 * @typedef {object} PendingRequest A request without an answer.
 * @property {(result: any) => void} resolve
 * @property {(error: Error) => void} reject
 * @property {ReturnType<typeof setTimeout>} timer
 * @property {boolean} snapshot Whether a snapshot follows the result.
 */

/** The board's error: `code` and `data` are those of the protocol. */
export class ControlError extends Error {
  /**
   * @param {string} message
   * @param {number} [code] 0: no answer came.
   * @param {any} [data]
   */
  constructor(message, code = 0, data = null) {
    super(message);
    this.name = 'ControlError';
    this.code = code;
    this.data = data;
  }
}

/** Something that the board tells without being asked; its type is the event's name in the protocol. */
export class BoardEvent extends Event {
  /**
   * @param {string} type
   * @param {any} params
   */
  constructor(type, params) {
    super(type);
    this.params = params;
  }
}

/** Events: those of the protocol, each a BoardEvent; `open` and `close` as the channel does. */
export class Control extends EventTarget {
  #next = 1;
  /** @type {Map<number, PendingRequest>} */
  #pending = new Map();
  /** @type {Transfer | null} */
  #transfer = null;

  /** @param {RTCDataChannel} channel Of a WhepSession, or one labelled `control` of any peer connection with the board. */
  constructor(channel) {
    super();
    this.channel = channel;
    channel.binaryType = 'arraybuffer';
    channel.addEventListener('message', ({ data }) => (typeof data === 'string' ? this.#onText(data) : this.#onChunk(data)));
    channel.addEventListener('open', () => this.dispatchEvent(new Event('open')));
    channel.addEventListener('close', () => this.#onClose());
  }

  /** Whether requests can be sent. */
  get open() {
    return this.channel.readyState === 'open';
  }

  /**
   * @param {string} method
   * @param {object} [params]
   * @returns {Promise<any>} The result; rejects with a ControlError when the board answers with an error, not in time, or goes away.
   */
  request(method, params = {}) {
    return this.#send(method, params, false);
  }

  /**
   * The newest picture in the camera's full size.
   * @param {string} [camera] Its name; otherwise the one that is watched.
   * @returns {Promise<Snapshot>} Rejects as `request` does.
   */
  snapshot(camera) {
    return this.#send('snapshot', camera === undefined ? {} : { camera }, true);
  }

  /**
   * @param {string} method
   * @param {object} params
   * @param {boolean} snapshot Whether a snapshot follows the result.
   * @returns {Promise<any>}
   */
  #send(method, params, snapshot) {
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        reject(new ControlError(`${method}: no answer within ${ANSWER_TIMEOUT_MS / 1000} s`));
      }, ANSWER_TIMEOUT_MS);
      this.#pending.set(id, { resolve, reject, timer, snapshot });
      try {
        this.channel.send(JSON.stringify({ id, method, params }));
      } catch (error) {
        this.#remove(id)?.reject(new ControlError(`${method}: ${error instanceof Error ? error.message : error}`));
      }
    });
  }

  /** @param {string} text */
  #onText(text) {
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return;
    }
    if (typeof message?.method === 'string') {
      this.dispatchEvent(new BoardEvent(message.method, message.params ?? {}));
      return;
    }
    const pending = this.#remove(message?.id);
    if (!pending) return;
    const { error, result } = message;
    if (error !== undefined) pending.reject(new ControlError(String(error?.message ?? error), error?.code, error?.data));
    else if (pending.snapshot) this.#startTransfer(result, pending);
    else pending.resolve(result);
  }

  /**
   * @param {any} description
   * @param {PendingRequest} pending
   */
  #startTransfer(description, pending) {
    // The board sends one picture after another: one that did not end never will.
    this.#transfer?.fail('another picture came in its place');
    this.#transfer = new Transfer(description, pending);
  }

  /** @param {ArrayBuffer} message */
  #onChunk(message) {
    if (this.#transfer?.add(message)) this.#transfer = null;
  }

  #onClose() {
    this.#transfer?.fail('the board closed the channel');
    this.#transfer = null;
    for (const id of [...this.#pending.keys()]) this.#remove(id)?.reject(new ControlError('the board closed the channel'));
    this.dispatchEvent(new Event('close'));
  }

  /** @param {number} id */
  #remove(id) {
    const pending = this.#pending.get(id);
    if (pending) clearTimeout(pending.timer);
    this.#pending.delete(id);
    return pending;
  }
}

/** A picture on its way: pieces in, the whole out. */
class Transfer {
  /** @type {Uint8Array<ArrayBuffer>[]} */
  #chunks = [];
  #bytes = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {{transfer: number, bytes: number, type: string, width: number, height: number, sha256: string}} description
   * @param {PendingRequest} pending
   */
  constructor(description, pending) {
    this.description = description;
    this.pending = pending;
    this.#resetTimer();
  }

  /**
   * @param {ArrayBuffer} message
   * @returns {boolean} Whether nothing more is to come.
   */
  add(message) {
    const { transfer, bytes, type, width, height, sha256 } = this.description;
    if (message.byteLength < HEADER_BYTES) return false;
    const header = new DataView(message);
    if (header.getUint32(0) !== transfer) return false;
    const [index, count, version, media] = [header.getUint16(4), header.getUint16(6), header.getUint8(8), header.getUint8(9)];
    const invalid = version !== HEADER_VERSION || index !== this.#chunks.length || message.byteLength < HEADER_BYTES + media;
    if (invalid) return this.fail(`piece ${index} of ${count} (version ${version}) came where piece ${this.#chunks.length} should`);
    const chunk = new Uint8Array(message, HEADER_BYTES + media);
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes > bytes || (index + 1 === count && this.#bytes < bytes)) {
      return this.fail(`${this.#bytes} bytes came, ${bytes} were announced`);
    }
    this.#resetTimer();
    if (index + 1 < count) return false;
    clearTimeout(this.#timer);
    this.pending.resolve({ blob: new Blob(this.#chunks, { type }), width, height, sha256 });
    return true;
  }

  /**
   * @param {string} reason
   * @returns {true} It is over.
   */
  fail(reason) {
    clearTimeout(this.#timer);
    this.pending.reject(new ControlError(`snapshot: ${reason}`));
    return true;
  }

  #resetTimer() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.fail(`no piece within ${CHUNK_TIMEOUT_MS / 1000} s`), CHUNK_TIMEOUT_MS);
  }
}
