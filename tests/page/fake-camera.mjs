/**
 * A camera with controls: a preloaded library shows the program a folder in place of the machine's device nodes. The script
 * language is defined in tests/fake/script.rs.
 */

import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** The camera's path as the program sees it. */
export const DEVICE = '/dev/video90';

/**
 * The environment for a program that sees a camera with this script; removed after the test.
 * @param {string} script
 */
export function fakeCamera(t, script) {
  const folder = mkdtempSync(join(tmpdir(), 'porthole-camera-'));
  t.after(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, 'dev'));
  writeFileSync(join(folder, 'dev/video90'), script);
  const library = join(dirname(process.env.PORTHOLE_BIN), 'examples/libfake_camera.so');
  // The loader ignores a missing library, and then there would be no camera.
  if (!existsSync(library)) throw new Error(`${library} is not there: build it: cargo build --example fake_camera`);
  return { LD_PRELOAD: library, PORTHOLE_FAKE: folder };
}
