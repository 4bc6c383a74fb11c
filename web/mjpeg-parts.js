/** Splits a `multipart/x-mixed-replace` stream into its JPEGs. Pure: bytes in, files out. */

/** A JPEG that is larger than this is none: that of the largest frame at the best quality has about 20 MB. */
const MAX_PART = 32 << 20;

/** The header of a part has three lines. */
const MAX_HEAD = 4_096;

export class PartReader {
  /** What has arrived of the current part. */
  #bytes = new Uint8Array(0);

  /**
   * Takes bytes, and returns the files that they complete.
   * @param {Uint8Array} chunk
   * @returns {Uint8Array<ArrayBuffer>[]}
   */
  push(chunk) {
    const bytes = new Uint8Array(this.#bytes.length + chunk.length);
    bytes.set(this.#bytes);
    bytes.set(chunk, this.#bytes.length);
    this.#bytes = bytes;
    const files = [];
    for (let file = this.#next(); file; file = this.#next()) files.push(file);
    return files;
  }

  /** The file at the beginning, once it is whole. */
  #next() {
    const end = headEnd(this.#bytes);
    if (end < 0) {
      if (this.#bytes.length > MAX_HEAD) throw new Error('the stream is not MJPEG');
      return null;
    }
    const head = new TextDecoder().decode(this.#bytes.subarray(0, end));
    const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? NaN);
    if (!(length <= MAX_PART)) throw new Error('a part of the stream has no usable length');
    const start = end + 4;
    if (this.#bytes.length < start + length) return null;
    const file = this.#bytes.slice(start, start + length);
    this.#bytes = this.#bytes.slice(start + length);
    return file;
  }
}

/**
 * Where the empty line after the header begins; -1 if it has not arrived.
 * @param {Uint8Array} bytes
 */
function headEnd(bytes) {
  // The line break before a boundary belongs to no header.
  for (let at = 2; at + 3 < Math.min(bytes.length, MAX_HEAD); at++) {
    if (bytes[at] === 13 && bytes[at + 1] === 10 && bytes[at + 2] === 13 && bytes[at + 3] === 10) return at;
  }
  return -1;
}
