/** Directories of recordings: files that ffmpeg makes, named as porthole names its own, since it knows a recording by its name. */

import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * @typedef {object} Options
 * @property {number} at When it starts, in milliseconds since the Unix epoch.
 * @property {number} seconds
 * @property {string} [cause]
 * @property {string} [camera]
 * @property {boolean} [isProtected]
 * @property {number} [hue] Of the picture, in degrees.
 */

export class Recorded {
  #count = 0;
  /** Files that were made already, by their content. @type {Map<string, string>} */
  #made = new Map();

  /** An empty directory, which is removed after the test. */
  constructor(t) {
    this.root = mkdtempSync(join(tmpdir(), 'porthole-recorded-'));
    this.directory = join(this.root, 'recordings');
    t.after(() => rmSync(this.root, { recursive: true }));
  }

  /** The lines for `[recording]`. */
  get lines() {
    return `[recording]\ndirectory = "${this.directory}"\nmin_free = ""\nkeep_days = 0\n`;
  }

  /** The names of all recordings. */
  names() {
    return readdirSync(this.directory).filter((name) => name.endsWith('.mp4')).sort();
  }

  /**
   * Adds a recording; its number.
   * @param {Options} options
   */
  add({ at, seconds, cause = 'motion', camera = 'camera', isProtected = false, hue = 0 }) {
    const number = String(++this.#count).padStart(6, '0');
    const time = new Date(at).toISOString().slice(0, 19).replace(/[T:]/g, '-');
    const name = `${camera}-${time}+0000-${number}-${cause}${isProtected ? '-protected' : ''}-${seconds * 1000}ms.mp4`;
    copyFileSync(this.#file(seconds, hue, 'mp4'), this.#path(name));
    copyFileSync(this.#file(1, hue, 'jpg'), this.#path(`${number}.jpg`));
    return this.#count;
  }

  #path(name) {
    execFileSync('mkdir', ['-p', this.directory]);
    return join(this.directory, name);
  }

  /** A file of so many seconds. */
  #file(seconds, hue, extension) {
    const key = `${seconds}-${hue}.${extension}`;
    const known = this.#made.get(key);
    if (known) return known;
    const file = join(this.root, key);
    const source = ['-f', 'lavfi', '-i', `testsrc2=s=320x180:r=5:d=${seconds},hue=h=${hue}`];
    const video = ['-c:v', 'libx264', '-profile:v', 'baseline', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-g', '25', '-movflags', 'frag_keyframe+empty_moov+default_base_moof+global_sidx'];
    execFileSync('ffmpeg', ['-nostdin', '-v', 'error', ...source, ...(extension === 'jpg' ? ['-frames:v', '1'] : video), file]);
    this.#made.set(key, file);
    return file;
  }
}

/** A time of yesterday, in UTC, in milliseconds since the Unix epoch. */
export function yesterday(hour, minute = 0, second = 0) {
  const now = new Date();
  return Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate() - 1, hour, minute, second);
}
