/** Saves a blob as a file, as if it had been downloaded. */

/** By then the browser has taken the blob. */
const REVOKE_AFTER_MS = 60_000;

/**
 * @param {Blob} content
 * @param {string} name
 */
export function download(content, name) {
  const url = URL.createObjectURL(content);
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), REVOKE_AFTER_MS);
}

/**
 * A file name with the camera and the local time, which sorts by time.
 * @param {string} camera
 * @param {Date} when
 * @param {string} extension
 */
export function fileName(camera, when, extension) {
  const two = (/** @type {number} */ number) => String(number).padStart(2, '0');
  const date = `${when.getFullYear()}-${two(when.getMonth() + 1)}-${two(when.getDate())}`;
  const time = [when.getHours(), when.getMinutes(), when.getSeconds()].map(two).join('-');
  return `${camera || 'porthole'}-${date}-${time}.${extension}`;
}
