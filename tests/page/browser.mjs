/** Starts the browser of the tests: Debian's Chromium, or the one that CHROMIUM names. */

import { chromium } from 'playwright-core';

/**
 * @param {string[]} [more] Arguments of Chromium beside those of all tests.
 * @param {string} [executablePath]
 */
export function launch(more = [], executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium') {
  return chromium.launch({
    executablePath,
    headless: true,
    // No flag for autoplay: the page must play by itself under the browser's own rules.
    args: [
      '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync', ...more,
    ],
  });
}
