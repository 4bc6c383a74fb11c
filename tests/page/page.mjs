/**
 * Shared by the page tests: a program, pages in a browser, and waits for what the user sees. Every wait has a condition and a
 * deadline. The tests themselves are in the other files.
 */

import assert from 'node:assert/strict';
import { after } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { launch } from './browser.mjs';
import { blockCode } from './code.mjs';
import { CONFIG, Program } from './program.mjs';

export { CONFIG };

/** For what takes a moment: a connection, a click, a response. */
export const SOON = { timeout: 15_000 };

/**
 * For broken connections: connecting is given up after 10 s, an interrupted session after 13 s, and the pause between attempts
 * grows up to 20 s.
 */
export const LATER = { timeout: 75_000 };

export const PHONE = { width: 390, height: 844 };
export const LANDSCAPE = { width: 844, height: 390 };
export const DESKTOP = { width: 1280, height: 800 };

/** One browser for all tests of a file, launched by the first test that opens a page. @type {Promise<import('playwright-core').Browser> | undefined} */
let browser;

after(async () => (await browser)?.close());

/** Starts a program that is stopped after the test. */
export async function start(t, options = { config: CONFIG }) {
  const program = await Program.start(options);
  t.after(() => program.end('SIGKILL'));
  return program;
}

/**
 * Opens a page that records its errors and its requests.
 * @param {import('playwright-core').BrowserContextOptions & {browser?: import('playwright-core').Browser}} [options] `browser`:
 *   a browser other than the file's.
 */
export async function open(t, url, viewport = DESKTOP, options = {}) {
  const { browser: own, ...more } = options;
  const context = await (own ?? await (browser ??= launch())).newContext({ viewport, ...more });
  t.after(() => context.close());
  const page = await context.newPage();
  page.errors = [];
  page.requests = [];
  page.on('console', (message) => message.type() === 'error' && page.errors.push(message.text()));
  page.on('pageerror', (error) => page.errors.push(error.message));
  page.on('request', (request) => page.requests.push(request.url()));
  await page.addInitScript(blockCode);
  // Toasts disappear after some seconds.
  await page.addInitScript(() => {
    globalThis.toasts = [];
    new MutationObserver((changes) => {
      for (const node of changes.flatMap(({ addedNodes }) => [...addedNodes])) {
        if (node instanceof Element && node.matches('.toast')) globalThis.toasts.push(`${node.className}: ${node.textContent}`);
      }
    }).observe(document, { childList: true, subtree: true });
  });
  await page.addInitScript(() => (globalThis.frame = () => {
    const video = document.querySelector('video');
    const { videoWidth: width, videoHeight: height } = video;
    const canvas = Object.assign(document.createElement('canvas'), { width: width || 1, height: height || 1 });
    const context = canvas.getContext('2d', { willReadFrequently: true });
    context.drawImage(video, 0, 0);
    // Green stands in for luma.
    const greens = context.getImageData(0, 0, canvas.width, canvas.height).data.filter((_, at) => at % 4 === 1);
    const sum = greens.reduce((sum, green) => sum + green, 0);
    const min = greens.reduce((a, b) => Math.min(a, b), 255);
    const max = greens.reduce((a, b) => Math.max(a, b), 0);
    return { size: `${width}x${height}`, levels: { mean: sum / greens.length, min, max } };
  }));
  await page.goto(url);
  return page;
}

/** Waits for a frame with a readable code. */
export async function playing(page, deadline = SOON) {
  await page.waitForFunction(
    () => globalThis.porthole?.state === 'live' && blockCode.read(document.querySelector('video')) !== null, null, deadline);
}

/** Waits until the page is in a state: a busy machine may interrupt any of them for a moment. */
export async function becomes(page, state) {
  await page.waitForFunction((state) => globalThis.porthole.state === state, state, SOON);
}

/** Waits until a toast, its classes before its text, matches a pattern; it need not be there any more. */
export async function toasted(page, pattern) {
  await page.waitForFunction((source) => globalThis.toasts.some((toast) => new RegExp(source).test(toast)), pattern.source, SOON);
}

/** Waits until the announcement for screen readers, which matches what is visible, matches a pattern. */
export async function announced(page, pattern, deadline = SOON) {
  await page.waitForFunction(
    (source) => new RegExp(source, 'i').test(document.querySelector('[role=status]').textContent), pattern.source, deadline);
}

/** Waits until MJPEG is shown, and unfolds what the notice says about it. */
export async function expand(page) {
  await page.click('#notice-expand[aria-expanded=false]', LATER);
}

/**
 * The page's statistics once a condition holds.
 * @param {() => object | false} condition Runs inside the page.
 */
export async function stats(page, condition, deadline = SOON) {
  try {
    return await (await page.waitForFunction(condition, null, deadline)).jsonValue();
  } catch (cause) {
    const seen = await page.evaluate(() => globalThis.porthole.stats());
    throw new Error(`${condition}: the statistics are ${JSON.stringify(seen)}`, { cause });
  }
}

/**
 * Polls until a value is good. It pauses in between, since the board limits requests per address.
 * @template T
 * @param {() => Promise<T> | T} look
 * @param {(seen: T) => boolean} good
 * @param {string} what What is waited for, for the error message.
 */
export async function eventually(look, good, what, { timeout } = SOON) {
  const deadline = performance.now() + timeout;
  for (;;) {
    const seen = await look();
    if (good(seen)) return seen;
    assert.ok(performance.now() < deadline, `${what}: ${JSON.stringify(seen)} is the latest value`);
    await pause(50);
  }
}

/** Waits until the board counts this many viewers, asked with the page's credentials. */
export async function viewers(page, program, count, deadline = SOON) {
  const counted = async () => (await (await page.request.get(`${program.url}api/status`)).json()).viewers;
  await eventually(counted, (viewers) => viewers === count, `the board should count ${count} viewers`, deadline);
}

/** Moves the pointer, which brings back hidden controls. */
export async function movePointer(page) {
  await page.mouse.move(20, 200);
  await page.mouse.move(30, 210);
}

/** Clicks as a user does: the pointer moves there first, which brings back hidden controls, and they stay while it rests on one. */
export async function click(page, selector) {
  const { x, y, width, height } = await page.locator(selector).boundingBox(SOON);
  await page.mouse.move(x + width / 2, y + height / 2, { steps: 2 });
  await page.click(selector, SOON);
}
