/**
 * The control channel of a session: requests and responses, events, and snapshots. Has no dependencies, so that other pages can
 * use it. Which methods there are is defined by the protocol.
 *
 *     session.connect().catch(console.error);
 *     const control = new Control(session.channel);
 *     control.addEventListener('viewers', ({ params }) => console.log(params.count));
 *     await control.request('camera.select', { camera: 'door' });
 *     const { blob } = await control.snapshot();
 */

/** How long a response may take before it counts as lost; opening a camera takes seconds. */
const ANSWER_TIMEOUT_MS = 15_000;

/** How long the next chunk of a snapshot may take. At 1 Mbit/s a chunk takes 0.13 s, and video goes first. */
const CHUNK_TIMEOUT_MS = 15_000;

/** The size of a chunk's header; the protocol describes it. */
const HEADER_BYTES = 12;

/** The version of the chunk header. */
const HEADER_VERSION = 1;

/**
 * @typedef {object} Snapshot
 * @property {Blob} blob
 * @property {number} width
 * @property {number} height
 * @property {string} sha256 Of the content, as computed by the board, in hexadecimal.
 *
 * @typedef {object} PendingRequest A request without a response.
 * @property {(result: any) => void} resolve
 * @property {(error: Error) => void} reject
 * @property {ReturnType<typeof setTimeout>} timer
 * @property {boolean} snapshot Whether a snapshot follows the result.
 */

/** An error from the board: `code` and `data` as in the protocol. */
export class ControlError extends Error {
  /**
   * @param {string} message
   * @param {number} [code] 0 if no response arrived.
   * @param {any} [data]
   */
  constructor(message, code = 0, data = null) {
    super(message);
    this.name = 'ControlError';
    this.code = code;
    this.data = data;
  }
}

/** An event from the board; its type is the event's name in the protocol. */
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

/** Events: those of the protocol, each a BoardEvent; `open` and `close` as on the channel. */
export class Control extends EventTarget {
  #next = 1;
  /** @type {Map<number, PendingRequest>} */
  #pending = new Map();
  /** @type {Transfer | null} */
  #transfer = null;

  /** @param {RTCDataChannel} channel The channel of a WhepSession, or one labelled `control` on any peer connection with the board. */
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
   * @returns {Promise<any>} The result; rejects with a ControlError if the board answers with an error, too late, or goes away.
   */
  request(method, params = {}) {
    return this.#send(method, params, false);
  }

  /**
   * Takes a snapshot at the camera's full resolution.
   * @param {string} [camera] The current camera if omitted.
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
    // The board sends one snapshot after another: an unfinished one will never be finished.
    this.#transfer?.fail('superseded by another snapshot');
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

/** A snapshot being received in chunks. */
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
   * @returns {boolean} Whether the transfer is over.
   */
  add(message) {
    const { transfer, bytes, type, width, height, sha256 } = this.description;
    if (message.byteLength < HEADER_BYTES) return false;
    const header = new DataView(message);
    if (header.getUint32(0) !== transfer) return false;
    const [index, count, version, media] = [header.getUint16(4), header.getUint16(6), header.getUint8(8), header.getUint8(9)];
    const invalid = version !== HEADER_VERSION || index !== this.#chunks.length || message.byteLength < HEADER_BYTES + media;
    if (invalid) return this.fail(`expected chunk ${this.#chunks.length}, received chunk ${index} of ${count} (version ${version})`);
    const chunk = new Uint8Array(message, HEADER_BYTES + media);
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes > bytes || (index + 1 === count && this.#bytes < bytes)) {
      return this.fail(`received ${this.#bytes} bytes instead of ${bytes}`);
    }
    this.#resetTimer();
    if (index + 1 < count) return false;
    clearTimeout(this.#timer);
    this.pending.resolve({ blob: new Blob(this.#chunks, { type }), width, height, sha256 });
    return true;
  }

  /**
   * @param {string} reason
   * @returns {true} The transfer is over.
   */
  fail(reason) {
    clearTimeout(this.#timer);
    this.pending.reject(new ControlError(`snapshot: ${reason}`));
    return true;
  }

  #resetTimer() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.fail(`no chunk within ${CHUNK_TIMEOUT_MS / 1000} s`), CHUNK_TIMEOUT_MS);
  }
}
