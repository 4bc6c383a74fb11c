/**
 * The page's modules in Node, for those that touch no browser. They have no package of their own, as the program embeds them as
 * they are, so Node is shown a copy in one.
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
