/** Records the stream in this browser. The board is not involved; saving the recording is done elsewhere. */

/** Recording formats by preference: MP4 plays everywhere; `avc3` allows the resolution to change midway. */
const FORMATS = [
  'video/mp4;codecs=avc3.42E01F,opus',
  'video/mp4;codecs=avc1.42E01F,opus',
  'video/mp4',
  'video/webm;codecs=h264,opus',
  'video/webm;codecs=vp8,opus',
  'video/webm',
];

/** How often a chunk is delivered: at most this much is lost when the browser crashes. */
const CHUNK_MS = 1_000;

/** A recording is held in memory: it is stopped and saved before a phone runs out. One hour at 2 Mbit/s. */
const MAX_BYTES = 1_000_000_000;

/** Events: `change` on start, every second and at the end; `done` (a DoneEvent) with the recording. */
export class Recorder extends EventTarget {
  /** @type {MediaRecorder | null} */
  #recorder = null;
  #startedAt = 0;

  /** Whether this browser can record. */
  get supported() {
    return this.#format !== undefined;
  }

  get running() {
    return this.#recorder !== null;
  }

  /** The length so far, in milliseconds. */
  get elapsed() {
    return this.running ? performance.now() - this.#startedAt : 0;
  }

  /** @param {MediaStream} stream */
  start(stream) {
    if (this.#recorder) return;
    const recorder = new MediaRecorder(stream, { mimeType: this.#format });
    /** @type {Blob[]} */
    const chunks = [];
    let bytes = 0;
    const startedAt = new Date();
    recorder.addEventListener('dataavailable', ({ data }) => {
      chunks.push(data);
      bytes += data.size;
      if (bytes > MAX_BYTES) this.stop();
      this.dispatchEvent(new Event('change'));
    });
    // Also stops on its own when the session ends.
    recorder.addEventListener('stop', () => {
      this.#recorder = null;
      const type = recorder.mimeType || 'video/webm';
      if (bytes > 0) this.dispatchEvent(new DoneEvent(new Blob(chunks, { type: type.split(';')[0] }), startedAt));
      this.dispatchEvent(new Event('change'));
    });
    recorder.start(CHUNK_MS);
    this.#recorder = recorder;
    this.#startedAt = performance.now();
    this.dispatchEvent(new Event('change'));
  }

  stop() {
    if (this.#recorder?.state !== 'inactive') this.#recorder?.stop();
  }

  get #format() {
    if (!('MediaRecorder' in globalThis)) return undefined;
    return FORMATS.find((format) => MediaRecorder.isTypeSupported(format));
  }
}

/** A recording is complete. */
export class DoneEvent extends Event {
  /**
   * @param {Blob} blob
   * @param {Date} startedAt
   */
  constructor(blob, startedAt) {
    super('done');
    this.blob = blob;
    this.startedAt = startedAt;
    this.extension = blob.type.includes('mp4') ? 'mp4' : 'webm';
  }
}

/**
 * Minutes and seconds as on a clock, with hours if there are any.
 * @param {number} milliseconds
 */
export function clock(milliseconds) {
  const seconds = Math.floor(milliseconds / 1000);
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return parts.slice(parts[0] > 0 ? 0 : 1).map((part, at) => (at === 0 ? String(part) : String(part).padStart(2, '0'))).join(':');
}
