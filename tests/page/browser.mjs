/** Launches the browser for the tests: Debian's Chromium, or the one in CHROMIUM. */

import { chromium } from 'playwright-core';

/**
 * @param {string[]} [more] Chromium arguments in addition to those of all tests.
 * @param {string} [executablePath]
 */
export function launch(more = [], executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium') {
  return chromium.launch({
    executablePath,
    headless: true,
    // No autoplay flag: the page must play under the browser's default policy.
    args: [
      '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync', ...more,
    ],
  });
}
