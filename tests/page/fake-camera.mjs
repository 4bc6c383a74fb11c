/**
 * A camera with controls for the tests of the page: the library that shows the program a folder in place of the machine's nodes. What
 * a script can say stands in tests/fake/script.rs.
 */

import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** The path under which the program sees the camera. */
export const DEVICE = '/dev/video90';

/**
 * The environment of a program that sees a camera with this script; it is gone with the test.
 * @param {string} script
 */
export function fakeCamera(t, script) {
  const folder = mkdtempSync(join(tmpdir(), 'porthole-camera-'));
  t.after(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, 'dev'));
  writeFileSync(join(folder, 'dev/video90'), script);
  const library = join(dirname(process.env.PORTHOLE_BIN), 'examples/libfake_camera.so');
  // The loader goes on without a library that is not there, and then there is no camera.
  if (!existsSync(library)) throw new Error(`${library} is not there: build it: cargo build --example fake_camera`);
  return { LD_PRELOAD: library, PORTHOLE_FAKE: folder };
}
