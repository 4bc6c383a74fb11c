/**
 * What the tests of the page share: a program, pages in a browser, and waits for what a person sees. Every wait is for a
 * condition and has a deadline. What is tested does not belong here.
 */

import assert from 'node:assert/strict';
import { after } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { launch } from './browser.mjs';
import { blockCode } from './code.mjs';
import { CONFIG, Program } from './program.mjs';

export { CONFIG };

/** For what takes a moment: a connection, a click, an answer. */
export const SOON = { timeout: 15_000 };

/**
 * For what waits for a broken connection: a connection that does not come about is given up after 10 s, one that broke
 * after 13 s, and the pause between attempts grows up to 20 s.
 */
export const LATER = { timeout: 75_000 };

export const PHONE = { width: 390, height: 844 };
export const LANDSCAPE = { width: 844, height: 390 };
export const DESKTOP = { width: 1280, height: 800 };

/** One browser for the tests of a file, started by the first that opens a page. @type {Promise<import('playwright-core').Browser> | undefined} */
let browser;

after(async () => (await browser)?.close());

/** A program that is ended with the test. */
export async function start(t, options = { config: CONFIG }) {
  const program = await Program.start(options);
  t.after(() => program.end('SIGKILL'));
  return program;
}

/**
 * A page of its own, with what it complained of and whom it asked.
 * @param {import('playwright-core').BrowserContextOptions & {browser?: import('playwright-core').Browser}} [options] `browser`:
 *   another one than that of the file.
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
  await page.addInitScript(() => (globalThis.frame = () => {
    const video = document.querySelector('video');
    const { videoWidth: width, videoHeight: height } = video;
    const canvas = Object.assign(document.createElement('canvas'), { width: width || 1, height: height || 1 });
    const context = canvas.getContext('2d', { willReadFrequently: true });
    context.drawImage(video, 0, 0);
    // Green stands for the light of all.
    const greens = context.getImageData(0, 0, canvas.width, canvas.height).data.filter((_, at) => at % 4 === 1);
    const sum = greens.reduce((sum, green) => sum + green, 0);
    const min = greens.reduce((a, b) => Math.min(a, b), 255);
    const max = greens.reduce((a, b) => Math.max(a, b), 0);
    return { size: `${width}x${height}`, levels: { mean: sum / greens.length, min, max } };
  }));
  await page.goto(url);
  return page;
}

/** Waits for a picture that has a readable code. */
export async function playing(page, deadline = SOON) {
  await page.waitForFunction(
    () => globalThis.porthole?.state === 'live' && blockCode.read(document.querySelector('video')) !== null, null, deadline);
}

/** Waits until the announcement for screen readers, which says what is seen too, matches. */
export async function announced(page, pattern, deadline = SOON) {
  await page.waitForFunction(
    (source) => new RegExp(source, 'i').test(document.querySelector('[role=status]').textContent), pattern.source, deadline);
}

/**
 * The page's figures as soon as they are good enough.
 * @param {() => object | false} condition Runs inside the page.
 */
export async function stats(page, condition, deadline = SOON) {
  try {
    return await (await page.waitForFunction(condition, null, deadline)).jsonValue();
  } catch (cause) {
    const seen = await page.evaluate(() => globalThis.porthole.stats());
    throw new Error(`${condition}: the figures are ${JSON.stringify(seen)}`, { cause });
  }
}

/**
 * What a look shows as soon as it is good. It looks again after a pause, since the board limits how often one address may ask.
 * @template T
 * @param {() => Promise<T> | T} look
 * @param {(seen: T) => boolean} good
 * @param {string} what What is waited for, if it never comes.
 */
export async function eventually(look, good, what, { timeout } = SOON) {
  const deadline = performance.now() + timeout;
  for (;;) {
    const seen = await look();
    if (good(seen)) return seen;
    assert.ok(performance.now() < deadline, `${what}: ${JSON.stringify(seen)} is the last that was seen`);
    await pause(50);
  }
}

/** Waits until the board counts so many viewers, as it tells whoever is signed in as the page is. */
export async function viewers(page, program, count, deadline = SOON) {
  const counted = async () => (await (await page.request.get(`${program.url}api/status`)).json()).viewers;
  await eventually(counted, (viewers) => viewers === count, `${count} viewers, as the board counts them`, deadline);
}

/** The controls leave a picture that nobody touches; a moved pointer brings them back. */
export async function movePointer(page) {
  await page.mouse.move(20, 200);
  await page.mouse.move(30, 210);
}

/** As a person clicks: the pointer goes there, which brings controls that have left, and they stay while it rests on one. */
export async function click(page, selector) {
  const { x, y, width, height } = await page.locator(selector).boundingBox(SOON);
  await page.mouse.move(x + width / 2, y + height / 2, { steps: 2 });
  await page.click(selector, SOON);
}
