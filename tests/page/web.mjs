/**
 * Loads those of the page's modules that need no browser into Node. The page has no package.json, since the program embeds its
 * files as they are, so Node gets a copy with one.
 */

import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const copy = mkdtempSync(join(tmpdir(), 'porthole-web-'));
process.on('exit', () => rmSync(copy, { recursive: true }));
cpSync(fileURLToPath(new URL('../../web/', import.meta.url)), copy, { recursive: true });
writeFileSync(join(copy, 'package.json'), '{ "type": "module" }');

/** @param {string} name Such as `link-header.js`. */
export function module(name) {
  return import(pathToFileURL(join(copy, name)).href);
}
