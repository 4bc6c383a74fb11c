/** Type-checks the page's modules against their JSDoc. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

test('tsc --checkJs finds nothing', () => {
  const here = fileURLToPath(new URL('.', import.meta.url));
  const { status, stdout } = spawnSync('node_modules/.bin/tsc', ['--checkJs', '-p', 'tsconfig.json'], { cwd: here, encoding: 'utf8' });
  assert.equal(stdout, '');
  assert.equal(status, 0);
});
