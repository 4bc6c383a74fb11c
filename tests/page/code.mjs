/**
 * Reads the test pattern's block code (frame number, capture time, camera) from the frames of a <video>, inside the page.
 * The layout is described in src/capture/camera/timecode.rs. What tests and benchmarks do with the values is up to them.
 *
 *     await page.addInitScript(blockCode);
 *     const frames = await page.evaluate(() => blockCode.collect(document.querySelector('video'), 3000));
 */

/**
 * @typedef {object} Code
 * @property {number} camera Low byte of the CRC of the camera's name.
 * @property {number} captured Milliseconds since the Unix epoch in the board's stream clock, to a tenth.
 * @property {number} frame Frame number, 32 bits, wraps.
 *
 * @typedef {Code & {shown: number}} ShownFrame `shown`: milliseconds since the Unix epoch on this machine's clock.
 */

/** The side of a cell in pixels; 0 if a frame of this size holds no code. */
export function cellOf(width, height) {
  const cell = 8 * Math.max(1, Math.min(Math.floor(width / 640), Math.floor(height / 360)));
  return width >= 32 * cell && height >= 8 * cell ? cell : 0;
}

/** CRC-16/IBM-3740. */
export function crc16(bytes) {
  let crc = 0xffff;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : crc << 1;
  }
  return crc;
}

/**
 * @param {number} width
 * @param {number} height
 * @param {(x: number, y: number) => number} luma Of the pixel, 0 to 255.
 * @returns {Code | null} Null if the frame holds no code or a damaged one.
 */
export function decode(width, height, luma) {
  const [rows, columns, reference, least] = [4, 26, 2, 64];
  const cell = cellOf(width, height);
  if (cell === 0) return null;
  const value = (row, column) => {
    const [left, top, side] = [(2 + column) * cell + cell / 4, (2 + row) * cell + cell / 4, cell / 2];
    let sum = 0;
    for (let y = top; y < top + side; y++) for (let x = left; x < left + side; x++) sum += luma(x, y);
    return sum / (side * side);
  };
  const mean = (column) => [0, 1, 2, 3].reduce((sum, row) => sum + value(row, column), 0) / rows;
  const [white, black] = [mean(0), mean(1)];
  if (white - black < least) return null;
  const bytes = new Uint8Array((rows * columns) / 8);
  for (let bit = 0; bit < rows * columns; bit++) {
    const one = value(Math.floor(bit / columns), reference + (bit % columns)) > (white + black) / 2;
    if (one) bytes[bit >> 3] |= 0x80 >> (bit & 7);
  }
  const number = (from, to) => bytes.slice(from, to).reduce((sum, byte) => sum * 256 + byte, 0);
  if (number(11, 13) !== crc16(bytes.slice(0, 11))) return null;
  return { camera: bytes[0], captured: number(1, 7) / 10, frame: number(7, 11) };
}

/**
 * The code of the frame that a video or an image currently shows.
 * @param {HTMLVideoElement | HTMLImageElement} video
 * @returns {Code | null}
 */
function read(video) {
  const [width, height] = 'videoWidth' in video ? [video.videoWidth, video.videoHeight] : [video.naturalWidth, video.naturalHeight];
  const cell = cellOf(width, height);
  if (cell === 0) return null;
  // Only the corner that holds the code is drawn and read back.
  const [right, bottom] = [32 * cell, 8 * cell];
  const canvas = new OffscreenCanvas(right, bottom);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.drawImage(video, 0, 0, right, bottom, 0, 0, right, bottom);
  const { data } = context.getImageData(0, 0, right, bottom);
  return decode(width, height, (x, y) => data[(y * right + x) * 4]);
}

/**
 * The codes of all frames displayed until the first and the last are `milliseconds` apart, in order.
 * @param {HTMLVideoElement} video
 * @param {number} milliseconds
 * @returns {Promise<{frames: ShownFrame[], unread: number}>} `unread`: frames without a readable code.
 */
function collect(video, milliseconds) {
  return new Promise((resolve) => {
    const frames = [];
    let unread = 0;
    const next = (_, metadata) => {
      const code = read(video);
      if (code) frames.push({ ...code, shown: performance.timeOrigin + metadata.expectedDisplayTime });
      else unread++;
      const span = frames.length > 0 ? frames[frames.length - 1].shown - frames[0].shown : 0;
      if (span >= milliseconds) resolve({ frames, unread });
      else video.requestVideoFrameCallback(next);
    };
    video.requestVideoFrameCallback(next);
  });
}

/** A script for the page that defines `blockCode.read(video)` and `blockCode.collect(video, milliseconds)`. */
export const blockCode = `globalThis.blockCode = (() => {
  ${[cellOf, crc16, decode, read, collect].join('\n')}
  return { read, collect };
})();`;
